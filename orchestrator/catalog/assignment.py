"""Facts × variants × measured figures → the variant a device gets, with every refusal explained."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

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

    `device_p50_ms` maps a fingerprint or a profile name to the latency measured there.
    """

    variant: Variant
    figures: Figures | None
    blocked: str = ""
    device_p50_ms: Mapping[str, float] | None = None


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

    Without facts the profile's word stands for the device's. Latencies are compared from one
    source only: the device's own fingerprint if every variant in question was measured there,
    else its profile, else the build machine; figures of unlike machines are never mixed.
    """
    runtimes: dict[str, Runtime] = {}
    fits: list[Offer] = []
    others: list[Reason] = []
    for offer in offers:
        verdict = _fitting(offer, profile, facts)
        if isinstance(verdict, Runtime):
            fits.append(offer)
            runtimes[offer.variant.name] = verdict
        else:
            others.append(Reason(variant=offer.variant.name, because=verdict))
    if not fits:
        return Refusal(others=tuple(others))
    source, latency = _latencies(fits, profile, facts)
    ranked = sorted(fits, key=lambda offer: _rank(offer, objective, latency))
    best = ranked[0]
    others += [
        Reason(variant=o.variant.name, because=_second_best(o, best, objective, latency, source))
        for o in ranked[1:]
    ]
    return Assignment(
        variant=best.variant.name,
        runtime=runtimes[best.variant.name],
        because=_best_because(best, objective, latency, source, alone=len(fits) == 1),
        others=tuple(others),
    )


def _fitting(offer: Offer, profile: Profile, facts: Facts | None) -> Runtime | str:
    """The runtime that would run a variant on a device, or the reason why none does."""
    variant = offer.variant
    arch = facts.userland_arch if facts and facts.arch else profile.arch
    ram_mib = facts.ram_mib if facts and facts.ram_mib else profile.ram_mib
    if offer.blocked and not _foreign(variant, profile):
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


def _foreign(variant: Variant, profile: Profile) -> bool:
    """Whether it is compiled for hardware that devices of this kind do not have, built or not."""
    able = runtime_for(variant.format, profile, None)
    return variant.format.compiled and not isinstance(able, Runtime)


def _latencies(
    fits: list[Offer], profile: Profile, facts: Facts | None
) -> tuple[str, dict[str, float]]:
    """Where latencies are compared, and the latencies in milliseconds by variant."""
    sources = [("this hardware", facts.fingerprint)] if facts else []
    for words, key in [*sources, (f"a {profile.name}", profile.name)]:
        here = {o.variant.name: (o.device_p50_ms or {}).get(key) for o in fits}
        known = {name: ms for name, ms in here.items() if ms is not None}
        if len(known) == len(fits):
            return words, known
    built = {o.variant.name: o.figures.p50_ms for o in fits if o.figures}
    return "the build machine", {name: ms for name, ms in built.items() if ms is not None}


def _rank(
    offer: Offer, objective: Objective, latency: Mapping[str, float]
) -> tuple[float, float, str]:
    size = float(offer.figures.size_bytes) if offer.figures else float("inf")
    score = offer.figures.score if offer.figures else None
    match objective:
        case Objective.LATENCY:
            first = latency.get(offer.variant.name, _unmeasured(offer))
        case Objective.ACCURACY:
            first = -score if score is not None else float("inf")
        case Objective.SIZE:
            first = size
    return first, size, offer.variant.name


def _unmeasured(offer: Offer) -> float:
    """Where a latency is not known beside the others', what was compiled for a device comes first."""
    return 0.0 if offer.variant.format.compiled else float("inf")


def _measure(offer: Offer, objective: Objective, latency: Mapping[str, float], source: str) -> str:
    match objective:
        case Objective.LATENCY:
            ms = latency.get(offer.variant.name)
            if ms is not None:
                return f"{ms:.3f} ms on {source}"
            compiled = "compiled for its hardware, and latency not measured yet"
            return compiled if offer.variant.format.compiled else "latency not measured"
        case Objective.ACCURACY:
            figures = offer.figures
            if figures is not None and figures.accuracy is not None:
                return f"accuracy {figures.accuracy:.4f}"
            if figures is not None and figures.value is not None:
                return f"{figures.metric} {figures.value:.4g}"
            return "accuracy not measured"
        case Objective.SIZE:
            return f"{offer.figures.size_bytes} bytes" if offer.figures else "not built"


def _best_because(
    best: Offer, objective: Objective, latency: Mapping[str, float], source: str, *, alone: bool
) -> str:
    measured = _measure(best, objective, latency, source)
    return f"the only one that fits ({measured})" if alone else f"best {objective}: {measured}"


def _second_best(
    offer: Offer, best: Offer, objective: Objective, latency: Mapping[str, float], source: str
) -> str:
    mine = _measure(offer, objective, latency, source)
    return f"fits, but {mine}, against {_measure(best, objective, latency, source)}"
