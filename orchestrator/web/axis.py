"""Values → pixels: the range of an axis, its round numbers, and what lies beyond it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Axis:
    """A range of values along `length` pixels from `start`; logarithmic where ratios matter."""

    title: str
    low: float
    high: float
    start: float
    length: float
    log: bool = False

    def at(self, value: float) -> float:
        """The pixel of a value; one beyond the range is put on its edge."""
        low, high, inside = (
            self._scaled(each) for each in (self.low, self.high, self.clamped(value))
        )
        return self.start + (inside - low) / ((high - low) or 1.0) * self.length

    def clamped(self, value: float) -> float:
        """The nearest value inside the range."""
        return min(max(value, self.low), self.high)

    def ticks(self) -> tuple[float, ...]:
        """Round values inside the range, about five."""
        if self.log:
            first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            within = (1, 2, 5) if self.high / self.low > 15 else (1, 1.5, 2, 3, 5, 7)
            steps = [m * 10.0**e for e in range(first, last + 1) for m in within]
        else:
            step = _round_step((self.high - self.low) / 5)
            count = math.floor(self.high / step) - math.ceil(self.low / step) + 1
            steps = [(math.ceil(self.low / step) + i) * step for i in range(count)]
        return tuple(v for v in steps if self.low <= v <= self.high)

    def _scaled(self, value: float) -> float:
        return math.log10(max(value, 1e-12)) if self.log else value


def axis(title: str, values: Sequence[float], start: float, length: float, *, log: bool) -> Axis:
    """An axis with room around some values."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    if log and low > 0:
        return Axis(title, low / 1.5, high * 1.5, start, length, log=True)
    room = (high - low) * 0.12 or abs(high) * 0.05 or 1.0
    return Axis(title, low - room, high + room, start, length)


def _round_step(rough: float) -> float:
    scale = 10.0 ** math.floor(math.log10(rough))
    return next((m * scale for m in (1, 2, 5, 10) if m * scale >= rough), 10 * scale)
