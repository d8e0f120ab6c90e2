"""How far a model's outputs are from float32's, whatever they mean: no labels are needed."""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from orchestrator.build.runtimes import Arrays

CONFIDENT = 0.5
"""Probability from which float32 counts as sure; elsewhere two classes may change places freely.

EfficientNet-Lite0: good variants agree on all such samples, bad ones on 61 to 83 %.
"""

_FAR = 1e30
"""What a deviation counts as that is not finite, since a value in a file has to be."""


@dataclass(slots=True)
class _Sums:
    """Sums over samples of one output."""

    signal: float = 0.0
    ours: float = 0.0
    product: float = 0.0
    noise: float = 0.0

    def add(self, have: NDArray[np.float64], want: NDArray[np.float64]) -> None:
        """Count one sample."""
        self.signal += float((want**2).sum())
        self.ours += float((have**2).sum())
        self.product += float((have * want).sum())
        self.noise += float(((have - want) ** 2).sum())


@dataclass(slots=True)
class Deviation:
    """Sums over evaluation samples; what is told is that of the worst output.

    Outputs are not pooled: a small one next to a large one would not be seen.
    """

    most: float = 0.0
    confident: int = 0
    agreed: int = 0
    _sums: dict[str, _Sums] = field(default_factory=dict)

    def add(self, ours: Arrays, theirs: Arrays) -> None:
        """Count one sample's outputs, both in real numbers."""
        for name, value in ours.items():
            if value.dtype.kind != "f" or value.size == 0:
                continue
            want = _finite(theirs[name])
            have = _finite(value)
            self.most = max(self.most, min(float(np.abs(have - want).max()), _FAR))
            self._sums.setdefault(name, _Sums()).add(have, want)
        if len(ours) == 1:
            name = next(iter(ours))
            self._agree(ours[name], theirs[name])

    @property
    def snr_db(self) -> float | None:
        """Signal over deviation in decibels, None where there is no deviation."""
        noisy = [each for each in self._sums.values() if each.noise > 0]
        if not noisy:
            return None
        return round(
            min(10 * math.log10(max(each.signal, 1e-30) / each.noise) for each in noisy), 2
        )

    @property
    def cosine(self) -> float | None:
        """Cosine of the angle between our outputs and float32's, all samples as one vector."""
        found = [
            each.product / math.sqrt(each.signal * each.ours)
            for each in self._sums.values()
            if each.signal > 0 and each.ours > 0
        ]
        lost = any((each.signal > 0) != (each.ours > 0) for each in self._sums.values())
        return 0.0 if lost else round(min(found), 6) if found else None

    @property
    def agreement(self) -> float | None:
        """Share of confident samples with the same greatest class, None where there are none."""
        return round(self.agreed / self.confident, 6) if self.confident else None

    def _agree(self, ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> None:
        """Count a sample if the output is probabilities of classes, and float32 is sure."""
        row = theirs.reshape(-1)
        if theirs.ndim != 2 or theirs.shape[0] != 1 or row.size < 2 or row.dtype.kind != "f":
            return
        if row.min() < -1e-3 or abs(float(row.sum()) - 1) > 1e-2 or row.max() < CONFIDENT:
            return
        self.confident += 1
        self.agreed += int(np.argmax(ours) == np.argmax(theirs))


def _finite(values: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.nan_to_num(values.astype(np.float64), nan=_FAR, posinf=_FAR, neginf=-_FAR)
