"""Calibration data is checked before it shapes a model: enough, real, and of the right range. In a worker.

Ranges found on wrong samples give a model that loads, runs and is wrong. What is compared is the
evaluation data after the same preprocessing; token ids and other integers have no range to check.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from orchestrator.build.failures import BadData
from orchestrator.build.jobs import Samples
from orchestrator.build.samples import SampleSet, sample_set
from orchestrator.build.tensors import Tensor

MOST_SAMPLES = 100
"""Samples used; 20 and 100 gave the same EfficientNet-Lite0, 1 gave a useless one."""

FEWEST_SAMPLES = 20
"""Samples that have to be there."""

FAR_WIDER, FAR_NARROWER = 8.0, 1 / 20
"""How much wider or narrower than the evaluation data's a range may be.

Data that was not normalised is 16 to 255 times as wide, data normalised twice as much narrower.
Quieter or livelier samples of a sensor stay well inside.
"""

NEIGHBOURS_ALIKE = 0.3
"""From this correlation of neighbouring values on, samples have a structure that noise lacks."""

PLACES_DIFFER = 0.1
"""From this share of the variance lying between places on, places have a level of their own."""

LOST = 0.2
"""What share of such structure calibration data has to have as well."""


@dataclass(frozen=True, slots=True)
class Look:
    """What prepared samples of one input look like.

    `likeness` is the correlation of neighbouring values along the best axis, None where there
    are no neighbours; `places` the share of the variance that lies between places.
    """

    low: float
    high: float
    inner_low: float
    inner_high: float
    constant: bool
    repeated: bool
    likeness: float | None
    places: float


def calibration_set(samples: Samples, inputs: tuple[Tensor, ...]) -> SampleSet:
    """The calibration samples to use: at most 100, evenly spread over the file, checked.

    Raises:
        BadData: see `sample_set`; or too few, constant, noise, or not in the range of the
            evaluation data. Says how to switch the check off where the data is right after all.
    """
    file = samples.calibration or ""
    found = _some(sample_set(samples, file, inputs))
    if samples.check:
        compared = None
        if samples.evaluation is not None:
            compared = _some(sample_set(samples, samples.evaluation, inputs))
        because = unfit(found, compared)
        if because:
            raise BadData(
                because,
                file=file,
                hint="calibrate with 100 real samples, prepared like the evaluation data; "
                "if they are right as they are, set data.check: false",
            )
    return found


def unfit(calibration: SampleSet, evaluation: SampleSet | None) -> str:
    """Why samples must not be calibrated with; empty where they may."""
    if calibration.count < FEWEST_SAMPLES:
        return (
            f"{calibration.count} calibration samples are too few: {FEWEST_SAMPLES} are needed, "
            f"{MOST_SAMPLES} are better"
        )
    dead = 0
    for each in calibration.inputs:
        if not each.dtype.startswith("float"):
            continue
        mine = look(calibration, each)
        other = look(evaluation, each) if evaluation else None
        because = _odd(each.name, mine, other)
        if because:
            return because
        dead += mine.constant
    floats = [each for each in calibration.inputs if each.dtype.startswith("float")]
    if floats and dead == len(floats) and evaluation is None:
        return "every calibration sample is one and the same constant"
    return ""


def look(samples: SampleSet, wanted: Tensor) -> Look:
    """Statistics of one input's prepared samples."""
    prepared = [samples.feed(index)[wanted.name] for index in range(samples.count)]
    values = np.stack([each[0] if wanted.batched else each for each in prepared]).astype(np.float64)
    flat = values.reshape(len(values), -1)
    inner_low, inner_high = (float(each) for each in np.quantile(flat, (0.01, 0.99)))
    total = float(flat.var())
    return Look(
        low=float(flat.min()),
        high=float(flat.max()),
        inner_low=inner_low,
        inner_high=inner_high,
        constant=float(np.ptp(flat)) == 0,
        repeated=bool((flat == flat[0]).all()),
        likeness=_likeness(values),
        places=float(flat.mean(axis=0).var()) / total if total > 0 else 0.0,
    )


def _odd(name: str, mine: Look, other: Look | None) -> str:
    """What is wrong with an input's samples, beside the evaluation data's where there are some."""
    if other is None:
        return ""
    if mine.constant and not other.constant:
        return f"every value of {name!r} is {mine.low:g}, and the evaluation data varies"
    if mine.repeated and not other.repeated:
        return f"all calibration samples of {name!r} are the same, and the evaluation data varies"
    return "" if other.constant else _out_of_range(name, mine, other) or _noise(name, mine, other)


def _out_of_range(name: str, mine: Look, other: Look) -> str:
    whole = _ratio(mine.high - mine.low, other.high - other.low)
    inner = _ratio(mine.inner_high - mine.inner_low, other.inner_high - other.inner_low)
    inner = whole if inner is None else inner
    if whole is None or inner is None:
        return ""
    ranges = (
        f"{name!r} goes from {mine.low:.3g} to {mine.high:.3g} after preprocessing, and from "
        f"{other.low:.3g} to {other.high:.3g} in the evaluation data"
    )
    if min(whole, inner) > FAR_WIDER:
        return f"{ranges}: it looks as if it was not normalised"
    if max(whole, inner) < FAR_NARROWER:
        return f"{ranges}: it looks as if it was normalised twice"
    span = other.high - other.low
    if mine.low > other.high + span or mine.high < other.low - span:
        return f"{ranges}: the two do not even overlap"
    return ""


def _noise(name: str, mine: Look, other: Look) -> str:
    seems = f"the calibration samples of {name!r} look like random noise"
    if mine.likeness is not None and other.likeness is not None:
        if other.likeness >= NEIGHBOURS_ALIKE and mine.likeness < LOST * other.likeness:
            return (
                f"{seems}: neighbouring values correlate by {mine.likeness:.2f}, and by "
                f"{other.likeness:.2f} in the evaluation data"
            )
        return ""
    if other.places >= PLACES_DIFFER and mine.places < LOST * other.places:
        return (
            f"{seems}: {mine.places:.0%} of the variance lies between places, and "
            f"{other.places:.0%} in the evaluation data"
        )
    return ""


def _likeness(values: NDArray[np.float64]) -> float | None:
    """The greatest correlation of neighbours along an axis of four places or more.

    The last axis of samples with several is the channels' and is left out.
    """
    axes = range(1, values.ndim - 1) if values.ndim > 2 else ()
    found = []
    for axis in axes:
        if values.shape[axis] < 4:
            continue
        one = np.take(values, range(values.shape[axis] - 1), axis).ravel()
        other = np.take(values, range(1, values.shape[axis]), axis).ravel()
        spread = one.std() * other.std()
        if spread > 0:
            found.append(float(((one - one.mean()) * (other - other.mean())).mean() / spread))
    return max(found) if found else None


def _ratio(mine: float, other: float) -> float | None:
    return mine / other if other > 0 else None


def _some(samples: SampleSet) -> SampleSet:
    chosen = samples.spread(MOST_SAMPLES)
    raw = {name: array[chosen] for name, array in samples.raw.items()}
    truth = {name: array[chosen] for name, array in samples.truth.items()}
    return replace(samples, raw=raw, truth=truth, count=len(chosen))
