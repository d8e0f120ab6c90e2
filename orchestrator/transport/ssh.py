"""SSH through Fabric and Paramiko, here and nowhere else: strict pinned host keys, one connection."""

import logging
import shlex
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import paramiko
from fabric import Config, Connection
from paramiko.ssh_exception import (
    AuthenticationException,
    BadHostKeyException,
    NoValidConnectionsError,
    SSHException,
)

from orchestrator.transport.transport import (
    Completed,
    DeviceUnreachable,
    HostKeyChanged,
    HostKeyUnknown,
    LoginRefused,
)

# What goes wrong comes back as an error; Paramiko's own words would stand between the screen's lines.
logging.getLogger("paramiko").addHandler(logging.NullHandler())

_PIECE = 1 << 15
_CONNECT_S = 15.0
_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")
"""Sealed in hardware on both ends nearly everywhere; moved to the front, nothing is removed."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a device listens, as whom to log in, and who vouches for it."""

    device: str
    host: str
    port: int
    user: str
    identity: Path | None
    known_hosts: tuple[Path, ...]

    @property
    def host_key_name(self) -> str:
        """The device's name in a known_hosts file."""
        return self.host if self.port == 22 else f"[{self.host}]:{self.port}"


class _Refuse(paramiko.MissingHostKeyPolicy):
    """Nobody is trusted on first sight."""

    def missing_host_key(
        self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey
    ) -> None:
        raise _Unpinned(f"its host key {key.get_name()} is not pinned")


class _Unpinned(SSHException):
    """A host key that no known_hosts file holds."""


class SshTransport:
    """A `Transport` over one SSH connection."""

    def __init__(self, address: Address, *, connect_s: float = _CONNECT_S) -> None:
        self.address = address
        self._connection = _connection(address, connect_s)
        try:
            self._connection.open()
            line = self._connection.client.get_transport()
            if line is None:
                raise SSHException("no transport after the handshake")
            line.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            line.set_keepalive(15)
            self._line = line
        except (SSHException, OSError, EOFError, ValueError) as error:
            self._connection.close()
            raise _unreachable(address, error) from error

    def run(self, argv: Sequence[str], *, timeout_s: float) -> Completed:
        """Run a command with an empty standard input."""
        return self._exec(argv, None, timeout_s, lambda count: None)

    def stream(
        self,
        source: BinaryIO,
        argv: Sequence[str],
        *,
        timeout_s: float,
        sent: Callable[[int], None] = lambda count: None,
    ) -> Completed:
        """Run a command with `source` as its standard input."""
        return self._exec(argv, source, timeout_s, sent)

    def close(self) -> None:
        """End the session."""
        self._connection.close()

    def __enter__(self) -> "SshTransport":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _exec(
        self,
        argv: Sequence[str],
        source: BinaryIO | None,
        timeout_s: float,
        sent: Callable[[int], None],
    ) -> Completed:
        until = time.monotonic() + timeout_s
        try:
            channel = self._line.open_session(timeout=min(timeout_s, _CONNECT_S))
            with channel:
                channel.settimeout(timeout_s)
                # `exec`: no shell stands between, so that a signal is seen as one
                channel.exec_command("exec " + shlex.join(argv))
                drains = _Drain(channel.recv, until), _Drain(channel.recv_stderr, until)
                if source is not None:
                    _feed(channel, source, until, sent)
                channel.shutdown_write()
                out, err = (drain.all() for drain in drains)
                if not channel.status_event.wait(max(0.0, until - time.monotonic())):
                    raise TimeoutError
                status = channel.exit_status
        except TimeoutError as error:
            raise DeviceUnreachable(
                self.address.device, f"no answer to {argv[0]!r} within {timeout_s:g} s"
            ) from error
        except (SSHException, OSError, EOFError) as error:
            raise _unreachable(self.address, error) from error
        if status == -1 and not self._line.is_active():
            raise DeviceUnreachable(self.address.device, "the line went away in the middle")
        return Completed(None if status == -1 else status, out, err)


def _connection(address: Address, connect_s: float) -> Connection:
    connection = Connection(
        host=address.host,
        user=address.user,
        port=address.port,
        config=Config(overrides={"load_ssh_configs": False}, lazy=True),
        connect_timeout=int(connect_s),
        connect_kwargs={
            "key_filename": str(address.identity) if address.identity else None,
            "look_for_keys": False,
            "allow_agent": address.identity is None,
            "banner_timeout": connect_s,
            "auth_timeout": connect_s,
            "transport_factory": _transport,
        },
    )
    client = connection.client
    client.set_missing_host_key_policy(_Refuse())
    for file in address.known_hosts:
        if file.is_file():
            client.load_host_keys(str(file))
    return connection


def _transport(sock: socket.socket, **options: Any) -> paramiko.Transport:
    line = paramiko.Transport(sock, **options)
    security = line.get_security_options()
    first = tuple(cipher for cipher in _CIPHERS if cipher in security.ciphers)
    security.ciphers = first + tuple(c for c in security.ciphers if c not in first)
    return line


def _feed(
    channel: paramiko.Channel, source: BinaryIO, until: float, sent: Callable[[int], None]
) -> None:
    while piece := source.read(_PIECE):
        channel.settimeout(max(0.1, until - time.monotonic()))
        try:
            channel.sendall(piece)
        except TimeoutError:
            raise
        except OSError:
            if (line := channel.get_transport()) is not None and line.is_active():
                return  # the command has read enough; its exit status says what it thought of it
            raise
        sent(len(piece))


class _Drain(threading.Thread):
    """Reads one output while the other one and the input go on: a full window stops all three."""

    def __init__(self, read: Callable[[int], bytes], until: float) -> None:
        super().__init__(daemon=True)
        self._read, self._until = read, until
        self._pieces: list[bytes] = []
        self.start()

    def run(self) -> None:
        """Read up to the end of the output, of the channel, or of the time."""
        while time.monotonic() < self._until:
            try:
                piece = self._read(_PIECE)
            except TimeoutError:
                continue
            if not piece:
                return
            self._pieces.append(piece)

    def all(self) -> bytes:
        """Everything there was.

        Raises:
            TimeoutError: the command did not come to an end.
        """
        self.join(max(0.0, self._until - time.monotonic()))
        if self.is_alive() or time.monotonic() >= self._until:
            raise TimeoutError
        return b"".join(self._pieces)


def _unreachable(address: Address, error: BaseException) -> DeviceUnreachable:
    device, where = address.device, f"{address.host}:{address.port}"
    match error:
        case BadHostKeyException():
            return HostKeyChanged(
                device,
                f"{where} shows another host key than the pinned one",
                hint=f"if the device was installed anew: fleet enroll {device} --replace",
            )
        case _Unpinned():
            return HostKeyUnknown(
                device, f"{where}: {error}", hint=f"compare it and pin it: fleet enroll {device}"
            )
        case AuthenticationException():
            who = f"{address.user}@{where}"
            return LoginRefused(
                device,
                f"{who} refused the login ({error})",
                hint="put the public key into the device's ~/.ssh/authorized_keys, "
                "or name another identity_file in the inventory",
            )
        case NoValidConnectionsError():
            return DeviceUnreachable(device, f"nothing answers at {where}")
        case TimeoutError():
            return DeviceUnreachable(device, f"{where} did not answer in time")
        case FileNotFoundError():
            return LoginRefused(
                device,
                f"no private key at {error.filename}",
                hint="name the right identity_file in the inventory",
            )
    words = str(error) or type(error).__name__
    if isinstance(error, ValueError) or "private key" in words:
        return LoginRefused(
            device,
            f"{address.identity} cannot be used as a private key ({words})",
            hint="name the right identity_file in the inventory",
        )
    if "banner" in words or words == "No existing session":
        words = "took the connection and did not answer as an SSH server: frozen, or another one"
        return DeviceUnreachable(device, f"{where} {words}")
    return DeviceUnreachable(device, f"{where}: {words}")


def shown_host_key(address: Address, *, timeout_s: float = _CONNECT_S) -> tuple[str, str]:
    """The key type and base64 body a device shows; nothing is trusted and nobody logs in.

    Raises:
        DeviceUnreachable: nothing answers, or it is no SSH server.
    """
    try:
        with socket.create_connection((address.host, address.port), timeout_s) as sock:
            line = paramiko.Transport(sock)
            try:
                line.start_client(timeout=timeout_s)
                key = line.get_remote_server_key()
                return key.get_name(), key.get_base64()
            finally:
                line.close()
    except (SSHException, OSError, EOFError) as error:
        raise _unreachable(address, error) from error
