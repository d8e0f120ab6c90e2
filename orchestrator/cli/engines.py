"""fleet build --on: what can only be built on devices, as a table."""

from typing import TYPE_CHECKING, Any

from orchestrator.cli.exits import Exit

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from orchestrator.app import Fleet
    from orchestrator.cli.render import Screen
    from orchestrator.foundry import Attempt

_COLUMNS = {
    "model": "MODEL",
    "variant": "VARIANT",
    "status": "STATUS",
    "size": "SIZE",
    "p50_ms": "P50 MS",
    "p95_ms": "P95 MS",
    "device": "ON",
    "built": "BUILT IN",
    "because": "BECAUSE",
}


def build_on(
    fleet: "Fleet",
    screen: "Screen",
    target: str,
    models: "Sequence[str]",
    variants: "Collection[str] | None",
    *,
    deadline_s: float,
    force: bool,
) -> Exit:
    """Build, show, and say how it ended."""
    made: list[Attempt] = []
    with screen.bars() as bars, fleet:
        seen = fleet.observe(fleet.select(target))
        for attempt in fleet.foundry.engines(
            fleet.workshop,
            models,
            seen,
            variants=variants,
            deadline_s=deadline_s,
            force=force,
            watch=lambda words: bars.at(words, "building", 0, 1),
        ):
            made.append(attempt)
            bars.done(f"{attempt.variant} on {attempt.device}", "")
    screen.rows("build", [_row(each) for each in made], _COLUMNS)
    failed = [each for each in made if each.variant and not (each.engine and each.engine.accepted)]
    return Exit.FAILED if failed or not any(each.engine for each in made) else Exit.DONE


def _row(attempt: "Attempt") -> dict[str, Any]:
    from orchestrator.cli.render import size

    engine = attempt.engine
    shown: dict[str, Any] = {
        "model": attempt.model,
        "variant": attempt.variant,
        "status": _status(attempt),
        "size": size(engine.size_bytes) if engine and engine.sha256 else "",
        "device": attempt.device,
        "hardware": attempt.hardware and attempt.hardware.model_dump(),
        "built": "cached" if attempt.cached else f"{attempt.seconds:.1f} s" if engine else "",
        "because": attempt.because,
    }
    if engine:
        shown |= {"p50_ms": engine.p50_ms, "p95_ms": engine.p95_ms, "sha256": engine.sha256}
    return shown


def _status(attempt: "Attempt") -> str:
    if attempt.engine:
        return "accepted" if attempt.engine.accepted else "rejected"
    return "not built" if attempt.variant else "-"
