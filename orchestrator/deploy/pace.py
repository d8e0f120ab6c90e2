"""Not faster than allowed: token buckets for one device and for all of them together."""

import re
import threading
import time
from collections.abc import Iterable

from orchestrator.errors import FleetError
from orchestrator.transport.transport import Buffer, Source

_LIMIT = re.compile(r"^(?P<count>\d+(?:\.\d+)?)(?P<unit>[kmgt]?)(?P<decimal>i?b)?$", re.IGNORECASE)
_SAVED_S = 0.1
_PIECE_S = 0.05
_SMALLEST, _LARGEST = 1 << 9, 1 << 16


class BadLimit(FleetError):
    """A bandwidth that cannot be read."""

    path = ("INPUT", "BWLIMIT")


def read_limit(text: str) -> float | None:
    """``500k``, ``1.5m``, ``2MB`` … → bytes per second, as rsync reads its ``--bwlimit``.

    A plain number counts KiB, letters are powers of 1024, with a B behind them of 1000; 0 means
    no limit, which is None here.

    Raises:
        BadLimit: it is none of these.
    """
    found = _LIMIT.match(text.strip())
    if found is None:
        raise BadLimit(
            f"{text!r} is no bandwidth: should be a number of KiB per second, or such as 500k or 2m",
            hint="for example: --bwlimit 500k",
        )
    unit, suffix = found["unit"].lower(), (found["decimal"] or "").lower()
    base = 1000 if suffix == "b" and unit else 1024
    power = 0 if suffix and not unit else "_kmgt".index(unit or "k")
    return float(found["count"]) * base**power or None


class Bucket:
    """Tokens, one a byte, that trickle in at a constant rate; shared by any number of threads."""

    def __init__(self, bytes_per_s: float) -> None:
        self.bytes_per_s = bytes_per_s
        self._lock = threading.Lock()
        self._full_at = time.monotonic()

    def take(self, count: int) -> None:
        """Wait until `count` bytes may go. Those who ask first go first."""
        with self._lock:
            now = time.monotonic()
            self._full_at = max(self._full_at, now - _SAVED_S) + count / self.bytes_per_s
            pause = self._full_at - now
        if pause > 0:
            time.sleep(pause)


class Pace:
    """How fast a run may be: each device, and all of them together; None where nothing limits."""

    def __init__(self, device: float | None = None, fleet: float | None = None) -> None:
        self._device = device
        self._fleet = Bucket(fleet) if fleet else None

    def of_a_device(self) -> tuple[Bucket, ...]:
        """The buckets of one device: its own, and the one it shares."""
        own = (Bucket(self._device),) if self._device else ()
        return own + ((self._fleet,) if self._fleet else ())


class Paced:
    """A `Source` that gives no more than its buckets allow, in small pieces and evenly."""

    def __init__(self, source: Source, buckets: Iterable[Bucket]) -> None:
        self._source, self._buckets = source, tuple(buckets)
        slowest = min((bucket.bytes_per_s for bucket in self._buckets), default=0.0)
        self._piece = max(_SMALLEST, min(_LARGEST, int(slowest * _PIECE_S)))

    def read(self, size: int, /) -> Buffer:
        """The next piece, when it is its turn."""
        if not self._buckets:
            return self._source.read(size)
        piece = self._source.read(min(size, self._piece))
        for bucket in self._buckets:
            bucket.take(len(piece))
        return piece
