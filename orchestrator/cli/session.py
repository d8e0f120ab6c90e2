"""What every command does around its three lines: open the site, turn errors into exits."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

from orchestrator.cli.exits import Exit
from orchestrator.errors import FleetError, Owner

if TYPE_CHECKING:
    from orchestrator.app import Fleet
    from orchestrator.cli.render import Screen


@contextmanager
def opened(site: Path | None, output: str) -> Iterator[tuple["Fleet", "Screen"]]:
    """A site and a screen to show things on; what goes wrong inside is shown and exits."""
    with screen_only(output) as screen:
        from orchestrator.app import Fleet

        with Fleet(site) as fleet:
            yield fleet, screen


@contextmanager
def screen_only(output: str) -> Iterator["Screen"]:
    """A screen for commands that need no site."""
    from orchestrator.cli.render import Screen

    screen = Screen(output)
    try:
        yield screen
    except FleetError as error:
        screen.error(error)
        raise typer.Exit(_code(error)) from error
    except KeyboardInterrupt as error:
        screen.note("interrupted: devices serve what they served; run the same command to go on")
        raise typer.Exit(Exit.INTERRUPTED) from error


def _code(error: FleetError) -> Exit:
    if error.path[:1] == ("INPUT",):
        return Exit.USAGE
    if error.path == ("DEPLOY", "LEASE", "HELD"):
        return Exit.LOCKED
    return Exit.DEFERRED if error.owner is Owner.NETWORK else Exit.FAILED


def leave(code: Exit) -> NoReturn:
    """End the command with an exit code."""
    raise typer.Exit(code)
