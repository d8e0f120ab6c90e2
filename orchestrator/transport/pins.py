"""Pinned host keys, read once for a whole fleet and not once for each connection."""

import threading
from dataclasses import dataclass
from pathlib import Path

_HASHED, _MARKED = "|", "@"


@dataclass(frozen=True, slots=True)
class _Read:
    """What was read of one file, and which state of the file that was."""

    state: tuple[int, int, int]
    named: dict[str, tuple[str, ...]]
    hashed: tuple[str, ...]


class Pins:
    """The lines of known_hosts files by the names they are for; a changed file is read again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._files: dict[Path, _Read] = {}

    def lines(self, file: Path, name: str) -> tuple[str, ...]:
        """The lines that may vouch for a host name: those that name it, and those with hashed names.

        A file that is not there vouches for nobody.
        """
        try:
            found = file.stat()
        except FileNotFoundError:
            return ()
        state = (found.st_ino, found.st_size, found.st_mtime_ns)
        with self._lock:
            read = self._files.get(file)
            if read is None or read.state != state:
                read = self._files[file] = _read(file, state)
        return read.named.get(name, ()) + read.hashed


def _read(file: Path, state: tuple[int, int, int]) -> _Read:
    named: dict[str, list[str]] = {}
    hashed: list[str] = []
    for line in file.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        words = line.split()
        if len(words) < 3 or words[0].startswith(("#", _MARKED)):
            continue
        if words[0].startswith(_HASHED):
            hashed.append(line)
            continue
        for name in words[0].split(","):
            named.setdefault(name, []).append(line)
    return _Read(state, {name: tuple(lines) for name, lines in named.items()}, tuple(hashed))
