"""Which blocks stay float: the fewest of the most sensitive with which the gate passes. Pure."""

from collections.abc import Callable, Sequence


def by_sensitivity(snr_db: Sequence[float]) -> tuple[int, ...]:
    """Indices of blocks, the most sensitive first; of equals, the earlier in the model."""
    return tuple(sorted(range(len(snr_db)), key=lambda index: (snr_db[index], index)))


def most_tried(blocks: int) -> int:
    """How many candidates a search makes at most: int8 itself, and a bisection."""
    return 1 + max(blocks - 1, 0).bit_length()


def fewest_kept(blocks: int, passes: Callable[[int], bool]) -> int | None:
    """How many of the most sensitive blocks have to stay float, by bisection.

    `passes` judges a candidate by that number; 0 is int8 alone, and all of them, which would be
    float32, is no candidate. None where no candidate passed that was tried. What passes with some
    blocks is taken to pass with more: a candidate that does so by chance may be missed, and what
    is returned was always tried and passed.
    """
    if passes(0):
        return 0
    failed, most, found = 0, blocks, None
    while most - failed > 1:
        middle = (failed + most) // 2
        if passes(middle):
            most = found = middle
        else:
            failed = middle
    return found
