"""Pinned host keys: one known_hosts file per site, read by OpenSSH as well as by us."""

import base64
import binascii
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
        except binascii.Error:
            return "unreadable"
        return "SHA256:" + base64.b64encode(hashlib.sha256(raw).digest()).decode().rstrip("=")


def pinned(file: Path, name: str) -> tuple[HostKey, ...]:
    """The keys pinned for a host name such as ``[10.0.0.5]:2222``; none where none are."""
    if not file.is_file():
        return ()
    lines = (line.split() for line in file.read_text().splitlines() if not line.startswith("#"))
    return tuple(
        HostKey(words[1], words[2])
        for words in lines
        if len(words) >= 3 and name in words[0].split(",")
    )


def pin(file: Path, name: str, key: HostKey) -> None:
    """Pin a key for a host name, in place of any other of it; the file is replaced at once."""
    old = file.read_text().splitlines() if file.is_file() else []
    kept = [line for line in old if not line.split() or name not in line.split()[0].split(",")]
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    beside.write_text("\n".join([*kept, f"{name} {key.kind} {key.body}"]) + "\n")
    beside.replace(file)
