"""float32 model → int8 in which chosen blocks stay float; calibrated once. In a worker."""

import copy
import importlib
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, assert_never

from orchestrator.build.quantizers import (
    found_ranges,
    native_feeds,
    onnx_prepared,
    onnx_quantized,
    static_with_float_interface,
)
from orchestrator.build.samples import SampleSet
from orchestrator.catalog.variant import Format

WEIGHTED = frozenset(
    (
        *("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "CONV_3D", "FULLY_CONNECTED"),
        *("BATCH_MATMUL", "UNIDIRECTIONAL_SEQUENCE_LSTM"),
        *("Conv", "ConvTranspose", "Gemm", "MatMul", "LSTM", "GRU", "RNN"),
    )
)
"""Operations that begin a block; what follows one, an activation or a sum, goes with it."""

MOST_BLOCKS = 40
"""Where a model has more, neighbours are put together: each costs a quantization and some runs."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation: its kind, the key by which the quantizer knows it, and a name for people."""

    kind: str
    key: str
    name: str


@dataclass(frozen=True, slots=True)
class Part:
    """The operations of one block."""

    name: str
    operations: tuple[Operation, ...]


class Mixer(Protocol):
    """One float32 model, taken apart into blocks, with the ranges of its tensors."""

    parts: tuple[Part, ...]

    def write(self, kept: Collection[int], out: Path) -> None:
        """Quantize every block but those of the indices `kept`."""
        ...


def mixer(form: Format, float_model: Path, calibration: SampleSet, scratch: Path) -> Mixer:
    """Take a model apart and calibrate it."""
    match form:
        case Format.TFLITE:
            return TfliteMixer(float_model, calibration)
        case Format.ONNX:
            return OnnxMixer(float_model, calibration, scratch)
        case Format.ORT | Format.OPENVINO | Format.EDGETPU | Format.TENSORRT:
            raise ValueError(f"{form} is made of another format, where precisions are mixed")
        case _:
            assert_never(form)


class TfliteMixer:
    """TFLite by scopes: the names of an operation's outputs."""

    def __init__(self, float_model: Path, calibration: SampleSet) -> None:
        self._model = float_model
        self.parts = parts(tflite_operations(float_model))
        feeds = native_feeds(Format.TFLITE, float_model, calibration)
        self._ranges = found_ranges(float_model, self._work(()), feeds)

    def write(self, kept: Collection[int], out: Path) -> None:
        """See `Mixer`."""
        work = self._work(kept)
        work.quantize(copy.deepcopy(self._ranges)).export_model(str(out), overwrite=True)

    def _work(self, kept: Collection[int]) -> Any:
        quantizer: Any = importlib.import_module("litert_quantizer.quantizer")
        types: Any = importlib.import_module("litert_quantizer.qtyping")
        work = quantizer.Quantizer(str(self._model))
        static_with_float_interface(work)
        keys = [each.key for index in sorted(kept) for each in self.parts[index].operations]
        if keys:
            work.update_quantization_recipe(
                regex=f"^(?:{'|'.join(map(re.escape, keys))})$",
                operation_name=types.TFLOperationName.ALL_SUPPORTED,
                algorithm_key="no_quantize",
            )
        return work


class OnnxMixer:
    """ONNX by names of nodes; the graph is folded and fused before."""

    def __init__(self, float_model: Path, calibration: SampleSet, scratch: Path) -> None:
        self._ready, self._ranges = scratch / "ready.onnx", scratch / "ranges.json"
        onnx_prepared(float_model, self._ready)
        self.parts = parts(onnx_operations(self._ready))
        self._feeds = native_feeds(Format.ONNX, float_model, calibration)

    def write(self, kept: Collection[int], out: Path) -> None:
        """See `Mixer`. The first call calibrates, later ones read the ranges from a file."""
        names = [each.key for index in sorted(kept) for each in self.parts[index].operations]
        onnx_quantized(self._ready, self._feeds, out, kept=names, ranges=self._ranges)


def parts(operations: Sequence[Operation]) -> tuple[Part, ...]:
    """Blocks of operations in order: each begins with one that has weights; names are unique."""
    runs: list[list[Operation]] = []
    for each in operations:
        first = runs and not any(other.kind in WEIGHTED for other in runs[-1])
        if runs and (first or each.kind not in WEIGHTED):
            runs[-1].append(each)
        else:
            runs.append([each])
    together = -(-len(runs) // MOST_BLOCKS) or 1
    merged = [
        [each for run in runs[start : start + together] for each in run]
        for start in range(0, len(runs), together)
    ]
    found: list[Part] = []
    for run in merged:
        main = next((each for each in run if each.kind in WEIGHTED), run[0])
        taken = {part.name for part in found}
        name, number = main.name, 2
        while name in taken:
            name, number = f"{main.name}#{number}", number + 1
        found.append(Part(name, tuple(run)))
    return tuple(found)


def tflite_operations(model: Path) -> tuple[Operation, ...]:
    """The operations of all subgraphs, by the scopes that the quantizer matches."""
    tools: Any = importlib.import_module("ai_edge_litert.tools.flatbuffer_utils")
    scopes: Any = importlib.import_module("litert_quantizer.utils.tfl_flatbuffer_utils")
    read = tools.read_model(str(model))
    found = []
    for graph in read.subgraphs:
        for operator in graph.operators:
            kind = str(tools.opcode_to_name(read, operator.opcodeIndex))
            scope = str(scopes.get_op_scope(operator, graph.tensors))
            found.append(Operation(kind, scope, layer_of(scope)))
    return tuple(found)


def onnx_operations(model: Path) -> tuple[Operation, ...]:
    """The nodes of a prepared graph, all of which have names of their own."""
    onnx: Any = importlib.import_module("onnx")
    nodes = onnx.load(str(model)).graph.node
    return tuple(Operation(n.op_type, n.name, layer_of(n.name)) for n in nodes)


def layer_of(scope: str) -> str:
    """What people know an operation by: ``a/b/conv_1/Relu;a/b/…`` is the layer ``conv_1``."""
    segments = [each for each in scope.split(";")[0].split("/") if each]
    return segments[-2] if len(segments) > 1 else segments[0] if segments else "unnamed"
