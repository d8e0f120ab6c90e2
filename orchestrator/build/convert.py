"""Source → float32 model of one format, proven against the source on real samples. In a worker."""

import importlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from orchestrator.artifact.golden import TOLERANCE
from orchestrator.build import (
    canonical,
    nature,
    onnx2tf,
    onnx_source,
    tensorflow_source,
    tflite_source,
)
from orchestrator.build.failures import BadSource, Unfaithful, code_inside, weights_only
from orchestrator.build.jobs import Convert, Made
from orchestrator.build.keras_source import (
    OPSET,
    KerasSource,
    export_onnx,
    export_tflite,
    load_keras,
)
from orchestrator.build.onnx_source import OnnxSource, fixed, load_onnx
from orchestrator.build.runtimes import Arrays, Session, opened
from orchestrator.build.samples import SampleSet, checked, expectations
from orchestrator.build.tensorflow_source import TensorFlowSource, load_legacy, load_saved_model
from orchestrator.build.tensors import Tensor, allowed, written
from orchestrator.build.tflite_source import TfliteSource, load_tflite
from orchestrator.catalog.variant import Format, Precision

COMPARED = 32
"""Samples on which a converted model is compared with its source."""


class Source(Protocol):
    """A model as it was handed in: the names of what it takes and gives, and what it computes."""

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """What it takes; a dimension may be open."""
        ...

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        """What it gives."""
        ...

    def predict(self, feed: Arrays) -> Arrays:
        """Its outputs by name for one sample with a batch of 1."""
        ...

    def afresh(self) -> None:
        """Forget what earlier samples left behind, where it keeps state at all."""
        ...


AnySource: TypeAlias = KerasSource | TensorFlowSource | OnnxSource | TfliteSource


@dataclass(frozen=True, slots=True)
class Expected:
    """What a golden file says the outputs must be, and how far off as a share of their range."""

    file: str
    outputs: Arrays
    share: float


def convert(job: Convert) -> Made:
    """Write the float32 model, or the file as it is, to ``job.out``.

    Raises:
        BadSource, BadData, BadGolden: what was handed in cannot be meant.
        Unfaithful: the converted model computes something else than its source.
    """
    source = _loaded(Path(job.source), job.shown, trust=job.trust)
    samples = checked(job.samples, source.inputs)
    share = TOLERANCE[nature.precision(Path(job.source), job.recipe)]
    expected = expectations(job.samples, source.outputs) if job.original else {}
    wanted = Expected(job.samples.golden or "", expected, share)
    stateful = _keeps_state(source, samples)
    source.afresh()
    if job.recipe.precision is Precision.AS_IS:
        shutil.copyfile(job.source, job.out)
        _check_expectations(source.predict, source.outputs, samples, wanted)
        return Made(max_abs_diff=0.0)
    _write(job, source, samples.inputs)
    fresh = partial(opened, Path(job.out), job.recipe.format)
    session = fresh()
    _check_interface(session, source)
    run = _runner(fresh if stateful else lambda: session)
    theirs, ours = _both(source, run, samples)
    difference = max(_difference(o.name, theirs, ours, "its source") for o in source.outputs)
    outputs = tuple(each.tensor for each in session.outputs)
    _check_expectations(run, outputs, samples, wanted)
    return Made(max_abs_diff=difference)


def _loaded(source: Path, shown: str, *, trust: bool) -> AnySource:
    if source.is_dir():
        return load_saved_model(source, shown, trust=trust)
    match source.suffix.lower():
        case ".keras" | ".h5" | ".hdf5":
            if nature.weights_only(source):
                raise weights_only(shown)
            code = nature.code(source)
            if code and not trust:
                raise code_inside(code, shown)
            load = load_legacy if nature.legacy(source) else load_keras
            return load(source, shown, trust=trust)
        case ".onnx":
            return load_onnx(source, shown)
        case ".tflite":
            return load_tflite(source, shown)
        case suffix:
            raise BadSource(f"unknown kind of source {suffix!r}", file=shown)


def _write(job: Convert, source: AnySource, inputs: tuple[Tensor, ...]) -> None:
    out = Path(job.out)
    match source, job.recipe.format:
        case TensorFlowSource(), Format.TFLITE:
            tensorflow_source.export_tflite(source, inputs, out)
        case TensorFlowSource(), Format.ONNX:
            _write_onnx(tensorflow_source.export_onnx(source, inputs, OPSET, out), out)
        case TfliteSource(), Format.TFLITE:
            out.write_bytes(tflite_source.fixed(source, inputs))
        case TfliteSource(), Format.ONNX:
            raise BadSource("a .tflite file gives no ONNX model", file=job.shown)
        case KerasSource(), Format.TFLITE:
            export_tflite(source, inputs, out)
        case KerasSource(), Format.ONNX:
            raw = out.with_suffix(".exported")
            export_onnx(source, inputs, raw)
            model = canonical.parsed(raw.read_bytes())
            canonical.rename_outputs(model, [each.name for each in source.outputs])
            _write_onnx(model, out)
        case OnnxSource(), Format.ONNX:
            _write_onnx(fixed(source, inputs), out)
        case OnnxSource(), Format.TFLITE:
            _through_onnx2tf(job, source, inputs)


def _through_onnx2tf(job: Convert, source: OnnxSource, inputs: tuple[Tensor, ...]) -> None:
    """Convert a copy in which no name has signs that onnx2tf would change by itself."""
    out = Path(job.out)
    prepared = out.with_suffix(".fixed.onnx")
    odd = [each.name for each in (*inputs, *source.outputs) if each.name != allowed(each.name)]
    plain = {name: f"outer_{number}" for number, name in enumerate(odd)}
    model = fixed(source, inputs)
    onnx_source.renamed(model, plain)
    _write_onnx(model, prepared)
    names = tuple(plain.get(each.name, each.name) for each in inputs)
    onnx2tf.convert(Path(job.onnx2tf or ""), prepared, names, out)
    if plain:
        tflite_source.renamed(out, {new: old for old, new in plain.items()})
    try:
        opened(out, Format.TFLITE)
    except (RuntimeError, ValueError) as error:
        said = " ".join(str(error).split())
        raise Unfaithful(f"onnx2tf wrote a model that LiteRT cannot run: {said[:300]}") from error


def _write_onnx(model: Any, out: Path) -> None:
    onnx: Any = importlib.import_module("onnx")
    data = canonical.canonical_bytes(model)
    onnx.checker.check_model(canonical.parsed(data))
    out.write_bytes(data)


def _check_interface(session: Session, source: Source) -> None:
    for what, ours, theirs in (
        ("inputs", session.inputs, source.inputs),
        ("outputs", session.outputs, source.outputs),
    ):
        have = sorted(each.tensor.name for each in ours)
        want = sorted(each.name for each in theirs)
        if have != want:
            raise Unfaithful(f"its {what} are {have}, and its source's are {want}")


def _keeps_state(source: Source, samples: SampleSet) -> bool:
    """Whether an answer depends on earlier samples.

    Raises:
        Unfaithful: it depends on nothing that can be given.
    """
    first, last = samples.feed(0), samples.feed(samples.count - 1)
    source.afresh()
    once = source.predict(first)
    after = source.predict(last)
    source.afresh()
    alone = source.predict(last)
    source.afresh()
    again = source.predict(first)
    for name in once:
        if not _same(once[name], again[name]):
            raise Unfaithful(
                f"two runs of the source with the same input differ in output {name!r}: "
                "it draws random numbers"
            )
    return not all(_same(after[name], alone[name]) for name in after)


def _same(one: NDArray[Any], other: NDArray[Any]) -> bool:
    return np.array_equal(one, other, equal_nan=one.dtype.kind == "f")


def _runner(session: Callable[[], Session]) -> Callable[[Arrays], Arrays]:
    return lambda feed: session().run(feed)[0]


def _both(
    source: Source, run: Callable[[Arrays], Arrays], samples: SampleSet
) -> tuple[Arrays, Arrays]:
    """All outputs of the source and of the converted model, samples along a new first axis."""
    theirs, ours = [], []
    for feed in (samples.feed(index) for index in samples.spread(COMPARED)):
        source.afresh()
        theirs.append(source.predict(feed))
        ours.append(run(feed))
    return _stacked(theirs), _stacked(ours)


def _stacked(runs: list[Arrays]) -> Arrays:
    return {name: np.stack([run[name] for run in runs]) for name in runs[0]}


def _difference(
    output: str,
    theirs: Arrays,
    ours: Arrays,
    whose: str,
    share: float = TOLERANCE[Precision.FLOAT32],
) -> float:
    """The greatest difference of one output, if it is within a share of the output's range.

    Raises:
        Unfaithful: it is not; says how far off and how far it may be.
    """
    want, have = theirs[output], ours[output]
    if want.shape != have.shape:
        raise Unfaithful(
            f"output {output!r} has the shape {written(have.shape[1:])}, and {whose} gives "
            f"{written(want.shape[1:])}"
        )
    if want.size == 0:
        return 0.0
    if np.array_equal(want, have, equal_nan=want.dtype.kind == "f"):
        return 0.0
    gap = np.abs(want.astype(np.float64) - have.astype(np.float64))
    if want.dtype.kind != "f":
        if gap.any():
            raise Unfaithful(f"integer output {output!r} differs from {whose}")
        return 0.0
    finite = want[np.isfinite(want)]
    span = float(np.ptp(finite)) or float(np.abs(finite).max()) if finite.size else 0.0
    limit = share * max(span, 1e-6)
    if not float(gap.max()) <= limit:
        raise Unfaithful(
            f"output {output!r} is {gap.max():.3g} away from {whose} (limit {limit:.3g})"
        )
    return float(gap.max())


def _check_expectations(
    run: Callable[[Arrays], Arrays],
    outputs: tuple[Tensor, ...],
    samples: SampleSet,
    wanted: Expected,
) -> None:
    for name, expected in wanted.outputs.items():
        count = min(len(expected), samples.count)
        runs = [run(samples.feed(index)) for index in range(count)]
        batched = next(each.batched for each in outputs if each.name == name)
        given = np.stack([each[name][0] if batched else each[name] for each in runs])
        want = {name: expected[:count].astype(given.dtype)}
        whose = f"what {wanted.file} expects"
        _difference(name, want, {name: given}, whose, wanted.share)
