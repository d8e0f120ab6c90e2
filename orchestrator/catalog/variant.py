"""One way of running a model: a format, a precision, a sparsity, and what a device must offer."""

import re
from enum import StrEnum

from pydantic import Field

from orchestrator.catalog.pruning import Pruning
from orchestrator.inventory.profile import Runtime
from orchestrator.values import Mib, Name, Value


class Format(StrEnum):
    """How a model is written down."""

    TFLITE = "tflite"
    ONNX = "onnx"
    ORT = "ort"
    OPENVINO = "openvino"

    @property
    def suffix(self) -> str:
        """The file suffix, dot included. OpenVINO's weights lie beside it, in a ``.bin``."""
        return ".xml" if self is Format.OPENVINO else f".{self.value}"

    @property
    def translated(self) -> bool:
        """Whether it says in other words what an ONNX artifact says."""
        return self in (Format.ORT, Format.OPENVINO)


class Precision(StrEnum):
    """What the numbers of a model are."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"
    INT8_DYNAMIC = "int8-dynamic"
    INT8_WEIGHTS = "int8-weights"
    INT8 = "int8"
    INT8_IO = "int8-io"
    INT8_SYMMETRIC = "int8-symmetric"
    INT16X8 = "int16x8"
    MIXED = "mixed"
    AS_IS = "as-is"

    @property
    def calibrated(self) -> bool:
        """Whether making it takes samples, from which the ranges of activations are found."""
        return self in (
            Precision.INT8,
            Precision.INT8_IO,
            Precision.INT8_SYMMETRIC,
            Precision.INT16X8,
            Precision.MIXED,
        )

    @property
    def searched(self) -> bool:
        """Whether its bytes depend on the verdict: blocks stay float until the gate passes."""
        return self is Precision.MIXED

    @property
    def integers(self) -> bool:
        """Whether it promises integers: of weights at least, of activations where calibrated.

        A file taken as it is promises nothing.
        """
        return self not in (Precision.FLOAT32, Precision.FLOAT16, Precision.AS_IS)


class Recipe(Value):
    """What decides the bytes of a variant, given its source and its data."""

    format: Format
    precision: Precision
    pruning: Pruning | None = Field(default=None, exclude_if=lambda value: value is None)

    @property
    def reference(self) -> "Recipe":
        """What it is measured against: float32 of its format, ONNX for what is made from ONNX.

        A file that is taken as it is has nothing to be measured against but itself.
        """
        if self.precision is Precision.AS_IS:
            return self._with()
        form = Format.ONNX if self.format.translated else self.format
        return Recipe(format=form, precision=Precision.FLOAT32)

    @property
    def parent(self) -> "Recipe | None":
        """The artifact it is made from; None where it is made from the source itself."""
        if self.format.translated:
            halved = self.precision is Precision.FLOAT16  # while it is written
            precision = Precision.FLOAT32 if halved else self.precision
            return self._with(format=Format.ONNX, precision=precision)
        if self.precision in (Precision.FLOAT32, Precision.AS_IS):
            return None
        return self._with(precision=Precision.FLOAT32)

    def _with(self, **changed: object) -> "Recipe":
        mine = {key: getattr(self, key) for key in Recipe.model_fields}
        return Recipe.model_validate({**mine, **changed})

    def __str__(self) -> str:
        pruned = f"-pruned-{self.pruning}" if self.pruning else ""
        return f"{self.format}-{self.precision}{pruned}"


RUNS: dict[Format, tuple[Runtime, ...]] = {
    Format.TFLITE: (Runtime.LITERT, Runtime.TFLITE_RUNTIME, Runtime.BENCHMARK_MODEL),
    Format.ONNX: (Runtime.ONNXRUNTIME,),
    Format.ORT: (Runtime.ONNXRUNTIME,),
    Format.OPENVINO: (Runtime.OPENVINO,),
}
"""Which runtimes can run a format; a site's own runner says for itself what it runs."""

BUILDABLE: dict[str, Recipe] = {
    str(recipe): recipe
    for recipe in (
        Recipe(format=Format.TFLITE, precision=Precision.FLOAT32),
        Recipe(format=Format.TFLITE, precision=Precision.FLOAT16),
        Recipe(format=Format.TFLITE, precision=Precision.INT8_DYNAMIC),
        Recipe(format=Format.TFLITE, precision=Precision.INT8),
        Recipe(format=Format.TFLITE, precision=Precision.INT8_WEIGHTS),
        Recipe(format=Format.TFLITE, precision=Precision.INT8_IO),
        Recipe(format=Format.TFLITE, precision=Precision.INT16X8),
        Recipe(format=Format.ONNX, precision=Precision.FLOAT32),
        Recipe(format=Format.ONNX, precision=Precision.FLOAT16),
        Recipe(format=Format.ONNX, precision=Precision.INT8),
        Recipe(format=Format.ONNX, precision=Precision.INT8_SYMMETRIC),
        Recipe(format=Format.ORT, precision=Precision.FLOAT32),
        Recipe(format=Format.ORT, precision=Precision.INT8),
        Recipe(format=Format.OPENVINO, precision=Precision.FLOAT32),
        Recipe(format=Format.OPENVINO, precision=Precision.FLOAT16),
        Recipe(format=Format.OPENVINO, precision=Precision.INT8),
        Recipe(format=Format.TFLITE, precision=Precision.MIXED),
        Recipe(format=Format.ONNX, precision=Precision.MIXED),
        Recipe(format=Format.TFLITE, precision=Precision.AS_IS),
        Recipe(format=Format.ONNX, precision=Precision.AS_IS),
    )
}
"""What the builder knows how to make, by the name of the variant."""

DEFAULT: tuple[str, ...] = (
    "tflite-float32",
    "tflite-float16",
    "tflite-int8-dynamic",
    "tflite-int8",
    "onnx-float32",
    "onnx-int8",
)
"""The variants of a model whose catalog entry names none."""

_PRUNED = re.compile(r"(?P<twin>.+?)-pruned(?:-[A-Za-z0-9._-]+)?")


def unpruned(name: str) -> str | None:
    """The variant that a pruned one is the twin of, by name; None for one that is not pruned.

    ``tflite-int8-pruned`` and ``tflite-int8-pruned-80`` are twins of ``tflite-int8``.
    """
    found = _PRUNED.fullmatch(name)
    return found["twin"] if found else None


class Variant(Recipe):
    """A variant of a model as its catalog lists it."""

    name: Name
    archs: tuple[str, ...] = ()
    needs_mib: Mib = 0

    @property
    def recipe(self) -> Recipe:
        """What decides its bytes, without what decides where it runs."""
        return self._with()
