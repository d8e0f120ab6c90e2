"""The words that commands share: options and arguments, each with its help, once."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Format(StrEnum):
    """How results are written."""

    TEXT = "text"
    JSON = "json"
    CSV = "csv"


class Plain(StrEnum):
    """How results without rows are written."""

    TEXT = "text"
    JSON = "json"


def _targets(incomplete: str) -> list[str]:
    """Names that a target may begin with, for shell completion; never an error."""
    from orchestrator.app import Fleet
    from orchestrator.errors import FleetError

    try:
        inventory = Fleet().site.inventory
    except FleetError:
        return []
    names = ["all", *inventory.groups, *inventory.devices]
    return [name for name in names if name.startswith(incomplete)]


def _devices(incomplete: str) -> list[str]:
    from orchestrator.app import Fleet
    from orchestrator.errors import FleetError

    try:
        return [name for name in Fleet().site.inventory.devices if name.startswith(incomplete)]
    except FleetError:
        return []


def models_named(incomplete: str) -> list[str]:
    """Models that a word may become, for shell completion; never an error."""
    from orchestrator.app import Fleet
    from orchestrator.errors import FleetError

    try:
        return [name for name in Fleet().site.models if name.startswith(incomplete)]
    except FleetError:
        return []


Site = Annotated[
    Path | None,
    typer.Option(
        "--site",
        envvar="FLEET_SITE",
        help="The site's folder. Default: the nearest fleet.toml upward.",
        show_default=False,
    ),
]
Output = Annotated[Plain, typer.Option("--output", "-o", help="How to write the result.")]
Rows = Annotated[Format, typer.Option("--output", "-o", help="How to write the result.")]
Target = Annotated[
    str,
    typer.Option(
        "--target",
        "-t",
        help="A device, a group, a glob, 'all', or an expression such as "
        "'jetson-group & !canary' or 'arch=aarch64 & ram_mib>=4000'.",
        autocompletion=_targets,
        show_default=False,
    ),
]
Device = Annotated[str, typer.Argument(help="A device's name.", autocompletion=_devices)]
Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model", "-m", help="Only this model; may be given again.", autocompletion=models_named
    ),
]
ModelNames = Annotated[
    list[str] | None,
    typer.Argument(help="Models; default: all of models.yaml.", autocompletion=models_named),
]
Playbook = Annotated[
    str | None,
    typer.Option(
        "--playbook", "-p", help="A name below playbooks/, or a file. Default: fleet.toml's."
    ),
]
Bandwidth = Annotated[
    str | None,
    typer.Option(
        "--bwlimit",
        help="At most so much to each device, as rsync says it: 500k, 2m, a number of KiB per second.",
        show_default=False,
    ),
]
FleetBandwidth = Annotated[
    str | None,
    typer.Option(
        "--bwlimit-fleet", help="At most so much to all devices together.", show_default=False
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
