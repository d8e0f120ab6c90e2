"""fleet profile: variants measured on devices, and what was measured before."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.exits import Exit
from orchestrator.cli.options import Format, Rows, Site, models_named
from orchestrator.cli.session import leave, opened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.app import Fleet
    from orchestrator.catalog.reading import Measurement
    from orchestrator.cli.render import Screen
    from orchestrator.deploy.measure import Tried
    from orchestrator.rollout.plan import Skip
    from orchestrator.rollout.trial import Turn

_DRY = {
    "device": "DEVICE",
    "fingerprint": "FINGERPRINT",
    "power_mode": "POWER MODE",
    "variant": "VARIANT",
    "runtime": "RUNTIME",
    "size": "SIZE",
    "because": "BECAUSE",
}
_TRIED = {
    "device": "DEVICE",
    "variant": "VARIANT",
    "status": "STATUS",
    "quality": "QUALITY",
    "load_ms": "LOAD MS",
    "first_ms": "FIRST MS",
    "p50_ms": "P50 MS",
    "p95_ms": "P95 MS",
    "rss_mib": "RSS MIB",
    "celsius": "°C",
    "mhz": "MHZ",
    "slowdown": "SLOWDOWN",
    "sent": "SENT",
    "because": "BECAUSE",
}
_LIST = {
    "when": "WHEN",
    "device": "DEVICE",
    "fingerprint": "FINGERPRINT",
    "power_mode": "POWER MODE",
    "variant": "VARIANT",
    "runtime": "RUNTIME",
    **{key: _TRIED[key] for key in ("quality", "load_ms", "first_ms", "p50_ms", "p95_ms")},
    **{key: _TRIED[key] for key in ("rss_mib", "celsius", "mhz", "slowdown")},
    "throttled": "THROTTLED",
    "note": "",
}


def profile(
    model: Annotated[str, typer.Argument(help="A model.", autocompletion=models_named)],
    target: Annotated[
        str,
        typer.Option("--target", "-t", help="'one-per-class', or devices as for fleet plan."),
    ] = "one-per-class",
    seconds: Annotated[
        float,
        typer.Option("--seconds", min=0.1, max=600, help="How long each variant is kept busy."),
    ] = 10.0,
    samples: Annotated[
        int,
        typer.Option(
            "--samples", min=0, max=2000, help="Evaluation samples to judge each on; 0: none."
        ),
    ] = 100,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show who would measure what.")
    ] = False,
    past: Annotated[
        bool, typer.Option("--list", help="Only show what was measured before, newest first.")
    ] = False,
    output: Rows = Format.TEXT,
    site: Site = None,
) -> None:
    """Measure every variant of a model on devices; fleet deploy then chooses by it.

    One device of each class (equal hardware, power mode and runtimes), of those the model is meant
    for: latency when cold and when kept busy, memory, temperature, clock, and accuracy on a few
    samples. Variants are staged beside what runs and taken away again.

    fleet profile fashion --target one-per-class
    """
    with opened(site, output) as (fleet, screen):
        if past:
            fleet.site.model(model)
            found = fleet.ledger.measurements(model)
            screen.rows("measurements", [_past(each) for each in found], _LIST)
            return
        from orchestrator.profiling import candidates, prepared

        with screen.progress(len(candidates(fleet, model, target)), "asking") as bar:
            turns = prepared(fleet, model, target, lambda device: bar.step())
        if dry_run:
            screen.rows("profile", [row for turn in turns for row in _planned(turn)], _DRY)
            return
        leave(_measured(fleet, screen, model, turns, seconds, samples))


def _measured(
    fleet: "Fleet",
    screen: "Screen",
    model: str,
    turns: "Sequence[Turn | Skip]",
    seconds: float,
    samples: int,
) -> Exit:
    from orchestrator.cli.deploy import ending
    from orchestrator.cli.progress import Profiling
    from orchestrator.profiling import excerpts, profile

    given, why = excerpts(fleet, model, turns, samples)
    for each in why:
        screen.note(f"warning: accuracy is not measured: {each}")
    with Profiling(screen, turns) as shown:
        tried = profile(fleet, turns, given, seconds=seconds, watch=shown.watch, done=shown.done)
    if screen.output == "json":
        measured = [each.measurement for each in tried if each.measurement]
        outcomes = [each.outcome for each in tried]
        screen.envelope("profile", {"outcomes": outcomes, "measurements": measured})
    else:
        screen.rows("profile", [_tried(fleet, each) for each in tried], _TRIED)
    hints = [each.outcome.hint for each in tried if each.outcome.hint]
    for hint in list(dict.fromkeys(hints))[:3]:
        screen.say(f"[bold]next:[/]  {hint}")
    return ending([each.outcome for each in tried])


def _planned(turn: "Turn | Skip") -> list[dict[str, Any]]:
    from orchestrator.cli.render import size
    from orchestrator.rollout.plan import Skip

    if isinstance(turn, Skip):
        return [{"device": turn.device, "status": turn.why.value, "because": turn.because}]
    emulated = "EMULATED" if turn.device.emulated else ""
    return [
        {
            "device": trial.device,
            "fingerprint": turn.facts.fingerprint,
            "power_mode": turn.facts.power_mode,
            "variant": trial.manifest.variant,
            "runtime": trial.runtime.value,
            "size": size(trial.manifest.size_bytes),
            "size_bytes": trial.manifest.size_bytes,
            "because": emulated,
        }
        for trial in turn.trials
    ]


def _tried(fleet: "Fleet", tried: "Tried") -> dict[str, Any]:
    from orchestrator.cli.render import size
    from orchestrator.cli.show import emulated

    outcome, found = tried.outcome, tried.measurement
    return {
        "device": emulated(fleet.device(outcome.device)),
        "variant": (outcome.release or "").partition("+")[2].rpartition(".")[0],
        "status": outcome.status.value,
        **(_figures(found) if found else {"because": outcome.because}),
        "sent": size(outcome.bytes_sent),
    }


def _figures(found: "Measurement") -> dict[str, Any]:
    """What people read of a measurement; before → after where it changes."""
    quality = (
        f"{found.metric} {found.value:.4g} of {found.samples}" if found.value is not None else ""
    )
    pair = found.before, found.after
    return {
        **{key: getattr(found, key) for key in ("load_ms", "first_ms", "p50_ms", "p95_ms")},
        **{key: getattr(found, key) for key in ("rss_mib", "slowdown")},
        "quality": quality,
        "celsius": _change(*(each.temperature_c for each in pair)),
        "mhz": _change(*(each.clock_mhz for each in pair)),
    }


def _change(before: float | None, after: float | None) -> str:
    known = [f"{each:.0f}" for each in (before, after) if each is not None]
    return " → ".join(known)


def _past(found: "Measurement") -> dict[str, Any]:
    throttling = found.after.throttling
    return {
        **found.model_dump(mode="json"),
        **_figures(found),
        "when": found.at.astimezone().strftime("%Y-%m-%d %H:%M:%S"),
        "throttled": "" if throttling is None else ", ".join(throttling) or "no",
        "note": "EMULATED" if found.emulated else "",
    }
