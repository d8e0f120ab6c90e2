"""Metrics of a whole set of samples, weighted so that they can be resampled: AUC and mAP."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from orchestrator.build.failures import BadData
from orchestrator.build.runtimes import Arrays
from orchestrator.build.samples import SampleSet
from orchestrator.build.tensors import Tensor
from orchestrator.catalog.acceptance import Metric, MetricName

OVERLAP = 0.5
"""Intersection over union from which a detection counts as right."""

MOST_DETECTIONS = 100
"""Detections counted an image, those of greatest score, as COCO does."""

Floats = NDArray[np.float64]


@dataclass(slots=True)
class Auc:
    """Area under the ROC curve of a binary score; of equal scores, each counts half."""

    labels: NDArray[np.int64]
    name: MetricName = MetricName.AUC
    scores: list[float] = field(default_factory=list)
    truth: list[int] = field(default_factory=list)

    def add(self, outputs: Arrays, index: int) -> None:
        """Count a sample: the output's only number, or the second of two."""
        values = next(iter(outputs.values())).ravel()
        if values.size not in (1, 2) or len(outputs) != 1:
            raise BadData(
                f"auc takes one output of one or two numbers, and the model gives {len(outputs)} "
                f"of {values.size}"
            )
        self.scores.append(float(values[-1]))
        self.truth.append(int(self.labels[index]))

    @property
    def samples(self) -> int:
        """How many samples were counted."""
        return len(self.scores)

    def value(self, weights: Floats) -> float:
        """The area, each sample counted `weights` times; NaN where a class is missing.

        Source: Hanley and McNeil 1982: the probability that a positive outranks a negative.
        """
        positive = np.array(self.truth) == 1
        _, place = np.unique(np.array(self.scores), return_inverse=True)
        pos = np.bincount(place, weights * positive)
        neg = np.bincount(place, weights * ~positive)
        pairs = float(pos.sum() * neg.sum())
        below = np.cumsum(neg) - neg
        return float((pos * (below + neg / 2)).sum() / pairs) if pairs else float("nan")


@dataclass(slots=True)
class Detections:
    """Mean average precision at an overlap of 0.5 on a small set of images.

    As COCO: greedy matching by score within image and class, the 100 best detections an image,
    precision made monotone and averaged at 101 recalls, then over classes that occur. Unlike
    COCO: one overlap, no crowd regions, no ranges of area. Boxes are two opposite corners; which
    axis comes first does not matter as long as labels and outputs agree.
    """

    boxes: Floats
    classes: NDArray[np.int64]
    outputs: tuple[str, str, str | None]
    name: MetricName = MetricName.MAP
    counted: list[int] = field(default_factory=list)
    _found: list[tuple[int, int, float, bool]] = field(default_factory=list)

    def add(self, outputs: Arrays, index: int) -> None:
        """Match the detections of one image with its labels."""
        boxes_name, scores_name, classes_name = self.outputs
        scores = outputs[scores_name].ravel().astype(np.float64)
        boxes = outputs[boxes_name].reshape(-1, 4).astype(np.float64)
        kinds = np.zeros(len(scores), np.int64)
        if classes_name is not None:
            kinds = np.rint(outputs[classes_name].ravel()).astype(np.int64)
        image = len(self.counted)
        self.counted.append(index)
        free = self.classes[index] >= 0
        for each in np.argsort(-scores, kind="stable")[:MOST_DETECTIONS]:
            same = free & (self.classes[index] == kinds[each])
            overlaps = np.where(same, _overlaps(boxes[each], self.boxes[index]), 0.0)
            best = int(np.argmax(overlaps)) if overlaps.size else 0
            right = bool(overlaps.size and overlaps[best] >= OVERLAP)
            if right:
                free[best] = False
            self._found.append((image, int(kinds[each]), float(scores[each]), right))

    @property
    def samples(self) -> int:
        """How many images were counted."""
        return len(self.counted)

    def value(self, weights: Floats) -> float:
        """The mean average precision, each image counted `weights` times."""
        labels = self.classes[self.counted]
        found = np.array(self._found, dtype=np.float64).reshape(-1, 4)
        found = found[np.argsort(-found[:, 2], kind="stable")]
        precisions = []
        for kind in np.unique(labels[labels >= 0]):
            wanted = float(((labels == kind).sum(axis=1) * weights).sum())
            if wanted > 0:
                mine = found[found[:, 1] == kind]
                counted = weights[mine[:, 0].astype(int)]
                precisions.append(_average_precision(counted, mine[:, 3], wanted))
        return float(np.mean(precisions)) if precisions else float("nan")


def truth_of_boxes(
    metric: Metric, outputs: tuple[Tensor, ...], samples: SampleSet, file: str
) -> Detections:
    """A scorer for detections.

    Raises:
        BadData: labels are missing or of another shape, or no output is recognised.
    """
    boxes, kinds = samples.truth.get("y_boxes"), samples.truth.get("y_classes")
    if boxes is None or kinds is None:
        raise BadData("map needs arrays 'y_boxes' (n, most, 4) and 'y_classes'", file=file)
    if boxes.ndim != 3 or boxes.shape[2] != 4 or kinds.shape != boxes.shape[:2]:
        raise BadData(
            f"'y_boxes' {boxes.shape} and 'y_classes' {kinds.shape} have to be (n, most, 4) and "
            "(n, most), with the class -1 where there is none",
            file=file,
        )
    named = dict(metric.outputs)
    names = [each.name for each in outputs]
    found = {what: named.get(what) or _called(what, names) for what in ("boxes", "scores")}
    for what, name in found.items():
        if name not in names:
            raise BadData(
                f"no output is known to be the {what} among {', '.join(map(repr, names))}",
                file=file,
                hint="name it in models.yaml: acceptance.metric.outputs: {boxes: …, scores: …}",
            )
    classes = named.get("classes") or _called("classes", names)
    which = (str(found["boxes"]), str(found["scores"]), classes)
    return Detections(boxes.astype(np.float64), kinds.astype(np.int64), which)


def _called(what: str, names: list[str]) -> str | None:
    return next((name for name in names if what in name.lower()), None)


def _average_precision(weights: Floats, right: Floats, wanted: float) -> float:
    """Precision at 101 recalls, of detections in order of their scores.

    Source: COCO's detection evaluation (Lin et al. 2014, and its reference implementation).
    """
    hits, all_found = np.cumsum(weights * right), np.cumsum(weights)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(all_found > 0, hits / all_found, 1.0)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(hits / wanted, np.linspace(0, 1, 101) - 1e-12, side="left")
    return float(np.append(best, 0.0)[np.minimum(at, len(best))].mean())


def _overlaps(box: Floats, others: Floats) -> Floats:
    """Intersection over union of one box with others, 0 for empty ones."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    common = np.clip(high - low, 0, None).prod(axis=1)
    area = (box[2:] - box[:2]).prod() + (others[:, 2:] - others[:, :2]).prod(axis=1) - common
    return np.asarray(common / np.where(area > 0, area, 1.0))
