"""Writes docs/reference.md, the page of every command, from the commands themselves.

python docs/reference.py          write it
python docs/reference.py --check  exit 1 if it is not what would be written
"""

import sys
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import typer

from orchestrator.cli.main import app

PAGE = Path(__file__).with_name("reference.md")
HEAD = "# Commands\n\nGenerated from the commands' own help by `make docs`.\n"


def main() -> None:
    """Write the page, or compare it."""
    text = HEAD + "".join(page(typer.main.get_command(app), "fleet"))
    if "--check" not in sys.argv:
        PAGE.write_text(text)
    elif not PAGE.exists() or PAGE.read_text() != text:
        sys.exit("docs/reference.md is not what the commands say: run make docs")


def page(command: Any, path: str) -> Iterator[str]:
    """One section a command, groups before what they contain."""
    children = getattr(command, "commands", {})
    if not children:
        yield f"\n## {path}\n\n{paragraphs(command.help)}\n"
        yield from parameters(command)
    for name in children:
        yield from page(children[name], f"{path} {name}")


def paragraphs(text: str | None) -> str:
    """Help text with its paragraphs kept and its lines joined; examples as code."""
    blocks = (text or "").strip().split("\n\n")
    joined = (" ".join(line.strip() for line in block.splitlines()) for block in blocks)
    return "\n\n".join(f"`{b}`" if b.startswith("fleet ") else b for b in joined)


def parameters(command: Any) -> Iterator[str]:
    """A table of arguments and options, in order."""
    rows = [p for p in command.params if p.name not in ("help", "install_completion")]
    if not rows:
        return
    yield "\n| | |\n|---|---|\n"
    for each in rows:
        names = ", ".join((*each.opts, *each.secondary_opts))
        argument = each.param_type_name == "argument"
        shown = f"`{each.name.upper() if argument else names}`"
        help_ = (getattr(each, "help", None) or "").replace("|", "\\|")
        kind = getattr(getattr(each, "type_descriptor", None), "annotation", None)
        enum = isinstance(kind, type) and issubclass(kind, Enum)
        values = [choice.value for choice in kind] if enum else []
        more = f" One of: {', '.join(f'`{v}`' for v in values)}." if values else ""
        yield f"| {shown} | {help_}{more} |\n"


if __name__ == "__main__":
    main()
