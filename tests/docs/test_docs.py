"""The papers are true: links lead somewhere, commands have help, the scaffold is the repository's."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from orchestrator.cli.exits import Exit
from orchestrator.cli.main import app

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")]


def commands(command: Any, path: str = "fleet") -> Iterator[tuple[str, Any]]:
    children = getattr(command, "commands", {})
    if not children:
        yield path, command
    for name in children:
        yield from commands(children[name], f"{path} {name}")


def test_every_command_and_every_option_has_help() -> None:
    found = list(commands(typer.main.get_command(app)))

    assert len(found) >= 20
    for path, command in found:
        assert command.help, path
        for parameter in command.params:
            assert getattr(parameter, "help", None), f"{path} {parameter.name}"


def test_the_command_reference_is_what_the_commands_say() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / "reference.py", "--check"],
        capture_output=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr.decode()


def test_every_link_between_pages_leads_somewhere() -> None:
    links = [
        (page, target)
        for page in PAGES
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text())
    ]

    assert links
    assert [(p.name, t) for p, t in links if not (p.parent / t).exists()] == []


def test_every_exit_code_is_documented() -> None:
    page = (ROOT / "docs" / "exit-codes.md").read_text()

    assert all(f"| {code.value} |" in page for code in Exit)


def test_a_new_site_gets_the_repositorys_own_playbooks() -> None:
    shipped = ROOT / "templates" / "site" / "playbooks"

    names = {path.name for path in shipped.iterdir()}
    assert names == {path.name for path in (ROOT / "playbooks").iterdir()}
    assert all((shipped / n).read_text() == (ROOT / "playbooks" / n).read_text() for n in names)
