"""What was built before: one small record a key, and the digests of files that have not changed."""

import json
import os
import threading
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, TypeAdapter, ValidationError

from orchestrator.artifact.golden import GoldenSet
from orchestrator.build.store import Store, file_sha256
from orchestrator.catalog.assignment import Figures
from orchestrator.values import Sha256, Value, canonical


class Conversion(Value):
    """The bytes that a source or a float32 model was made into."""

    kind: Literal["conversion"] = "conversion"
    sha256: Sha256
    size_bytes: int
    max_abs_diff: float | None = None


class Measurement(Value):
    """What was measured about an artifact; `golden` is None where `no_golden` says why."""

    kind: Literal["measurement"] = "measurement"
    figures: Figures
    snr_db: float | None = None
    golden: GoldenSet | None = None
    no_golden: str = ""


class Failure(Value):
    """A step that would fail in the same way again."""

    kind: Literal["failure"] = "failure"
    because: str


Record: TypeAlias = Conversion | Measurement | Failure

_RECORD: TypeAdapter[Record] = TypeAdapter(Annotated[Record, Field(discriminator="kind")])


class Cache:
    """Records by key. One whose bytes the store has lost counts as not there."""

    def __init__(self, folder: Path, store: Store) -> None:
        self._folder, self._store = folder, store

    def get(self, key: str) -> Record | None:
        """The record of a key, or None where it has to be made (again)."""
        try:
            record = _RECORD.validate_json((self._folder / f"{key}.json").read_bytes())
        except (FileNotFoundError, ValidationError):
            return None
        match record:
            case Conversion():
                return record if record.sha256 in self._store else None
            case Measurement(golden=GoldenSet() as golden):
                return record if golden.sha256 in self._store else None
            case _:
                return record

    def put(self, key: str, record: Record) -> None:
        """Keep a record."""
        replace_file(self._folder / f"{key}.json", canonical(record))


class Digests:
    """SHA-256 of files, remembered by path as long as size, time and inode stay the same."""

    def __init__(self, file: Path) -> None:
        self._file = file
        try:
            self._known: dict[str, list[object]] = json.loads(file.read_bytes())
        except (FileNotFoundError, ValueError):
            self._known = {}

    def of(self, path: Path) -> str:
        """The digest of a file.

        Raises:
            FileNotFoundError: there is none.
        """
        now = path.stat()
        stamp: list[object] = [now.st_size, now.st_mtime_ns, now.st_ino]
        known = self._known.get(str(path))
        if isinstance(known, list) and known[:3] == stamp and len(known) == 4:
            return str(known[3])
        digest = file_sha256(path)
        self._known[str(path)] = [*stamp, digest]
        replace_file(self._file, canonical(self._known))
        return digest


def replace_file(path: Path, data: bytes) -> None:
    """Write beside, then rename: readers see the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        beside.write_bytes(data)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
