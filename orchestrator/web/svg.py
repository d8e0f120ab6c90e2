"""What all charts share: the frame of a picture with its names, and the look of one that stands alone."""

from collections.abc import Sequence
from html import escape

WIDTH = 680

STYLE = """
:root{--ink:#1b1f24;--soft:#5b6270;--line:#c8ccd4;--paper:#fff;--mark:#0a6cc4;--bad:#b3261e}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ee;--soft:#a0a7b4;--line:#3a3f4a;--paper:#14171c;
--mark:#6cb6ff;--bad:#ff8a80}}
text{font:12px system-ui,sans-serif;fill:var(--ink)}
.name text{paint-order:stroke;stroke:var(--paper);stroke-width:4px;stroke-linejoin:round}
.paper{fill:var(--paper)}.axis,.tick,.whisker{stroke:var(--soft);fill:none}
.grid{stroke:var(--line);fill:none;stroke-width:.5}
.joined{stroke:var(--mark);fill:none;stroke-dasharray:4 3}
.front{fill:var(--mark)}.usable{fill:var(--paper);stroke:var(--mark);stroke-width:1.6}
.refused{stroke:var(--bad);stroke-width:1.8;fill:none}.lead{stroke:var(--line);fill:none}
.bar{fill:var(--mark)}.bar.second{opacity:.55}.bar.third{opacity:.3}
.bar.kept{fill:none;stroke:var(--mark);stroke-width:1.5}
"""
"""Colours of light and dark pages. The page has the same names; a picture of its own brings them."""


def picture(
    height: float, parts: Sequence[str], title: str, description: str, *, alone: bool = False
) -> str:
    """An SVG with a name and a description for whoever does not see it.

    Args:
        alone: whether it stands in a file of its own, and brings colours and a background.
    """
    style = f'<style>{STYLE}</style><rect class="paper" width="100%" height="100%"/>'
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" xmlns="http://www.w3.org/2000/svg">'
        f"<title>{escape(title)}</title><desc>{escape(description)}</desc>"
        f"{style if alone else ''}{''.join(parts)}</svg>"
    )


def text(x: float, y: float, words: str, anchor: str = "start") -> str:
    """Words at a place."""
    where = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text x="{x:.1f}" y="{y:.1f}"{where}>{escape(words)}</text>'
