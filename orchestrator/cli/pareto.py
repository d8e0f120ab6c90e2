"""fleet pareto: which variants no other beats in accuracy, latency and size at once."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.options import Format, Rows, Site, models_named
from orchestrator.cli.session import opened
from orchestrator.errors import BadInput

if TYPE_CHECKING:
    from orchestrator.artifact.lock import LockedArtifact

_COLUMNS = {
    "front": "FRONT",
    "variant": "VARIANT",
    "status": "STATUS",
    "accuracy": "ACCURACY",
    "p50_ms": "P50 MS",
    "size": "SIZE",
    "because": "BECAUSE",
}


def pareto(
    model: Annotated[str, typer.Argument(help="A model.", autocompletion=models_named)],
    out: Annotated[
        Path | None, typer.Option("--out", help="Also draw it: a .svg, or a whole .html page.")
    ] = None,
    output: Rows = Format.TEXT,
    site: Site = None,
) -> None:
    """Show the Pareto front of a model's built variants; --out draws it.

    On the front stand the variants that no other accepted one beats in accuracy, latency and
    size at once. Figures are the build machine's.
    """
    with opened(site, output) as (fleet, screen):
        from orchestrator.web.report import on_front
        from orchestrator.web.report import pareto as drawn

        locked = fleet.locked(model)
        best = on_front(locked)
        order = sorted(locked.artifacts, key=lambda a: (a.variant not in best, a.variant))
        screen.rows("pareto", [_row(a, best) for a in order], _COLUMNS)
        match out.suffix if out else None:
            case ".svg":
                _write(out, drawn(locked))
            case ".html":
                _write(out, fleet.report([model]))
            case None:
                pass
            case other:
                raise BadInput(f"cannot draw a {other!r}", file=str(out), hint="use .svg or .html")


def _row(artifact: "LockedArtifact", best: tuple[str, ...]) -> dict[str, Any]:
    from orchestrator.cli.render import size

    figures = artifact.figures
    return {
        "front": "●" if artifact.variant in best else "",
        "variant": artifact.variant,
        "status": artifact.status.value,
        "accuracy": figures.accuracy if figures else None,
        "p50_ms": figures.p50_ms if figures else None,
        "size": size(artifact.whole_bytes) if artifact.sha256 else "",
        "size_bytes": artifact.whole_bytes,
        "because": artifact.because,
    }


def _write(file: Path | None, text: str) -> None:
    assert file is not None
    beside = file.with_name(f".{file.name}.new")
    beside.write_text(text)
    beside.replace(file)
