"""fleet enroll: pin the host key a device shows, after a person has compared it."""

from typing import Annotated

import typer

from orchestrator.cli.exits import Exit
from orchestrator.cli.options import Device, Site
from orchestrator.cli.session import leave, opened
from orchestrator.errors import BadTarget


def enroll(
    device: Device,
    accept_new: Annotated[
        bool, typer.Option("--accept-new", help="Pin an unknown key without asking.")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Pin it although another one is pinned.")
    ] = False,
    site: Site = None,
) -> None:
    """Show the host key of a device and pin it.

    Compare the fingerprint with what the device itself says:
    ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub
    """
    with opened(site, "text") as (fleet, screen):
        from orchestrator.trust.hostkeys import pin, pinned

        found = fleet.device(device)
        file, name = fleet.field.known_hosts(found), fleet.field.address(found).host_key_name
        shown, old = fleet.field.host_key(found), pinned(file, name)
        screen.say(f"{device} ({name}) shows {shown.kind} {shown.fingerprint}")
        if shown in old:
            screen.say("[green]it is pinned already[/]")
            return
        if old and not replace:
            screen.note(f"another key is pinned in {fleet.site.shown(file)}: {old[0].fingerprint}")
            screen.note(f"next:  if that is right: fleet enroll {device} --replace")
            leave(Exit.FAILED)
        if not accept_new:
            if not screen.can_ask:
                raise BadTarget("there is nobody to compare it", hint="add --accept-new")
            if not screen.ask("Is that the device's own fingerprint? Pin it?"):
                leave(Exit.FAILED)
        pin(file, name, shown)
        screen.say(f"[green]pinned[/] in {fleet.site.shown(file)}")
