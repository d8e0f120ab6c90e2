"""What a model file says about its own making: embedded after making, read back by anyone.

Only what the bytes depend on is written: source, recipe, calibration and tool versions. Anything
volatile (time, host, folder) would make equal models differ and belongs beside the file.
"""

import importlib
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from orchestrator.build import ortformat

KEY = "fleet.provenance"
"""The name of the metadata buffer (TFLite), of the ``metadata_props`` entry (ONNX, ORT), or of
the element below ``rt_info/framework`` (OpenVINO)."""

_ALIGNED_BYTES = 16
"""What the schema of TFLite asks of the data of a buffer (``force_align: 16``)."""


def embed(model: Path, provenance: str) -> None:
    """Write a provenance text (JSON) into a ``.tflite`` or ``.onnx`` file, in its place.

    An older one is replaced. Other bytes of a TFLite file may move, tensors stay what they are.
    Files of any other kind are left alone: what is made from an ONNX file says what that said.
    Raises what the format's library raises.
    """
    data = model.read_bytes()
    if is_tflite(data):
        model.write_bytes(_into_tflite(data, provenance))
    elif is_onnx(data):
        model.write_bytes(_into_onnx(data, provenance))


def read(model: Path) -> dict[str, Any]:
    """The provenance inside a file; empty where there is none, or none that can be read."""
    data = model.read_bytes()
    kinds = (is_tflite, _of_tflite), (is_ort, _of_ort), (is_ir, _of_ir), (is_onnx, _of_onnx)
    text = next((reads(data) for fits, reads in kinds if fits(data)), "")
    try:
        found = json.loads(text) if text else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def is_tflite(data: bytes) -> bool:
    """Whether bytes are a TFLite model: the file identifier of its FlatBuffer."""
    return data[4:8] == b"TFL3"


def is_onnx(data: bytes) -> bool:
    """Whether bytes look like an ONNX ``ModelProto``: its first field is the IR version."""
    return len(data) > 1 and data[0] == 0x08 and data[1] < 0x80 and not is_ort(data)


def is_ort(data: bytes) -> bool:
    """Whether bytes are a model in ONNX Runtime's own format."""
    return data[4:8] == ortformat.IDENTIFIER


def is_ir(data: bytes) -> bool:
    """Whether bytes are the graph of an OpenVINO model."""
    return data.startswith(b"<?xml") and b"<net " in data[:200]


def _into_tflite(data: bytes, provenance: str) -> bytes:
    tools, schema = _tflite_modules()
    model = tools.read_model_from_bytearray(data)
    entries = [each for each in model.metadata or [] if _named(each) != KEY]
    dropped = [each.buffer for each in model.metadata or [] if _named(each) == KEY]
    entry, buffer = schema.MetadataT(), schema.BufferT()
    numpy: Any = importlib.import_module("numpy")
    buffer.data = numpy.frombuffer(provenance.encode(), dtype=numpy.uint8)
    entry.name = KEY.encode()
    if dropped:
        entry.buffer = dropped[0]
        model.buffers[entry.buffer] = buffer
    else:
        entry.buffer = len(model.buffers)
        model.buffers.append(buffer)
    model.metadata = [*entries, entry]
    model.buffers = [_aligned(schema, each) for each in model.buffers]
    return bytes(tools.convert_object_to_bytearray(model))


def _aligned(schema: Any, buffer: Any) -> Any:
    """The same buffer, packed as the schema asks: the generated code forgets the alignment."""

    class Aligned(schema.BufferT):  # type: ignore[misc]
        """A buffer whose data begins at a multiple of 16 bytes."""

        def Pack(self, builder: Any) -> Any:
            if self.data is None:
                return super().Pack(builder)
            payload = bytes(memoryview(self.data))
            builder.StartVector(1, len(payload), _ALIGNED_BYTES)
            builder.head -= len(payload)
            builder.Bytes[builder.head : builder.head + len(payload)] = payload
            builder.vectorNumElems = len(payload)
            vector = builder.EndVector()
            schema.BufferStart(builder)
            schema.BufferAddData(builder, vector)
            return schema.BufferEnd(builder)

    return Aligned(buffer.data, buffer.offset, buffer.size)


def _of_tflite(data: bytes) -> str:
    _, schema = _tflite_modules()
    model = schema.Model.GetRootAs(data, 0)
    for index in range(model.MetadataLength()):
        entry = model.Metadata(index)
        if entry.Name() == KEY.encode():
            buffer = model.Buffers(entry.Buffer())
            return "" if buffer.DataIsNone() else buffer.DataAsNumpy().tobytes().decode()
    return ""


def _into_onnx(data: bytes, provenance: str) -> bytes:
    onnx: Any = importlib.import_module("onnx")
    model = onnx.load_model_from_string(data)
    others = [(p.key, p.value) for p in model.metadata_props if p.key != KEY]
    del model.metadata_props[:]
    for key, value in sorted([*others, (KEY, provenance)]):
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    return bytes(model.SerializeToString(deterministic=True))


def _of_onnx(data: bytes) -> str:
    onnx: Any = importlib.import_module("onnx")
    props = onnx.load_model_from_string(data).metadata_props
    return next((str(p.value) for p in props if p.key == KEY), "")


def _of_ort(data: bytes) -> str:
    model = ortformat.session(data).Model()
    entries = (model.MetadataProps(i) for i in range(model.MetadataPropsLength()))
    return next((e.Value().decode() for e in entries if e.Key() == KEY.encode()), "")


def _of_ir(data: bytes) -> str:
    info = ElementTree.fromstring(data).find("rt_info/framework")
    return next((each.get("value", "") for each in info or () if each.tag == KEY), "")


def _tflite_modules() -> tuple[Any, Any]:
    tools: Any = importlib.import_module("ai_edge_litert.tools.flatbuffer_utils")
    schema: Any = importlib.import_module("ai_edge_litert.schema_py_generated")
    return tools, schema


def _named(entry: Any) -> str:
    return bytes(entry.name or b"").decode(errors="replace")
