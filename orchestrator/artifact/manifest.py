"""The release manifest: model file, labels, preprocessing and golden cases as one unit, never mixed."""

from functools import cached_property
from typing import Literal

from orchestrator.artifact.golden import Tolerance
from orchestrator.catalog.model import Limits, Preprocessing
from orchestrator.catalog.variant import Format
from orchestrator.values import Name, Sha256, Value, canonical, sha256

MANIFEST = "manifest.json"
"""The manifest's own name inside a release."""


class ReleaseFile(Value):
    """One file of a release: where it lies below the release's folder, and what it is."""

    path: Literal[
        "model.tflite",
        "model.onnx",
        "model.ort",
        "model.xml",
        "model.engine",
        "model.bin",
        "labels.txt",
        "preprocessing.json",
        "golden.npz",
    ]
    sha256: Sha256
    size_bytes: int


class Manifest(Value):
    """Everything that belongs to one release of one model, by digest.

    The manifest's own bytes are its canonical form; their digest names the release, so a release
    with the same name has the same bytes everywhere.
    """

    format: Literal[1] = 1
    model: Name
    version: Name
    variant: Name
    runs_as: Format
    files: tuple[ReleaseFile, ...]
    preprocessing: Preprocessing
    tolerances: tuple[Tolerance, ...]
    cases: int
    limits: Limits

    @cached_property
    def data(self) -> bytes:
        """The bytes of ``manifest.json``."""
        return canonical(self)

    @cached_property
    def sha256(self) -> str:
        """The digest that stands for the whole release."""
        return sha256(self.data)

    def written(self, path: str) -> bytes | None:
        """The bytes of a file that the manifest itself implies; None for those in the store."""
        implied = {MANIFEST: self.data, "preprocessing.json": canonical(self.preprocessing)}
        return implied.get(path)

    @property
    def release(self) -> str:
        """The release's name: version, variant and the first 12 digits of the manifest's digest."""
        return f"{self.version}+{self.variant}.{self.sha256[:12]}"

    @property
    def size_bytes(self) -> int:
        """Bytes of all files and the manifest itself."""
        return sum(file.size_bytes for file in self.files) + len(self.data)

    @property
    def model_file(self) -> ReleaseFile:
        """The file that the runtime loads."""
        return next(file for file in self.files if file.path == f"model{self.runs_as.suffix}")
