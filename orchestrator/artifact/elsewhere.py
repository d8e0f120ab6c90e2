"""A locked model as one class of devices measured it: its figures in place of the build machine's."""

from collections.abc import Mapping

from orchestrator.artifact.lock import LockedArtifact, LockedModel, Status
from orchestrator.catalog.assignment import Figures
from orchestrator.catalog.reading import Class, Means, Reading, judged


def elsewhere(
    locked: LockedModel, readings: Mapping[str, tuple[Reading, ...]], fingerprint: str
) -> tuple[LockedModel, tuple[Reading, ...]]:
    """The model with the figures of that class, and the readings they are from; empty if none.

    All are by the same means: profiles where there is one, else smoke tests. What was not measured
    so has no figures. Quality is the device's where it judged every variant it has measured on the
    same samples, else the build machine's.

    Args:
        readings: by the digest of the model file.
    """
    usable = [a for a in locked.artifacts if a.status is Status.ACCEPTED and a.sha256]
    for means in Means:
        found = {
            artifact.variant: reading
            for artifact in usable
            for reading in readings.get(artifact.sha256 or "", ())
            if (reading.means, reading.fingerprint) == (means, fingerprint)
        }
        if found:
            own = judged({name: (each,) for name, each in found.items()}, Class(fingerprint, ""))
            artifacts = tuple(
                _measured(a, found.get(a.variant), own=bool(own)) for a in locked.artifacts
            )
            return locked.model_copy(update={"artifacts": artifacts}), tuple(found.values())
    return locked, ()


def _measured(artifact: LockedArtifact, reading: Reading | None, *, own: bool) -> LockedArtifact:
    if reading is None:
        return artifact.model_copy(update={"figures": None})
    figures = artifact.figures or Figures(size_bytes=artifact.whole_bytes)
    update: dict[str, object] = {"p50_ms": reading.p50_ms, "p95_ms": reading.p95_ms}
    if own:
        nothing = dict.fromkeys(("reference", "low", "high", "spread", "accuracy_drop"))
        accuracy = reading.value if reading.metric == "top1" else None
        judged_here = {"metric": reading.metric, "value": reading.value, "accuracy": accuracy}
        update |= {**nothing, **judged_here, "samples": reading.samples}
    return artifact.model_copy(update={"figures": figures.model_copy(update=update)})
