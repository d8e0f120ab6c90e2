"""What was built before: one small record a key, and the digests of files that have not changed."""

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, TypeAdapter, ValidationError

from orchestrator.artifact.compilation import Compilation
from orchestrator.artifact.golden import GoldenSet
from orchestrator.artifact.lock import LockedFile, Status
from orchestrator.artifact.mixture import Block, Mixture
from orchestrator.build.jobs import Identified
from orchestrator.build.store import Store, file_sha256
from orchestrator.catalog.assignment import Figures
from orchestrator.catalog.pruning import Sparsity
from orchestrator.values import Sha256, Value, canonical


class Conversion(Value):
    """The bytes that a source or a float32 model was made into; `sparsity` if it was pruned."""

    kind: Literal["conversion"] = "conversion"
    sha256: Sha256
    size_bytes: int
    weights: LockedFile | None = None
    max_abs_diff: float | None = None
    sparsity: Sparsity | None = None
    mixture: Mixture | None = None
    compilation: Compilation | None = None

    @property
    def digests(self) -> frozenset[str]:
        """The digests of all its bytes, a compiler's words among them."""
        log = {self.compilation.log} if self.compilation else set()
        return frozenset({self.sha256, *({self.weights.sha256} if self.weights else ()), *log})


class Sensitivity(Value):
    """What each block of a float32 model loses by being int8."""

    kind: Literal["sensitivity"] = "sensitivity"
    blocks: tuple[Block, ...]


class Measurement(Value):
    """What was measured about an artifact; `golden` is None where `no_golden` says why."""

    kind: Literal["measurement"] = "measurement"
    figures: Figures
    golden: GoldenSet | None = None
    no_golden: str = ""


class Failure(Value):
    """A step that did not go well, and what that makes of the variant; `log` is below the site."""

    kind: Literal["failure"] = "failure"
    because: str
    status: Status = Status.FAILED
    log: str = ""


Record: TypeAlias = Conversion | Sensitivity | Measurement | Failure

_RECORD: TypeAdapter[Record] = TypeAdapter(Annotated[Record, Field(discriminator="kind")])


_KEY_DIGITS = 64
"""Records are named by a SHA-256; other files of the folder are not records."""


class Cache:
    """Records by key. One whose bytes the store has lost counts as not there.

    A record's file time is when it was last of use: the collection of garbage goes by it.
    """

    def __init__(self, folder: Path, store: Store) -> None:
        self._folder, self._store = folder, store

    def get(self, key: str) -> Record | None:
        """The record of a key, or None where it has to be made (again)."""
        file = self._folder / f"{key}.json"
        try:
            record = _RECORD.validate_json(file.read_bytes())
            os.utime(file)
        except (FileNotFoundError, ValidationError):
            return None
        match record:
            case Conversion():
                return record if all(d in self._store for d in record.digests) else None
            case Measurement(golden=GoldenSet() as golden):
                return record if golden.sha256 in self._store else None
            case _:
                return record

    def records(self) -> Iterator[tuple[Path, frozenset[str]]]:
        """Every record's file with the digests of the bytes it names; what is none is left out."""
        for file in sorted(self._folder.glob("*.json")):
            try:
                record = _RECORD.validate_json(file.read_bytes())
            except (FileNotFoundError, ValidationError):
                if len(file.stem) == _KEY_DIGITS:
                    yield file, frozenset()
                continue
            match record:
                case Conversion():
                    yield file, record.digests
                case Measurement(golden=GoldenSet() as golden):
                    yield file, frozenset({golden.sha256})
                case _:
                    yield file, frozenset()

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


class Meanings:
    """What sources were found to be, remembered by the digests of their bytes."""

    def __init__(self, file: Path) -> None:
        self._file = file
        try:
            self._known: dict[str, object] = json.loads(file.read_bytes())
        except (FileNotFoundError, ValueError):
            self._known = {}

    def get(self, raw: str) -> Identified | None:
        """What was found out about a source with these bytes."""
        try:
            return Identified.model_validate(self._known.get(raw))
        except ValidationError:
            return None

    def put(self, raw: str, found: Identified) -> None:
        """Remember what was found out."""
        self._known[raw] = found.model_dump(mode="json")
        replace_file(self._file, canonical(self._known))


def replace_file(path: Path, data: bytes) -> None:
    """Write beside, then rename: readers see the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        beside.write_bytes(data)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
