"""ONNX Runtime's own format: written from an ONNX model, and made the same bytes every time.

The file is a FlatBuffer. Its table of kernel types is written in the order of a hash table whose
seed is an address of the process, so that equal models differ; here it is written again, sorted.
"""

import importlib
from pathlib import Path
from typing import Any

IDENTIFIER = b"ORTM"
"""What stands at bytes 4 to 8 of every such file."""

FBS = "onnxruntime.tools.ort_format_model.ort_flatbuffers_py.fbs"

KernelTypes = list[tuple[str, list[tuple[str, list[tuple[int, int]]]]]]
"""Operator → name of a type → where its tensors are (input or output, which)."""


def write(model: Path, out: Path) -> None:
    """Write an ONNX model in ONNX Runtime's format, optimized as far as every CPU allows.

    Blocked layouts are left out, which fit one kind of CPU only, and so are conversions of int8
    for processors without its instructions: what is written must not depend on this machine's.
    """
    ort: Any = importlib.import_module("onnxruntime")
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(out)
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.save_model_format", "ORT")
    options.add_session_config_entry("session.qdqisint8allowed", "1")
    ort.InferenceSession(
        str(model),
        options,
        providers=["CPUExecutionProvider"],
        disabled_optimizers=["NchwcTransformer"],
    )
    out.write_bytes(canonical(out.read_bytes()))


def session(data: bytes) -> Any:
    """The root of a file, to be read; raises ValueError if it is none."""
    if data[4:8] != IDENTIFIER:
        raise ValueError("not a model in ONNX Runtime's format")
    return _fbs("InferenceSession").InferenceSession.GetRootAs(data, 0)


def canonical(data: bytes) -> bytes:
    """The same model with its kernel types sorted.

    They are written after the model and so lie before it, between the root and the model: what
    lies from the model on is kept byte by byte (offsets in a FlatBuffer are relative), and the
    kernel types and the root are built anew in front of it.
    """
    root = session(data)
    model = root.Model()._tab
    kept = data[min(model.Pos, _vtable(model)) :]
    builder = importlib.import_module("flatbuffers").Builder(2 * len(data))
    builder.minalign = 16
    builder.head -= len(kept)
    builder.Bytes[builder.head : builder.head + len(kept)] = kept
    version = builder.CreateString(root.OrtVersion())
    resolver = _resolver(builder, kernel_types(root))
    fbs = _fbs("InferenceSession")
    fbs.Start(builder)
    fbs.AddKernelTypeStrResolver(builder, resolver)
    fbs.AddModel(builder, len(data) - model.Pos)
    fbs.AddOrtVersion(builder, version)
    builder.Finish(fbs.End(builder), IDENTIFIER)
    return bytes(builder.Output())


def kernel_types(root: Any) -> KernelTypes:
    """The table of kernel types, sorted."""
    table = root.KernelTypeStrResolver()
    entries = [table.OpKernelTypeStrArgs(i) for i in range(table.OpKernelTypeStrArgsLength())]
    return sorted((entry.OpId().decode(), _types(entry)) for entry in entries)


def _types(entry: Any) -> list[tuple[str, list[tuple[int, int]]]]:
    names = [entry.KernelTypeStrArgs(i) for i in range(entry.KernelTypeStrArgsLength())]
    return sorted(
        (
            name.KernelTypeStr().decode(),
            [(name.Args(i).ArgType(), name.Args(i).Index()) for i in range(name.ArgsLength())],
        )
        for name in names
    )


def _resolver(builder: Any, types: KernelTypes) -> int:
    fbs = _fbs("KernelTypeStrResolver")
    entries = [_operator(builder, *each) for each in types]
    vector = _vector(builder, fbs.StartOpKernelTypeStrArgsVector, entries)
    fbs.Start(builder)
    fbs.AddOpKernelTypeStrArgs(builder, vector)
    return int(fbs.End(builder))


def _operator(builder: Any, operator: str, names: list[tuple[str, list[tuple[int, int]]]]) -> int:
    fbs = _fbs("OpIdKernelTypeStrArgsEntry")
    entries = [_named(builder, *each) for each in names]
    vector = _vector(builder, fbs.OpIdKernelTypeStrArgsEntryStartKernelTypeStrArgsVector, entries)
    text = builder.CreateString(operator)
    fbs.Start(builder)
    fbs.AddKernelTypeStrArgs(builder, vector)
    fbs.AddOpId(builder, text)
    return int(fbs.End(builder))


def _named(builder: Any, name: str, places: list[tuple[int, int]]) -> int:
    fbs, place = _fbs("KernelTypeStrArgsEntry"), _fbs("ArgTypeAndIndex")
    entries = []
    for kind, index in places:
        place.Start(builder)
        place.AddIndex(builder, index)
        place.AddArgType(builder, kind)
        entries.append(int(place.End(builder)))
    vector = _vector(builder, fbs.KernelTypeStrArgsEntryStartArgsVector, entries)
    text = builder.CreateString(name)
    fbs.Start(builder)
    fbs.AddArgs(builder, vector)
    fbs.AddKernelTypeStr(builder, text)
    return int(fbs.End(builder))


def _vector(builder: Any, start: Any, entries: list[int]) -> int:
    start(builder, len(entries))
    for entry in reversed(entries):
        builder.PrependUOffsetTRelative(entry)
    return int(builder.EndVector())


def _vtable(table: Any) -> int:
    """Where the table of a FlatBuffer's table lies: a signed distance before it."""
    distance = int.from_bytes(table.Bytes[table.Pos : table.Pos + 4], "little", signed=True)
    return int(table.Pos) - distance


def _fbs(name: str) -> Any:
    return importlib.import_module(f"{FBS}.{name}")
