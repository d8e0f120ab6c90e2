"""A model's files: found, of the kind their names say, unchanged. No heavy import."""

import zipfile
from pathlib import Path

from orchestrator.build.cache import Digests
from orchestrator.build.failures import BadData, BadSource
from orchestrator.catalog.model import Model
from orchestrator.errors import BadInput, nearest
from orchestrator.values import Sha256, canonical, digest

KINDS = (".keras", ".h5", ".hdf5", ".onnx", ".tflite")
"""Suffixes of sources that the builder can read; a folder is a SavedModel."""

SAVED_MODEL = "savedmodel"
"""What stands for the suffix of a folder."""

_HDF5 = b"\x89HDF\r\n\x1a\n"


def source_sha256(model: Model, catalog: Path, digests: Digests) -> Sha256:
    """The digest of a model's source, which looks like what it is called.

    Raises:
        BadSource: there is no such file, it is of another kind, or not the one the catalog means.
    """
    path = catalog / model.source
    suffix = kind(path)
    if suffix == SAVED_MODEL:
        found = _folder_sha256(path, model.source, digests)
    else:
        _check_file(path, suffix, model.source)
        found = digests.of(path)
    if model.sha256 is not None and found != model.sha256:
        raise BadSource(
            f"its SHA-256 is {found}, and the catalog says {model.sha256}",
            file=model.source,
            hint="fetch the right file, or write its digest into models.yaml",
        )
    return found


def kind(source: Path) -> str:
    """The suffix by which a source is read, in small letters; a word of its own for a folder."""
    return SAVED_MODEL if source.is_dir() else source.suffix.lower()


def data_sha256(file: str | None, catalog: Path, digests: Digests) -> Sha256 | None:
    """The digest of a data file, None where none is named.

    Raises:
        BadData: there is no such file.
    """
    if file is None:
        return None
    try:
        return digests.of(catalog / file)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise BadData("no such file", file=file, hint="correct its path in models.yaml") from error


def judged_by(model: Model, catalog: Path, digests: Digests) -> str:
    """A model's metric as text, with the digest of the file of the user's own function.

    A function of an installed package is known by its name only.

    Raises:
        BadData: there is no such file.
    """
    metric = model.acceptance.metric
    where = metric.entry.rpartition(":")[0]
    own = data_sha256(where, catalog, digests) if where.endswith(".py") else None
    return canonical([metric, own]).decode().strip()


def labels_bytes(model: Model, catalog: Path) -> bytes | None:
    """The bytes of a model's labels, None where it has none.

    Raises:
        BadInput: there is no such file.
    """
    if model.labels is None:
        return None
    try:
        return (catalog / model.labels).read_bytes()
    except OSError as error:
        raise BadInput(
            "no such file", file=model.labels, hint="correct `labels` in models.yaml"
        ) from error


def _folder_sha256(folder: Path, shown: str, digests: Digests) -> Sha256:
    """One digest for all files of a SavedModel, by their places in it."""
    if not any((folder / name).is_file() for name in ("saved_model.pb", "saved_model.pbtxt")):
        raise BadSource(
            "a folder without a saved_model.pb, so no SavedModel",
            file=shown,
            hint="name the folder that saved_model.pb lies in, or a model file",
        )
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return digest([(path.relative_to(folder).as_posix(), digests.of(path)) for path in files])


def _check_file(path: Path, suffix: str, shown: str) -> None:
    if suffix not in KINDS:
        reads = f"the builder reads {', '.join(KINDS)} and folders of SavedModels"
        inside = "name the folder that it lies in, which is a SavedModel"
        raise BadSource(
            f"unknown kind of source {path.suffix!r}{nearest(suffix, KINDS)}",
            file=shown,
            hint=inside if path.name == "saved_model.pb" else reads,
        )
    if not path.is_file():
        raise BadSource("no such file", file=shown, hint="correct `source` in models.yaml")
    _check_kind(path, suffix, shown)


def _check_kind(path: Path, suffix: str, shown: str) -> None:
    if path.stat().st_size == 0:
        raise BadSource("the file is empty", file=shown)
    if suffix == ".keras" and not _is_keras_zip(path):
        raise BadSource(
            "not a .keras file: it is no zip archive with a config.json inside",
            file=shown,
            hint="write it with model.save('name.keras'); a truncated copy looks like this too",
        )
    if suffix in (".h5", ".hdf5") and not _is_hdf5(path):
        raise BadSource("not an HDF5 file", file=shown, hint="write it with model.save('name.h5')")


def _is_keras_zip(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return "config.json" in archive.namelist()
    except zipfile.BadZipFile:
        return False


def _is_hdf5(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_HDF5)) == _HDF5
