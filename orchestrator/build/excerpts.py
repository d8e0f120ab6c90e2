"""Locked artifacts → what a device judges each of them by: made in workers, equal ones kept once."""

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from orchestrator.artifact.excerpt import Excerpt
from orchestrator.artifact.lock import LockedArtifact, LockedModel
from orchestrator.build.jobs import AnyJob, Extract, Extracted, Failed, Refused, Samples
from orchestrator.build.store import Store
from orchestrator.build.workers import Room, Workers, memory_here
from orchestrator.catalog.model import Model
from orchestrator.catalog.variant import Format
from orchestrator.values import sha256

_DEADLINE_S = 300.0
_JUDGED = ("top1", "mse")
"""The metrics that a device computes by itself; for others it would have to send its outputs."""


def excerpts(
    model: Model,
    locked: LockedModel,
    variants: Collection[str],
    most: int,
    state: Path,
    catalog: Path,
) -> tuple[dict[str, Excerpt], tuple[str, ...]]:
    """By variant: what a device judges it by; and why some, or all, have nothing.

    Args:
        most: so many samples, evenly spread over the evaluation data.
        state, catalog: the folders of the store and of models.yaml.
    """
    if model.data.evaluation is None:
        return {}, (f"{model.name} has no evaluation data (data.evaluation)",)
    found = {name: locked.artifact(_fed_like(model, name)) for name in sorted(variants)}
    lone = [f"{name}: what it was compiled of is not listed" for name, a in found.items() if not a]
    wanted = {n: a for n, a in found.items() if a and a.figures and a.figures.metric in _JUDGED}
    if not wanted:
        return {}, tuple(lone) or (f"{model.name} is not judged by {' or '.join(_JUDGED)}",)
    workers = Workers(state / "build", Room(2, memory_here()), _DEADLINE_S)
    ordered = Ordered(model, most, Store(state / "store"), catalog, workers)
    try:
        with ThreadPoolExecutor(2) as pool:
            try:
                made = list(pool.map(ordered.excerpt, wanted.values()))
            finally:
                workers.stop()
    finally:
        workers.close()
    good = {name: e for name, e in zip(wanted, made, strict=True) if isinstance(e, Excerpt)}
    why = [f"{name}: {e}" for name, e in zip(wanted, made, strict=True) if isinstance(e, str)]
    kept = {each.sha256: each for each in good.values()}
    return {name: kept[each.sha256] for name, each in good.items()}, (*lone, *why)


def _fed_like(model: Model, name: str) -> str:
    """The variant that takes the same samples: an engine's own is the one it was compiled of."""
    engines = {each.name: each for each in model.variants if each.format is Format.TENSORRT}
    return str(engines[name].parent) if name in engines else name


@dataclass(frozen=True, slots=True)
class Ordered:
    """What excerpts of one model are made of."""

    model: Model
    most: int
    store: Store
    catalog: Path
    workers: Workers

    def excerpt(self, artifact: LockedArtifact) -> Excerpt | str:
        """The excerpt for one artifact, or why there is none."""
        figures = artifact.figures
        metric: Literal["top1", "mse"] = "mse" if figures and figures.lower_is_better else "top1"
        assert artifact.sha256 is not None
        model, file = artifact.sha256, artifact.weights
        samples = Samples(
            folder=str(self.catalog.resolve()),
            evaluation=self.model.data.evaluation,
            cases=self.model.golden.cases,
            preprocessing=self.model.preprocessing,
        )

        def job(out: Path) -> AnyJob:
            return Extract(
                artifact=str(self.store.path(model).resolve()),
                weights=str(self.store.path(file.sha256).resolve()) if file else None,
                format=artifact.format,
                samples=samples,
                metric=metric,
                most=self.most,
                out=str(out),
            )

        result, out = self.workers.run(f"{self.model.name}-{artifact.variant}-samples", job)
        if isinstance(result, Extracted):
            content = out.read_bytes()
            return Excerpt(content, sha256(content), metric, result.data)
        assert isinstance(result, Failed | Refused)
        return result.because if isinstance(result, Failed) else f"{result.file}: {result.message}"
