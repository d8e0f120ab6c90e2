"""What a model file is made of: operations, weights, inputs and outputs; read without TensorFlow."""

import subprocess
import sys
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import Any

from orchestrator.build.coverage import Coverage, Operation, covered
from orchestrator.catalog.variant import Format
from orchestrator.errors import FleetError, Owner
from orchestrator.values import Value


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
    """Operations by kind, weights by type, ports; `size_bytes` of the whole file.

    `coverage` says which of the operations that multiply do it in integers.
    """

    format: Format
    size_bytes: int
    operations: tuple[Count, ...]
    weights: tuple[Count, ...]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    metadata: tuple[tuple[str, str], ...] = ()
    coverage: Coverage = Coverage()


def inspect(file: Path, form: Format, *, timeout_s: float = 120.0) -> Anatomy:
    """Take a model file apart in a process of its own.

    Raises:
        Unreadable: the file is damaged, or its library is not installed.
    """
    command = [sys.executable, "-m", "orchestrator.build.dissection", str(file), form.value]
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
    every: list[Operation] = []
    weights: dict[str, list[int]] = {}
    while graphs:
        graph = graphs.pop()
        for node in graph.node:
            every.append(Operation(node.op_type, tuple(node.input), tuple(node.output)))
            for attribute in node.attribute:
                graphs += [*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])]
        for tensor in graph.initializer:
            dtype = onnx.TensorProto.DataType.Name(tensor.data_type).lower()
            weights.setdefault(dtype, []).append(int(onnx.numpy_helper.to_array(tensor).nbytes))
    fixed = {tensor.name for tensor in model.graph.initializer}
    return Anatomy(
        format=Format.ONNX,
        size_bytes=file.stat().st_size,
        operations=counts(Counter(each.kind for each in every)),
        weights=weighed(weights),
        inputs=tuple(_onnx_port(v) for v in model.graph.input if v.name not in fixed),
        outputs=tuple(_onnx_port(v) for v in model.graph.output),
        metadata=tuple(sorted((p.key, p.value) for p in model.metadata_props)),
        coverage=covered(every, Format.ONNX),
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
    every: list[Operation] = []
    weights: dict[str, list[int]] = {}
    for number, graph in enumerate(model.subgraphs):
        for operator in graph.operators:
            kind = flatbuffer_utils.opcode_to_name(model, operator.opcodeIndex)
            every.append(_tflite_operation(kind, operator, graph, types, number))
        for tensor in graph.tensors:
            data = model.buffers[tensor.buffer].data
            if data is not None and len(data):
                weights.setdefault(types[tensor.type], []).append(len(data))
    main = model.subgraphs[0]
    return Anatomy(
        format=Format.TFLITE,
        size_bytes=file.stat().st_size,
        operations=counts(Counter(each.kind for each in every)),
        weights=weighed(weights),
        inputs=tuple(_tflite_port(main.tensors[i], types) for i in main.inputs),
        outputs=tuple(_tflite_port(main.tensors[i], types) for i in main.outputs),
        metadata=_tflite_metadata(model),
        coverage=covered(every, Format.TFLITE),
    )


def _tflite_operation(
    kind: str, operator: Any, graph: Any, types: dict[int, str], number: int
) -> Operation:
    """Tensors are named by the number of their graph and their own; -1 is what is not given."""
    ins, outs = (
        [] if t is None else [int(i) for i in t] for t in (operator.inputs, operator.outputs)
    )
    integers = (i for i in ins if i >= 0 and types[graph.tensors[i].type] in _INTEGERS)
    return Operation(
        kind,
        tuple("" if i < 0 else f"{number}:{i}" for i in ins),
        tuple(f"{number}:{i}" for i in outs),
        frozenset(f"{number}:{i}" for i in integers),
    )


_INTEGERS = frozenset({"int2", "int4", "int8", "uint4", "uint8", "int16"})


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


def counts(counter: Counter[str]) -> tuple[Count, ...]:
    """How many there are of each kind."""
    return tuple(Count(name=name, count=n) for name, n in sorted(counter.items()))


def weighed(weights: dict[str, list[int]]) -> tuple[Count, ...]:
    """How many tensors there are of each type, and how large they are together."""
    return tuple(
        Count(name=dtype, count=len(sizes), size_bytes=sum(sizes))
        for dtype, sizes in sorted(weights.items())
    )
