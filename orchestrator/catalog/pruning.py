"""Fewer weights: how a model is to be pruned, and what pruning left of each layer."""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, model_validator

from orchestrator.values import BadPart, Value


class Scope(StrEnum):
    """Over which weights one threshold is found."""

    GLOBAL = "global"
    LAYER = "layer"


class Schedule(StrEnum):
    """Whether weights go at once, or more and more of them while the model is trained."""

    ONE_SHOT = "one-shot"
    POLYNOMIAL = "polynomial"


class Pruning(Value):
    """How a model loses weights. Exactly one of the first three says how many.

    - `sparsity`: this share of the kernels' weights becomes 0, those of least magnitude. The
      threshold is found over all kernels (`scope` global) or for each layer.
    - `threshold`: weights w with ``|w| < threshold`` become 0.
    - `channels`: each layer keeps this share of its output channels, those whose weights have
      the greatest sum of magnitudes; the others are removed, and the model is smaller.

    With `epochs` the model is trained further on ``data.training``: after the weights are gone,
    or with `schedule` polynomial while they go, ``s(t) = s (1 - (1 - t/T)³)`` over the first 60 %
    of the steps.
    """

    sparsity: float | None = None
    threshold: float | None = None
    channels: float | None = None
    scope: Scope = Scope.GLOBAL
    schedule: Schedule = Schedule.ONE_SHOT
    epochs: Annotated[int, Field(ge=0, le=1000)] = 0
    learning_rate: Annotated[float, Field(gt=0)] = 0.001
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 1

    @property
    def structured(self) -> bool:
        """Whether whole channels go, which makes the model smaller and not only sparser."""
        return self.channels is not None

    @model_validator(mode="after")
    def _one_amount(self) -> Self:
        amounts = {name: getattr(self, name) for name in ("sparsity", "threshold", "channels")}
        given = [name for name, amount in amounts.items() if amount is not None]
        if not given:
            raise BadPart("it says nothing of how much", hint="add sparsity: 0.5, say")
        if len(given) > 1:
            raise BadPart(
                f"{given[0]!r} and {given[1]!r} both say how much",
                given[1],
                hint=f"keep one of them: {_MEANS[given[0]]}; {_MEANS[given[1]]}",
            )
        amount = amounts[given[0]]
        if given[0] == "threshold" and amount <= 0:
            raise BadPart(f"'threshold' is {amount:g}: more than 0 was expected", "threshold")
        if given[0] != "threshold" and not 0 < amount < 1:
            raise BadPart(
                f"{given[0]!r} is {amount:g}: a share above 0 and below 1 was expected",
                given[0],
                hint=f"80 % is written 0.8; {_MEANS[given[0]]}",
            )
        return self

    @model_validator(mode="after")
    def _fitting_ways(self) -> Self:
        if self.scope is Scope.LAYER and self.sparsity is None:
            raise BadPart("'scope' goes with 'sparsity' only", "scope", hint="leave it out")
        if self.schedule is Schedule.ONE_SHOT:
            return self
        if self.sparsity is None:
            raise BadPart(
                f"'schedule' {self.schedule.value} goes with 'sparsity' only",
                "schedule",
                hint="leave it out; `epochs` alone trains the model after its weights are gone",
            )
        if self.epochs == 0:
            raise BadPart(
                f"'schedule' {self.schedule.value} prunes while it trains, and 'epochs' is 0",
                "schedule",
                hint="add epochs: 2, say, or leave out `schedule`",
            )
        return self

    def __str__(self) -> str:
        amount = next(
            f"{name}-{value:g}"
            for name in ("sparsity", "threshold", "channels")
            if (value := getattr(self, name)) is not None
        )
        trained = (f"{self.epochs}-epochs-of-{self.learning_rate:g}-{self.seed}",)
        return "-".join((amount, self.scope, self.schedule, *(trained if self.epochs else ())))


_MEANS = {
    "sparsity": "`sparsity` is the share of weights that become 0",
    "threshold": "`threshold` is the magnitude below which they do",
    "channels": "`channels` is the share of channels that stay",
}


_KERAS_OR_ONNX = ("keras", "h5", "hdf5", "onnx")


def unfit(pruning: Pruning, source: str, training: str | None) -> tuple[str, str]:
    """Why a model cannot be pruned like that, and what to do instead; empty where it can.

    Args:
        source: the path of the model's file; its kind shows in its suffix.
        training: the path of its training data.
    """
    _, dot, kind = source.rpartition("/")[2].rpartition(".")
    if not dot or kind.lower() not in _KERAS_OR_ONNX:
        shown = f"a .{kind} file" if dot else "a SavedModel folder"
        return (
            f"needs the weights of a Keras or ONNX model, and the source is {shown}",
            "name the .keras, .h5 or .onnx file that it was made from, or leave the variant out",
        )
    if kind.lower() == "onnx" and pruning.structured:
        return (
            "is to lose channels, which is done to Keras models only",
            "name the Keras model as the source, or give `sparsity` instead of `channels`",
        )
    if kind.lower() == "onnx" and pruning.epochs:
        return (
            f"is to be trained for {pruning.epochs} epochs, and ONNX models cannot be trained here",
            "leave out `schedule` and `epochs`, or name the Keras model as the source",
        )
    if pruning.epochs and training is None:
        return (
            f"is to be trained for {pruning.epochs} epochs, and there are no samples for it",
            "name labelled ones under data.training, or leave out `schedule` and `epochs`",
        )
    return "", ""


class PrunedLayer(Value):
    """One layer's kernel: how many weights it had, and how many of them are there and not 0.

    `threshold` is the magnitude below which weights became 0, where one was used. `channels` is
    how many output channels are left, where channels were removed.
    """

    name: str
    weights: int
    left: int
    threshold: float | None = Field(default=None, exclude_if=lambda value: value is None)
    channels: int | None = Field(default=None, exclude_if=lambda value: value is None)

    @property
    def sparsity(self) -> float:
        """The share of its weights that is gone."""
        return 1 - self.left / self.weights


class Sparsity(Value):
    """What pruning achieved, counted in the file that was written.

    `renormalized` is how many batch normalisations had their statistics found again.
    """

    layers: Annotated[tuple[PrunedLayer, ...], Field(min_length=1)]
    renormalized: int = 0

    @property
    def share(self) -> float:
        """The share of all kernels' weights that is gone, rounded to six digits."""
        left = sum(each.left for each in self.layers)
        return round(1 - left / sum(each.weights for each in self.layers), 6)

    @property
    def structured(self) -> bool:
        """Whether channels were removed, and not only weights set to 0."""
        return any(each.channels is not None for each in self.layers)
