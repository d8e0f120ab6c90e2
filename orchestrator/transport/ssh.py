"""A session over SSH: one connection, commands and streams, no thread but the line's own."""

import shlex
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import paramiko
from paramiko.ssh_exception import SSHException

from orchestrator.transport import burst, flow
from orchestrator.transport.login import CONNECT_S, Address, opened, socket_to, unreachable
from orchestrator.transport.transport import Buffer, Completed, DeviceUnreachable, Session, Source

_PIECE = 1 << 15


class SshTransport(Session):
    """A `Transport` over one SSH connection; `through` is the gateway's, where there is one.

    Without `bursts` every packet goes out as Paramiko makes it.
    """

    def __init__(
        self,
        address: Address,
        *,
        connect_s: float = CONNECT_S,
        through: "SshTransport | None" = None,
        bursts: bool = True,
    ) -> None:
        self.address = address
        try:
            sock = through.tunnel(address) if through else socket_to(address, connect_s)
            self._line = opened(address, sock, connect_s, bursts=bursts)
        except (SSHException, OSError, EOFError, ValueError, TypeError) as error:
            raise unreachable(address, error) from error

    @property
    def alive(self) -> bool:
        """Whether the line still stands, as far as this end knows."""
        return bool(self._line.is_active())

    def tunnel(self, to: Address) -> paramiko.Channel:
        """A way through this device to another one's SSH server."""
        there, here = (to.host, to.port), ("127.0.0.1", 0)
        way: paramiko.Channel = self._line.open_channel(
            "direct-tcpip", there, here, timeout=CONNECT_S
        )
        return way

    def close(self) -> None:
        """End the session."""
        with suppress(OSError):  # wakes the reader, who would look up only now and then
            if isinstance(self._line.sock, socket.socket):
                self._line.sock.shutdown(socket.SHUT_RDWR)
        self._line.close()

    def _exec(
        self,
        argv: Sequence[str],
        source: Source | None,
        timeout_s: float,
        sent: Callable[[int], None],
    ) -> Completed:
        until = time.monotonic() + timeout_s
        try:
            channel = self._line.open_session(timeout=min(timeout_s, CONNECT_S))
            with channel:
                channel.settimeout(timeout_s)
                # `exec`: no shell stands between, so that a signal is seen as one
                channel.exec_command("exec " + shlex.join(argv))
                said = _Said(channel, until)
                if source is not None:
                    self._feed(channel, source, until, sent, said.take)
                channel.shutdown_write()
                out, err = said.all()
                if not channel.status_event.wait(max(0.0, until - time.monotonic())):
                    raise TimeoutError
                status = channel.exit_status
        except TimeoutError as error:
            self.close()  # nobody shall be lent this line again
            raise DeviceUnreachable(
                self.address.device, f"no answer to {argv[0]!r} within {timeout_s:g} s"
            ) from error
        except (SSHException, OSError, EOFError) as error:
            self.close()  # its reader may not have noticed yet
            raise unreachable(self.address, error) from error
        if status == -1 and not self._line.is_active():
            raise DeviceUnreachable(self.address.device, "the line went away in the middle")
        return Completed(None if status == -1 else status, out, err)

    def _feed(
        self,
        channel: Any,
        source: Source,
        until: float,
        sent: Callable[[int], None],
        drain: Callable[[], None],
    ) -> None:
        def put(data: Buffer) -> None:
            try:
                burst.put(channel, data)
            except TimeoutError:
                raise
            except (OSError, EOFError):
                if not self._line.is_active():
                    raise
                raise _Enough from None

        try:
            flow.feed(channel, source, put, until, sent=sent, drain=drain)
        except _Enough:
            return  # the command has read enough; its exit status says what it thought of it
        if not self._line.is_active():
            raise EOFError("the line went away in the middle")


class _Enough(Exception):
    """The command ended, or closed its input, before everything was sent."""


class _Said:
    """What a command says on both outputs, read by the one thread that also feeds it.

    Both share a window: whoever reads only one of them may wait for ever for the other.
    """

    _SOON_S, _LATER_S = 0.02, 1.0

    def __init__(self, channel: paramiko.Channel, until: float) -> None:
        self._channel, self._until = channel, until
        self._out: list[bytes] = []
        self._err: list[bytes] = []

    def take(self) -> None:
        """Read what is there; do not wait."""
        while self._channel.recv_ready():
            self._out.append(self._channel.recv(_PIECE))
        while self._channel.recv_stderr_ready():
            self._err.append(self._channel.recv_stderr(_PIECE))

    def all(self) -> tuple[bytes, bytes]:
        """Everything there is up to the end of both.

        Raises:
            TimeoutError: the command did not come to an end.
        """
        pause = self._SOON_S
        while True:
            if (left := self._until - time.monotonic()) <= 0:
                raise TimeoutError
            self._channel.settimeout(min(pause, left))
            try:
                piece = self._channel.recv(_PIECE)
            except TimeoutError:
                pause = self._SOON_S if self._channel.recv_stderr_ready() else pause * 2
                pause = min(pause, self._LATER_S)
                self.take()
                continue
            self._out.append(piece)
            self.take()
            if not piece:
                return b"".join(self._out), b"".join(self._err)
