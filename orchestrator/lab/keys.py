"""ed25519 keys of a lab: one that opens every device, and one host key for each device."""

import os
from collections.abc import Iterable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
)


def fresh_key(path: Path) -> str:
    """Write a new private key (0600, OpenSSH format) and its ``.pub``; return the public line."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, private, mode=0o600)
    write(path.with_name(path.name + ".pub"), f"{public} fleet-lab\n".encode())
    return public


def kept_key(path: Path) -> str:
    """The public line of the key at `path`, which is made if there is none yet."""
    public = path.with_name(path.name + ".pub")
    if path.exists() and public.exists():
        return " ".join(public.read_text().split()[:2])
    return fresh_key(path)


def dropbear_key(path: Path) -> bytes:
    """The ed25519 key at `path` as Dropbear keeps its own: its name, then secret and public half."""
    key = load_ssh_private_key(path.read_bytes(), None)
    assert isinstance(key, Ed25519PrivateKey)
    halves = key.private_bytes_raw() + key.public_key().public_bytes_raw()
    name = b"ssh-ed25519"
    return b"".join(len(part).to_bytes(4, "big") + part for part in (name, halves))


def known_hosts(hosts: Iterable[tuple[str, int, str]]) -> str:
    """Lines of a known_hosts file from (address, port, public line)."""
    return "".join(f"[{address}]:{port} {public}\n" for address, port, public in hosts)


def write(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Write a file beside its place, then rename it there."""
    beside = path.with_name(path.name + ".new")
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
    beside.rename(path)
