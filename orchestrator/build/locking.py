"""What became of a variant in the builder → its line in the lock, with its verdict."""

from orchestrator.artifact.lock import LockedArtifact, Status
from orchestrator.build.cache import Failure
from orchestrator.build.making import Order, Outcome
from orchestrator.build.recipes import measurement_key
from orchestrator.build.verdict import verdict
from orchestrator.catalog.model import Model
from orchestrator.catalog.variant import Variant


def absent(order: Order, variant: Variant, status: Status, because: str) -> LockedArtifact:
    """An artifact without bytes, and why."""
    return LockedArtifact(
        variant=variant.name,
        key=measurement_key(order.ingredients, variant.recipe),
        status=status,
        because=because,
        format=variant.format,
    )


def locked(model: Model, order: Order, variant: Variant, outcome: Outcome) -> LockedArtifact:
    """The artifact with its verdict, which is no part of what is cached."""
    conversion, measurement = outcome.conversion, outcome.measurement
    if isinstance(conversion, Failure) or isinstance(measurement, Failure):
        failure = conversion if isinstance(conversion, Failure) else measurement
        assert isinstance(failure, Failure)
        return absent(order, variant, failure.status, failure.because)
    figures = measurement.figures
    reference = variant.recipe == variant.recipe.reference
    if reference:
        figures = figures.model_copy(update={"max_abs_diff": conversion.max_abs_diff})
    status, because = verdict(model.acceptance, figures, reference=reference)
    if status is Status.ACCEPTED and measurement.golden is None:
        status, because = Status.FAILED, f"no golden cases: {measurement.no_golden}"
    mixture, compilation = conversion.mixture, conversion.compilation
    words = (mixture.words if mixture else "", compilation.words if compilation else "", because)
    return LockedArtifact(
        variant=variant.name,
        key=measurement_key(order.ingredients, variant.recipe),
        status=status,
        because="; ".join(each for each in words if each),
        format=variant.format,
        mixture=mixture,
        sha256=conversion.sha256,
        size_bytes=conversion.size_bytes,
        weights=conversion.weights,
        sparsity=conversion.sparsity,
        compilation=compilation,
        figures=figures,
        golden=measurement.golden,
    )
