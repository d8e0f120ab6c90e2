"""One way of running a model: a format, a precision, a sparsity, and what a device must offer."""

from enum import StrEnum

from orchestrator.inventory.profile import Runtime
from orchestrator.values import Mib, Name, Value


class Format(StrEnum):
    """How a model is written down."""

    TFLITE = "tflite"
    ONNX = "onnx"

    @property
    def suffix(self) -> str:
        """The file suffix, dot included."""
        return f".{self.value}"


class Precision(StrEnum):
    """What the numbers of a model are."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"
    INT8_DYNAMIC = "int8-dynamic"
    INT8 = "int8"
    AS_IS = "as-is"

    @property
    def calibrated(self) -> bool:
        """Whether making it takes samples, from which the ranges of activations are found."""
        return self is Precision.INT8


class Recipe(Value):
    """What decides the bytes of a variant, given its source and its data."""

    format: Format
    precision: Precision

    @property
    def reference(self) -> "Recipe":
        """What it is measured against: the float32 model that the same runtimes can open.

        A file that is taken as it is has nothing to be measured against but itself.
        """
        if self.precision is Precision.AS_IS:
            return self._with()
        return Recipe(format=self.format, precision=Precision.FLOAT32)

    @property
    def parent(self) -> "Recipe | None":
        """The artifact it is made from; None where it is made from the source itself."""
        if self.precision in (Precision.FLOAT32, Precision.AS_IS):
            return None
        return self._with(precision=Precision.FLOAT32)

    def _with(self, **changed: object) -> "Recipe":
        mine = {key: getattr(self, key) for key in Recipe.model_fields}
        return Recipe.model_validate({**mine, **changed})

    def __str__(self) -> str:
        return f"{self.format}-{self.precision}"


RUNS: dict[Format, tuple[Runtime, ...]] = {
    Format.TFLITE: (Runtime.LITERT, Runtime.TFLITE_RUNTIME),
    Format.ONNX: (Runtime.ONNXRUNTIME,),
}
"""Which runtimes can run a format."""

BUILDABLE: dict[str, Recipe] = {
    str(recipe): recipe
    for recipe in (
        Recipe(format=Format.TFLITE, precision=Precision.FLOAT32),
        Recipe(format=Format.TFLITE, precision=Precision.FLOAT16),
        Recipe(format=Format.TFLITE, precision=Precision.INT8_DYNAMIC),
        Recipe(format=Format.TFLITE, precision=Precision.INT8),
        Recipe(format=Format.ONNX, precision=Precision.FLOAT32),
        Recipe(format=Format.ONNX, precision=Precision.INT8),
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


class Variant(Recipe):
    """A variant of a model as its catalog lists it."""

    name: Name
    archs: tuple[str, ...] = ()
    needs_mib: Mib = 0

    @property
    def recipe(self) -> Recipe:
        """What decides its bytes, without what decides where it runs."""
        return self._with()
