"""Figures × acceptance → may a variant be used, and why not. Pure: changes rebuild nothing."""

from orchestrator.artifact.lock import Status
from orchestrator.build.gate import Interval, Verdict, judged
from orchestrator.catalog.acceptance import Acceptance
from orchestrator.catalog.assignment import Figures

NO_CALIBRATION = (
    "no calibration data: name some under data.calibration (100 real samples are enough)"
)
NO_EVALUATION = "no evaluation data to judge it by: name some under data.evaluation"
ON_DEVICE = "it is built where it runs: fleet build {model} --on DEVICE"
NOT_JUDGED = "not judged: there is no evaluation data"


def verdict(acceptance: Acceptance, figures: Figures, *, reference: bool) -> tuple[Status, str]:
    """Whether what was measured is good enough, and what has to be said about it.

    A `reference`, the float32 model that others are compared with, loses nothing against itself.
    An accepted variant has no reason, unless its data could not decide, or held no labels.
    """
    because = (
        _too_large(acceptance, figures)
        or _by_name_only(acceptance, figures)
        or _too_poor(acceptance, figures)
    )
    if because:
        return Status.REJECTED, because
    if figures.samples == 0:
        return (Status.ACCEPTED, NOT_JUDGED) if reference else (Status.REJECTED, NO_EVALUATION)
    if reference:
        return Status.ACCEPTED, ""
    if figures.value is None or figures.reference is None:
        return _unlabelled(acceptance, figures)
    return _labelled(acceptance, figures)


def limit(acceptance: Acceptance, figures: Figures) -> float:
    """The greatest loss against float32 that is allowed, in the metric's unit."""
    if acceptance.ratio is not None and figures.reference is not None:
        return (1 - acceptance.ratio) * figures.reference
    if acceptance.max_drop is not None:
        return acceptance.max_drop
    return acceptance.max_accuracy_drop * (1.0 if figures.unit is None else figures.unit)


def _labelled(acceptance: Acceptance, figures: Figures) -> tuple[Status, str]:
    """By the interval of the difference; where it decides nothing, by the difference itself."""
    difference = figures.difference or 0.0
    allowed = limit(acceptance, figures)
    interval = Interval(
        float("-inf") if figures.low is None else figures.low,
        float("inf") if figures.high is None else figures.high,
    )
    judgement = judged(
        difference,
        interval,
        allowed,
        spread=float("inf") if figures.spread is None else figures.spread,
        samples=figures.samples,
    )
    words = _words(figures, difference, interval, allowed)
    if judgement.verdict is Verdict.PASS:
        return Status.ACCEPTED, ""
    if judgement.verdict is Verdict.FAIL:
        return Status.REJECTED, words
    more = (
        f"about {judgement.needed} samples would decide it at this difference"
        if judgement.needed
        else "it lies on the limit, where no number of samples would decide"
    )
    because = f"inconclusive with {figures.samples} samples: {words}; {more}"
    good = difference >= -allowed and not acceptance.strict
    return (Status.ACCEPTED if good else Status.REJECTED), because


def _unlabelled(acceptance: Acceptance, figures: Figures) -> tuple[Status, str]:
    """By how far outputs are from float32's; None is no deviation, or nothing to compare."""
    asked = acceptance.unlabelled
    found = (
        ("signal to deviation", figures.snr_db, asked.min_snr_db, " dB"),
        ("cosine", figures.cosine, asked.min_cosine, ""),
        ("agreement", figures.agreement, asked.min_agreement, _on(figures)),
    )
    said = [f"{what} {have:.4g}{unit}" for what, have, _, unit in found if have is not None]
    low = [
        f"{what} {have:.4g}{unit} (limit {least:g})"
        for what, have, least, unit in found
        if have is not None and have < least
    ]
    if low:
        return Status.REJECTED, (
            f"unlabelled: its outputs deviate too much from float32's: {', '.join(low)}"
        )
    return Status.ACCEPTED, f"unlabelled: {', '.join(said) or 'outputs equal to float32'}"


def _on(figures: Figures) -> str:
    return f" on {figures.confident} confident samples"


def _words(figures: Figures, difference: float, interval: Interval, allowed: float) -> str:
    name, form = ("accuracy", ".3f") if figures.metric == "top1" else (figures.metric, ".4g")
    value, reference = figures.value or 0.0, figures.reference or 0.0
    worse, better = ("above", "below") if figures.lower_is_better else ("below", "above")
    side = worse if difference < 0 else better
    return (
        f"{name} {value:{form}} is {abs(difference):{form}} {side} float32's {reference:{form}} "
        f"(95 % interval of the gain {interval.low:+{form}} to {interval.high:+{form}}, "
        f"limit -{allowed:g})"
    )


def _too_large(acceptance: Acceptance, figures: Figures) -> str:
    most = acceptance.max_size_bytes
    if most is None or figures.size_bytes <= most:
        return ""
    return f"{figures.size_bytes} bytes are more than acceptance.max_size_bytes allows ({most})"


def _by_name_only(acceptance: Acceptance, figures: Figures) -> str:
    """Too few of the operations that multiply are quantized; nothing to say where none multiply."""
    every, quantized = figures.operations, figures.quantized
    if not every or quantized is None or quantized >= acceptance.min_quantized * every:
        return ""
    return (
        f"called quantized, but {quantized} of {every} operations that multiply are "
        f"(left in float: {', '.join(figures.kept_float)}), and acceptance.min_quantized is "
        f"{acceptance.min_quantized:g}"
    )


def _too_poor(acceptance: Acceptance, figures: Figures) -> str:
    """The bounds on the figure itself, whatever float32 reaches."""
    least = acceptance.min_accuracy
    if least is not None and figures.accuracy is None:
        return (
            f"accuracy was not measured, and acceptance.min_accuracy is {least:g}: it needs "
            "evaluation data with labels 'y' and one output of (1, classes)"
        )
    if least is not None and figures.accuracy is not None and figures.accuracy < least:
        return f"accuracy {figures.accuracy:.3f} is below the {least:g} that acceptance asks for"
    bounds = ("min_value", acceptance.min_value, 1), ("max_value", acceptance.max_value, -1)
    for name, bound, sign in bounds:
        if bound is None:
            continue
        if figures.value is None:
            return f"nothing was measured, and acceptance.{name} is {bound:g}"
        if sign * figures.value < sign * bound:
            side = "below" if sign > 0 else "above"
            return f"{figures.metric} {figures.value:.4g} is {side} acceptance.{name} ({bound:g})"
    return ""
