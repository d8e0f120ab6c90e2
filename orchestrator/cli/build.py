"""fleet build: make, measure and judge every variant of a model; write the lock."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.exits import Exit
from orchestrator.cli.options import Format, ModelNames, Rows, Site
from orchestrator.cli.session import leave, opened
from orchestrator.errors import NotFound

if TYPE_CHECKING:
    from orchestrator.build.builder import BuildEvent, Finished

_COLUMNS = {
    "model": "MODEL",
    "variant": "VARIANT",
    "status": "STATUS",
    "size": "SIZE",
    "accuracy": "ACCURACY",
    "drop": "DROP",
    "diff": "MAX DIFF",
    "p50_ms": "P50 MS",
    "p95_ms": "P95 MS",
    "built": "BUILT IN",
    "because": "BECAUSE",
}


def build(
    models: ModelNames = None,
    variant: Annotated[
        list[str] | None, typer.Option("--variant", help="Only this variant; may be given again.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", min=1, help="Workers at once.", show_default=False)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Make them again, cached or not.")] = False,
    report: Annotated[
        Path | None, typer.Option("--report", help="Also write a page: table and charts.")
    ] = None,
    output: Rows = Format.TEXT,
    site: Site = None,
) -> None:
    """Make every variant of models, measure each, judge it by its limits, write fleet.lock.

    What was made from equal inputs is not made again. A variant that misses its acceptance
    limits is kept and shown as rejected, and is never assigned to a device.
    """
    with opened(site, output) as (fleet, screen):
        from orchestrator.artifact.lock import Status
        from orchestrator.build.builder import Finished

        if not fleet.site.models:
            raise NotFound("model", "", (), hint="describe one in models.yaml of the inventory")
        wanted = [fleet.site.model(name) for name in models or fleet.site.models]
        made: list[tuple[str, Finished]] = []
        total = sum(len(variant) if variant else len(model.variants) for model in wanted)
        with screen.progress(total, "building") as bar:

            def watch(model: str, event: "BuildEvent") -> None:
                if isinstance(event, Finished):
                    made.append((model, event))
                    bar.step()
                else:
                    bar.now(f"{model} {event.variant}")

            fleet.build(
                [m.name for m in wanted], variants=variant, jobs=jobs, force=force, watch=watch
            )
        order = {
            (model.name, v.name): (index, place)
            for index, model in enumerate(wanted)
            for place, v in enumerate(model.variants)
        }
        made.sort(key=lambda each: order[(each[0], each[1].variant)])
        screen.rows("build", [_row(model, event) for model, event in made], _COLUMNS)
        if report is not None:
            report.write_text(fleet.report([model.name for model in wanted]))
        statuses = {event.artifact.status for _, event in made}
        leave(Exit.FAILED if Status.FAILED in statuses else Exit.DONE)


def _row(model: str, event: "Finished") -> dict[str, Any]:
    from orchestrator.cli.render import size

    artifact = event.artifact
    figures = artifact.figures
    shown: dict[str, Any] = {
        "model": model,
        "variant": artifact.variant,
        "status": artifact.status.value,
        "size": size(artifact.size_bytes) if artifact.sha256 else "",
        "built": "cached" if event.cached else f"{event.seconds:.1f} s",
        "because": artifact.because,
        "sha256": artifact.sha256,
    }
    if figures:
        shown |= {
            "size_bytes": figures.size_bytes,
            "accuracy": figures.accuracy,
            "drop": figures.accuracy_drop,
            "diff": figures.max_abs_diff,
            "p50_ms": figures.p50_ms,
            "p95_ms": figures.p95_ms,
            "samples": figures.samples,
        }
    return shown
