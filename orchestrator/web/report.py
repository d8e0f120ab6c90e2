"""Locked models → one self-contained page: figures, fronts, what compression gives, sensitivities."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jinja2 import Environment, StrictUndefined

from orchestrator.artifact.bought import Packed, bought
from orchestrator.artifact.lock import LockedArtifact, LockedModel, Status
from orchestrator.artifact.mixture import Block
from orchestrator.catalog.assignment import Figures
from orchestrator.catalog.front import front
from orchestrator.catalog.variant import Format
from orchestrator.web.bars import Group, bars
from orchestrator.web.chart import Dot, Mark, scatter
from orchestrator.web.svg import STYLE

BUILDER = "the build machine"
SIZE = "size, KiB"

METRICS = {
    "top1": "accuracy",
    "topk": "top-k accuracy",
    "auc": "AUC",
    "mse": "mean squared error",
    "map": "mAP at IoU 0.5",
    "python": "score of your own function",
}
"""What a metric is called where people read it."""


@dataclass(frozen=True, slots=True)
class Sensed:
    """How sensitive the blocks of one format are, or why that is not known."""

    blocks: tuple[Block, ...] = ()
    kept: tuple[str, ...] = ()
    because: str = ""


@dataclass(frozen=True, slots=True)
class Beside:
    """What a page shows that is not in the lock: compressed sizes by digest, sensitivities.

    `place` is where the models' figures were measured.
    """

    place: str = BUILDER
    packed: Mapping[str, Packed] = field(default_factory=dict)
    sensed: Mapping[tuple[str, Format], Sensed] = field(default_factory=dict)


def report(models: Sequence[LockedModel], template: str, beside: Beside | None = None) -> str:
    """The page as text; `template` is its Jinja2 source."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    page = environment.from_string(template)
    known = beside or Beside()
    return page.render(style=STYLE, models=[_model(model, known) for model in models])


def on_front(model: LockedModel) -> tuple[str, ...]:
    """The accepted variants that no other accepted one beats in everything."""
    usable = {
        a.variant: a.figures
        for a in model.artifacts
        if a.figures and a.sha256 and a.status is Status.ACCEPTED
    }
    return front(usable)


def value_of(figures: Figures | None) -> float | None:
    """What a variant is shown by: its metric, else the cosine with float32's outputs."""
    if figures is None:
        return None
    if figures.value is not None or figures.accuracy is not None:
        return figures.accuracy if figures.value is None else figures.value
    if figures.samples == 0:
        return None
    return 1.0 if figures.cosine is None else figures.cosine


def metric_of(model: LockedModel) -> str:
    """What `value_of` is for a model's variants, in words; empty where nothing was measured."""
    every = [a.figures for a in model.artifacts if a.figures]
    named = next((f.metric for f in every if f.metric), None)
    if named is not None:
        return METRICS.get(named, named)
    if any(f.accuracy is not None for f in every):
        return METRICS["top1"]
    return "cosine with float32" if any(f.samples for f in every) else ""


def pareto(model: LockedModel, *, place: str = BUILDER, alone: bool = False) -> str:
    """Quality against latency with 95 % intervals; where quality is not known, size."""
    x = f"latency p50 on {place}, ms (whisker: to p95)"
    return _scatter(model, x, timed=True, alone=alone)


def _scatter(model: LockedModel, x: str, *, timed: bool, alone: bool = False) -> str:
    title = metric_of(model)
    measured = [a for a in model.artifacts if a.figures and a.figures.p50_ms]
    largest = max((a.whole_bytes for a in measured), default=1) or 1
    best = on_front(model)
    dots = [_dot(a, best, largest, timed=timed, quality=bool(title)) for a in measured]
    lower = any(a.figures and a.figures.lower_is_better for a in measured)
    up = f"{title}{' (lower is better)' if lower else ''}" if title else SIZE
    return scatter(dots, x, up, alone=alone)


def _dot(
    artifact: LockedArtifact, best: tuple[str, ...], largest: int, *, timed: bool, quality: bool
) -> Dot:
    figures = artifact.figures
    assert figures is not None
    low, high = (figures.interval if quality else None) or (None, None)
    fits = artifact.variant in best
    usable = Mark.FRONT if fits else Mark.USABLE
    kib = artifact.whole_bytes / 1024
    return Dot(
        label=artifact.variant,
        x=(figures.p50_ms or 0.0) if timed else kib,
        y=(value_of(figures) or 0.0) if quality else kib,
        low=low,
        high=high,
        until=figures.p95_ms if timed else None,
        area=artifact.whole_bytes / largest if timed and quality else 0.1,
        mark=usable if artifact.status is Status.ACCEPTED else Mark.REFUSED,
    )


def _model(model: LockedModel, beside: Beside) -> dict[str, Any]:
    best = on_front(model)
    built = [a for a in model.artifacts if a.sha256]
    measured = [a.figures for a in built if a.figures]
    timed = any(figures.p50_ms for figures in measured)
    quality = metric_of(model)
    return {
        "name": model.name,
        "version": model.version,
        "source": model.source,
        "unevaluated": bool(measured) and not any(figures.samples for figures in measured),
        "metric": quality,
        "heading": _heading(quality or "size"),
        "labelled": any(figures.interval for figures in measured),
        "samples": max((figures.samples for figures in measured), default=0),
        "artifacts": [_row(a, best, beside.packed) for a in model.artifacts],
        "reasons": [a for a in model.artifacts if a.because],
        "place": beside.place,
        "pareto": pareto(model, place=beside.place) if timed else "",
        "by_size": _scatter(model, SIZE, timed=False) if timed and quality else "",
        "sizes": _sizes(built, beside.packed),
        "sensitivities": [_sensitivity(*each) for each in _sensed(model, beside)],
        "searches": [a for a in model.artifacts if a.mixture],
        "bought": bought(model, beside.packed),
    }


def _heading(name: str) -> str:
    """A name at the beginning of a line, its own capitals kept."""
    return name if any(letter.isupper() for letter in name) else name.capitalize()


def _row(
    artifact: LockedArtifact, best: tuple[str, ...], packed: Mapping[str, Packed]
) -> dict[str, Any]:
    figures = artifact.figures
    return {
        "locked": artifact,
        "figures": figures,
        "value": value_of(figures),
        "interval": figures.interval if figures else None,
        "difference": figures.difference if figures else None,
        "front": artifact.variant in best,
        "packed": packed.get(artifact.sha256 or ""),
    }


def _sizes(built: Sequence[LockedArtifact], packed: Mapping[str, Packed]) -> str:
    groups = []
    for each in built:
        sizes = [(each.whole_bytes, "")]
        if small := packed.get(each.sha256 or ""):
            sizes += [(small.gzip, " gzip"), (small.zstd, " zstd")]
        bars_of = tuple((size / 1024, f"{size / 1024:,.4g} KiB{how}") for size, how in sizes)
        groups.append(Group(each.variant, bars_of))
    return bars(groups, "bytes of each variant, as it is and compressed") if groups else ""


def _sensed(model: LockedModel, beside: Beside) -> list[tuple[str, Sensed]]:
    """Sensitivities by format: of the mixed variant where there is one, else what was asked for."""
    found: dict[str, Sensed] = {}
    for (name, form), sensed in beside.sensed.items():
        if name == model.name:
            found[form.value] = sensed
    for each in model.artifacts:
        if each.mixture:
            found[each.format.value] = Sensed(each.mixture.blocks, each.mixture.kept)
    return sorted(found.items())


def _sensitivity(form: str, sensed: Sensed) -> dict[str, Any]:
    rows = [(block, _share(block), block.name in sensed.kept) for block in sensed.blocks]
    groups = [
        Group(block.name, ((share, f"{share:.3g} % ({block.snr_db:.1f} dB)"),), kept)
        for block, share, kept in rows
    ]
    title = f"deviation of {form} outputs where one block alone is int8, % of signal"
    return {
        "format": form,
        "because": sensed.because,
        "rows": rows,
        "kept": bool(sensed.kept),
        "chart": bars(groups, title) if groups else "",
    }


def _share(block: Block) -> float:
    """Deviation as a share of the signal, in per cent."""
    return float(100 * 10 ** (-block.snr_db / 20))
