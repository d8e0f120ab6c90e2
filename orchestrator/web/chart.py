"""Scatter and bar charts as SVG text: no script, no font, no colour that only colour can tell."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 640, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 150, 16, 48


@dataclass(frozen=True, slots=True)
class Dot:
    """One point: `low` and `high` bound its y value where an interval is known; `area` scales it."""

    label: str
    x: float
    y: float
    low: float | None = None
    high: float | None = None
    area: float = 1.0
    strong: bool = True


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
        """The pixel of a value."""
        low, high, value = (self._scaled(v) for v in (self.low, self.high, value))
        return self.start + (value - low) / ((high - low) or 1.0) * self.length

    def ticks(self) -> tuple[float, ...]:
        """Round values inside the range, about five."""
        if self.log:
            first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            steps = [m * 10.0**e for e in range(first, last + 1) for m in (1, 2, 5)]
        else:
            step = _round_step((self.high - self.low) / 5)
            count = math.floor(self.high / step) - math.ceil(self.low / step) + 1
            steps = [(math.ceil(self.low / step) + i) * step for i in range(count)]
        return tuple(v for v in steps if self.low <= v <= self.high)

    def _scaled(self, value: float) -> float:
        return math.log10(max(value, 1e-12)) if self.log else value


def scatter(dots: Sequence[Dot], x: str, y: str, line: Sequence[str] = ()) -> str:
    """Dots with names, intervals as whiskers, `line` joining those on the front in x order."""
    across = _axis(x, [dot.x for dot in dots], _LEFT, WIDTH - _LEFT - _RIGHT, log=True)
    values = [v for dot in dots for v in (dot.y, dot.low, dot.high) if v is not None]
    up = _axis(y, values, HEIGHT - _BOTTOM, -(HEIGHT - _TOP - _BOTTOM), log=False)
    joined = sorted((dot for dot in dots if dot.label in line), key=lambda dot: dot.x)
    parts = [_frame(across, up)]
    if len(joined) > 1:
        points = " ".join(f"{across.at(d.x):.1f},{up.at(d.y):.1f}" for d in joined)
        parts.append(f'<polyline class="front" points="{points}"/>')
    parts += [_dot(dot, across, up) for dot in dots]
    parts += _labels(dots, across, up)
    return _svg(HEIGHT, parts, f"{y} against {x}")


def bars(rows: Sequence[tuple[str, float]], unit: str) -> str:
    """Horizontal bars from zero, longest value to the full width."""
    most = max((value for _, value in rows), default=1.0) or 1.0
    parts = []
    for index, (label, value) in enumerate(rows):
        top = 8 + index * 24
        length = 340 * value / most
        parts.append(f'<text x="196" y="{top + 13}" text-anchor="end">{escape(label)}</text>')
        parts.append(f'<rect class="bar" x="204" y="{top}" width="{length:.1f}" height="16"/>')
        parts.append(f'<text x="{210 + length:.1f}" y="{top + 13}">{value:,.4g} {unit}</text>')
    return _svg(16 + 24 * len(rows), parts, f"bars in {unit}")


def _dot(dot: Dot, across: Axis, up: Axis) -> str:
    x, y = across.at(dot.x), up.at(dot.y)
    radius = 3 + 5 * math.sqrt(max(0.0, min(1.0, dot.area)))
    kind = "dot" if dot.strong else "dot weak"
    whisker = ""
    if dot.low is not None and dot.high is not None:
        whisker = f'<path class="whisker" d="M{x:.1f} {up.at(dot.low):.1f}V{up.at(dot.high):.1f}"/>'
    return f'{whisker}<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}"/>'


def _labels(dots: Sequence[Dot], across: Axis, up: Axis) -> list[str]:
    """A name beside each dot, moved up until it covers no other."""
    taken: list[tuple[float, float, float]] = []
    parts = []
    for dot in sorted(dots, key=lambda d: (up.at(d.y), across.at(d.x))):
        x, y = across.at(dot.x) + 6, up.at(dot.y) - 8
        end = x + 6.8 * len(dot.label)
        while any(abs(y - other) < 13 and x < last and first < end for other, first, last in taken):
            y -= 13
        taken.append((y, x, end))
        parts.append(f'<text x="{x:.1f}" y="{y:.1f}">{escape(dot.label)}</text>')
    return parts


def _frame(across: Axis, up: Axis) -> str:
    bottom, right = HEIGHT - _BOTTOM, WIDTH - _RIGHT
    parts = [f'<path class="axis" d="M{_LEFT} {_TOP}V{bottom}H{right}"/>']
    for value in across.ticks():
        x = across.at(value)
        parts.append(f'<path class="tick" d="M{x:.1f} {bottom}v5"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{value:g}</text>')
    for value in up.ticks():
        y = up.at(value)
        parts.append(f'<path class="tick" d="M{_LEFT} {y:.1f}h-5"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:.4g}</text>')
    middle = (_LEFT + right) / 2
    parts.append(
        f'<text x="{middle}" y="{HEIGHT - 10}" text-anchor="middle">{escape(across.title)}</text>'
    )
    parts.append(
        f'<text transform="translate(14 {(bottom + _TOP) / 2}) rotate(-90)" '
        f'text-anchor="middle">{escape(up.title)}</text>'
    )
    return "".join(parts)


def _axis(title: str, values: Sequence[float], start: float, length: float, *, log: bool) -> Axis:
    low, high = min(values, default=0.0), max(values, default=1.0)
    if log and low > 0:
        return Axis(title, low / 1.4, high * 1.4, start, length, log=True)
    room = (high - low) * 0.15 or abs(high) * 0.05 or 1.0
    return Axis(title, low - room, high + room, start, length)


def _round_step(rough: float) -> float:
    scale = 10.0 ** math.floor(math.log10(rough))
    return next((m * scale for m in (1, 2, 5, 10) if m * scale >= rough), 10 * scale)


def _svg(height: int, parts: Sequence[str], title: str) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" xmlns="http://www.w3.org/2000/svg">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>"
    )
