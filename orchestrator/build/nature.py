"""What a source is, read from its file and never run: who wrote it, code inside, numbers quantized.

No TensorFlow here: archives, HDF5, ONNX and FlatBuffers are read as they are.
"""

import importlib
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from orchestrator.catalog.variant import Format, Precision, Recipe

_CODE = ("Lambda", "__lambda__")
"""Class names by which Keras writes down Python functions: bytes that run when they are loaded."""

OPERATIONS = (
    "PyFunc",
    "PyFuncStateless",
    "EagerPyFunc",
    "ReadFile",
    "WriteFile",
    "MatchingFiles",
)
"""Operations by which a TensorFlow graph runs Python or reaches files of other people."""

_KERAS = ("keras", "tf_keras", "tensorflow", "builtins")
"""Packages whose classes a configuration may name without code of anybody else being run."""

_QUANTIZED_NODES = re.compile(
    r"^(QuantizeLinear|DequantizeLinear|QLinear\w+|\w+Integer|DynamicQ\w+)$"
)
"""ONNX operators that only a quantized graph has."""


def legacy(source: Path) -> bool:
    """Whether Keras 1 or 2 wrote a file, or it is a SavedModel; tf_keras reads both."""
    if source.is_dir():
        return True
    match source.suffix.lower():
        case ".keras":
            with zipfile.ZipFile(source) as archive:
                about = json.loads(archive.read("metadata.json"))
            return int(str(about.get("keras_version", "3")).split(".")[0]) < 3
        case ".h5" | ".hdf5":
            return _hdf5_attribute(source, "keras_version")[:1] in ("", "0", "1", "2")
        case _:
            return False


def weights_only(source: Path) -> bool:
    """Whether an HDF5 file lacks the architecture that its weights belong to."""
    return source.suffix.lower() in (".h5", ".hdf5") and not _hdf5_attribute(source, "model_config")


def code(source: Path) -> str:
    """What in a Keras file or SavedModel is a program, in words; empty where nothing is."""
    if source.is_dir():
        return _code_of_graph(source)
    for part in _parts(_config(source)):
        kind, module = part.get("class_name"), part.get("module")
        if kind in _CODE:
            name = (part.get("config") or {}).get("name") if kind == "Lambda" else None
            return f"the Lambda layer {name!r}" if name else "a Lambda"
        if isinstance(module, str) and module.split(".")[0] not in _KERAS and legacy(source):
            return f"{kind!r} of the module {module!r}"
    return ""


def quantized(model: Path, form: Format) -> str:
    """What in a model file is no float32 number any more, as words; empty where all are."""
    match form:
        case Format.TFLITE:
            return _quantized_tflite(model.read_bytes())
        case Format.ONNX:
            onnx: Any = importlib.import_module("onnx")
            nodes = onnx.load_model_from_string(model.read_bytes()).graph.node
            found = next((n.op_type for n in nodes if _QUANTIZED_NODES.match(n.op_type)), "")
            return f"it has {found} nodes" if found else ""
        case _:
            return ""


def precision(model: Path, recipe: Recipe) -> Precision:
    """Whose tolerance a model's outputs are held to: one taken as it is may be float32 all over."""
    if recipe.precision is Precision.AS_IS and not quantized(model, recipe.format):
        return Precision.FLOAT32
    return recipe.precision


def _code_of_graph(folder: Path) -> str:
    """The first such operation in a graph: a string of its own in the protobuf (field 2)."""
    file = folder / "saved_model.pb"
    data = file.read_bytes() if file.is_file() else b""
    found = (name for name in OPERATIONS if bytes([0x12, len(name)]) + name.encode() in data)
    return next((f"the operation {name}" for name in found), "")


def _quantized_tflite(data: bytes) -> str:
    schema: Any = importlib.import_module("ai_edge_litert.schema_py_generated")
    model = schema.Model.GetRootAs(data, 0)
    names = {v: k.lower() for k, v in vars(schema.TensorType).items() if not k.startswith("_")}
    graphs = [model.Subgraphs(index) for index in range(model.SubgraphsLength())]
    for tensor in (graph.Tensors(i) for graph in graphs for i in range(graph.TensorsLength())):
        scales, kind = tensor.Quantization(), names[tensor.Type()]
        scaled = kind != "int32" and scales is not None and scales.ScaleLength() > 0
        if scaled or kind == "float16":  # sums and biases in int32 come with other integers
            return f"tensor {(tensor.Name() or b'').decode()!r} is {kind}"
    return ""


def _config(source: Path) -> Any:
    match source.suffix.lower():
        case ".keras":
            with zipfile.ZipFile(source) as archive:
                return json.loads(archive.read("config.json"))
        case ".h5" | ".hdf5":
            return json.loads(_hdf5_attribute(source, "model_config") or "{}")
        case _:
            return {}


def _hdf5_attribute(source: Path, name: str) -> str:
    h5py: Any = importlib.import_module("h5py")
    with h5py.File(source, "r") as file:
        value = file.attrs.get(name, "")
    return value.decode() if isinstance(value, bytes) else str(value)


def _parts(value: Any) -> Iterator[dict[str, Any]]:
    """Every mapping inside a configuration, itself included."""
    if isinstance(value, dict):
        yield value
        for each in value.values():
            yield from _parts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _parts(each)
