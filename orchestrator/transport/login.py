"""Getting in by Fabric and Paramiko: pinned host keys and keys read once, and errors that say what to do."""

import errno
import logging
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import paramiko
from fabric import Config, Connection
from paramiko.hostkeys import HostKeyEntry, InvalidHostKey
from paramiko.ssh_exception import (
    AuthenticationException,
    BadHostKeyException,
    ChannelException,
    SSHException,
)

from orchestrator.transport import burst
from orchestrator.transport.pins import Pins
from orchestrator.transport.transport import (
    DeviceUnreachable,
    HostKeyChanged,
    HostKeyUnknown,
    LoginRefused,
)

# What goes wrong comes back as an error; Paramiko's own words would stand between the screen's lines.
logging.getLogger("paramiko").addHandler(logging.NullHandler())

CONNECT_S = 15.0
_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")
"""Sealed in hardware on both ends nearly everywhere; moved to the front, nothing is removed."""
_PINS = Pins()
_MINE = threading.local()


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


def opened(
    address: Address, sock: Any, connect_s: float, *, bursts: bool = True
) -> paramiko.Transport:
    """A line over a socket or a tunnel: the device is the pinned one, and we are logged in.

    Raises:
        SSHException, OSError, EOFError, ValueError, TypeError: see `unreachable`.
    """
    client = None
    try:
        connection = _connection(address, sock, connect_s, _in_bursts if bursts else _plain)
        client = connection.client
        connection.open()
        line: paramiko.Transport | None = client.get_transport()
        if line is None:
            raise SSHException("no transport after the handshake")
        line.set_keepalive(15)
        return line
    except BaseException:
        sock.close()
        if client is not None:
            client.close()
        raise


def socket_to(address: Address, connect_s: float) -> socket.socket:
    """A connection to where a device listens; small packets are not held back."""
    sock = socket.create_connection((address.host, address.port), connect_s)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def _connection(
    address: Address, sock: Any, connect_s: float, line: Callable[..., paramiko.Transport]
) -> Connection:
    connection = _fabric(address, sock, connect_s, line)
    client = connection.client
    client.set_missing_host_key_policy(_Refuse())
    _vouch(client.get_host_keys(), address)
    return connection


def _config() -> Config:
    """Fabric's configuration without anybody's files.

    One for each thread: whoever makes a connection merges it anew, and others must not read it then.
    """
    if not hasattr(_MINE, "config"):
        _MINE.config = Config(overrides={"load_ssh_configs": False}, lazy=True)
    config: Config = _MINE.config
    return config


def _fabric(
    address: Address, sock: Any, connect_s: float, line: Callable[..., paramiko.Transport]
) -> Connection:
    return Connection(
        host=address.host,
        user=address.user,
        port=address.port,
        config=_config(),
        connect_timeout=int(connect_s) or 1,
        connect_kwargs={
            "sock": sock,
            "pkey": _key(address.identity) if address.identity else None,
            "look_for_keys": False,
            "allow_agent": address.identity is None,
            "banner_timeout": connect_s,
            "auth_timeout": connect_s,
            "transport_factory": line,
        },
    )


def _vouch(keys: paramiko.HostKeys, address: Address) -> None:
    """Give a client the pinned keys of the device it is to meet, and of no other."""
    for file in address.known_hosts:
        for line in _PINS.lines(file, address.host_key_name):
            with suppress(InvalidHostKey, SSHException, ValueError):  # it vouches for nobody
                entry = HostKeyEntry.from_line(line)
                if entry is not None:
                    for name in entry.hostnames:
                        keys.add(name, entry.key.get_name(), entry.key)


def _key(file: Path) -> paramiko.PKey:
    found = file.stat()
    return _read_key(file, (found.st_ino, found.st_mtime_ns))


@lru_cache(maxsize=64)
def _read_key(file: Path, _state: tuple[int, int]) -> paramiko.PKey:
    return paramiko.PKey.from_path(file)


def _in_bursts(sock: Any, **options: Any) -> paramiko.Transport:
    return _plain(sock, packetizer_class=burst.packetizer(), **options)


def _plain(sock: Any, **options: Any) -> paramiko.Transport:
    line = paramiko.Transport(sock, **options)
    security = line.get_security_options()
    first = tuple(cipher for cipher in _CIPHERS if cipher in security.ciphers)
    security.ciphers = first + tuple(c for c in security.ciphers if c not in first)
    return line


def unreachable(address: Address, error: BaseException) -> DeviceUnreachable:
    """What a failure of the line or of the login means, and what to do about it."""
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
        case ConnectionRefusedError() | OSError(errno=errno.EHOSTUNREACH | errno.ENETUNREACH):
            return DeviceUnreachable(device, f"nothing answers at {where}", absent=True)
        case ChannelException():
            words = f"the gateway cannot reach {where} ({error.text.lower()})"
            return DeviceUnreachable(device, words, absent=True)
        case TimeoutError():
            return DeviceUnreachable(device, f"{where} did not answer in time", absent=True)
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


def shown_host_key(address: Address, *, timeout_s: float = CONNECT_S) -> tuple[str, str]:
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
        raise unreachable(address, error) from error
