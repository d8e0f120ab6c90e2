"""A session over adb: every command is a stream of its own through adb's server on this machine.

The shell protocol's second version carries input, both outputs and an exit status; devices have it
since Android 7.
"""

import select
import shlex
import socket
import struct
import time
from collections.abc import Callable, Sequence
from enum import IntEnum

from orchestrator.transport.adbserver import reach, service
from orchestrator.transport.transport import Completed, DeviceUnreachable, Session, Source

CONNECT_S = 15.0
_PIECE = 1 << 15
_HEAD = struct.Struct("<BI")


class _Packet(IntEnum):
    """What a packet of the shell protocol carries."""

    STDIN = 0
    STDOUT = 1
    STDERR = 2
    EXIT = 3
    CLOSE_STDIN = 4


_SIGNALS = range(129, 193)
"""What adbd says of a command that a signal killed: 128 and the signal's number."""
_FEATURE = "shell_v2"


class AdbTransport(Session):
    """A `Transport` over adb, which has no other word for "killed by a signal" than an exit status
    of 129 to 192: such a one is taken for it.

    Args:
        serial: what `adb devices` calls it; ``address:port`` for a device on the network.
    """

    def __init__(self, device: str, serial: str, *, connect_s: float = CONNECT_S) -> None:
        self.device, self.serial = device, serial
        if _FEATURE not in reach(device, serial, timeout_s=connect_s):
            raise DeviceUnreachable(
                device,
                f"{serial} has no {_FEATURE}, by which exit statuses come back",
                hint="adb devices need Android 7 or later",
            )
        self._open = True

    def close(self) -> None:
        """End the session. The line belongs to adb's server, which keeps it."""
        self._open = False

    def _exec(
        self,
        argv: Sequence[str],
        source: Source | None,
        timeout_s: float,
        sent: Callable[[int], None],
    ) -> Completed:
        if not self._open:
            raise DeviceUnreachable(self.device, "the session is closed")
        until = time.monotonic() + timeout_s
        # adbd's own folder is where a shell of it begins; `exec`, so that a signal is seen as one
        command = 'cd "${HOME:-/}" 2>/dev/null; exec ' + shlex.join(argv)
        name = f"shell,v2,raw:{command}"
        try:
            with service(self.device, self.serial, name, timeout_s=timeout_s) as line:
                said = _Talk(line, source, sent, until)
                status = said.all()
        except TimeoutError as error:
            words = f"no answer to {argv[0]!r} within {timeout_s:g} s"
            raise DeviceUnreachable(self.device, words) from error
        except OSError as error:
            raise DeviceUnreachable(self.device, f"adb: {error}") from error
        killed = status in _SIGNALS
        return Completed(None if killed else status, bytes(said.out), bytes(said.err))


class _Talk:
    """One command's stream: its input is fed as far as it is taken, while its outputs are read."""

    def __init__(
        self,
        line: socket.socket,
        source: Source | None,
        sent: Callable[[int], None],
        until: float,
    ) -> None:
        self._line, self._source, self._sent, self._until = line, source, sent, until
        self._going = memoryview(b"")
        self._piece = 0
        self._ended = False
        self._coming = bytearray()
        self.out, self.err = bytearray(), bytearray()

    def all(self) -> int:
        """Up to the command's end; its exit status.

        Raises:
            TimeoutError: the command did not come to an end.
            OSError: the line did.
        """
        self._line.setblocking(False)
        watch = select.poll()
        self._next()
        while True:
            if (left := self._until - time.monotonic()) <= 0:
                raise TimeoutError
            watch.register(self._line, select.POLLIN | (select.POLLOUT if self._going else 0))
            events = dict(watch.poll(left * 1000)).get(self._line.fileno(), 0)
            if events & ~select.POLLOUT and (status := self._read()) is not None:
                return status
            if events & select.POLLOUT:
                self._write()

    def _next(self) -> None:
        """Make the next packet ready; after the last one, the word that there are no more."""
        if self._piece:
            self._sent(self._piece)
        self._piece = 0
        piece = self._source.read(_PIECE) if self._source else b""
        if piece:
            self._piece = len(piece)
            self._going = memoryview(b"".join((_HEAD.pack(_Packet.STDIN, len(piece)), piece)))
        elif not self._ended:
            self._ended = True
            self._going = memoryview(_HEAD.pack(_Packet.CLOSE_STDIN, 0))

    def _write(self) -> None:
        try:
            self._going = self._going[self._line.send(self._going) :]
        except BlockingIOError:
            return
        if not self._going:
            self._next()

    def _read(self) -> int | None:
        try:
            piece = self._line.recv(_PIECE)
        except BlockingIOError:
            return None
        if not piece:
            raise ConnectionError("the line went away in the middle")
        self._coming += piece
        while len(self._coming) >= _HEAD.size:
            kind, length = _HEAD.unpack_from(self._coming)
            end = _HEAD.size + length
            if len(self._coming) < end:
                break
            data = bytes(self._coming[_HEAD.size : end])
            del self._coming[:end]
            match kind:
                case _Packet.STDOUT:
                    self.out += data
                case _Packet.STDERR:
                    self.err += data
                case _Packet.EXIT:
                    return data[0]
        return None
