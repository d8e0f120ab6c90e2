"""fleet build: make, measure and judge every variant of a model; write the lock."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from orchestrator.cli.exits import Exit
from orchestrator.cli.options import Format, ModelNames, Rows, Site
from orchestrator.cli.session import leave, opened
from orchestrator.errors import BadInput, NotFound

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator.app import Fleet
    from orchestrator.artifact.lock import LockedArtifact
    from orchestrator.build.builder import BuildEvent, Finished
    from orchestrator.catalog.model import Model
    from orchestrator.cli.render import Bars, Screen

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


_VERIFIED = {
    "model": "MODEL",
    "variant": "VARIANT",
    "file": "FILE",
    "status": "STATUS",
    "locked": "LOCKED",
    "rebuilt": "REBUILT",
    "because": "BECAUSE",
}


_DOING = {
    "prune": "pruning",
    "convert": "converting",
    "quantize": "quantizing",
    "sense": "finding what is sensitive",
    "mix": "searching",
    "measure": "measuring",
}
_LOG_LINES = 12


def build(
    models: ModelNames = None,
    variant: Annotated[
        list[str] | None, typer.Option("--variant", help="Only this variant; may be given again.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", min=1, help="Workers at once.", show_default=False)
    ] = None,
    deadline: Annotated[
        float, typer.Option("--deadline", min=1, help="Seconds that one worker may take.")
    ] = 900.0,
    force: Annotated[bool, typer.Option("--force", help="Make them again, cached or not.")] = False,
    ladder: Annotated[
        bool,
        typer.Option(
            "--ladder",
            help="From int8 over mixed, weights and float16 to float32, until one is accepted.",
        ),
    ] = False,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify", help="Make the locked variants again elsewhere and compare their bytes."
        ),
    ] = False,
    trust: Annotated[
        bool,
        typer.Option("--trust", help="Run code that models hold (Lambda layers); else refused."),
    ] = False,
    on: Annotated[
        str | None,
        typer.Option(
            "--on",
            metavar="TARGET",
            help="Build on these devices what can only be built there: TensorRT engines.",
        ),
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="Also write a page: table and charts.")
    ] = None,
    sensitivity: Annotated[
        bool,
        typer.Option(
            "--sensitivity", help="On the page: what each block loses by int8 (costs a search)."
        ),
    ] = False,
    output: Rows = Format.TEXT,
    site: Site = None,
) -> None:
    """Make every variant of models, measure each, judge it by its limits, write fleet.lock.

    What was made from equal inputs is not made again. A variant that misses its acceptance
    limits is kept and shown as rejected, and is never assigned to a device; neither is one that
    another beats in both latency and accuracy (dominated). Exit status 1: a variant failed, or
    with --verify, bytes differ.

    With --on, engines are built once for each kind of hardware among the devices, proved there
    against ONNX Runtime's outputs, and used by every device of the same kind.
    """
    with opened(site, output) as (fleet, screen):
        if ladder and variant:
            raise BadInput(
                "--ladder and --variant: the ladder chooses among the variants of the catalog",
                hint="leave one of them out",
            )
        if verify:
            _verify(fleet, screen, models, variant, jobs, trust=trust)
        if on is not None:
            from orchestrator.cli.engines import build_on

            names = models or []
            leave(build_on(fleet, screen, on, names, variant, deadline_s=deadline, force=force))
        from orchestrator.artifact.lock import Status

        if not fleet.site.models:
            raise NotFound("model", "", (), hint="describe one in models.yaml of the inventory")
        wanted = [fleet.site.model(name) for name in models or fleet.site.models]
        made: list[tuple[str, Finished]] = []
        with screen.bars() as bars:
            fleet.workshop.build(
                [m.name for m in wanted],
                variants=variant,
                jobs=jobs,
                deadline_s=deadline,
                force=force,
                ladder=ladder,
                trust=trust,
                watch=partial(_watch, bars, made),
            )
        if not ladder:
            order = [(model.name, v.name) for model in wanted for v in model.variants]
            made.sort(key=lambda each: order.index((each[0], each[1].variant)))
        _show(fleet, screen, wanted, made)
        if report is not None:
            names = [model.name for model in wanted]
            report.write_text(fleet.workshop.report(names, sensitivity=sensitivity))
        statuses = {event.artifact.status for _, event in made}
        leave(Exit.FAILED if Status.FAILED in statuses else Exit.DONE)


def _show(
    fleet: "Fleet", screen: "Screen", models: "Iterable[Model]", made: "list[tuple[str, Finished]]"
) -> None:
    """The table, then what has to be said beside it."""
    lock = fleet.site.lock()
    final = [(model, event, lock.find(model)) for model, event in made]
    rows = [_row(m, e, (k and k.artifact(e.variant)) or e.artifact) for m, e, k in final]
    pruned = {"sparsity": "SPARSITY"} if any("sparsity" in row for row in rows) else {}
    screen.rows("build", rows, {**_COLUMNS, **pruned})
    for model in models:
        if model.data.evaluation is None:
            screen.note(
                f"warning: {model.name} has no evaluation data: nothing is known of its "
                "accuracy, and no variant but float32 is accepted (data.evaluation)"
            )
    for model_name, event in made:
        _show_log(fleet, screen, f"{model_name} {event.variant}", event.log)


def _watch(
    bars: "Bars", made: "list[tuple[str, Finished]]", model: str, event: "BuildEvent"
) -> None:
    """A bar for each variant that is being made: what is done for it, and for how long."""
    from orchestrator.build.builder import Finished, Working

    name = f"{model} {event.variant}"
    if isinstance(event, Finished):
        made.append((model, event))
        status = event.artifact.status.value
        bars.done(name, "" if event.cached else f"{name}: {status} in {event.seconds:.1f} s")
        return
    step = event.step if isinstance(event, Working) else "waits"
    bars.at(name, _DOING.get(step, step), 1 if step == "measure" else 0, 2)


def _show_log(fleet: "Fleet", screen: "Screen", name: str, log: str) -> None:
    """The end of what a worker said before it failed."""
    if not log:
        return
    file = fleet.settings.state.parent / log
    lines = file.read_text(errors="replace").splitlines() if file.is_file() else []
    screen.excerpt(f"{name}: the end of {log}", lines[-_LOG_LINES:])


def _verify(
    fleet: "Fleet",
    screen: "Screen",
    models: list[str] | None,
    variants: list[str] | None,
    jobs: int | None,
    *,
    trust: bool,
) -> NoReturn:
    """Make again, compare, show, and end with what came of it."""
    compared = fleet.workshop.verify(models or [], variants=variants, jobs=jobs, trust=trust)
    rows = [
        {
            "model": each.model,
            "variant": each.variant,
            "file": each.file,
            "status": "equal" if each.equal else "different",
            "locked": each.locked,
            "rebuilt": each.rebuilt,
            "because": each.because,
        }
        for each in compared
    ]
    screen.rows("verify", rows, _VERIFIED)
    leave(Exit.DONE if all(each.equal for each in compared) else Exit.FAILED)


def _row(model: str, event: "Finished", artifact: "LockedArtifact") -> dict[str, Any]:
    from orchestrator.cli.render import size

    figures = artifact.figures
    shown: dict[str, Any] = {
        "model": model,
        "variant": artifact.variant,
        "status": artifact.status.value,
        "size": size(artifact.whole_bytes) if artifact.sha256 else "",
        "built": "cached" if event.cached else f"{event.seconds:.1f} s",
        "because": artifact.because,
        "sha256": artifact.sha256,
    }
    if figures:
        shown |= {
            "size_bytes": figures.size_bytes,
            "metric": figures.metric,
            "value": figures.value,
            "accuracy": figures.value if figures.accuracy is None else figures.accuracy,
            "drop": None if figures.difference is None else round(0.0 - figures.difference, 6),
            "low": figures.low,
            "high": figures.high,
            "cosine": figures.cosine,
            "snr_db": figures.snr_db,
            "agreement": figures.agreement,
            "diff": figures.max_abs_diff,
            "p50_ms": figures.p50_ms,
            "p95_ms": figures.p95_ms,
            "samples": figures.samples,
        }
    if artifact.sparsity:
        shown["sparsity"] = artifact.sparsity.share
    return shown
