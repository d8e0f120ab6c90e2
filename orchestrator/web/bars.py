"""Bar charts as SVG text: sizes before and after compression, and the sensitivity of blocks."""

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.web.svg import WIDTH, picture, text

_NAMES, _NUMBERS = 210, 130
_KINDS = ("bar", "bar second", "bar third")


@dataclass(frozen=True, slots=True)
class Group:
    """Bars that belong together: each a value, and the words behind it. `kept` ones are hollow."""

    name: str
    bars: tuple[tuple[float, str], ...]
    kept: bool = False


def bars(groups: Sequence[Group], title: str) -> str:
    """Horizontal bars from zero; the greatest value takes the whole width."""
    most = max((value for group in groups for value, _ in group.bars), default=1.0) or 1.0
    parts: list[str] = []
    top = 4.0
    for group in groups:
        height = 15 if len(group.bars) > 1 else 16
        middle = top + height * len(group.bars) / 2
        parts.append(text(_NAMES - 10, middle + 4, _short(group.name), "end"))
        for (value, words), kind in zip(group.bars, _KINDS, strict=False):
            length = (WIDTH - _NAMES - _NUMBERS) * value / most
            shape = "bar kept" if group.kept else kind
            parts.append(
                f'<rect class="{shape}" x="{_NAMES}" y="{top + 1:.1f}" width="{length:.1f}" '
                f'height="{height - 3}"/>'
            )
            parts.append(text(_NAMES + 6 + length, top + height - 4, words))
            top += height
        top += 9
    said = "; ".join(f"{each.name}: {', '.join(w for _, w in each.bars)}" for each in groups)
    return picture(top, parts, title, said)


def _short(name: str) -> str:
    """A name that fits beside the bars; the end tells layers apart."""
    return name if len(name) <= 28 else f"…{name[-27:]}"
