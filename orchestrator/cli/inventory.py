"""fleet inventory: what exists, as the files say it."""

from typing import Any

import typer

from orchestrator.cli.exits import Exit
from orchestrator.cli.options import Device, Format, Output, Plain, Rows, Site
from orchestrator.cli.session import leave, opened

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
            row["address"] = device.place
            row["labels"] = [f"{key}={value}" for key, value in device.labels]
            row["note"] = "EMULATED" if device.emulated else ""
            rows.append(row)
        columns = {"name": "DEVICE", "address": "ADDRESS", "profile": "PROFILE"}
        screen.rows(
            "devices", rows, {**columns, "groups": "GROUPS", "labels": "LABELS", "note": ""}
        )


@commands.command()
def profiles(output: Rows = Format.TEXT, site: Site = None) -> None:
    """List profiles: what each kind of device offers, and how far it has been tried."""
    with opened(site, output) as (fleet, screen):
        used = [device.profile for device in fleet.site.inventory.devices.values()]
        rows = [
            {**each.model_dump(mode="json"), "devices": used.count(each.name)}
            for each in fleet.site.inventory.profiles.values()
        ]
        columns = {"name": "PROFILE", "arch": "ARCH", "libc": "LIBC", "ram_mib": "RAM MIB"}
        more = {"runtimes": "RUNTIMES", "accelerators": "ACCELERATORS", "tried": "TRIED"}
        screen.rows("profiles", rows, {**columns, **more, "devices": "DEVICES"})
        screen.note(
            "tried: listed, built, emulated or on hardware; docs/devices.md says what each means"
        )


@commands.command()
def show(device: Device, output: Output = Plain.TEXT, site: Site = None) -> None:
    """Show one device: its files' words, its profile, what it last said, and what it denies."""
    with opened(site, output) as (fleet, screen):
        from orchestrator.cli.render import age

        found = fleet.device(device)
        facts = fleet.ledger.facts().get(device)
        whole = {
            "device": found.model_dump(mode="json"),
            "profile": fleet.site.inventory.profile_of(found).model_dump(mode="json"),
            "facts": facts.model_dump(mode="json") if facts else None,
        }
        denied = fleet.contradictions([found]).get(device, ())
        if not screen.for_people:
            plain = [each.model_dump(mode="json") for each in denied]
            screen.envelope("device", {**whole, "contradictions": plain})
            return
        for title, values in whole.items():
            screen.say(f"[bold]{title}[/]" + ("  EMULATED" if found.emulated else ""))
            for key, value in (values or {"": f"never asked: fleet facts -t {device}"}).items():
                screen.say(f"  {key:<16}{value}")
        if facts:
            screen.say(f"  {'age':<16}{age(facts.observed_at)}")
        for each in denied:
            screen.say(f"[yellow]contradiction[/]  {each.words}")


@commands.command()
def check(output: Output = Plain.TEXT, site: Site = None) -> None:
    """Read every file of the inventory and say what is wrong, or that nothing is.

    Exit code 5 when devices denied what is declared of them when they were last asked.
    """
    with opened(site, output) as (fleet, screen):
        inventory, models = fleet.site.inventory, fleet.site.models
        for model in models.values():
            if inventory.devices:
                fleet.select(model.target)
        lock = fleet.site.lock()
        denied = fleet.contradictions(inventory.devices.values())
        counts = {
            "devices": len(inventory.devices),
            "groups": len(inventory.groups),
            "profiles": len(inventory.profiles),
            "models": len(models),
            "locked": len(lock.models),
        }
        found = {name: each for name, each in denied.items() if each}
        if not screen.for_people:
            plain = {n: [c.model_dump(mode="json") for c in each] for n, each in found.items()}
            screen.envelope("check", {**counts, "contradictions": plain})
        screen.say("[green]ok[/]: " + ", ".join(f"{n} {what}" for what, n in counts.items()))
        for name, each in found.items():
            for one in each:
                screen.say(f"[yellow]contradiction[/]  {name}: {one.words}")
        if found:
            screen.note("next:  mend devices.yaml, or ask again: fleet facts --refresh")
            leave(Exit.DRIFT)
