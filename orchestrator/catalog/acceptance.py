"""What a variant must live up to: the task's metric, its limits, and what stands in for labels."""

from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from orchestrator.values import Labels, Value

Share = Annotated[float, Field(ge=0, le=1)]


class Task(StrEnum):
    """What a model is for, where a published rule depends on it."""

    CLASSIFICATION = "classification"
    DETECTION = "detection"
    SEGMENTATION = "segmentation"
    QUESTION_ANSWERING = "question-answering"


MLPERF_MOBILE: dict[Task, float] = {
    Task.CLASSIFICATION: 0.98,
    Task.DETECTION: 0.95,
    Task.SEGMENTATION: 0.96,
    Task.QUESTION_ANSWERING: 0.93,
}
"""The share of float32's figure to be kept. Source: MLPerf Mobile v4 rules (MobileBERT: 93 %)."""


class MetricName(StrEnum):
    """What a task is measured by."""

    TOP1 = "top1"
    TOPK = "topk"
    AUC = "auc"
    MSE = "mse"
    MAP = "map"
    PYTHON = "python"


class Metric(Value):
    """How the outputs for the evaluation samples become one number, and where labels lie.

    - ``top1`` (the default for one output of (1, classes) and integer labels ``y``) and ``topk``
      (is the class among the `k` greatest).
    - ``auc``: area under the ROC curve of a binary score; ``y`` is 0 or 1. The score is the only
      number of the output, or the second of two.
    - ``mse``: mean squared error, lower is better; ``y`` holds floats of the output's shape.
    - ``map``: mean average precision at IoU 0.5 of detections. Arrays ``y_boxes`` (n, most, 4) and
      ``y_classes`` (n, most), -1 where there is none; outputs by `outputs`, or by names that
      contain ``boxes``, ``scores`` and ``classes``.
    - ``python``: a function of yours, `entry` = ``package.module:function`` or
      ``file.py:function`` below the folder of models.yaml. It is given ``(outputs, y)``, outputs
      as a mapping of names to arrays with the samples along the first axis, a few dozen at a
      time, and returns one score a sample, higher is better. It runs in the builder's worker.
    """

    name: MetricName | None = None
    k: Annotated[int, Field(ge=1)] = 5
    entry: Annotated[str, Field(pattern=r"^$|^[A-Za-z0-9._/-]+:[A-Za-z_]\w*$")] = ""
    outputs: Labels = ()

    @property
    def lower_is_better(self) -> bool:
        """Whether a good model has a small number."""
        return self.name is MetricName.MSE

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.name is MetricName.PYTHON) != bool(self.entry):
            raise ValueError("metric 'python' and `entry` belong together: file.py:function")
        return self


class Unlabelled(Value):
    """What outputs must keep of float32's where there are no labels to judge by; worst output.

    Good variants of EfficientNet-Lite0 measured 12.8 dB, a cosine of 0.978 and agreement on every
    confident sample; badly calibrated ones 5.9 dB, 0.872 and 61 to 83 %.
    """

    min_cosine: Share = 0.97
    min_snr_db: float = 10.0
    min_agreement: Share = 0.98
    confident: Share = 0.5


class Acceptance(Value):
    """What a variant must live up to on the build machine, or it is never assigned.

    The greatest loss against float32 is `max_drop` in the metric's own unit; without it, it is
    `max_accuracy_drop`, which for ``mse`` means that share of the labels' variance. `profile`
    takes a published rule in its place. A loss that the data can neither prove nor rule out is
    accepted where the measured one is within the limit, and said; never where `strict`.
    `min_quantized` is the share of the operations that multiply which a quantized variant has to
    have quantized: below it, it is quantized by name only.
    """

    metric: Metric = Metric()
    max_accuracy_drop: Share = 0.02
    max_drop: Annotated[float, Field(ge=0)] | None = None
    min_accuracy: Share | None = None
    min_value: float | None = None
    max_value: float | None = None
    max_size_bytes: Annotated[int, Field(gt=0)] | None = None
    min_quantized: Share = 0.5
    profile: Literal["mlperf-mobile"] | None = None
    task: Task | None = None
    strict: bool = False
    unlabelled: Unlabelled = Unlabelled()

    @field_validator("metric", mode="before")
    @classmethod
    def _short(cls, raw: Any) -> Any:
        """Let ``metric: auc`` stand for ``metric: {name: auc}``."""
        return {"name": raw} if isinstance(raw, str) else raw

    @model_validator(mode="after")
    def _known_ratio(self) -> Self:
        if self.profile and self.ratio is None:
            raise ValueError(
                "profile 'mlperf-mobile' needs `task` here: "
                + ", ".join(task.value for task in Task)
            )
        return self

    @property
    def for_search(self) -> Self:
        """What a search for a mixture goes by; sizes and shares of it are judged when it is over."""
        return self.model_copy(update={"max_size_bytes": None, "min_quantized": 0.0})

    @property
    def ratio(self) -> float | None:
        """The share of float32's figure that `profile` asks for, None where there is no rule."""
        if self.profile is None:
            return None
        name = self.metric.name
        if name is MetricName.MSE:
            return None
        guess = Task.DETECTION if name is MetricName.MAP else Task.CLASSIFICATION
        known = name in (None, MetricName.TOP1, MetricName.TOPK, MetricName.MAP)
        task = self.task or (guess if known else None)
        return None if task is None else MLPERF_MOBILE[task]
