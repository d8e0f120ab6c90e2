"""Facts × variants × measured figures → the variant a device gets, with every refusal explained."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from orchestrator.catalog.reading import Class, Reading, comparable, judged
from orchestrator.catalog.runtime import runtime_for
from orchestrator.catalog.variant import Variant
from orchestrator.inventory.facts import Facts
from orchestrator.inventory.profile import Profile, Runtime
from orchestrator.values import Value


class Objective(StrEnum):
    """What the best variant is best at; ties go to the smaller, then to the first by name."""

    LATENCY = "latency"
    ACCURACY = "accuracy"
    SIZE = "size"


class Figures(Value):
    """What was measured about a variant on the build machine; `None` where it could not be.

    `value` is the `metric` of the variant and `reference` that of float32 on the same samples;
    `low` and `high` are the 95 % interval of the difference, in the direction where higher is
    better, `spread` the deviation of one sample's difference, `unit` the labels' variance (mse).
    `accuracy` and `accuracy_drop` repeat it where the metric is top-1. `cosine`, `snr_db` and
    `agreement` (on `confident` samples) compare the outputs with float32's, labels or not.
    `operations` of a quantized variant are those that multiply, `quantized` those of them that
    are as quantized as its precision says; of the kinds `kept_float` at least one is not.
    """

    size_bytes: int
    metric: str | None = None
    value: float | None = None
    reference: float | None = None
    low: float | None = None
    high: float | None = None
    spread: float | None = None
    unit: float | None = None
    accuracy: float | None = None
    accuracy_drop: float | None = None
    cosine: float | None = None
    snr_db: float | None = None
    agreement: float | None = None
    confident: int = 0
    max_abs_diff: float | None = None
    p50_ms: float | None = None
    p95_ms: float | None = None
    samples: int = 0
    operations: int | None = None
    quantized: int | None = None
    kept_float: tuple[str, ...] = ()

    @property
    def difference(self) -> float | None:
        """Variant minus float32, with the sign turned so that higher is better."""
        if self.value is None or self.reference is None:
            return None
        gain = self.value - self.reference
        return -gain if self.lower_is_better else gain

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the paired difference, laid around float32's figure.

        It says how far the variant's own figure may be from float32's, on these samples; None
        where there is no interval, as for float32 itself.
        """
        if self.reference is None or self.low is None or self.high is None:
            return None
        if self.lower_is_better:
            return self.reference - self.high, self.reference - self.low
        return self.reference + self.low, self.reference + self.high

    @property
    def score(self) -> float | None:
        """What variants are ranked by: the metric, higher is better."""
        if self.value is None:
            return self.accuracy
        return -self.value if self.lower_is_better else self.value

    @property
    def lower_is_better(self) -> bool:
        """Whether a good model has a small number."""
        return self.metric == "mse"


@dataclass(frozen=True, slots=True)
class Offer:
    """A variant that could be assigned: what it measures, and why it must not be, if so.

    `readings` are what was measured of it on devices.
    """

    variant: Variant
    figures: Figures | None
    blocked: str = ""
    readings: tuple[Reading, ...] = ()


class Reason(Value):
    """Why one variant was not taken."""

    variant: str
    because: str


class Assignment(Value):
    """The variant a device gets for a model, the runtime that will run it, and why."""

    variant: str
    runtime: Runtime
    because: str
    others: tuple[Reason, ...] = ()


class Refusal(Value):
    """No variant of a model suits a device; every one of them with its reason."""

    others: tuple[Reason, ...]

    @property
    def because(self) -> str:
        """All reasons in one line."""
        return "; ".join(f"{each.variant}: {each.because}" for each in self.others)


Assigned: TypeAlias = Assignment | Refusal


def assign(
    offers: Iterable[Offer], profile: Profile, facts: Facts | None, objective: Objective
) -> Assigned:
    """Choose among the offers for one device.

    Without facts the profile's word stands for the device's. Figures are compared from one source
    only (see `comparable` and `judged`), else from the build machine; those of unlike machines are
    never mixed.
    """
    fits, others = eligible(offers, profile, facts)
    if not fits:
        return Refusal(others=others)
    table = _table([offer for offer, _ in fits], objective, profile, facts)
    ranked = sorted(fits, key=lambda fit: _rank(fit[0], table))
    (best, runtime), rest = ranked[0], ranked[1:]
    measured = _measure(best, objective, table)
    alone = f"the only one that fits ({measured})"
    second_best = tuple(
        Reason(
            variant=offer.variant.name,
            because=f"fits, but {_measure(offer, objective, table)}, against {measured}",
        )
        for offer, _ in rest
    )
    return Assignment(
        variant=best.variant.name,
        runtime=runtime,
        because=f"best {objective}: {measured}" if rest else alone,
        others=(*others, *second_best),
    )


def eligible(
    offers: Iterable[Offer], profile: Profile, facts: Facts | None
) -> tuple[tuple[tuple[Offer, Runtime], ...], tuple[Reason, ...]]:
    """The offers that a device can run, each with the runtime for it; and why not the others."""
    fits: list[tuple[Offer, Runtime]] = []
    others: list[Reason] = []
    for offer in offers:
        verdict = _fitting(offer, profile, facts)
        if isinstance(verdict, Runtime):
            fits.append((offer, verdict))
        else:
            others.append(Reason(variant=offer.variant.name, because=verdict))
    return tuple(fits), tuple(others)


def _fitting(offer: Offer, profile: Profile, facts: Facts | None) -> Runtime | str:
    """The runtime that would run a variant on a device, or the reason why none does."""
    variant = offer.variant
    arch = facts.userland_arch if facts and facts.arch else profile.arch
    ram_mib = facts.ram_mib if facts and facts.ram_mib else profile.ram_mib
    if offer.blocked:
        return offer.blocked
    if variant.archs and arch not in variant.archs:
        return f"runs on {', '.join(variant.archs)}, and this is {arch}"
    if not variant.archs and _lacks_neon(arch, facts):
        return (
            f"{arch} without NEON: the published runtimes for 32-bit Arm would die of SIGILL; "
            f"where you have built one yourself, say archs: [{arch}]"
        )
    if variant.needs_mib > ram_mib:
        return f"needs {variant.needs_mib} MiB of memory, and there are {ram_mib}"
    return runtime_for(variant.format, profile, facts)


def _lacks_neon(arch: str, facts: Facts | None) -> bool:
    """Whether this is an Arm processor that ARMv7 code with NEON kills; it is silent before that.

    Seen on Raspberry Pi Zero and 1: github.com/rhasspy/wyoming-openwakeword/issues/9,
    github.com/ShawnHymel/tflite-speech-recognition/issues/5.
    """
    if not arch.startswith("arm") or arch.startswith("arm64"):
        return False
    known = bool(facts and facts.cpu_features)
    return "neon" not in facts.instructions if facts and known else arch.startswith("armv6")


_Table: TypeAlias = Mapping[str, tuple[float, str]]
"""By variant: the less the better, and the figure in words with where it is from."""


def _table(
    fits: list[Offer], objective: Objective, profile: Profile, facts: Facts | None
) -> _Table:
    """What decides, from one source for all; a variant that was not measured is not in it."""
    built = {o.variant.name: o.figures for o in fits if o.figures is not None}
    readings = {o.variant.name: o.readings for o in fits}
    fingerprint = facts.fingerprint if facts else ""
    here = Class(fingerprint, profile.name, bool(facts and facts.emulated))
    match objective:
        case Objective.LATENCY:
            place, found = comparable(readings, here)
            if found:
                return {
                    n: (r.p50_ms, f"{r.p50_ms:.3f} ms on {place} ({r.source})")
                    for n, r in found.items()
                }
            timed = {n: f.p50_ms for n, f in built.items() if f.p50_ms is not None}
            return {n: (ms, f"{ms:.3f} ms on the build machine") for n, ms in timed.items()}
        case Objective.ACCURACY:
            found = judged(readings, here)
            if found:
                return {
                    n: (-(r.score or 0.0), f"{_judged(r)} on this hardware ({r.source})")
                    for n, r in found.items()
                }
            scores = {n: f.score for n, f in built.items()}
            return {
                n: (-score, _score(built[n])) for n, score in scores.items() if score is not None
            }
        case Objective.SIZE:
            return {n: (f.size_bytes, f"{f.size_bytes} bytes") for n, f in built.items()}


def _judged(reading: Reading) -> str:
    return (
        f"accuracy {reading.value:.4f}"
        if reading.metric == "top1"
        else f"{reading.metric} {reading.value:.4g}"
    )


def _score(figures: Figures) -> str:
    if figures.accuracy is not None:
        return f"accuracy {figures.accuracy:.4f}"
    return f"{figures.metric} {figures.value:.4g}"


def _rank(offer: Offer, table: _Table) -> tuple[float, float, str]:
    size = float(offer.figures.size_bytes) if offer.figures else float("inf")
    first, _ = table.get(offer.variant.name, (float("inf"), ""))
    return first, size, offer.variant.name


def _measure(offer: Offer, objective: Objective, table: _Table) -> str:
    _, words = table.get(offer.variant.name, (0.0, ""))
    return words or ("not built" if objective is Objective.SIZE else f"{objective} not measured")
