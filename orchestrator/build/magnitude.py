"""The arithmetic of pruning by magnitude: thresholds, masks, schedules, channels. NumPy only."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from orchestrator.catalog.pruning import Pruning, Scope

Weights = NDArray[np.floating]

PRUNED_BY = 0.6
"""The share of the training steps after which the final sparsity is reached; the rest recovers."""

WHOLE_CHANNELS = 8
"""Channels are kept in multiples of this where a layer has at least twice as many: SIMD's width."""


def threshold_for(weights: Weights, sparsity: float) -> float:
    """The threshold below which ``round(sparsity * n)`` of n weights lie in magnitude.

    Weights of equal magnitude go together or stay together: where they tie at the threshold,
    fewer lie below it.
    """
    magnitudes = np.abs(weights).ravel()
    count = round(sparsity * magnitudes.size)
    if count >= magnitudes.size:
        return float(np.nextafter(magnitudes.max(), np.inf, dtype=magnitudes.dtype))
    return float(np.partition(magnitudes, count)[count])


def thresholds(kernels: Sequence[Weights], pruning: Pruning, share: float = 1.0) -> list[float]:
    """One threshold a kernel.

    Args:
        share: of the sparsity asked for, how much is asked for now.
    """
    if pruning.threshold is not None:
        return [pruning.threshold] * len(kernels)
    sparsity = (pruning.sparsity or 0.0) * share
    if pruning.scope is Scope.LAYER:
        return [threshold_for(kernel, sparsity) for kernel in kernels]
    together = np.concatenate([np.abs(kernel).ravel() for kernel in kernels])
    return [threshold_for(together, sparsity)] * len(kernels)


def kept(kernel: Weights, threshold: float) -> NDArray[np.bool_]:
    """Where a kernel's weights stay: ``w ← 0 where |w| < threshold``."""
    return np.asarray(np.abs(kernel) >= np.asarray(threshold, kernel.dtype))


def share_at(step: int, steps: int) -> float:
    """How much of the final sparsity is asked for after `step` of `steps`: 0 to 1.

    Source: Zhu and Gupta 2017, arXiv:1710.01878, from a sparsity of 0 and with their cube.
    """
    return 1 - (1 - min(1.0, step / max(1, steps))) ** 3


def channels_kept(kernel: Weights, share: float) -> NDArray[np.intp]:
    """The output channels (last axis) that stay, ascending: the greatest sums of magnitudes.

    Source: Li et al. 2017, arXiv:1608.08710. Of equal sums the first stays.
    """
    count = kernel.shape[-1]
    wanted = max(1, round(count * share))
    if count >= 2 * WHOLE_CHANNELS:
        wanted = max(1, round(count * share / WHOLE_CHANNELS)) * WHOLE_CHANNELS
    sums = np.abs(kernel.astype(np.float64)).reshape(-1, count).sum(axis=0)
    return np.sort(np.argsort(-sums, kind="stable")[: min(wanted, count)])
