"""fleet inventory: what exists, as the files say it."""

from typing import Any

import typer

from orchestrator.cli.options import Device, Format, Output, Plain, Rows, Site
from orchestrator.cli.session import opened

commands = typer.Typer(no_args_is_help=True, help="Devices, groups and profiles of this site.")


@commands.command("list")
def list_(
    target: str = typer.Option("all", "--target", "-t", help="Only these devices."),
    output: Rows = Format.TEXT,
    site: Site = None,
) -> None:
    """List devices: address, profile, groups and labels."""
    with opened(site, output) as (fleet, screen):
        rows = []
        for device in fleet.select(target):
            row: dict[str, Any] = device.model_dump(mode="json")
            row["address"] = f"{device.user}@{device.address}:{device.port}"
            row["labels"] = [f"{key}={value}" for key, value in device.labels]
            row["note"] = "EMULATED" if device.emulated else ""
            rows.append(row)
        columns = {"name": "DEVICE", "address": "ADDRESS", "profile": "PROFILE"}
        screen.rows(
            "devices", rows, {**columns, "groups": "GROUPS", "labels": "LABELS", "note": ""}
        )


@commands.command()
def show(device: Device, output: Output = Plain.TEXT, site: Site = None) -> None:
    """Show one device: its files' words, its profile, and what it last said."""
    with opened(site, output) as (fleet, screen):
        found = fleet.device(device)
        facts = fleet.ledger.facts().get(device)
        whole = {
            "device": found.model_dump(mode="json"),
            "profile": fleet.site.inventory.profile_of(found).model_dump(mode="json"),
            "facts": facts.model_dump(mode="json") if facts else None,
        }
        if not screen.for_people:
            screen.envelope("device", whole)
            return
        for title, values in whole.items():
            screen.say(f"[bold]{title}[/]" + ("  EMULATED" if found.emulated else ""))
            for key, value in (values or {"": f"never asked: fleet facts -t {device}"}).items():
                screen.say(f"  {key:<16}{value}")


@commands.command()
def check(output: Output = Plain.TEXT, site: Site = None) -> None:
    """Read every file of the inventory and say what is wrong, or that nothing is."""
    with opened(site, output) as (fleet, screen):
        inventory, models = fleet.site.inventory, fleet.site.models
        for model in models.values():
            if inventory.devices:
                fleet.select(model.target)
        lock = fleet.site.lock()
        counts = {
            "devices": len(inventory.devices),
            "groups": len(inventory.groups),
            "profiles": len(inventory.profiles),
            "models": len(models),
            "locked": len(lock.models),
        }
        if not screen.for_people:
            screen.envelope("check", counts)
            return
        screen.say("[green]ok[/]: " + ", ".join(f"{n} {what}" for what, n in counts.items()))
