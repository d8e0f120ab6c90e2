"""fleet lab: a fleet of emulated devices on this machine, to try everything on."""

from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.options import Format, Rows, Site
from orchestrator.cli.session import opened
from orchestrator.errors import NotFound

if TYPE_CHECKING:
    from orchestrator.cli.render import Screen
    from orchestrator.lab.status import LabStatus

commands = typer.Typer(
    no_args_is_help=True,
    help="A fleet of emulated devices on this machine: real sshd, no hardware.",
)
_COLUMNS = {
    "name": "DEVICE",
    "kind": "KIND",
    "address": "ADDRESS",
    "port": "PORT",
    "userland": "USERLAND",
    "alive": "ALIVE",
    "broken": "BROKEN",
}
_HOW = (
    *("offline", "wrong-output", "full-disk", "tampered", "power-cut", "reboot", "dead-storage"),
    *("read-only", "no-inodes", "quota", "little-memory", "frozen", "wrong-clock"),
    *("crowded", "noisy"),
    *("link-stall", "link-slow", "link-lossy", "link-flap", "link-black-hole"),
    *("link-fin", "link-rst", "link-flip", "link-turned-away"),
)
Name = Annotated[str, typer.Argument(help="A lab device's name.")]


@commands.command()
def up(
    devices: Annotated[
        int, typer.Option("--devices", "-n", min=1, max=2500, help="How many.")
    ] = 12,
    tier: Annotated[
        str | None, typer.Option(help="namespaces or plain; default: the best that works.")
    ] = None,
    userland: Annotated[
        list[str] | None,
        typer.Option(
            help="Programs of the devices, taken in turn if given more than once: host, dash, bash, "
            "busybox, busybox-bare, toybox, toybox-bare (bare: without Python), adb, "
            "aarch64-minimal, armv7-on-aarch64, termux, aarch64-vm (a whole machine)."
        ),
    ] = None,
    arch: Annotated[
        list[str] | None,
        typer.Option(
            help="Real programs of another architecture, run by an emulator: aarch64, armv7."
        ),
    ] = None,
    storage: Annotated[
        str,
        typer.Option(help="What /home lies on, and its MiB: tmpfs:96, or ext4:24 for power cuts."),
    ] = "tmpfs",
    output: Rows = Format.TEXT,
    site: Site = None,
) -> None:
    """Start the lab: Jetsons, Pis and phones, each a real SSH server with its own files."""
    with opened(site, output) as (fleet, screen):
        from orchestrator.lab.spec import storage_named
        from orchestrator.lab.userland import of_arch

        lands = (*(userland or []), *(of_arch(name) for name in arch or []))
        with screen.progress(devices, "booting") as bar:
            status = fleet.lab.up(
                devices,
                tier=tier,
                userlands=lands or ("host",),
                storage=storage_named(storage),
                on_boot=lambda name: bar.step(),
                on_fetch=screen.note,
            )
        _show(screen, status)


@commands.command()
def down(site: Site = None) -> None:
    """Stop the lab; nothing of it stays, but what was learnt stays in the ledger."""
    with opened(site, "text") as (fleet, screen):
        fleet.lab.down()
        screen.say("the lab is down")


@commands.command()
def status(output: Rows = Format.TEXT, site: Site = None) -> None:
    """Show the lab's devices and what was broken."""
    with opened(site, output) as (fleet, screen):
        _show(screen, fleet.lab.status())


@commands.command("break")
def break_(
    device: Name,
    how: Annotated[str, typer.Option("--how", help=" | ".join(_HOW))],
    site: Site = None,
) -> None:
    """Break a lab device on purpose: its power, storage, clock, outputs, sshd or line."""
    with opened(site, "text") as (fleet, screen):
        from orchestrator.lab.breakage import Breakage

        if how not in _HOW:
            raise NotFound("breakage", how, _HOW)
        screen.say(fleet.lab.break_device(device, Breakage(how)))


@commands.command()
def mend(device: Name, site: Site = None) -> None:
    """Undo everything that was done to a lab device."""
    with opened(site, "text") as (fleet, screen):
        screen.say(fleet.lab.mend(device))


def _show(screen: "Screen", status: "LabStatus") -> None:
    rows = [
        {
            "name": device.name,
            "kind": device.kind,
            "address": device.address,
            "port": device.port,
            "userland": device.userland,
            "alive": device.alive,
            "broken": [breakage.value for breakage in device.broken],
            "tier": status.tier,
        }
        for device in status.devices
    ]
    if status.up or not screen.for_people:
        screen.rows("lab", rows, _COLUMNS)
    if not screen.for_people:
        return
    if not status.up:
        screen.say(f"no lab is up: {status.why}")
        return
    screen.say()
    screen.say(f"{len(rows)} EMULATED devices, tier {status.tier}: {status.why}")
    if status.lacks:
        screen.say(f"[yellow]not installed on this machine: {', '.join(status.lacks)}[/]")
