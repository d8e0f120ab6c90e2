"""Which operations of a model multiply and add, and which of those do it in integers.

Those are convolutions, matrix products and recurrent cells: where the time and the weights are.
What a runtime makes of a file on a given processor is another question.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from orchestrator.catalog.variant import Format, Precision
from orchestrator.values import Value


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation: its kind, and the names of what it reads and of what it gives.

    What is not given is "". `integers` are those of its inputs that hold integers as they are.
    """

    kind: str
    reads: tuple[str, ...]
    gives: tuple[str, ...]
    integers: frozenset[str] = field(default_factory=frozenset)


class Counted(Value):
    """How many operations of one kind multiply, and what of them is integers."""

    kind: str
    count: int
    weights: int
    activations: int


class Coverage(Value):
    """The operations that multiply, by kind.

    `weights` of them read integer weights, whatever they compute in; `activations` read integers
    on both sides, so that a runtime can multiply integers.
    """

    kinds: tuple[Counted, ...] = ()

    @property
    def operations(self) -> int:
        """How many there are."""
        return sum(each.count for each in self.kinds)

    def quantized(self, precision: Precision) -> int:
        """How many are as quantized as a precision says."""
        return sum(_promised(each, precision) for each in self.kinds)

    def kept_float(self, precision: Precision) -> tuple[str, ...]:
        """The kinds of which at least one is not."""
        return tuple(e.kind for e in self.kinds if _promised(e, precision) < e.count)


def _promised(counted: Counted, precision: Precision) -> int:
    return counted.activations if precision.calibrated else counted.weights


MULTIPLYING: Mapping[Format, Mapping[str, tuple[int, int]]] = {
    Format.TFLITE: {
        "BATCH_MATMUL": (0, 1),
        "BIDIRECTIONAL_SEQUENCE_LSTM": (0, 2),
        "CONV_2D": (0, 1),
        "CONV_3D": (0, 1),
        "CONV_3D_TRANSPOSE": (2, 1),
        "DEPTHWISE_CONV_2D": (0, 1),
        "FULLY_CONNECTED": (0, 1),
        "LSTM": (0, 2),
        "RNN": (0, 1),
        "SVDF": (0, 1),
        "TRANSPOSE_CONV": (2, 1),
        "UNIDIRECTIONAL_SEQUENCE_LSTM": (0, 2),
        "UNIDIRECTIONAL_SEQUENCE_RNN": (0, 1),
    },
    Format.ONNX: {
        **dict.fromkeys(("Conv", "ConvTranspose", "Gemm", "MatMul", "Einsum"), (0, 1)),
        **dict.fromkeys(("LSTM", "GRU", "RNN"), (0, 1)),
        **dict.fromkeys(("FusedConv", "FusedGemm", "FusedMatMul", "NhwcFusedConv"), (0, 1)),
    },
    Format.OPENVINO: {
        **dict.fromkeys(("Convolution", "GroupConvolution", "MatMul"), (0, 1)),
        **dict.fromkeys(("ConvolutionBackpropData", "GroupConvolutionBackpropData"), (0, 1)),
        **dict.fromkeys(("LSTMSequence", "GRUSequence", "RNNSequence"), (0, 4)),
        **dict.fromkeys(("LSTMCell",), (0, 3)),
        **dict.fromkeys(("GRUCell", "RNNCell"), (0, 2)),
    },
}
"""Kind → which of its inputs are activations and weights. ORT has those of ONNX."""

INTEGER: Mapping[str, bool] = {
    **dict.fromkeys(("ConvInteger", "MatMulInteger", "MatMulIntegerToFloat"), True),
    **dict.fromkeys(("QGemm", "QLinearConv", "QLinearMatMul", "QAttention"), True),
    **dict.fromkeys(("DynamicQuantizeMatMul", "DynamicQuantizeLSTM", "MatMulNBits"), False),
}
"""ONNX kinds with integer weights always; whether their activations are integers as well."""

_SOURCES: Mapping[Format, frozenset[str]] = {
    Format.TFLITE: frozenset({"DEQUANTIZE"}),
    Format.ONNX: frozenset({"DequantizeLinear"}),
    Format.OPENVINO: frozenset({"FakeQuantize"}),
}
"""What turns integers into the floats that an operation is written with."""

_BETWEEN: Mapping[Format, frozenset[str]] = {
    Format.TFLITE: frozenset(),
    Format.ONNX: frozenset(),
    Format.OPENVINO: frozenset({"Convert", "Subtract", "Multiply", "Reshape", "Transpose"}),
}
"""What may stand between those and an operation."""


def covered(operations: Iterable[Operation], form: Format) -> Coverage:
    """Count the operations of a model that multiply."""
    form = Format.ONNX if form is Format.ORT else form
    every = tuple(operations)
    makers = {name: operation for operation in every for name in operation.gives if name}
    found: dict[str, list[int]] = {}
    for each in every:
        sides = _sides(each, form, makers)
        if sides is not None:
            counts = found.setdefault(each.kind, [0, 0, 0])
            for place, one in enumerate((True, sides[1], all(sides))):
                counts[place] += one
    return Coverage(
        kinds=tuple(
            Counted(kind=kind, count=count, weights=weights, activations=activations)
            for kind, (count, weights, activations) in sorted(found.items())
        )
    )


def _sides(
    operation: Operation, form: Format, makers: Mapping[str, Operation]
) -> tuple[bool, bool] | None:
    """Whether activations and weights are integers; None for what does not multiply."""
    if operation.kind in INTEGER and form is Format.ONNX:
        return INTEGER[operation.kind], True
    places = MULTIPLYING[form].get(operation.kind)
    if places is None:
        return None
    activations, weights = (_integers(operation, at, form, makers) for at in places)
    return activations, weights


def _integers(operation: Operation, at: int, form: Format, makers: Mapping[str, Operation]) -> bool:
    """Whether an input holds integers, or floats that were integers a moment ago."""
    name = operation.reads[at] if at < len(operation.reads) else ""
    if name in operation.integers:
        return True
    maker = makers.get(name)
    while maker is not None and maker.kind in _BETWEEN[form]:
        if maker.reads[0] in maker.integers:
            return True
        maker = makers.get(maker.reads[0])
    if maker is None or maker.kind not in _SOURCES[form]:
        return False
    return form is not Format.TFLITE or maker.reads[0] in maker.integers
