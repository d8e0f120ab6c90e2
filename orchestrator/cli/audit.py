"""fleet audit and fleet history: what runs where now, and what was done."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.exits import Exit
from orchestrator.cli.options import Format, Rows, Site, Target
from orchestrator.cli.session import leave, opened

if TYPE_CHECKING:
    from orchestrator.rollout.drift import Drift

_AUDIT = {
    "device": "DEVICE",
    "model": "MODEL",
    "finding": "FINDING",
    "found": "RUNS",
    "proved": "PROVED",
    "because": "BECAUSE",
}
_HISTORY = {
    "when": "WHEN",
    "run": "RUN",
    "intent": "INTENT",
    "device": "DEVICE",
    "model": "MODEL",
    "status": "STATUS",
    "was": "WAS",
    "release": "RELEASE",
    "because": "BECAUSE",
}


def audit(target: Target = "all", output: Rows = Format.TEXT, site: Site = None) -> None:
    """Hash what runs on each device and compare it with the ledger and the lock.

    Nothing is built and nothing is changed. Exit code 5 when anything is not as it was proved.
    """
    with opened(site, output) as (fleet, screen):
        from orchestrator.rollout.drift import Finding

        with screen.progress(len(fleet.select(target)), "auditing") as bar:
            found = fleet.audit(target, lambda device: bar.step())
        screen.rows("audit", [_row(drift) for drift in found], _AUDIT)
        findings = [drift.finding for drift in found]
        if screen.for_people:
            counts = {f: findings.count(f) for f in Finding if f in findings}
            screen.say()
            screen.say(", ".join(f"{n} {finding.value}" for finding, n in counts.items()) + ".")
        drifted = [drift for drift in found if drift.finding.drifted]
        if drifted:
            first = drifted[0].device
            screen.note(f"next:  fleet deploy --target {first} --repair")
            leave(Exit.DRIFT)
        leave(Exit.DEFERRED if Finding.UNREACHABLE in findings else Exit.DONE)


def _row(drift: "Drift") -> dict[str, Any]:
    from orchestrator.cli.render import age

    notes = [drift.because] + (["behind the lock"] if drift.behind_lock else [])
    return {
        **drift.model_dump(mode="json"),
        "device": drift.device,
        "found": drift.found,
        "proved": f"{age(drift.since)} ago" if drift.since else "never",
        "because": "; ".join(notes) + (" (EMULATED)" if drift.emulated else ""),
    }


def history(
    device: Annotated[str | None, typer.Option("--device", "-d", help="Only this device.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many.")] = 50,
    evidence: Annotated[
        bool, typer.Option("--evidence", help="Also what was kept of failures, word for word.")
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Also check the ledger's hash chain.")
    ] = False,
    output: Rows = Format.TEXT,
    site: Site = None,
) -> None:
    """Show what was done, newest first: every outcome of every device."""
    with opened(site, output) as (fleet, screen):
        if device is not None:
            fleet.device(device)
        entries = fleet.ledger.history(device, limit)
        rows = []
        for entry in entries:
            outcome = entry.outcome.model_dump(mode="json")
            when = entry.at.astimezone().strftime("%Y-%m-%d %H:%M:%S")
            meta = {"seq": entry.seq, "run": entry.run, "intent": entry.intent, "at": entry.at}
            rows.append({**outcome, **meta, "when": when})
        screen.rows("history", rows, _HISTORY)
        for row in rows if evidence else ():
            if row["evidence"]:
                title = f"{row['when']} {row['device']} {row['model']}: {row['because']}"
                screen.excerpt(title, row["evidence"].splitlines())
        if verify:
            screen.note(f"the chain of {fleet.ledger.verify()} entries holds")
