"""How fast bytes may go into a command: never more in flight than its device digests well."""

import time
from collections.abc import Callable
from threading import Condition, Lock
from typing import Protocol

from orchestrator.transport.transport import Buffer, Source

IN_FLIGHT = 1 << 18
"""Bytes that may lie unconsumed at the other end. More pile up in the device's SSH server, whose
buffers grow and are copied again and again; with less than 128 KiB OpenSSH never says that it has
consumed them, and everything stands still."""

_PIECE = 1 << 15
_PATIENCE_S = 1.0
_GLANCE_S = 0.1


class Channel(Protocol):
    """What is used of an SSH channel: its window, and who is told when it changes."""

    lock: Lock
    out_buffer_cv: Condition
    out_window_size: int
    out_max_packet_size: int
    closed: bool
    eof_sent: bool


def has_window(channel: object) -> bool:
    """Whether a channel shows its window under the names that are known here."""
    return all(hasattr(channel, name) for name in Channel.__annotations__)


def feed(
    channel: Channel,
    source: Source,
    put: Callable[[Buffer], None],
    until: float,
    *,
    sent: Callable[[int], None],
    drain: Callable[[], None],
) -> None:
    """Give everything of `source` to a command, or as much as it wants to read.

    Args:
        put: writes bytes for which there is room.
        until: a time on the monotonic clock.
        sent: hears of every piece that was put.
        drain: takes what the command has said meanwhile, so that it does not wait for us.

    Raises:
        TimeoutError: it was not done in time.
    """
    if not has_window(channel):
        while piece := source.read(_PIECE):
            put(piece)
            sent(len(piece))
        return
    room = _Room(channel, until, drain)
    while piece := source.read(IN_FLIGHT):
        left = memoryview(piece)
        while left:
            count = room.wait_for(len(left))
            if not count:
                return
            put(left[:count])
            left = left[count:]
            sent(count)


class _Room:
    """Room in a channel's window above a floor that keeps `IN_FLIGHT` bytes of it at most in use."""

    def __init__(self, channel: Channel, until: float, drain: Callable[[], None]) -> None:
        self._channel, self._until, self._drain = channel, until, drain
        self._step = channel.out_max_packet_size - 64  # Paramiko leaves so much for the envelope
        self._floor: int | None = None

    def wait_for(self, wanted: int) -> int:
        """How many of `wanted` bytes may go now, in whole packets; 0 if nobody reads any more."""
        moved = time.monotonic()
        last = self._channel.out_window_size
        while True:
            with self._channel.lock:
                if self._channel.closed or self._channel.eof_sent:
                    return 0
                if free := self._free(wanted):
                    return free
                self._channel.out_buffer_cv.wait(_GLANCE_S)
                now, window = time.monotonic(), self._channel.out_window_size
            if window != last:
                moved, last = now, window
            elif self._floor and now - moved > _PATIENCE_S:  # rather too much than never
                self._floor, moved = max(0, self._floor - IN_FLIGHT), now
            if now > self._until:
                raise TimeoutError
            self._drain()

    def _free(self, wanted: int) -> int:
        window = self._channel.out_window_size
        if (
            self._floor is None and window
        ):  # OpenSSH opens a session without any, and then grants all
            self._floor = max(0, window - IN_FLIGHT)
        free = max(0, min(window - (self._floor or 0), wanted))
        if free == wanted or window < self._step:  # some servers' windows hold no whole packet
            return free
        return free - free % self._step
