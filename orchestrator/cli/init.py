"""fleet init: a new site, small and commented."""

import shutil
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.session import screen_only
from orchestrator.errors import BadInput


def init(
    folder: Annotated[Path, typer.Argument(help="Where; made if it is not there.")] = Path(),
) -> None:
    """Make a new site: fleet.toml, inventory, models, playbooks. Nothing is overwritten."""
    with screen_only("text") as screen:
        from orchestrator.site import templates

        scaffold = templates() / "site"
        names = sorted(p.relative_to(scaffold) for p in scaffold.rglob("*") if p.is_file())
        if there := [str(name) for name in names if (folder / name).exists()]:
            raise BadInput(
                f"{there[0]!r} is already there",
                file=str(folder),
                hint="choose an empty folder, or remove it",
            )
        for name in names:
            target = folder / (".gitignore" if name.name == "gitignore" else name)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(scaffold / name, target)
            screen.say(f"  {target}")
        screen.say()
        screen.say("Next: describe your devices in inventory/main/devices.yaml, then")
        screen.say(f"  fleet --help   ·   fleet inventory check --site {folder}")
