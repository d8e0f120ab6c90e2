"""One way of running a model: a format, a precision, and what a device must offer for it."""

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


RUNS: dict[Format, tuple[Runtime, ...]] = {
    Format.TFLITE: (Runtime.LITERT, Runtime.TFLITE_RUNTIME),
    Format.ONNX: (Runtime.ONNXRUNTIME,),
}
"""Which runtimes can run a format."""

BUILDABLE: dict[str, tuple[Format, Precision]] = {
    "tflite-float32": (Format.TFLITE, Precision.FLOAT32),
    "tflite-float16": (Format.TFLITE, Precision.FLOAT16),
    "tflite-int8-dynamic": (Format.TFLITE, Precision.INT8_DYNAMIC),
    "tflite-int8": (Format.TFLITE, Precision.INT8),
    "onnx-float32": (Format.ONNX, Precision.FLOAT32),
    "onnx-int8": (Format.ONNX, Precision.INT8),
}
"""The variants the builder knows how to make, by name."""


class Variant(Value):
    """A variant of a model as its catalog lists it."""

    name: Name
    format: Format
    precision: Precision
    archs: tuple[str, ...] = ()
    needs_mib: Mib = 0
