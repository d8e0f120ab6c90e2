"""fleet facts: what devices say about themselves, and how long ago."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.exits import Exit
from orchestrator.cli.options import Format, Rows, Site, Target
from orchestrator.cli.session import leave, opened

if TYPE_CHECKING:
    from orchestrator.inventory.contradiction import Contradiction
    from orchestrator.inventory.facts import Facts

_COLUMNS = {
    "device": "DEVICE",
    "board": "BOARD",
    "arch": "ARCH",
    "cores": "CORES",
    "ram_mib": "RAM MIB",
    "disk_free_mib": "FREE MIB",
    "runtimes": "RUNTIMES",
    "age": "AGE",
    "note": "",
}


def facts(
    target: Target = "all",
    refresh: Annotated[bool, typer.Option("--refresh", help="Ask the devices now.")] = False,
    output: Rows = Format.TEXT,
    site: Site = None,
) -> None:
    """Show what devices said about themselves and how long ago; --refresh asks them again.

    What contradicts the inventory or the profile stands beside it.
    """
    with opened(site, output) as (fleet, screen):
        devices = fleet.select(target)
        lost: dict[str, str] = {}
        if refresh:
            with screen.progress(len(devices), "asking") as bar:
                seen = fleet.observe(devices, lambda device: bar.step())
            lost = {name: o.because for name, o in seen.items() if o.kind == "unobserved"}
        known, denied = fleet.ledger.facts(), fleet.contradictions(devices)
        rows = [
            _row(d.name, known.get(d.name), denied.get(d.name, ()), lost.get(d.name, ""))
            for d in devices
        ]
        screen.rows("facts", rows, _COLUMNS)
        if any(row["age"] == "never" for row in rows):
            screen.note("next:  ask them: fleet facts --refresh")
        leave(Exit.DEFERRED if lost else Exit.DONE)


def _row(
    name: str, facts: "Facts | None", denied: "tuple[Contradiction, ...]", lost: str
) -> dict[str, Any]:
    from orchestrator.cli.render import age

    if facts is None:
        return {"device": name, "age": "never", "note": lost, "facts": None}
    notes = [f"EMULATED ({facts.emulated})"] if facts.emulated else []
    notes += [each.words for each in denied]
    notes += [f"now: {', '.join(facts.throttling)}"] if facts.throttling else []
    notes += [lost] if lost else []
    return {
        "device": name,
        **{key: getattr(facts, key) for key in ("board", "arch", "cores", "ram_mib")},
        "disk_free_mib": facts.disk_free_mib,
        "runtimes": [f"{r.name.value} {r.version}" for r in facts.runtimes],
        "age": age(facts.observed_at),
        "note": "; ".join(notes),
        "facts": facts.model_dump(mode="json"),
        "contradictions": [each.model_dump(mode="json") for each in denied],
        "fingerprint": facts.fingerprint,
    }
