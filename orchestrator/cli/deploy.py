"""fleet plan, fleet deploy, fleet rollback: decide, show, ask, do, recap."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.exits import Exit
from orchestrator.cli.options import (
    Bandwidth,
    FleetBandwidth,
    Format,
    Models,
    Output,
    Plain,
    Playbook,
    Rows,
    Site,
    Target,
    Yes,
)
from orchestrator.cli.session import leave, opened
from orchestrator.errors import BadInput, BadTarget

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.app import Fleet
    from orchestrator.cli.render import Screen
    from orchestrator.deploy.execute import Report
    from orchestrator.deploy.pace import Pace
    from orchestrator.rollout.outcome import Outcome
    from orchestrator.rollout.plan import Plan, Skip

MaybeTarget = Annotated[
    str | None, typer.Option("--target", "-t", help="As for fleet plan.", show_default=False)
]


def plan(
    target: Target,
    playbook: Playbook = None,
    model: Models = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Also write the plan to a file.")
    ] = None,
    output: Output = Plain.TEXT,
    site: Site = None,
) -> None:
    """Show what a deployment would do, device by device, and change nothing.

    The plan is a value: equal facts, lock and playbook give equal bytes and an equal id.
    Save it with --out, review it, and carry it out with: fleet deploy --plan FILE
    """
    with opened(site, output) as (fleet, screen):
        made = _planned(fleet, screen, target, playbook, model)
        if out is not None:
            _write(out, made)
        _show(screen, fleet, made)


def deploy(
    target: MaybeTarget = None,
    playbook: Playbook = None,
    model: Models = None,
    plan: Annotated[
        Path | None, typer.Option("--plan", help="Carry out a saved plan instead.")
    ] = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Hash what runs, and put damaged releases in order.")
    ] = False,
    bwlimit: Bandwidth = None,
    bwlimit_fleet: FleetBandwidth = None,
    yes: Yes = False,
    output: Rows = Format.TEXT,
    site: Site = None,
) -> None:
    """Bring every device of a target to the variant that suits it best.

    Plans, shows the plan, asks, then works wave by wave: stage, hash on the device, smoke test
    on the device, switch, confirm. Whatever fails leaves the old release running; a wave with
    too many failures halts the rollout.

    fleet deploy --target jetson-group

    fleet deploy --target 'pi-group & !canary' --playbook all-at-once --yes
    """
    with opened(site, output) as (fleet, screen):
        if (target is None) == (plan is None):
            raise BadTarget("name a --target or a --plan", hint="fleet deploy --target all")
        pace = _pace(bwlimit, bwlimit_fleet)
        if plan is not None:
            _carry_out(fleet, screen, _read(plan), yes=yes, look_again=True, pace=pace)
        else:
            made = _planned(fleet, screen, target or "", playbook, model, repair=repair)
            _carry_out(fleet, screen, made, yes=yes, pace=pace)


def rollback(
    target: Target,
    to: Annotated[
        str | None, typer.Option("--to", help="A release, or its version. Default: the previous.")
    ] = None,
    playbook: Playbook = None,
    model: Models = None,
    yes: Yes = False,
    output: Rows = Format.TEXT,
    site: Site = None,
) -> None:
    """Bring devices back to an older release.

    The previous release is still on the device, so nothing is sent; it is smoke-tested again
    before the switch, and recorded as a new entry: history only goes forward.
    """
    with opened(site, output) as (fleet, screen):
        book = fleet.site.playbook(playbook or fleet.settings["playbook"])
        with screen.progress(len(fleet.select(target)), "looking") as bar:
            made = fleet.rollback_plan(target, book, model or (), to, lambda d: bar.step())
        _carry_out(fleet, screen, made, yes=yes)


def _planned(
    fleet: "Fleet",
    screen: "Screen",
    target: str,
    playbook: str | None,
    models: list[str] | None,
    *,
    repair: bool = False,
) -> "Plan":
    book = fleet.site.playbook(playbook or fleet.settings["playbook"])
    with screen.progress(len(fleet.select(target)), "looking") as bar:
        return fleet.plan(target, book, models or (), lambda device: bar.step(), repair=repair)


def _show(screen: "Screen", fleet: "Fleet", made: "Plan") -> dict[str, str]:
    from orchestrator.cli.show import emulated, show_plan

    names = {d.name: emulated(d) for d in fleet.site.inventory.devices.values()}
    show_plan(screen, made, names)
    return names


def _pace(device: str | None, fleet: str | None) -> "Pace":
    from orchestrator.deploy.pace import Pace, read_limit

    return Pace(read_limit(device or "0"), read_limit(fleet or "0"))


def _carry_out(
    fleet: "Fleet",
    screen: "Screen",
    made: "Plan",
    *,
    yes: bool,
    look_again: bool = False,
    pace: "Pace | None" = None,
) -> None:
    from orchestrator.cli.show import emulated, show_outcomes

    if screen.for_people:
        _show(screen, fleet, made)
    if made.switches and not yes:
        if not screen.can_ask:
            raise BadTarget("there is nobody to ask whether to go on", hint="add --yes")
        if not screen.ask("Carry it out?"):
            screen.note("nothing was changed")
            return
    refused = fleet.changed_since(made) if look_again else ()
    report = _execute(fleet, screen, made, refused, pace)
    names = {d.name: emulated(d) for d in fleet.site.inventory.devices.values()}
    show_outcomes(screen, report.outcomes, names, report.halted)
    leave(ending(report.outcomes, report.halted))


def _execute(
    fleet: "Fleet",
    screen: "Screen",
    made: "Plan",
    refused: "tuple[Skip, ...]",
    pace: "Pace | None",
) -> "Report":
    from orchestrator.cli.progress import Rollout

    with Rollout(screen, made) as rollout:
        return fleet.execute(
            made, watch=rollout.watch, done=rollout.done, refused=refused, pace=pace
        )


def ending(outcomes: "Sequence[Outcome]", halted: str = "") -> Exit:
    """What the shell is told of some outcomes."""
    from orchestrator.rollout.outcome import Status

    statuses = {outcome.status for outcome in outcomes}
    if halted:
        return Exit.HALTED
    if any(s.failed for s in statuses) or statuses & {Status.REFUSED, Status.NO_VARIANT}:
        return Exit.FAILED
    if any(o.code == "DEPLOY > LEASE > HELD" for o in outcomes):
        return Exit.LOCKED
    return Exit.DEFERRED if statuses & {Status.DEFERRED, Status.ABORTED} else Exit.DONE


def _write(file: Path, made: "Plan") -> None:
    from orchestrator.rollout.plan import write_plan

    beside = file.with_name(f".{file.name}.new")
    try:
        beside.write_bytes(write_plan(made))
        beside.replace(file)
    except OSError as error:
        words = (error.strerror or str(error)).lower()
        raise BadInput(
            f"cannot be written: {words}", file=str(file), hint="name another file: --out FILE"
        ) from error


def _read(file: Path) -> "Plan":
    from orchestrator.rollout.plan import read_plan
    from orchestrator.site import read_text

    if not file.is_file():
        hint = "make it: fleet plan --target … --out FILE"
        raise BadInput("there is no such plan", file=str(file), hint=hint)
    return read_plan(read_text(file), str(file))
