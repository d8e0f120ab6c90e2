"""Paired differences → an interval, a verdict, the samples that would decide. Pure, no NumPy.

A difference is variant minus float32 on the same samples, in the direction where higher is better.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

Z95 = 1.959963984540054
"""The 97.5 % quantile of the normal distribution: two-sided intervals of 95 %."""

FEWEST_SAMPLES = 30
"""Fewer samples decide nothing: no interval of normal or bootstrap kind can be trusted there."""

MOST_NEEDED = 1_000_000
"""Where more samples than this were needed, the difference lies on the limit itself."""


class Verdict(StrEnum):
    """What an interval says about a limit."""

    PASS = "pass"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95 % confidence interval."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict; `needed` samples would turn an inconclusive one, None where none would."""

    verdict: Verdict
    needed: int | None = None


def judged(
    difference: float, interval: Interval, limit: float, *, spread: float, samples: int
) -> Judgement:
    """Whether a variant loses at most `limit` against float32.

    PASS where the whole interval is at or above ``-limit``, FAIL where all of it is below,
    INCONCLUSIVE between. `needed` assumes that the difference stays what it is and that the
    interval narrows with the root of n: ``(z * spread / (limit + difference))**2``. It is an
    estimate: an interval that leans to one side takes up to half as many again.

    Args:
        limit: the greatest loss that is allowed, >= 0, in the metric's unit.
        spread: the standard deviation of the difference of one sample.
        samples: how many samples were compared.

    Source: non-inferiority by confidence interval, e.g. Piaggio et al. 2012 (CONSORT).
    """
    if samples >= FEWEST_SAMPLES:
        if interval.low >= -limit:
            return Judgement(Verdict.PASS)
        if interval.high < -limit:
            return Judgement(Verdict.FAIL)
    room = abs(limit + difference)
    root = Z95 * spread / room if room > 0 else math.inf
    if root > math.sqrt(MOST_NEEDED):
        return Judgement(Verdict.INCONCLUSIVE)
    return Judgement(Verdict.INCONCLUSIVE, max(math.ceil(root * root), samples + 1, FEWEST_SAMPLES))


def matched_pairs(worse: int, better: int, samples: int) -> tuple[Interval, float]:
    """The difference of two proportions on the same samples: its interval and its spread.

    Tango's score interval. It keeps its coverage where few or no pairs disagree, where the
    usual one has no width: without any, it is ``±z²/(n + z²)``, a little wider than the rule
    of three.

    Args:
        worse: samples that float32 has right and the variant has wrong.
        better: the other way round.
        samples: all of them, > 0.

    Source: Tango 1998, Statistics in Medicine 17:891-908; closed form of the constrained
    estimate after Fagerland, Lydersen, Laake 2014, Statistics in Medicine 33:2850-2875.
    """
    low = _root(worse, better, samples, Z95)
    high = -_root(better, worse, samples, Z95)
    share = max(worse + better, 3) / samples
    mean = (better - worse) / samples
    return Interval(low, high), math.sqrt(max(share - mean * mean, 0.0))


def paired_means(differences: Sequence[float]) -> tuple[Interval, float]:
    """The mean of per-sample differences: its Student interval and their standard deviation.

    Args:
        differences: variant minus float32, one a sample. Below two there is no interval, and
            what is returned is unbounded.

    Source: Student's paired t; quantile by Abramowitz and Stegun 26.7.5.
    """
    count = len(differences)
    if count < 2:
        return Interval(-math.inf, math.inf), math.inf
    mean = math.fsum(differences) / count
    spread = math.sqrt(math.fsum((each - mean) ** 2 for each in differences) / (count - 1))
    half = student(count - 1) * spread / math.sqrt(count)
    return Interval(mean - half, mean + half), spread


def percentiles(differences: Sequence[float]) -> Interval:
    """The interval that holds the middle 95 % of bootstrapped differences, at least one.

    Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, ch. 13.
    """
    ordered = sorted(differences)
    last = len(ordered) - 1
    return Interval(ordered[math.floor(0.025 * last)], ordered[math.ceil(0.975 * last)])


def student(freedom: int) -> float:
    """The 97.5 % quantile of Student's t; within 0.3 % from 4 degrees of freedom on."""
    z, v = Z95, freedom
    return (
        z
        + (z**3 + z) / (4 * v)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3)
    )


def _root(worse: int, better: int, samples: int, z: float) -> float:
    """The lower end: the difference at which the score statistic is `z`, by bisection."""
    low, high = -1.0, (better - worse) / samples
    for _ in range(60):
        middle = (low + high) / 2
        if _score(middle, worse, better, samples) > z:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _score(difference: float, worse: int, better: int, samples: int) -> float:
    """Tango's statistic for the hypothesis of one difference, in standard errors."""
    n, d = samples, difference
    b = -(better + worse) + (2 * n - better + worse) * d
    c = -worse * d * (1 - d)
    down = (math.sqrt(max(b * b - 8 * n * c, 0.0)) - b) / (4 * n)
    variance = n * (2 * down + d * (1 - d))
    distance = better - worse - n * d
    return distance / math.sqrt(variance) if variance > 0 else math.inf if distance > 0 else 0.0
