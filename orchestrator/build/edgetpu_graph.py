"""A TFLite file as the Edge TPU's compiler sees it: its operations, and which of them cannot be mapped."""

from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

CUSTOM = "edgetpu-custom-op"
"""What the compiler puts in the place of everything that runs on the Edge TPU."""

# fmt: off
SUPPORTED = frozenset({
    "ADD", "AVERAGE_POOL_2D", "CONCATENATION", "CONV_2D", "DEPTHWISE_CONV_2D",
    "EXPAND_DIMS", "FULLY_CONNECTED", "L2_NORMALIZATION", "LOGISTIC", "MAXIMUM",
    "MAX_POOL_2D", "MEAN", "MINIMUM", "MUL", "PACK", "PAD", "PRELU", "QUANTIZE",
    "REDUCE_MAX", "REDUCE_MIN", "RELU", "RELU6", "RELU_N1_TO_1", "RESHAPE",
    "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "RSQRT", "SLICE", "SOFTMAX",
    "SPACE_TO_DEPTH", "SPLIT", "SQUARED_DIFFERENCE", "SQUEEZE", "STRIDED_SLICE", "SUB",
    "SUM", "TANH", "TRANSPOSE", "TRANSPOSE_CONV", "UNIDIRECTIONAL_SEQUENCE_LSTM",
})
# fmt: on
"""Kinds that can be mapped. Source: coral.ai/docs/edgetpu/models-intro, "Supported operations"."""

REFUSED_SINCE = {"CONV_2D": 6, "EXP": 2, "QUANTIZE": 3, "TRANSPOSE_CONV": 4}
"""Versions of kinds at which compiler 16.0 gives up on the whole model. It knows no list of its own;
these were reported: google-coral/edgetpu issues 631, 845 and 879, google-coral/libedgetpu issue 71."""

SOFTMAX_MOST = 16_000
_INTEGERS = frozenset({"int8", "uint8", "int32"})


@dataclass(frozen=True, slots=True)
class Array:
    """A tensor that an operation reads or gives; -1 is a size that is only known while it runs."""

    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Operator:
    """One operation: its kind, or the code of a custom one, its version, and its tensors."""

    kind: str
    version: int
    arrays: tuple[Array, ...]


@dataclass(frozen=True, slots=True)
class Graph:
    """The operations of a file, and into how many graphs it is divided."""

    operators: tuple[Operator, ...]
    subgraphs: int = 1

    @property
    def compiled(self) -> int:
        """How many operations stand for what runs on an Edge TPU."""
        return sum(each.kind == CUSTOM for each in self.operators)


def read_graph(data: bytes) -> Graph:
    """A TFLite file → its operations; raises what the library raises for anything else."""
    schema: Any = import_module("ai_edge_litert.schema_py_generated")
    model = schema.Model.GetRootAs(data, 0)
    kinds = {v: k for k, v in vars(schema.BuiltinOperator).items() if isinstance(v, int)}
    types = {v: k.lower() for k, v in vars(schema.TensorType).items() if isinstance(v, int)}
    graphs = [model.Subgraphs(index) for index in range(model.SubgraphsLength())]
    found = []
    for graph in graphs:
        for operator in (graph.Operators(i) for i in range(graph.OperatorsLength())):
            code = model.OperatorCodes(operator.OpcodeIndex())
            number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
            custom = (code.CustomCode() or b"").decode()
            tensors = [operator.Inputs(i) for i in range(operator.InputsLength())]
            tensors += [operator.Outputs(i) for i in range(operator.OutputsLength())]
            arrays = (_array(graph.Tensors(i), types) for i in tensors if i >= 0)
            found.append(Operator(custom or kinds[number], code.Version(), tuple(arrays)))
    return Graph(tuple(found), len(graphs))


def _array(tensor: Any, types: dict[int, str]) -> Array:
    free = tensor.ShapeSignatureLength() > 0
    sizes = tensor.ShapeSignature if free else tensor.Shape
    length = tensor.ShapeSignatureLength() if free else tensor.ShapeLength()
    return Array(types[tensor.Type()], tuple(int(sizes(i)) for i in range(length)))


def unmapped(graph: Graph) -> tuple[str, ...]:
    """Why operations of a model will not run on an Edge TPU, each reason once, with its operation.

    What is not named may still be left to the processor: the compiler has limits it does not tell,
    and maps nothing behind the first operation that it cannot map.
    """
    said = [f"{graph.subgraphs} graphs instead of one"] if graph.subgraphs > 1 else []
    for operator in graph.operators:
        if why := _why(operator):
            said.append(f"{operator.kind} {why}")
    return tuple(dict.fromkeys(said))


def _why(operator: Operator) -> str:
    refused = REFUSED_SINCE.get(operator.kind)
    if refused is not None and operator.version >= refused:
        return f"is of version {operator.version}, and compiler 16.0 reads up to {refused - 1}"
    if operator.kind not in SUPPORTED:
        return "is none of the operations that an Edge TPU knows"
    if kinds := sorted({each.dtype for each in operator.arrays} - _INTEGERS):
        return f"has tensors of {' and '.join(kinds)}: all have to be int8 or uint8"
    if any(size < 0 for each in operator.arrays for size in each.shape):
        return "has a size that is only known while it runs: fix it, the batch to 1 as well"
    # weights of a convolution have four sizes of their own: activations come first and last
    ends = (operator.arrays[0], operator.arrays[-1]) if operator.arrays else ()
    for each in ends:
        if _outer(each.shape[:-3]):
            return f"has the shape {each.shape}: only the last three sizes may be greater than 1"
        if operator.kind == "SOFTMAX" and (each.shape[-1:] or (0,))[0] > SOFTMAX_MOST:
            return f"is over {each.shape[-1]} values, and may be over {SOFTMAX_MOST}"
    return ""


def _outer(sizes: Iterable[int]) -> bool:
    return any(size > 1 for size in sizes)
