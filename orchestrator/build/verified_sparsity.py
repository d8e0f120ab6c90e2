"""What pruning achieved beside what was asked for: a pruner that prunes nothing must be heard of."""

from orchestrator.build.failures import Unprunable
from orchestrator.catalog.pruning import PrunedLayer, Pruning, Sparsity

SHORT_BY = 0.01
"""How much sparsity may be missing: a weight more or less, and a few of equal magnitude."""


def verified(layers: tuple[PrunedLayer, ...], pruning: Pruning, renormalized: int) -> Sparsity:
    """The achieved sparsity.

    Raises:
        Unprunable: it is less than was asked for.
    """
    found = Sparsity(layers=layers, renormalized=renormalized)
    if pruning.sparsity is not None and found.share < pruning.sparsity - SHORT_BY:
        raise Unprunable(
            f"a sparsity of {pruning.sparsity:g} was asked for, and {found.share:.3f} was "
            "achieved: too many weights have the same magnitude"
        )
    if found.share == 0:
        what = (
            f"no weight is below the threshold {pruning.threshold:g}"
            if pruning.threshold is not None
            else "no layer has channels to spare"
        )
        raise Unprunable(f"nothing was pruned: {what}")
    return found
