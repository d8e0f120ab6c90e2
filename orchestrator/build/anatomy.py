"""What a model file is made of: operations, weights, inputs and outputs; read without TensorFlow.

Runs in a worker: ``python -m orchestrator.build.anatomy FILE FORMAT`` prints one JSON value.
"""

import subprocess
import sys
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import Any

from orchestrator.catalog.variant import Format
from orchestrator.errors import FleetError, Owner
from orchestrator.values import Value, canonical


class Unreadable(FleetError):
    """A model file that its own format's library cannot read."""

    path = ("BUILD", "INSPECT")
    owner = Owner.ARTIFACT


class Port(Value):
    """An input or output: its shape (-1 where it is free) and type; scale and zero if quantized."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float | None = None
    zero: int | None = None


class Count(Value):
    """How many of one kind, and their bytes where they have any."""

    name: str
    count: int
    size_bytes: int = 0


class Anatomy(Value):
    """Operations by kind, weights by type, ports; `size_bytes` of the whole file."""

    format: Format
    size_bytes: int
    operations: tuple[Count, ...]
    weights: tuple[Count, ...]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    metadata: tuple[tuple[str, str], ...] = ()


def inspect(file: Path, form: Format, *, timeout_s: float = 120.0) -> Anatomy:
    """Take a model file apart in a process of its own.

    Raises:
        Unreadable: the file is damaged, or its library is not installed.
    """
    command = [sys.executable, "-m", "orchestrator.build.anatomy", str(file), form.value]
    done = subprocess.run(command, capture_output=True, timeout=timeout_s, check=False)
    if done.returncode != 0:
        words = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise Unreadable(
            f"{file.name}: {words[-1] if words else 'the reader crashed'}",
            hint="build it again: fleet build --force",
        )
    return Anatomy.model_validate_json(done.stdout)


def of_onnx(file: Path) -> Anatomy:
    """The anatomy of an ONNX file; subgraphs count into their model."""
    import onnx

    model = onnx.load(str(file))
    graphs = [model.graph]
    operations: Counter[str] = Counter()
    weights: dict[str, list[int]] = {}
    while graphs:
        graph = graphs.pop()
        for node in graph.node:
            operations[node.op_type] += 1
            for attribute in node.attribute:
                graphs += [*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])]
        for tensor in graph.initializer:
            dtype = onnx.TensorProto.DataType.Name(tensor.data_type).lower()
            weights.setdefault(dtype, []).append(int(onnx.numpy_helper.to_array(tensor).nbytes))
    fixed = {tensor.name for tensor in model.graph.initializer}
    return Anatomy(
        format=Format.ONNX,
        size_bytes=file.stat().st_size,
        operations=_counts(operations),
        weights=_weights(weights),
        inputs=tuple(_onnx_port(v) for v in model.graph.input if v.name not in fixed),
        outputs=tuple(_onnx_port(v) for v in model.graph.output),
        metadata=tuple(sorted((p.key, p.value) for p in model.metadata_props)),
    )


def _onnx_port(value: Any) -> Port:
    import onnx

    kind = value.type.tensor_type
    shape = tuple(d.dim_value if d.HasField("dim_value") else -1 for d in kind.shape.dim)
    dtype = onnx.TensorProto.DataType.Name(kind.elem_type).lower()
    return Port(name=value.name, shape=shape, dtype=dtype)


def of_tflite(file: Path) -> Anatomy:
    """The anatomy of a TFLite file; all subgraphs together, ports of the first."""
    schema = import_module("ai_edge_litert.schema_py_generated")
    flatbuffer_utils = import_module("ai_edge_litert.tools.flatbuffer_utils")
    model = flatbuffer_utils.read_model(str(file))
    types = {v: k.lower() for k, v in vars(schema.TensorType).items() if isinstance(v, int)}
    operations: Counter[str] = Counter()
    weights: dict[str, list[int]] = {}
    for graph in model.subgraphs:
        for operator in graph.operators:
            operations[flatbuffer_utils.opcode_to_name(model, operator.opcodeIndex)] += 1
        for tensor in graph.tensors:
            data = model.buffers[tensor.buffer].data
            if data is not None and len(data):
                weights.setdefault(types[tensor.type], []).append(len(data))
    main = model.subgraphs[0]
    return Anatomy(
        format=Format.TFLITE,
        size_bytes=file.stat().st_size,
        operations=_counts(operations),
        weights=_weights(weights),
        inputs=tuple(_tflite_port(main.tensors[i], types) for i in main.inputs),
        outputs=tuple(_tflite_port(main.tensors[i], types) for i in main.outputs),
        metadata=_tflite_metadata(model),
    )


def _tflite_port(tensor: Any, types: dict[int, str]) -> Port:
    free = tensor.shapeSignature if tensor.shapeSignature is not None else tensor.shape
    quantized = tensor.quantization
    scaled = quantized is not None and quantized.scale is not None and len(quantized.scale) == 1
    return Port(
        name=tensor.name.decode(),
        shape=tuple(map(int, free if free is not None else ())),
        dtype=types[tensor.type],
        scale=float(quantized.scale[0]) if scaled else None,
        zero=int(quantized.zeroPoint[0]) if scaled else None,
    )


def _tflite_metadata(model: Any) -> tuple[tuple[str, str], ...]:
    found = []
    for entry in model.metadata or []:
        data = model.buffers[entry.buffer].data
        text = bytes(data if data is not None else b"").rstrip(b"\0")
        printable = text.decode("utf-8", "replace")
        found.append((entry.name.decode(), printable[:2000]))
    return tuple(sorted(found))


def _counts(counter: Counter[str]) -> tuple[Count, ...]:
    return tuple(Count(name=name, count=n) for name, n in sorted(counter.items()))


def _weights(weights: dict[str, list[int]]) -> tuple[Count, ...]:
    return tuple(
        Count(name=dtype, count=len(sizes), size_bytes=sum(sizes))
        for dtype, sizes in sorted(weights.items())
    )


if __name__ == "__main__":
    readers = {Format.ONNX: of_onnx, Format.TFLITE: of_tflite}
    found = readers[Format(sys.argv[2])](Path(sys.argv[1]))
    sys.stdout.buffer.write(canonical(found))
