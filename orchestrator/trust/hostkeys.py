"""Pinned host keys: one known_hosts file per site, read by OpenSSH as well as by us."""

import base64
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class HostKey:
    """A host key as a device shows it: its type and its base64 body."""

    kind: str
    body: str

    @property
    def fingerprint(self) -> str:
        """``SHA256:…`` as ``ssh-keygen -lf`` prints it."""
        try:
            raw = base64.b64decode(self.body, validate=True)
        except ValueError:
            return "unreadable"
        return "SHA256:" + base64.b64encode(hashlib.sha256(raw).digest()).decode().rstrip("=")


def pinned(file: Path, name: str) -> tuple[HostKey, ...]:
    """The keys pinned for a host name such as ``[10.0.0.5]:2222``; none where none are."""
    if not file.is_file():
        return ()
    lines = (line.split() for line in _lines(file) if not line.startswith("#"))
    return tuple(
        HostKey(words[1], words[2])
        for words in lines
        if len(words) >= 3 and name in words[0].split(",")
    )


def pin(file: Path, name: str, key: HostKey) -> None:
    """Pin a key for a host name, in place of any other of it; the file is replaced at once."""
    old = _lines(file) if file.is_file() else []
    kept = [line for whole in old if (line := _without(name, whole)) is not None]
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    text = "\n".join([*kept, f"{name} {key.kind} {key.body}"]) + "\n"
    beside.write_text(text, encoding="utf-8", errors="surrogateescape")
    beside.replace(file)


def _lines(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8", errors="surrogateescape").splitlines()


def _without(name: str, line: str) -> str | None:
    """A line as it was, or for its other names only; None where it is for that name alone."""
    names, space, rest = line.partition(" ")
    if line.startswith("#") or name not in names.split(","):
        return line
    others = ",".join(each for each in names.split(",") if each != name)
    return f"{others}{space}{rest}" if others else None
