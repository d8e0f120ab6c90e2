"""What was measured of variants on devices, and which of it may be compared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from orchestrator.values import Sha256, Value


class Means(StrEnum):
    """How a figure came about on a device, the better ones first."""

    PROFILE = "fleet profile"
    SMOKE = "smoke test"


class Condition(Value):
    """How a device was at one moment; None where it does not say.

    `temperature_c` is that of the hottest zone, `clock_mhz` that of the fastest core, `throttling`
    what a Raspberry Pi's firmware says is slowing it down.
    """

    temperature_c: float | None = None
    clock_mhz: float | None = None
    throttling: tuple[str, ...] | None = None


class Measurement(Value):
    """One variant, measured on one device by `fleet profile`.

    `sha256` is that of the model file, `runtime` the program and its version. `load_ms` is from
    importing the runtime until the model is open, `first_ms` the inference after that. The others
    are of `runs` inferences one after the other for `seconds`; `slowdown` is the median of their
    last quarter by that of their first. `value` is the `metric` over `samples` of the evaluation
    data, of which `data` is the digest of the labels.
    """

    at: datetime
    model: str
    variant: str
    sha256: Sha256
    device: str
    profile: str
    fingerprint: str
    runtime: str
    power_mode: str | None = None
    emulated: str | None = None
    load_ms: float
    first_ms: float
    p50_ms: float
    p95_ms: float
    runs: int
    seconds: float
    slowdown: float
    rss_mib: float
    before: Condition = Condition()
    after: Condition = Condition()
    metric: str | None = None
    value: float | None = None
    samples: int = 0
    data: str = ""

    @property
    def reading(self) -> "Reading":
        """What a variant is chosen by."""
        return Reading(
            means=Means.PROFILE,
            fingerprint=self.fingerprint,
            profile=self.profile,
            emulated=self.emulated is not None,
            at=self.at,
            p50_ms=self.p50_ms,
            p95_ms=self.p95_ms,
            rss_mib=self.rss_mib,
            metric=self.metric,
            value=self.value,
            samples=self.samples,
            data=self.data,
        )


@dataclass(frozen=True, slots=True)
class Reading:
    """The newest figures of one variant by some means on one class of hardware."""

    means: Means
    fingerprint: str
    profile: str
    at: datetime
    p50_ms: float
    p95_ms: float | None = None
    rss_mib: float | None = None
    emulated: bool = False
    metric: str | None = None
    value: float | None = None
    samples: int = 0
    data: str = ""

    @property
    def source(self) -> str:
        """By what means, and when."""
        return f"{self.means}, {self.at:%Y-%m-%d}"

    @property
    def score(self) -> float | None:
        """What variants are ranked by: the metric, higher is better."""
        return -self.value if self.value is not None and self.metric == "mse" else self.value


@dataclass(frozen=True, slots=True)
class Class:
    """What a device's figures are looked for by; `fingerprint` is empty where it was never asked."""

    fingerprint: str
    profile: str
    emulated: bool = False


Readings = Mapping[str, Sequence[Reading]]
"""By the name of a variant: everything that was measured of it."""


def comparable(given: Readings, of: Class) -> tuple[str, dict[str, Reading]]:
    """The readings to compare, one a variant, and where they were taken; nothing where none are.

    All are of one fingerprint and by the same means: profiles of the device's own class, then its
    smoke tests, then those of one other class of the same profile, the last measured first.
    """
    for means in Means:
        if found := _complete(given, means, of.fingerprint):
            return "this hardware", found
    kin = (
        reading
        for readings in given.values()
        for reading in readings
        if (reading.profile, reading.emulated) == (of.profile, of.emulated)
    )
    newest = sorted(kin, key=lambda reading: (reading.at, reading.fingerprint), reverse=True)
    for means in Means:
        for fingerprint in dict.fromkeys(reading.fingerprint for reading in newest):
            if found := _complete(given, means, fingerprint):
                return f"a {of.profile}", found
    return "", {}


def judged(given: Readings, of: Class) -> dict[str, Reading]:
    """The profiles of a device's own class, if each variant was judged on the same samples there."""
    found = _complete(given, Means.PROFILE, of.fingerprint)
    sets = {(each.metric, each.samples, each.data) for each in found.values()}
    return found if len(sets) == 1 and all(r.value is not None for r in found.values()) else {}


def _complete(given: Readings, means: Means, fingerprint: str) -> dict[str, Reading]:
    """One reading of every variant, or nothing at all."""
    found = {
        name: reading
        for name, readings in given.items()
        for reading in readings
        if reading.means is means and reading.fingerprint == fingerprint
    }
    return found if len(found) == len(given) else {}
