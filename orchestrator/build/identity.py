"""Source file → the digest of what it means: equal networks with equal weights, equal digests.

Keras and SavedModel write times and memory addresses into their files, so a model that was only
saved again has other bytes. No TensorFlow here: archives, HDF5 and ONNX are read as they are.
"""

import hashlib
import importlib
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from orchestrator.build import canonical, nature
from orchestrator.build.jobs import Identified, Identify
from orchestrator.catalog.variant import Format

_VOLATILE = ("compile_config", "keras_version", "backend", "date_saved")
"""Keys of a Keras configuration that say how it was trained and when, not what it computes."""

_UNUSED_GROUPS = ("optimizer", "optimizer_weights", "seed_generator")
"""HDF5 groups that no inference reads."""


def identify(job: Identify) -> Identified:
    """What a job's source is; raises what reading it raises."""
    source = Path(job.source)
    kind = source.suffix.lower()
    forms = [form for form in Format if form.suffix == kind and not form.compiled]
    return Identified(
        digest=semantic_sha256(source),
        legacy=nature.legacy(source),
        code=nature.code(source),
        quantized=nature.quantized(source, forms[0]) if forms and source.is_file() else "",
    )


def semantic_sha256(source: Path) -> str:
    """The digest of architecture and weights, independent of how and when they were saved.

    ``.keras`` and ``.h5``: the configuration, and each array by name, type, shape and bytes.
    ``.onnx``: the canonical graph. A SavedModel: its files without the fingerprint. Anything
    else: the file's bytes.
    """
    match source.suffix.lower():
        case _ if source.is_dir():
            parts = _of_folder(source)
        case ".keras":
            parts = _of_archive(source)
        case ".h5" | ".hdf5":
            parts = _of_hdf5(source.read_bytes())
        case ".onnx":
            model = canonical.parsed(source.read_bytes())
            model.producer_name = model.producer_version = ""
            parts = iter([("onnx", canonical.canonical_bytes(model))])
        case _:
            parts = iter([("file", source.read_bytes())])
    whole = hashlib.sha256()
    for name, data in parts:
        whole.update(f"{len(name.encode())}:{name}{len(data)}:".encode())
        whole.update(data)
    return whole.hexdigest()


def _of_archive(source: Path) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(source) as archive:
        for name in sorted(archive.namelist()):
            data = archive.read(name)
            if name == "metadata.json" or name.endswith("/"):
                continue
            if name == "config.json":
                yield name, normal(json.loads(data))
            elif name.endswith(".h5"):
                for inner, part in _of_hdf5(data):
                    yield f"{name}/{inner}", part
            else:
                yield name, data


def _of_hdf5(data: bytes) -> Iterator[tuple[str, bytes]]:
    h5py: Any = importlib.import_module("h5py")
    with h5py.File(io.BytesIO(data), "r") as file:
        config = file.attrs.get("model_config")
        if config is not None:
            text = config.decode() if isinstance(config, bytes) else str(config)
            yield "model_config", normal(json.loads(text))
            yield "keras_major", str(file.attrs.get("keras_version", "")).split(".")[0].encode()
        names: list[str] = []
        file.visit(names.append)
        for name in sorted(n for n in names if n.split("/")[0] not in _UNUSED_GROUPS):
            item = file[name]
            for key in ("name", "layer_names", "weight_names"):
                if key in item.attrs:
                    yield f"{name}@{key}", repr(_plain(item.attrs[key])).encode()
            if isinstance(item, h5py.Dataset):
                array = item[()]
                yield f"{name}:{item.dtype.str}:{item.shape}", array.tobytes()


def _of_folder(source: Path) -> Iterator[tuple[str, bytes]]:
    for file in sorted(path for path in source.rglob("*") if path.is_file()):
        if file.name != "fingerprint.pb":
            yield file.relative_to(source).as_posix(), file.read_bytes()


def normal(config: Any) -> bytes:
    """A Keras configuration as bytes, without what differs between savings of one model.

    `shared_object_id` is an address in memory, there or not as loading came about; which layers
    share weights shows in the weights themselves.
    """
    kept = {key: value for key, value in config.items() if key not in _VOLATILE}
    return json.dumps(_lasting(kept), sort_keys=True).encode()


def _lasting(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _lasting(each) for k, each in value.items() if k != "shared_object_id"}
    return [_lasting(each) for each in value] if isinstance(value, list) else value


def _plain(value: Any) -> Any:
    listed = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(listed, list):
        return [_plain(each) for each in listed]
    return listed.decode() if isinstance(listed, bytes) else listed
