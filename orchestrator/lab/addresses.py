"""Loopback addresses of a lab: taking a free block, and waiting for the servers in it."""

import errno
import os
import selectors
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from orchestrator.lab.adbd import hello
from orchestrator.lab.errors import AddressesTaken, BootFailed, LabError
from orchestrator.lab.spec import PORT

PER_NET = 250
MOST = 10 * PER_NET
"""How many devices one block of ten /24 networks holds."""

_NETS = range(2, 255, 10)
_LOCK_HOST = 254
_RETRY_S = 0.01


@dataclass(frozen=True, slots=True)
class Block:
    """The networks 127.0.`net`.x to 127.0.`net` + 9.x, taken for as long as `lock` stays bound."""

    net: int
    lock: socket.socket

    def address(self, index: int) -> str:
        """The address of the device number `index`, from 0."""
        return f"127.0.{self.net + index // PER_NET}.{index % PER_NET + 1}"


def take_block(count: int) -> Block:
    """The first block in which `count` devices can listen.

    Labs keep out of each other's way by one bound address per block; the supervisor inherits it.

    Raises:
        AddressesTaken: there is no such block, with what stood in the way.
    """
    reason = ""
    for net in _NETS:
        try:
            lock = _bound(f"127.0.{net}.{_LOCK_HOST}", shared=False)
        except OSError as error:
            reason = f"127.0.{net}.{_LOCK_HOST}:{PORT}: {error.strerror}"
            continue
        block = Block(net, lock)
        try:
            for index in range(count):
                _bound(block.address(index), shared=True).close()
        except OSError as error:
            reason = f"{block.address(index)}:{PORT}: {error.strerror}"
            lock.close()
            continue
        return block
    raise AddressesTaken(
        f"no free loopback addresses for {count} devices (last tried {reason})",
        hint=f"see who listens: ss -ltnp 'sport = {PORT}'; or stop other labs: fleet lab down",
    )


def detour(address: str) -> str:
    """Where the relay of a device on a bad line listens: 127.0.2.7 → 127.1.2.7."""
    first, _, *rest = address.split(".")
    return ".".join((first, "1", *rest))


def await_banners(
    places: Iterable[tuple[str, tuple[str, int], str]],
    on_ready: Callable[[str], None],
    *,
    timeout_s: float,
    given_up: Callable[[], str] = str,
) -> None:
    """Wait until every (name, address, server) greets as such servers do, all at the same time.

    Args:
        on_ready: called with a name as soon as its server answers.
        given_up: says why waiting is in vain, or nothing.

    Raises:
        BootFailed: somebody did not answer within `timeout_s`, or `given_up` said so.
    """
    end = time.monotonic() + timeout_s
    all_ = {name: (address, server) for name, address, server in places}
    retry = dict.fromkeys(all_, 0.0)
    waiting: set[str] = set()
    with selectors.DefaultSelector() as selector:
        try:
            while retry or waiting:
                now = time.monotonic()
                if now > end or (reason := given_up()):
                    silent = ", ".join(sorted([*retry, *waiting]))
                    why = f"within {timeout_s:.0f} s" if now > end else f"({reason})"
                    raise BootFailed(f"no greeting from {silent} {why}", hint="see .fleet/lab/logs")
                for name, at in tuple(retry.items()):
                    if at <= now:
                        del retry[name]
                        waiting.add(name)
                        _call(selector, name, all_[name][0])
                for key, _ in selector.select(_RETRY_S):
                    name = key.data
                    answered = _greeted(selector, key.fileobj, all_[name][1])
                    if answered is None:
                        continue
                    waiting.discard(name)
                    if answered:
                        on_ready(name)
                    else:
                        retry[name] = now + _RETRY_S
        finally:
            for key in tuple(selector.get_map().values()):
                _socket(key.fileobj).close()


def _call(selector: selectors.BaseSelector, name: str, address: tuple[str, int]) -> None:
    line = socket.socket()
    line.setblocking(False)
    line.connect_ex(address)
    selector.register(line, selectors.EVENT_WRITE, name)


def _greeted(selector: selectors.BaseSelector, handle: object, server: str) -> bool | None:
    """True: such a server greeted. False: the line ended. None: connected, wait on."""
    line = _socket(handle)
    key = selector.get_key(line)
    if key.events == selectors.EVENT_WRITE and not line.getsockopt(
        socket.SOL_SOCKET, socket.SO_ERROR
    ):
        if server == "adbd":
            line.send(hello())  # it says nothing by itself
        selector.modify(line, selectors.EVENT_READ, key.data)
        return None
    selector.unregister(line)
    with line:
        if key.events == selectors.EVENT_WRITE:
            return False
        try:
            return line.recv(64).startswith(b"CNXN" if server == "adbd" else b"SSH-")
        except OSError as error:
            if error.errno in (errno.ECONNRESET, errno.ECONNREFUSED):
                return False
            raise LabError(
                f"loopback connection failed: {os.strerror(error.errno or 0)}"
            ) from error


def _socket(handle: object) -> socket.socket:
    assert isinstance(handle, socket.socket)
    return handle


def _bound(address: str, *, shared: bool) -> socket.socket:
    """A socket bound to an address; `shared` ignores connections that are still closing."""
    taken = socket.socket()
    try:
        if shared:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind((address, PORT))
    except OSError:
        taken.close()
        raise
    return taken
