"""fleet pareto: which variants no other beats in quality, latency and size at once."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.options import Format, Rows, Site, models_named
from orchestrator.cli.session import opened
from orchestrator.errors import BadInput, NotFound

if TYPE_CHECKING:
    from orchestrator.app import Fleet
    from orchestrator.artifact.lock import LockedArtifact, LockedModel


def _columns(metric: str) -> dict[str, str]:
    """The headings; what variants are compared by is called by its own name."""
    return {
        "front": "FRONT",
        "variant": "VARIANT",
        "status": "STATUS",
        **({"value": metric.upper(), "interval": "95 %"} if metric else {}),
        "p50_ms": "P50 MS",
        "p95_ms": "P95 MS",
        "size": "SIZE",
        "because": "BECAUSE",
    }


def pareto(
    model: Annotated[str, typer.Argument(help="A model.", autocompletion=models_named)],
    out: Annotated[
        Path | None, typer.Option("--out", help="Also draw it: a .svg, or a whole .html page.")
    ] = None,
    on: Annotated[
        str | None,
        typer.Option("--on", help="A device, or a fingerprint: as it was measured there."),
    ] = None,
    output: Rows = Format.TEXT,
    site: Site = None,
) -> None:
    """Show the Pareto front of a model's built variants; --out draws it.

    On the front stand the variants that no other accepted one beats in the metric (without
    labels: the cosine with float32's outputs), latency and size at once. Figures are the build
    machine's; the interval is that of the paired difference, laid around float32's figure. With
    --on they are a device's own: what fleet profile measured there, else its smoke tests.
    """
    with opened(site, output) as (fleet, screen):
        from orchestrator.web.report import BUILDER, metric_of, on_front
        from orchestrator.web.report import pareto as drawn

        locked, place = fleet.workshop.locked(model), BUILDER
        if on is not None:
            locked, place = _measured_on(fleet, locked, on)
            screen.note(f"as measured on {place}")
        best = on_front(locked)
        order = sorted(locked.artifacts, key=lambda a: (a.variant not in best, a.variant))
        columns = _columns(metric_of(locked))
        screen.rows("pareto", [_row(a, best) for a in order], columns)
        if not any(a.figures and a.figures.samples for a in order):
            screen.note(f"warning: {model} was built without evaluation data (data.evaluation)")
        match out.suffix if out else None:
            case ".svg":
                _write(out, drawn(locked, place=place, alone=True))
            case ".html":
                _write(out, fleet.workshop.page([locked], place=place))
            case None:
                pass
            case other:
                raise BadInput(f"cannot draw a {other!r}", file=str(out), hint="use .svg or .html")


def _measured_on(fleet: "Fleet", locked: "LockedModel", on: str) -> "tuple[LockedModel, str]":
    """A model with the figures of a device, by name or fingerprint; and where they are from."""
    from orchestrator.artifact.elsewhere import elsewhere

    readings, said = fleet.ledger.readings(), fleet.ledger.facts().get(on)
    mine = [reading for a in locked.artifacts for reading in readings.get(a.sha256 or "", ())]
    classes = {reading.fingerprint: reading.profile for reading in mine}
    fingerprint = on
    if on not in classes:
        fleet.device(on)
        fingerprint = said.fingerprint if said else ""
    measured, found = elsewhere(locked, readings, fingerprint)
    if not found:
        raise NotFound(
            f"measurement of {locked.name} on a device",
            on,
            classes,
            hint=f"measure it: fleet profile {locked.name} --target {on}",
        )
    newest = max(found, key=lambda reading: reading.at)
    emulated = ", EMULATED" if newest.emulated else ""
    place = on if said else f"a {newest.profile}"
    return measured, f"{place} ({fingerprint}; {newest.source}{emulated})"


def _row(artifact: "LockedArtifact", best: tuple[str, ...]) -> dict[str, Any]:
    from orchestrator.cli.render import size
    from orchestrator.web.report import value_of

    figures = artifact.figures
    low, high = (figures.interval if figures else None) or (None, None)
    return {
        "front": "●" if artifact.variant in best else "",
        "variant": artifact.variant,
        "status": artifact.status.value,
        "metric": figures.metric if figures else None,
        "value": value_of(figures),
        "low": low,
        "high": high,
        "interval": f"{low:.4g} to {high:.4g}" if low is not None and high is not None else "",
        "p50_ms": figures.p50_ms if figures else None,
        "p95_ms": figures.p95_ms if figures else None,
        "size": size(artifact.whole_bytes) if artifact.sha256 else "",
        "size_bytes": artifact.whole_bytes,
        "because": artifact.because,
    }


def _write(file: Path | None, text: str) -> None:
    assert file is not None
    beside = file.with_name(f".{file.name}.new")
    beside.write_text(text)
    beside.replace(file)
