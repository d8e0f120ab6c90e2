"""Outputs and labels → one number a model, and two models compared on the same samples. In a worker.

Whatever the metric, a difference is variant minus float32 with the sign turned so that higher is
better. Detections and rankings, which have no score of a single sample, are in `ranking`.
"""

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from orchestrator.build.failures import BadData
from orchestrator.build.gate import Interval, matched_pairs, paired_means, percentiles
from orchestrator.build.ranking import Auc, Detections, truth_of_boxes
from orchestrator.build.runtimes import Arrays
from orchestrator.build.samples import SampleSet
from orchestrator.build.tensors import Tensor, written
from orchestrator.catalog.acceptance import Metric, MetricName

RESAMPLES = 500
"""Bootstrap resamples; the seed is fixed, so equal outputs give equal intervals."""

_SEED = 20_261_123
_CHUNK = 32


@dataclass(frozen=True, slots=True)
class Comparison:
    """A variant's figure beside float32's; `spread` is the deviation of one sample's difference.

    `unit` is what a relative limit is relative to, where the metric has such a thing.
    """

    metric: MetricName
    value: float
    reference: float
    interval: Interval
    spread: float
    samples: int
    unit: float | None = None


class Scorer(Protocol):
    """Takes the outputs of one model sample by sample."""

    def add(self, outputs: Arrays, index: int) -> None:
        """Count the real outputs (batch 1) for the sample of an index."""
        ...


@dataclass(slots=True)
class PerSample:
    """A metric that is the mean of one score a sample."""

    name: MetricName
    score: Callable[[list[Arrays], list[int]], list[float]]
    unit: float | None = None
    scores: list[float] = field(default_factory=list)
    _waiting: list[tuple[Arrays, int]] = field(default_factory=list)

    def add(self, outputs: Arrays, index: int) -> None:
        """See `Scorer`."""
        self._waiting.append((outputs, index))
        if len(self._waiting) >= _CHUNK:
            self.finish()

    def finish(self) -> list[float]:
        """The scores of all samples so far."""
        if self._waiting:
            outputs, indices = zip(*self._waiting, strict=True)
            self.scores += self.score(list(outputs), list(indices))
            self._waiting.clear()
        return self.scores


def scorer(
    metric: Metric, outputs: tuple[Tensor, ...], samples: SampleSet, folder: Path, file: str
) -> "PerSample | Auc | Detections | None":
    """A fresh scorer for a model with these outputs, None where there is nothing to judge by.

    Raises:
        BadData: labels, outputs or an entry point that do not fit the metric.
    """
    match metric.name:
        case None | MetricName.TOP1 | MetricName.TOPK:
            return _classes(metric, outputs, samples, file)
        case MetricName.MSE:
            return _errors(outputs, samples, file)
        case MetricName.AUC:
            return Auc(_binary(samples, file))
        case MetricName.MAP:
            return truth_of_boxes(metric, outputs, samples, file)
        case MetricName.PYTHON:
            return PerSample(MetricName.PYTHON, _entry(metric.entry, samples, folder, file))


def compared(
    ours: PerSample | Auc | Detections, theirs: PerSample | Auc | Detections
) -> Comparison:
    """Both models' figures with the 95 % interval of their difference.

    Matched pairs where every score is 0 or 1, Student's t on the differences for other scores, a
    paired bootstrap over samples for rankings.
    """
    if isinstance(ours, PerSample) and isinstance(theirs, PerSample):
        return _means(ours, theirs)
    assert not isinstance(ours, PerSample)
    assert not isinstance(theirs, PerSample)
    count = ours.samples
    value, reference = ours.value(np.ones(count)), theirs.value(np.ones(count))
    draw = np.random.default_rng(_SEED)
    differences = []
    for _ in range(RESAMPLES):
        weights = np.bincount(draw.integers(0, count, count), minlength=count).astype(np.float64)
        each = ours.value(weights) - theirs.value(weights)
        if np.isfinite(each):
            differences.append(float(each))
    interval = percentiles(differences) if differences else Interval(-1.0, 1.0)
    spread = float(np.std(differences)) * count**0.5 if differences else 1.0
    return Comparison(ours.name, value, reference, interval, spread, count)


def _means(ours: PerSample, theirs: PerSample) -> Comparison:
    mine, other = np.array(ours.finish()), np.array(theirs.finish())
    lower = ours.name is MetricName.MSE
    differences = other - mine if lower else mine - other
    if set(np.unique(mine)) | set(np.unique(other)) <= {0.0, 1.0}:
        worse, better = int((differences < 0).sum()), int((differences > 0).sum())
        interval, spread = matched_pairs(worse, better, len(mine))
    else:
        interval, spread = paired_means(differences.tolist())
    return Comparison(
        ours.name,
        float(mine.mean()),
        float(other.mean()),
        interval,
        spread,
        len(mine),
        ours.unit,
    )


def _classes(
    metric: Metric, outputs: tuple[Tensor, ...], samples: SampleSet, file: str
) -> PerSample | None:
    labels = samples.truth.get("y")
    shapes = [each.shape for each in outputs]
    classes = shapes[0][1] if len(shapes) == 1 and len(shapes[0]) == 2 else None
    fits = classes is not None and classes >= 2 and shapes[0][0] == 1
    if metric.name is None and (labels is None or not fits):
        return None
    if labels is None:
        raise _missing("y", "one integer class per sample", metric, file)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise BadData(
            f"labels 'y' are {labels.dtype} of shape {written(labels.shape)}, and one integer "
            "class per sample was expected",
            file=file,
            hint="or say what they are for: acceptance.metric: mse, auc, map or python",
        )
    if not fits or classes is None:
        raise BadData(
            f"{metric.name} judges one output of (1, classes), and the model gives "
            + ", ".join(f"{each.name!r} {written(each.shape)}" for each in outputs),
            file=file,
        )
    wrong = (labels < 0) | (labels >= classes)
    if wrong.any():
        at = int(np.argmax(wrong))
        raise BadData(
            f"label {int(labels[at])} of sample {at} is no class of the model, which has "
            f"{classes} (0 to {classes - 1})",
            file=file,
        )
    most = min(metric.k, classes - 1) if metric.name is MetricName.TOPK else 1

    def score(given: list[Arrays], indices: list[int]) -> list[float]:
        return [
            float(_among(next(iter(each.values()))[0], int(labels[index]), most))
            for each, index in zip(given, indices, strict=True)
        ]

    return PerSample(metric.name or MetricName.TOP1, score)


def _among(values: NDArray[Any], label: int, most: int) -> bool:
    """Whether a class is among the `most` greatest; of equals, the first ones count."""
    return label in np.argsort(-values, kind="stable")[:most]


def _errors(outputs: tuple[Tensor, ...], samples: SampleSet, file: str) -> PerSample:
    names = [each.name for each in outputs]
    keys = {names[0]: "y"} if len(names) == 1 else {name: f"y_{name}" for name in names}
    for key in keys.values():
        if key not in samples.truth:
            raise _missing(key, "floats of the output's shape", MetricName.MSE, file)
    wanted = {name: samples.truth[key].astype(np.float64) for name, key in keys.items()}

    def score(given: list[Arrays], indices: list[int]) -> list[float]:
        return [
            float(np.concatenate([_squares(name, each, index) for name in names]).mean())
            for each, index in zip(given, indices, strict=True)
        ]

    def _squares(name: str, each: Arrays, index: int) -> NDArray[np.float64]:
        want, have = wanted[name][index], each[name].astype(np.float64)
        if want.size != have.size:
            raise BadData(
                f"{keys[name]!r} has the shape {written(want.shape)} a sample, and output "
                f"{name!r} {written(have.shape[1:])}",
                file=file,
            )
        return np.asarray((have.ravel() - want.ravel()) ** 2)

    variances = [float(np.var(each)) for each in wanted.values()]
    return PerSample(MetricName.MSE, score, unit=sum(variances) / len(variances))


def _binary(samples: SampleSet, file: str) -> NDArray[np.int64]:
    labels = samples.truth.get("y")
    if labels is None:
        raise _missing("y", "0 or 1 per sample", MetricName.AUC, file)
    if not np.isin(labels, (0, 1)).all() or len(np.unique(labels)) < 2:
        raise BadData("labels 'y' have to be 0 and 1, both of them, for auc", file=file)
    return labels.astype(np.int64)


def _entry(
    entry: str, samples: SampleSet, folder: Path, file: str
) -> Callable[[list[Arrays], list[int]], list[float]]:
    """The user's own function, behind checks of what it returns."""
    function = _loaded(entry, folder)
    labels = samples.truth.get("y")
    if labels is None:
        raise _missing("y", "whatever the metric's function takes", MetricName.PYTHON, file)

    def score(given: list[Arrays], indices: list[int]) -> list[float]:
        stacked = {name: np.concatenate([each[name] for each in given]) for name in given[0]}
        try:
            scores = np.asarray(function(stacked, labels[indices]), dtype=np.float64)
        except Exception as error:
            raise BadData(f"it raised {type(error).__name__}: {error}", file=entry) from error
        if scores.shape != (len(indices),) or not np.isfinite(scores).all():
            raise BadData(
                f"it returned {written(scores.shape)} for {len(indices)} samples, and one finite "
                "score a sample was expected",
                file=entry,
            )
        return [float(each) for each in scores]

    return score


def _loaded(entry: str, folder: Path) -> Callable[..., Any]:
    where, name = entry.rsplit(":", 1)
    try:
        if where.endswith(".py"):
            spec = importlib.util.spec_from_file_location("fleet_metric", folder / where)
            assert spec is not None
            assert spec.loader is not None
            module: Any = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
        else:
            module = importlib.import_module(where)
        function: Callable[..., Any] = getattr(module, name)
    except Exception as error:
        raise BadData(
            f"cannot be loaded: {type(error).__name__}: {error}",
            file=entry,
            hint="acceptance.metric.entry is package.module:function or file.py:function",
        ) from error
    return function


def _missing(array: str, what: str, metric: object, file: str) -> BadData:
    name = metric.name if isinstance(metric, Metric) else metric
    return BadData(
        f"no array named {array!r}, and acceptance.metric {str(name)!r} needs it: {what}",
        file=file,
    )
