"""The push of every contestant as bars: an SVG without scripts or fonts of its own."""

from collections.abc import Sequence
from typing import Any

_WIDTH, _BAR, _LEFT = 720, 22, 130


def plotted(rows: Sequence[dict[str, Any]], devices: int = 50) -> str:
    """Wall seconds of the push to so many devices, the fastest first."""
    pushes = sorted(
        (row for row in rows if row["task"] == "push" and row["devices"] == devices),
        key=lambda row: row["wall_s"],
    )
    most = max(row["wall_s"] for row in pushes)
    lines = []
    for index, row in enumerate(pushes):
        y, width = 34 + index * (_BAR + 8), (_WIDTH - _LEFT - 90) * row["wall_s"] / most
        mine = "#1b6e5a" if row["who"] == "fleet" else "#9aa5b1"
        lines += [
            f'<text x="{_LEFT - 8}" y="{y + 16}" text-anchor="end">{row["who"]}</text>',
            f'<rect x="{_LEFT}" y="{y}" width="{width:.1f}" height="{_BAR}" fill="{mine}"/>',
            f'<text x="{_LEFT + width + 6:.1f}" y="{y + 16}">{row["wall_s"]:.2f} s</text>',
        ]
    height = 44 + len(pushes) * (_BAR + 8)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" '
        f'font-family="sans-serif" font-size="13">\n'
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>\n'
        f"<title>4 MiB to {devices} devices: seconds, less is better</title>\n"
        f'<text x="{_LEFT}" y="20">4 MiB to {devices} devices over SSH: '
        f"seconds, less is better</text>\n" + "\n".join(lines) + "\n</svg>\n"
    )
