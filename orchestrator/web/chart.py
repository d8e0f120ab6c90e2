"""Scatter charts as SVG text: no script, no font, nothing that only a colour can tell."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from orchestrator.web.axis import Axis, axis
from orchestrator.web.svg import WIDTH, picture, text

HEIGHT = 380
_LEFT, _RIGHT, _TOP, _BOTTOM = 72, 28, 20, 48
_LETTER, _LINE = 6.7, 14


class Mark(StrEnum):
    """What stands for a variant: a full dot, an empty one, or a cross."""

    FRONT = "front"
    USABLE = "usable"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Dot:
    """One point with its name; `low` to `high` and `x` to `until` are whiskers.

    `area`, from 0 to 1, scales the dot.
    """

    label: str
    x: float
    y: float
    low: float | None = None
    high: float | None = None
    until: float | None = None
    area: float = 0.2
    mark: Mark = Mark.USABLE

    @property
    def radius(self) -> float:
        """Pixels."""
        return 3.5 + 6 * math.sqrt(max(0.0, min(1.0, self.area)))


@dataclass(frozen=True, slots=True)
class Box:
    """A part of the picture that is taken."""

    left: float
    top: float
    right: float
    bottom: float

    def overlap(self, other: "Box") -> float:
        """Square pixels that both take."""
        across = min(self.right, other.right) - max(self.left, other.left)
        down = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(across, 0.0) * max(down, 0.0)


def scatter(dots: Sequence[Dot], x: str, y: str, *, alone: bool = False) -> str:
    """Dots with names and whiskers; those on the front are joined in the order of x.

    The range of y is that of the variants that may be used: what is refused and lies beyond it is
    drawn on the edge, with its value.
    """
    across = axis(
        x, [v for d in dots for v in (d.x, d.until or d.x)], _LEFT, WIDTH - _LEFT - _RIGHT, log=True
    )
    bottom = HEIGHT - _BOTTOM
    up = axis(y, _shown(dots), bottom, -(bottom - _TOP), log=False)
    front = sorted((dot for dot in dots if dot.mark is Mark.FRONT), key=lambda dot: dot.x)
    parts = [_frame(across, up)]
    if len(front) > 1:
        points = " ".join(f"{across.at(d.x):.1f},{up.at(d.y):.1f}" for d in front)
        parts.append(f'<polyline class="joined" points="{points}"/>')
    parts += [_whiskers(dot, across, up) + _point(dot, across, up) for dot in dots]
    parts += _labels(dots, across, up)
    said = "; ".join(f"{d.label}: {d.x:.4g}, {d.y:.4g} ({d.mark.value})" for d in dots)
    return picture(HEIGHT, parts, f"{y} against {x}", said, alone=alone)


def _shown(dots: Sequence[Dot]) -> list[float]:
    """The values that the axis has to hold."""
    usable = [dot for dot in dots if dot.mark is not Mark.REFUSED] or list(dots)
    values = [v for dot in usable for v in _spread(dot)]
    low, high = min(values, default=0.0), max(values, default=1.0)
    room = 2 * (high - low) or float("inf")
    near = [dot for dot in dots if low - room <= dot.y <= high + room]
    return values + [v for dot in near for v in _spread(dot)]


def _spread(dot: Dot) -> list[float]:
    return [value for value in (dot.y, dot.low, dot.high) if value is not None]


def _whiskers(dot: Dot, across: Axis, up: Axis) -> str:
    x, y = across.at(dot.x), up.at(dot.y)
    path = ""
    if dot.low is not None and dot.high is not None and up.clamped(dot.y) == dot.y:
        low, high = up.at(dot.low), up.at(dot.high)
        path += f"M{x:.1f} {low:.1f}V{high:.1f}M{x - 4:.1f} {low:.1f}h8M{x - 4:.1f} {high:.1f}h8"
    if dot.until is not None:
        end = across.at(dot.until)
        path += f"M{x:.1f} {y:.1f}H{end:.1f}M{end:.1f} {y - 4:.1f}v8"
    return f'<path class="whisker" d="{path}"/>' if path else ""


def _point(dot: Dot, across: Axis, up: Axis) -> str:
    x, y, r = across.at(dot.x), up.at(dot.y), dot.radius
    if dot.mark is not Mark.REFUSED:
        return f'<circle class="{dot.mark.value}" cx="{x:.1f}" cy="{y:.1f}" r="{r:.1f}"/>'
    side = 2 * r
    return (
        f'<path class="refused" d="M{x - r:.1f} {y - r:.1f}l{side:.1f} {side:.1f}'
        f'm0 {-side:.1f}l{-side:.1f} {side:.1f}"/>'
    )


def _labels(dots: Sequence[Dot], across: Axis, up: Axis) -> list[str]:
    """A name for each dot, where it covers no dot and no other name, else where it covers least."""
    taken = [box for dot in dots for box in _drawn(dot, across, up)]
    parts = []
    for dot in sorted(dots, key=lambda d: (up.at(d.y), across.at(d.x))):
        words = dot.label
        if up.clamped(dot.y) != dot.y:
            words += f" ({dot.y:.4g} {'↓' if up.at(dot.y) > _TOP + 1 else '↑'})"
        x, y = across.at(dot.x), up.at(dot.y)
        places = _places(x, y, dot.radius, _LETTER * len(words))
        box = min(places, key=lambda place: _cost(place, taken))
        taken.append(box)
        if min(abs(box.bottom - y), abs(box.top - y)) > 2 * _LINE:
            lead_y = box.bottom if box.bottom < y else box.top
            middle = min(max(x, box.left), box.right)
            parts.append(f'<path class="lead" d="M{x:.1f} {y:.1f}L{middle:.1f} {lead_y:.1f}"/>')
        parts.append(f'<g class="name">{text(box.left, box.bottom - 3, words)}</g>')
    return parts


def _drawn(dot: Dot, across: Axis, up: Axis) -> list[Box]:
    """What a dot and its whiskers take."""
    x, y, r = across.at(dot.x), up.at(dot.y), dot.radius
    boxes = [Box(x - r, y - r, x + r, y + r)]
    if dot.until is not None:
        boxes.append(Box(x, y - 4, across.at(dot.until) + 2, y + 4))
    if dot.low is not None and dot.high is not None:
        boxes.append(Box(x - 4, up.at(dot.high), x + 4, up.at(dot.low)))
    return boxes


def _places(x: float, y: float, radius: float, width: float) -> list[Box]:
    """Where a name may stand, the best first: beside its dot, then above and below, ever further."""
    found = []
    for step in range(9):
        for sign in (-1, 1) if step else (-1,):
            top = y + sign * step * _LINE - _LINE / 2
            for left in (x + radius + 4, x - radius - 4 - width, x - width / 2):
                if left == x - width / 2 and abs(top + _LINE / 2 - y) < radius + _LINE / 2:
                    continue
                found.append(Box(left, top, left + width, top + _LINE))
    return found


def _cost(place: Box, taken: Sequence[Box]) -> float:
    """What a place covers; outside the frame is worse than anything."""
    inside = Box(_LEFT + 2, 2, WIDTH - 2, HEIGHT - _BOTTOM - 2)
    area = (place.right - place.left) * (place.bottom - place.top)
    return sum(place.overlap(box) for box in taken) + 100 * (area - place.overlap(inside))


def _frame(across: Axis, up: Axis) -> str:
    bottom, right = HEIGHT - _BOTTOM, WIDTH - _RIGHT
    parts = []
    for value in across.ticks():
        x = across.at(value)
        parts.append(f'<path class="tick" d="M{x:.1f} {bottom}v5"/>')
        parts.append(text(x, bottom + 18, f"{value:g}", "middle"))
    for value in up.ticks():
        y = up.at(value)
        parts.append(f'<path class="grid" d="M{_LEFT} {y:.1f}H{right}"/>')
        parts.append(text(_LEFT - 8, y + 4, f"{value:.6g}", "end"))
    parts.append(f'<path class="axis" d="M{_LEFT} {_TOP}V{bottom}H{right}"/>')
    parts.append(text((_LEFT + right) / 2, HEIGHT - 10, across.title, "middle"))
    turned = text(0, 0, up.title, "middle")
    parts.append(f'<g transform="translate(14 {(bottom + _TOP) / 2}) rotate(-90)">{turned}</g>')
    return "".join(parts)
