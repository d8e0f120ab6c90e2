"""Accepted variants that another one beats in latency and in accuracy: marked, visibly. Pure."""

from collections.abc import Mapping

from orchestrator.artifact.lock import LockedArtifact, LockedModel, Status
from orchestrator.catalog.model import Model
from orchestrator.catalog.variant import RUNS, Precision, Variant

SLOWER = 1.2
"""How many times the latency of the better one a variant has to take: less is the machine's noise."""

POORER = 0.001
"""By how much its metric has to be lower, as a share of the greater one, and never by less than
one sample: on fewer samples two variants differ by chance."""


def marked(model: Model, locked: LockedModel) -> LockedModel:
    """The same model with every dominated variant marked, and no other.

    A variant is dominated by an accepted one that the same runtimes run and that takes and gives
    the same, asks for no more of a device, is faster by more than `SLOWER` and better by more
    than `POORER`. float32 never is where others are compared with it: it is what is left.
    """
    variants = {variant.name: variant for variant in model.variants}
    free = tuple(_unmarked(each) for each in locked.artifacts)
    artifacts = tuple(_marked(each, free, variants) for each in free)
    return locked.model_copy(update={"artifacts": artifacts})


def _unmarked(artifact: LockedArtifact) -> LockedArtifact:
    if artifact.status is not Status.DOMINATED:
        return artifact
    return artifact.model_copy(update={"status": Status.ACCEPTED, "because": ""})


def _marked(
    artifact: LockedArtifact,
    others: tuple[LockedArtifact, ...],
    variants: Mapping[str, Variant],
) -> LockedArtifact:
    variant = variants.get(artifact.variant)
    if artifact.status is not Status.ACCEPTED or variant is None:
        return artifact
    if variant.recipe == variant.reference:
        return artifact
    for other in others:
        rival = variants.get(other.variant)
        usable = other.status is Status.ACCEPTED and rival is not None
        if usable and rival is not None and _takes_its_place(rival, variant):
            because = _beaten(artifact, other)
            if because:
                update = {"status": Status.DOMINATED, "because": because}
                return artifact.model_copy(update=update)
    return artifact


def _takes_its_place(rival: Variant, variant: Variant) -> bool:
    """Whether a rival can run wherever a variant can, for whoever calls it."""
    if RUNS[rival.format] != RUNS[variant.format]:
        return False
    if (rival.precision is Precision.INT8_IO) != (variant.precision is Precision.INT8_IO):
        return False
    everywhere = not rival.archs or (bool(variant.archs) and set(variant.archs) <= set(rival.archs))
    return everywhere and rival.needs_mib <= variant.needs_mib


def _beaten(mine: LockedArtifact, other: LockedArtifact) -> str:
    """How another variant beats this one; empty where it does not."""
    ours, theirs = mine.figures, other.figures
    if ours is None or theirs is None or not ours.p50_ms or not theirs.p50_ms:
        return ""
    if ours.metric != theirs.metric or ours.score is None or theirs.score is None:
        return ""
    gap = theirs.score - ours.score
    least = POORER * max(abs(theirs.score), abs(ours.score))
    if ours.metric in ("top1", "topk"):
        least = max(least, 1 / max(ours.samples, 1))
    slower = ours.p50_ms / theirs.p50_ms
    if slower <= SLOWER or gap <= least * (1 + 1e-9):
        return ""
    return (
        f"{other.variant} is {slower:.1f} times as fast ({theirs.p50_ms:.3g} ms against "
        f"{ours.p50_ms:.3g}) and better ({ours.metric} {theirs.value:.4g} against {ours.value:.4g})"
    )
