"""What plans, outcomes and findings look like: values → rows and sentences; prints nothing itself."""

from collections.abc import Iterable, Sequence
from typing import Any

from orchestrator.cli.render import Screen, size
from orchestrator.inventory.device import Device
from orchestrator.rollout.outcome import Outcome, Status
from orchestrator.rollout.plan import Keep, Plan, Skip, Switch

_PLAN = {
    "device": "DEVICE",
    "model": "MODEL",
    "action": "ACTION",
    "now": "NOW",
    "then": "THEN",
    "bytes": "SEND",
    "because": "BECAUSE",
}
_OUTCOME = {
    "device": "DEVICE",
    "model": "MODEL",
    "status": "STATUS",
    "was": "WAS",
    "release": "RELEASE",
    "sent": "SENT",
    "sent_as": "AS",
    "p50_ms": "P50 MS",
    "rss_mib": "RSS MIB",
    "seconds": "S",
    "because": "BECAUSE",
}


def emulated(device: Device) -> str:
    """A device's name, with EMULATED beside it where that is what it is."""
    return f"{device.name} EMULATED" if device.emulated else device.name


def show_plan(screen: Screen, plan: Plan, names: dict[str, str]) -> None:
    """A plan: what every device runs now and shall run, and in which waves."""
    if not screen.for_people:
        screen.envelope("plan", {"id": plan.id, **plan.model_dump(mode="json")})
        return
    screen.rows("plan", [_step(step, names) for step in plan.steps], _PLAN)
    switches, keeps = len(plan.switches), sum(isinstance(s, Keep) for s in plan.steps)
    skips = len(plan.steps) - switches - keeps
    total = size(sum(step.bytes_to_send for step in plan.switches))
    screen.say()
    screen.say(
        f"Plan {plan.id}: {switches} to {_verb(plan)} ({total} to send), "
        f"{keeps} already current, {skips} left out."
    )
    if plan.waves:
        waves = "; ".join(f"{w.name}: {', '.join(w.devices)}" for w in plan.waves)
        screen.say(f"Waves: {waves}")


def _verb(plan: Plan) -> str:
    return "roll back" if plan.intent.value == "rollback" else "switch"


def _step(step: Switch | Keep | Skip, names: dict[str, str]) -> dict[str, Any]:
    row: dict[str, Any] = {
        "device": names.get(step.device, step.device),
        "model": step.model,
        "because": step.because,
    }
    match step:
        case Switch():
            sent = size(step.bytes_to_send)
            return {**row, "action": "switch", "now": step.was, "then": step.release, "bytes": sent}
        case Keep():
            return {**row, "action": "keep", "now": step.release, "then": step.release}
        case Skip():
            return {**row, "action": step.why.value}


def outcome_line(outcome: Outcome) -> str:
    """One outcome as it happens, for the log above a progress bar."""
    colour = "red" if outcome.status.failed else "green" if _went_well(outcome) else "yellow"
    what = outcome.release if _went_well(outcome) else outcome.because
    return f"[{colour}]{outcome.status.value:>17}[/]  {outcome.device}  {outcome.model}  {what}"


def _went_well(outcome: Outcome) -> bool:
    return outcome.status in (Status.SUCCEEDED, Status.ALREADY_CURRENT)


def outcome_row(outcome: Outcome, names: dict[str, str]) -> dict[str, Any]:
    """One outcome as a row."""
    return {
        **outcome.model_dump(mode="json"),
        "device": names.get(outcome.device, outcome.device),
        "sent": size(outcome.bytes_sent),
        "p50_ms": outcome.smoke.p50_ms if outcome.smoke else None,
        "rss_mib": outcome.smoke.rss_mib if outcome.smoke else None,
    }


def show_outcomes(
    screen: Screen, outcomes: Iterable[Outcome], names: dict[str, str], halted: str
) -> None:
    """The recap of a run."""
    every = sorted(outcomes, key=lambda o: list(names).index(o.device) if o.device in names else -1)
    if screen.output == "json":
        data = {"halted": halted, "outcomes": [o.model_dump(mode="json") for o in every]}
        screen.envelope("outcomes", data)
        return
    screen.rows("outcomes", [outcome_row(outcome, names) for outcome in every], _OUTCOME)
    if not screen.for_people:
        return
    counts: dict[str, int] = {}
    for outcome in every:
        counts[outcome.status.value] = counts.get(outcome.status.value, 0) + 1
    screen.say()
    screen.say(", ".join(f"{n} {status}" for status, n in counts.items()) + f"; {_sent(every)}.")
    if halted:
        screen.say(f"[bold red]HALTED[/]: {halted}. The other devices keep what they run.")
    for hint in _hints(every):
        screen.say(f"[bold]next:[/]  {hint}")


def _sent(outcomes: Sequence[Outcome]) -> str:
    """What was sent, and of how much if that was less than all of it."""
    sent = sum(outcome.bytes_sent for outcome in outcomes)
    whole = sum(outcome.size_bytes for outcome in outcomes if outcome.sent_as)
    saved = f" instead of {size(whole)}" if sent < 0.95 * whole else ""
    return f"{size(sent)} sent{saved}"


def _hints(outcomes: Sequence[Outcome]) -> list[str]:
    hints = [o.hint for o in outcomes if o.hint and not _went_well(o)]
    return list(dict.fromkeys(hints))[:3]
