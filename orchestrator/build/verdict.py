"""Figures × acceptance → may a variant be used, and why not. Pure: changes rebuild nothing."""

from orchestrator.artifact.lock import Status
from orchestrator.catalog.assignment import Figures
from orchestrator.catalog.model import Acceptance
from orchestrator.catalog.variant import Precision

NO_CALIBRATION = (
    "no calibration data: name some under data.calibration (100 real samples are enough)"
)
NO_EVALUATION = "no evaluation data to judge it by: name some under data.evaluation"

MIN_SNR_DB = 10.0
"""Signal to deviation, in decibels, that outputs without labels must keep against float32.

Good variants of EfficientNet-Lite0 measured 12.8 dB and more, badly calibrated ones 5.9 and less.
"""


def verdict(
    acceptance: Acceptance, figures: Figures, precision: Precision, *, snr_db: float | None
) -> tuple[Status, str]:
    """Whether what was measured is good enough; the reason is empty where it is.

    Without labels there is no accuracy: then a variant is judged by how far its outputs are
    from float32's (`snr_db`; None is no deviation).
    """
    because = (
        _too_large(acceptance, figures)
        or _too_inaccurate(acceptance, figures)
        or _too_far(acceptance, figures, precision, snr_db)
    )
    return (Status.REJECTED, because) if because else (Status.ACCEPTED, "")


def _too_large(acceptance: Acceptance, figures: Figures) -> str:
    limit = acceptance.max_size_bytes
    if limit is None or figures.size_bytes <= limit:
        return ""
    return f"{figures.size_bytes} bytes are more than acceptance.max_size_bytes allows ({limit})"


def _too_inaccurate(acceptance: Acceptance, figures: Figures) -> str:
    limit = acceptance.min_accuracy
    if limit is None:
        return ""
    if figures.accuracy is None:
        return (
            f"accuracy was not measured, and acceptance.min_accuracy is {limit:g}: it needs "
            "evaluation data with labels 'y' and one output of (1, classes)"
        )
    if figures.accuracy < limit:
        return f"accuracy {figures.accuracy:.3f} is below the {limit:g} that acceptance asks for"
    return ""


def _too_far(
    acceptance: Acceptance, figures: Figures, precision: Precision, snr_db: float | None
) -> str:
    if precision is Precision.FLOAT32:
        return ""
    if figures.samples == 0:
        return NO_EVALUATION
    if figures.accuracy is not None and figures.accuracy_drop is not None:
        drop, limit = figures.accuracy_drop, acceptance.max_accuracy_drop
        if drop <= limit:
            return ""
        return (
            f"accuracy {figures.accuracy:.3f} is {drop:.3f} below float32's "
            f"{figures.accuracy + drop:.3f} (limit {limit:g})"
        )
    if snr_db is not None and snr_db < MIN_SNR_DB:
        return (
            f"its outputs deviate too much from float32's: signal to deviation {snr_db:.1f} dB "
            f"(limit {MIN_SNR_DB:g}; there are no labels to judge by)"
        )
    return ""
