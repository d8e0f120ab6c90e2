"""Bad links: a TCP relay on loopback that stands before a device and does to bytes what lines do.

It works on the byte stream, not on packets. What packet loss does to a stream is emulated as what
TCP makes of it: a lost segment arrives later, after a retransmission time-out, and everything
behind it waits. A flipped byte is one that TCP's checksum did not catch.
"""

import random
import selectors
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum

_SEGMENT = 1448
_HELD_BYTES = 1 << 17
_RTO_S = 0.2
_TURNED_AWAY = b"Not allowed at this time\r\n"
"""What OpenSSH 9.8 and later says to an address it punishes for failed logins, before it closes."""


class Weather(StrEnum):
    """What a link can be like."""

    CLEAR = "clear"
    STALL = "stall"
    SLOW = "slow"
    LOSSY = "lossy"
    FLAP = "flap"
    BLACK_HOLE = "black-hole"
    FIN = "fin"
    RST = "rst"
    FLIP = "flip"
    TURNED_AWAY = "turned-away"


@dataclass(frozen=True, slots=True)
class Link:
    """One sort of weather, and from which byte on (of those sent to the device) it rages.

    Attributes:
        bits_per_s: in each direction, when slow.
        loss: share of segments that arrive late, when lossy.
        up_s: how long it works, when flapping; and `down_s` how long it does not.
    """

    weather: Weather = Weather.CLEAR
    after_bytes: int = 0
    bits_per_s: int = 50_000
    loss: float = 0.3
    up_s: float = 2.0
    down_s: float = 1.0
    seed: int = 0


@dataclass(slots=True, eq=False)
class _Half:
    """One direction of one connection: what was read, and when it may be written."""

    source: socket.socket
    sink: socket.socket
    to_device: bool
    queue: deque[tuple[float, bytes]] = field(default_factory=deque)
    held: int = 0
    passed: int = 0
    free_at: float = 0.0
    ended: bool = False


class Relay:
    """Relays for some devices in one thread; their links can be changed at any time.

    `sent` tells how many bytes the newest connection has carried to a device; `struck` names the
    devices whose link has done its worst.
    """

    def __init__(
        self, routes: Mapping[str, tuple[tuple[str, int] | socket.socket, tuple[str, int]]]
    ) -> None:
        """`routes`: device → (where to listen, or what listens, where the device listens)."""
        self.links = dict.fromkeys(routes, Link())
        self.sent = dict.fromkeys(routes, 0)
        self.struck: set[str] = set()
        self._targets = {name: target for name, (_, target) in routes.items()}
        self._selector = selectors.DefaultSelector()
        self._halves: dict[socket.socket, tuple[str, _Half]] = {}
        self._dice = random.Random(0)
        self._over = False
        for name, (where, _) in routes.items():
            listener = (
                where
                if isinstance(where, socket.socket)
                else socket.create_server(where, backlog=64)
            )
            listener.setblocking(False)
            self._selector.register(listener, selectors.EVENT_READ, name)

    def set(self, device: str, link: Link) -> None:
        """Change a device's link; counting begins anew."""
        self._dice = random.Random(link.seed)
        self.struck.discard(device)
        self.sent[device] = 0
        self.links[device] = link

    def start(self) -> "Relay":
        """Run in a thread of its own until `stop`."""
        self._thread = threading.Thread(target=self.run, daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """End the thread and every connection."""
        self._over = True
        self._thread.join()

    def run(self, over: Callable[[], bool] = lambda: False) -> None:
        """Carry bytes until told to stop."""
        while not (self._over or over()):
            for key, _ in self._selector.select(self._patience()):
                assert isinstance(key.fileobj, socket.socket)
                if key.fileobj in self._halves:
                    self._read(*self._halves[key.fileobj])
                elif key.data:
                    self._accept(key.data, key.fileobj)
            self._write_due()
        for key in tuple(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        for line in tuple(self._halves):
            line.close()
        self._selector.close()

    def _patience(self) -> float:
        due = [half.queue[0][0] for _, half in self._halves.values() if half.queue]
        return min(0.05, max(0.0, min(due) - time.monotonic())) if due else 0.05

    def _accept(self, name: str, listener: socket.socket) -> None:
        near, _ = listener.accept()
        link = self.links[name]
        if link.weather is Weather.TURNED_AWAY:
            self.struck.add(name)
            with near, suppress(OSError):
                near.sendall(_TURNED_AWAY)
                near.shutdown(socket.SHUT_WR)
                near.settimeout(0.2)
                near.recv(4096)
            return
        try:
            far = socket.create_connection(self._targets[name], timeout=2.0)
        except OSError:
            _reset(near)  # nobody listens there: as if nobody listened here
            return
        self.sent[name] = 0
        for source, sink, to_device in ((near, far, True), (far, near, False)):
            source.setblocking(False)
            source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._halves[source] = (name, _Half(source, sink, to_device))
            self._selector.register(source, selectors.EVENT_READ)

    def _read(self, name: str, half: _Half) -> None:
        if half.held > _HELD_BYTES:
            time.sleep(0.001)  # the far side is slower: let it catch up
            return
        try:
            data = half.source.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            half.ended = True
            self._selector.unregister(half.source)
            return
        for start in range(0, len(data), _SEGMENT):
            self._queue(name, half, data[start : start + _SEGMENT])

    def _queue(self, name: str, half: _Half, piece: bytes) -> None:
        """When a piece may go on: now, later, or never."""
        link, now = self.links[name], time.monotonic()
        at = max(now, half.free_at)
        if link.weather is Weather.SLOW:
            at += len(piece) * 8 / link.bits_per_s
        elif link.weather is Weather.LOSSY:
            timeout = _RTO_S
            while self._dice.random() < link.loss:
                at += timeout
                timeout *= 2
        elif link.weather is Weather.FLAP:
            within = at % (link.up_s + link.down_s)
            if within > link.up_s:
                at += link.up_s + link.down_s - within
        half.free_at = at
        half.held += len(piece)
        half.queue.append((at, piece))

    def _write_due(self) -> None:
        now = time.monotonic()
        for name, half in tuple(self._halves.values()):
            while half.queue and half.queue[0][0] <= now and half.source in self._halves:
                if not self._pass(name, half):
                    break
            if half.ended and not half.queue and half.source in self._halves:
                self._close(half, socket.socket.close)

    def _pass(self, name: str, half: _Half) -> bool:
        """Write one piece as far as the link lets it; whether there may be more."""
        piece = self._struck(name, half)
        if not piece:
            return False
        try:
            count = half.sink.send(piece)
        except BlockingIOError:
            half.queue[0] = (time.monotonic() + 0.005, half.queue[0][1])
            return False
        except OSError:
            self._close(half, socket.socket.close)
            return False
        half.held -= count
        if half.to_device:
            self.sent[name] += count
        at, whole = half.queue.popleft()
        if count < len(whole):
            rest = piece[count:] if len(piece) == len(whole) else whole[count:]
            half.queue.appendleft((at, rest))
        return True

    def _struck(self, name: str, half: _Half) -> bytes:
        """What of the next piece may be written now; nothing if the link strikes before it."""
        link = self.links[name]
        piece = half.queue[0][1]
        left = max(0, link.after_bytes - self.sent[name]) if half.to_device else len(piece)
        match link.weather:
            case Weather.STALL | Weather.BLACK_HOLE:
                if name in self.struck or left == 0:
                    self.struck.add(name)
                    half.queue[0] = (time.monotonic() + 0.05, piece)
                    return b""
                return piece[:left]
            case Weather.FIN | Weather.RST if name not in self.struck:
                if left == 0:
                    self.struck.add(name)
                    ended = _reset if link.weather is Weather.RST else socket.socket.close
                    self._close(half, ended)
                return piece[:left]
            case Weather.FLIP if name not in self.struck and left < len(piece) and half.to_device:
                self.struck.add(name)
                return piece[:left] + bytes([piece[left] ^ 1]) + piece[left + 1 :]
        return piece

    def _close(self, half: _Half, end: Callable[[socket.socket], None]) -> None:
        """End a connection, both ways."""
        for one in (half.source, half.sink):
            self._halves.pop(one, None)
            with suppress(KeyError, ValueError):
                self._selector.unregister(one)
            end(one)


def _reset(line: socket.socket) -> None:
    """Close with RST instead of FIN."""
    with suppress(OSError):
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    line.close()
