"""Model file → its anatomy, by format; ONNX Runtime's own format and OpenVINO's are read here.

Runs in a worker: ``python -m orchestrator.build.dissection FILE FORMAT`` prints one JSON value.
"""

import sys
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from orchestrator.build import anatomy, ortformat
from orchestrator.build.anatomy import Anatomy, Port, counts, weighed
from orchestrator.build.coverage import Operation, covered
from orchestrator.catalog.variant import Format
from orchestrator.values import canonical

_SMALL = frozenset({"i4", "u4", "i8", "u8"})


def dissected(file: Path, form: Format) -> Anatomy:
    """Take a model file apart; raises whatever its library raises."""
    match form:
        case Format.TFLITE:
            return anatomy.of_tflite(file)
        case Format.ONNX:
            return anatomy.of_onnx(file)
        case Format.ORT:
            return of_ort(file)
        case Format.OPENVINO:
            return of_openvino(file)
        case Format.EDGETPU:
            return anatomy.of_tflite(file).model_copy(update={"format": form})
        case Format.TENSORRT:
            raise ValueError("an engine can be read by the TensorRT it was built with alone")


def of_ort(file: Path) -> Anatomy:
    """The anatomy of a file in ONNX Runtime's format: its main graph."""
    onnx = import_module("onnx")
    model = ortformat.session(file.read_bytes()).Model()
    graph = model.Graph()
    nodes = [graph.Nodes(i) for i in range(graph.NodesLength())]
    every = [
        Operation(n.OpType().decode(), _names(n.Inputs, n), _names(n.Outputs, n)) for n in nodes
    ]
    values = {v.Name(): v for v in (graph.NodeArgs(i) for i in range(graph.NodeArgsLength()))}
    weights: dict[str, list[int]] = {}
    for tensor in (graph.Initializers(i) for i in range(graph.InitializersLength())):
        dtype = onnx.TensorProto.DataType.Name(tensor.DataType()).lower()
        weights.setdefault(dtype, []).append(int(tensor.RawDataLength()))
    entries = [model.MetadataProps(i) for i in range(model.MetadataPropsLength())]
    return Anatomy(
        format=Format.ORT,
        size_bytes=file.stat().st_size,
        operations=counts(Counter(each.kind for each in every)),
        weights=weighed(weights),
        inputs=tuple(_ort_port(values[graph.Inputs(i)]) for i in range(graph.InputsLength())),
        outputs=tuple(_ort_port(values[graph.Outputs(i)]) for i in range(graph.OutputsLength())),
        metadata=tuple(sorted((p.Key().decode(), p.Value().decode()) for p in entries)),
        coverage=covered(every, Format.ORT),
    )


def _names(of: Any, node: Any) -> tuple[str, ...]:
    """The names of a node's inputs or outputs; "" for what is not given."""
    length = node.InputsLength() if of.__name__ == "Inputs" else node.OutputsLength()
    return tuple(of(i).decode() for i in range(length))


def _ort_port(value: Any) -> Port:
    onnx = import_module("onnx")
    kinds = import_module(f"{ortformat.FBS}.TensorTypeAndShape")
    kind = kinds.TensorTypeAndShape()
    table = value.Type().Value()
    kind.Init(table.Bytes, table.Pos)
    shape = kind.Shape()
    dims = [shape.Dim(i).Value() for i in range(shape.DimLength())] if shape else []
    return Port(
        name=value.Name().decode(),
        shape=tuple(int(d.DimValue()) if d and d.DimType() == 1 else -1 for d in dims),
        dtype=onnx.TensorProto.DataType.Name(kind.ElemType()).lower(),
    )


def of_openvino(file: Path) -> Anatomy:
    """The anatomy of the graph of an IR; nested graphs (loops) are left out."""
    root = ElementTree.parse(file).getroot()
    layers = {str(layer.get("id")): layer for layer in root.iterfind("layers/layer")}
    fed = {
        (str(edge.get("to-layer")), str(edge.get("to-port"))): str(edge.get("from-layer"))
        for edge in root.iterfind("edges/edge")
    }
    small = frozenset(name for name, each in layers.items() if _const(each).get("t") in _SMALL)
    weights: dict[str, list[int]] = {}
    for layer in layers.values():
        if const := _const(layer):
            weights.setdefault(const["t"], []).append(int(const["size"]))
    info = root.find("rt_info/framework")
    return Anatomy(
        format=Format.OPENVINO,
        size_bytes=file.stat().st_size,
        operations=counts(
            Counter(str(e.get("type")) for e in layers.values() if e.get("type") not in _EDGES)
        ),
        weights=weighed(weights),
        inputs=tuple(_ov_port(each) for each in layers.values() if each.get("type") == "Parameter"),
        outputs=tuple(
            _ov_port(layers[fed[name, "0"]])
            for name, each in layers.items()
            if each.get("type") == "Result"
        ),
        metadata=tuple(sorted((e.tag, e.get("value", "")) for e in info or ())),
        coverage=covered(
            (_operation(n, e, fed, small) for n, e in layers.items()), Format.OPENVINO
        ),
    )


_EDGES = ("Parameter", "Result", "Const")


def _const(layer: ElementTree.Element) -> dict[str, str]:
    data = layer.find("data")
    if layer.get("type") != "Const" or data is None:
        return {}
    return {"t": data.get("element_type", ""), "size": data.get("size", "0")}


def _operation(
    name: str,
    layer: ElementTree.Element,
    fed: dict[tuple[str, str], str],
    small: frozenset[str],
) -> Operation:
    ports = [str(port.get("id")) for port in layer.iterfind("input/port")]
    reads = tuple(fed.get((name, port), "") for port in ports)
    return Operation(str(layer.get("type")), reads, (name,), small.intersection(reads))


def _ov_port(layer: ElementTree.Element) -> Port:
    port = layer.find("output/port")
    assert port is not None
    sizes = (int(dim.text or -1) for dim in port.iterfind("dim"))
    return Port(
        name=port.get("names", layer.get("name", "")).split(",")[0],
        shape=tuple(sizes),
        dtype=port.get("precision", "").lower(),
    )


if __name__ == "__main__":
    found = dissected(Path(sys.argv[1]), Format(sys.argv[2]))
    sys.stdout.buffer.write(canonical(found))
