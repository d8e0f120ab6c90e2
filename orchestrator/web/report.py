"""A locked model → one self-contained HTML page: table, front, sizes, what compression gives."""

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, StrictUndefined

from orchestrator.artifact.bought import Packed, bought
from orchestrator.artifact.lock import LockedArtifact, LockedModel, Status
from orchestrator.catalog.front import front
from orchestrator.web.chart import Dot, bars, scatter


def report(
    models: list[LockedModel], template: str, packed: Mapping[str, Packed] | None = None
) -> str:
    """The page as text.

    Args:
        template: the Jinja2 source of the page.
        packed: bytes after compression by artifact digest, where they were measured.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    page = environment.from_string(template)
    return page.render(models=[_model(model, packed or {}) for model in models])


def on_front(model: LockedModel) -> tuple[str, ...]:
    """The accepted variants that no other accepted one beats in everything."""
    return front({a.variant: a.figures for a in model.artifacts if _usable(a) and a.figures})


def pareto(model: LockedModel) -> str:
    """Accuracy against latency of every measured variant, the front joined; area is size."""
    measured = [a for a in model.artifacts if a.figures and a.figures.p50_ms]
    best = on_front(model)
    largest = max((a.size_bytes for a in measured), default=1) or 1
    dots = [_dot(a, best, largest) for a in measured]
    return scatter(dots, "latency p50 on the build machine, ms", "accuracy", best)


def _dot(artifact: LockedArtifact, best: tuple[str, ...], largest: int) -> Dot:
    figures = artifact.figures
    assert figures is not None
    return Dot(
        label=artifact.variant,
        x=figures.p50_ms or 0.0,
        y=figures.accuracy or 0.0,
        area=artifact.size_bytes / largest,
        strong=artifact.variant in best,
    )


def _usable(artifact: LockedArtifact) -> bool:
    return artifact.status is Status.ACCEPTED


def _model(model: LockedModel, packed: Mapping[str, Packed]) -> dict[str, Any]:
    best = on_front(model)
    built = [a for a in model.artifacts if a.sha256]
    small = [(a.variant, n.zstd) for a in built if (n := packed.get(a.sha256 or ""))]
    return {
        "name": model.name,
        "version": model.version,
        "source": model.source,
        "artifacts": [
            {
                "locked": a,
                "figures": a.figures,
                "front": a.variant in best,
                "packed": n.zstd if (n := packed.get(a.sha256 or "")) else None,
            }
            for a in model.artifacts
        ],
        "pareto": pareto(model) if any(a.figures and a.figures.p50_ms for a in built) else "",
        "sizes": bars([(a.variant, a.size_bytes / 1024) for a in built], "KiB"),
        "packed": bars([(name, n / 1024) for name, n in small], "KiB") if small else "",
        "bought": bought(model, packed),
    }
