"""fleet facts: what devices say about themselves, and how long ago."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.exits import Exit
from orchestrator.cli.options import Format, Rows, Site, Target
from orchestrator.cli.session import leave, opened

if TYPE_CHECKING:
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
    """Show what devices said about themselves; --refresh asks them again."""
    with opened(site, output) as (fleet, screen):
        devices = fleet.select(target)
        lost: dict[str, str] = {}
        if refresh:
            with screen.progress(len(devices), "asking") as bar:
                seen = fleet.observe(devices, lambda device: bar.step())
            lost = {name: o.because for name, o in seen.items() if o.kind == "unobserved"}
        known = fleet.ledger.facts()
        profiles = fleet.site.inventory.profiles
        rows = [
            _row(d.name, known.get(d.name), profiles[d.profile].arch, lost.get(d.name, ""))
            for d in devices
        ]
        screen.rows("facts", rows, _COLUMNS)
        if any(row["age"] == "never" for row in rows):
            screen.note("next:  ask them: fleet facts --refresh")
        leave(Exit.DEFERRED if lost else Exit.DONE)


def _row(name: str, facts: "Facts | None", arch: str, lost: str) -> dict[str, Any]:
    from orchestrator.cli.render import age

    if facts is None:
        return {"device": name, "age": "never", "note": lost, "facts": None}
    notes = [f"EMULATED ({facts.emulated})"] if facts.emulated else []
    if facts.arch != arch:
        notes.append(f"profile says {arch}")
    if facts.userland_bits == 32:
        notes.append("32-bit userland")
    notes += [lost] if lost else []
    return {
        "device": name,
        **{key: getattr(facts, key) for key in ("board", "arch", "cores", "ram_mib")},
        "disk_free_mib": facts.disk_free_mib,
        "runtimes": [f"{r.name.value} {r.version}" for r in facts.runtimes],
        "age": age(facts.observed_at),
        "note": "; ".join(notes),
        "facts": facts.model_dump(mode="json"),
        "fingerprint": facts.fingerprint,
    }
