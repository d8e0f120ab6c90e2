"""Android's adb server on this machine: asked over its socket, started by `adb` when it is not up.

The server holds the lines to devices (USB, TCP, paired wireless debugging) and the key they know
this machine by. How to speak to it: adb's own docs/dev/services.md and protocol.md.
"""

import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator.errors import Owner
from orchestrator.transport.transport import DeviceUnreachable, LoginRefused

_START_S = 20.0
_PAUSE_S = 0.1
_STARTING = threading.Lock()
_CONNECTED = ("connected to", "already connected to")
_NOT_YET = ("still connecting", "still authorizing", "offline")


class AdbMissing(DeviceUnreachable):
    """This machine has no `adb`, or its server does not start."""

    path = ("TRANSPORT", "ADB_MISSING")
    owner = Owner.OPERATOR


class _Said(Exception):
    """What the server answers when it will not do something."""


@contextmanager
def service(device: str, serial: str, name: str, *, timeout_s: float) -> Iterator[socket.socket]:
    """A connection to a service of a device.

    Raises:
        DeviceUnreachable: the server, or the device, does not give it.
        TimeoutError: it took longer.
    """
    with _server(device, timeout_s) as line:
        try:
            _request(line, f"host:transport:{serial}")
            _request(line, name)
        except _Said as error:
            raise _refused(device, serial, str(error)) from error
        yield line


def reach(device: str, serial: str, *, timeout_s: float) -> frozenset[str]:
    """Let the server connect to a device; the features both ends have.

    Args:
        serial: what `adb devices` calls it; ``address:port`` for a device on the network.

    Raises:
        DeviceUnreachable: it is not there, or does not let this machine in.
    """
    until = time.monotonic() + timeout_s
    if ":" in serial:
        _connect(device, serial, timeout_s)
    stale = ":" in serial
    while True:
        try:
            return frozenset(_ask(device, f"host-serial:{serial}:features", timeout_s).split(","))
        except _Said as error:
            waits = any(words in str(error) for words in _NOT_YET)
            if not waits or time.monotonic() > until:
                raise _refused(device, serial, str(error)) from error
            if stale and "offline" in str(error):  # a line that died, which the server still holds
                stale = False
                _ask(device, f"host:disconnect:{serial}", timeout_s)
                _connect(device, serial, timeout_s)
        time.sleep(_PAUSE_S)


def _connect(device: str, serial: str, timeout_s: float) -> None:
    try:
        said = _ask(device, f"host:connect:{serial}", timeout_s)
    except _Said as error:
        said = str(error)
    if not said.startswith(_CONNECTED):
        raise _refused(device, serial, said)


def _refused(device: str, serial: str, said: str) -> DeviceUnreachable:
    """What the server's words mean, and what to do about it."""
    if "unauthorized" in said or "authenticat" in said or "authorizing" in said:
        return LoginRefused(
            device,
            f"{serial} does not know this machine's adb key",
            hint="unlock it and allow USB debugging for this computer; for wireless debugging of "
            "Android 11 and later: adb pair ADDRESS:PORT",
        )
    absent = "not found" in said or "Connection refused" in said or "No route" in said
    words = said.strip().splitlines()[0] if said.strip() else "no answer"
    return DeviceUnreachable(
        device,
        f"adb: {words}",
        hint=f"look whether it is there: adb devices; {serial}",
        absent=absent,
    )


def _ask(device: str, request: str, timeout_s: float) -> str:
    """The text that answers a request of the server's own.

    Raises:
        _Said: it answers with a failure.
    """
    try:
        with _server(device, timeout_s) as line:
            _request(line, request)
            return exactly(line, int(exactly(line, 4), 16)).decode("utf-8", "replace")
    except TimeoutError as error:
        words = f"adb's server did not answer {request!r} within {timeout_s:g} s"
        raise DeviceUnreachable(device, words) from error
    except OSError as error:
        raise DeviceUnreachable(device, f"adb's server went away: {error}") from error


def _request(line: socket.socket, text: str) -> None:
    data = text.encode()
    line.sendall(f"{len(data):04x}".encode() + data)
    if (status := exactly(line, 4)) != b"OKAY":
        length = exactly(line, 4) if status == b"FAIL" else b"0000"
        raise _Said(exactly(line, int(length, 16)).decode("utf-8", "replace") or "no adb server")


def exactly(line: socket.socket, count: int) -> bytes:
    """So many bytes from a connection.

    Raises:
        ConnectionError: it ended before.
    """
    said = bytearray()
    while len(said) < count:
        if not (piece := line.recv(count - len(said))):
            raise ConnectionError("the line went away in the middle")
        said += piece
    return bytes(said)


def _server(device: str, timeout_s: float) -> socket.socket:
    """A connection to the server, which is started if nobody listens there."""
    where = (
        os.environ.get("ANDROID_ADB_SERVER_ADDRESS", "127.0.0.1"),
        int(os.environ.get("ANDROID_ADB_SERVER_PORT", "5037")),
    )
    try:
        return socket.create_connection(where, timeout_s)
    except ConnectionRefusedError:
        _start(device)
    try:
        return socket.create_connection(where, timeout_s)
    except OSError as error:
        raise AdbMissing(device, f"adb's server at {where[0]}:{where[1]}: {error}") from error


def _start(device: str) -> None:
    with _STARTING:
        adb = shutil.which("adb")
        if adb is None:
            raise AdbMissing(
                device,
                "it is reached over adb, and this machine has no adb",
                hint="install it (Debian: apt-get install adb; else Android's platform-tools)",
            )
        argv = [adb, "start-server"]
        try:  # its outputs are the server's for as long as that lives, so nobody may wait for their end
            done = subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=_START_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise AdbMissing(device, f"'adb start-server' took more than {_START_S:g} s") from error
        if done.returncode != 0:
            words = f"'adb start-server' ended with exit status {done.returncode}"
            raise AdbMissing(device, words, hint="run it by hand and read what it says")
