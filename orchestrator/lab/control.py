"""Speaking with the supervisor: one JSON line asks, one JSON line answers, over a unix socket."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from orchestrator.lab.errors import LabDown

_MOST = 1 << 20


@contextmanager
def short_path(path: Path) -> Iterator[str]:
    """A name of `path` that fits the 107 bytes of a socket address, whatever the site's path."""
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


def listen(path: Path) -> socket.socket:
    """A listening socket at `path`; whatever was there before is removed."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with short_path(path) as name:
        listener.bind(name)
    path.chmod(0o600)
    listener.listen(16)
    return listener


def ask(path: Path, request: dict[str, Any], *, timeout_s: float = 10.0) -> dict[str, Any]:
    """Send one request and return its answer.

    Raises:
        LabDown: nobody listens, or whoever did ended without an answer.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.settimeout(timeout_s)
        try:
            with short_path(path) as name:
                line.connect(name)
            line.sendall(json.dumps(request).encode() + b"\n")
            answer: dict[str, Any] = json.loads(receive(line))
        except (OSError, ValueError) as error:
            raise LabDown(f"the lab's supervisor does not answer ({error})") from error
    return answer


def receive(line: socket.socket) -> bytes:
    """Bytes up to the first newline, or to the end, or to a megabyte."""
    text = b""
    while not text.endswith(b"\n") and len(text) < _MOST:
        chunk = line.recv(65536)
        if not chunk:
            break
        text += chunk
    return text
