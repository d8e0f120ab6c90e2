"""Artifact → figures and golden set: one thread, batch 1, float32's samples. In a worker."""

import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from orchestrator.build.failures import BadData
from orchestrator.build.goldens import Worthless, golden_cases, native, write_cases
from orchestrator.build.jobs import Measure, Measured
from orchestrator.build.runtimes import Arrays, Session, opened
from orchestrator.build.samples import SampleSet, sample_set
from orchestrator.build.tensors import Tensor
from orchestrator.catalog.assignment import Figures
from orchestrator.catalog.variant import Precision

MOST_SAMPLES = 2000
"""Evaluation samples used; more would narrow an accuracy's error below 1 % at too great a price."""

TIMED_S = 2.0
TIMED_RUNS = (20, 1000)
"""Latency is taken over at most `TIMED_S`, but over no fewer and no more than so many runs."""


_FAR = 1e30
"""What a deviation counts as that is not finite, since a value in a file has to be."""


@dataclass(slots=True)
class Tally:
    """Sums over evaluation samples; deviation is from the float32 model."""

    samples: int = 0
    right: int = 0
    float_right: int = 0
    most: float = 0.0
    signal: float = 0.0
    noise: float = 0.0

    def add(self, ours: Arrays, theirs: Arrays) -> None:
        """Count one sample's outputs, both in real numbers."""
        for name, value in ours.items():
            if value.dtype.kind != "f" or value.size == 0:
                continue
            want = theirs[name].astype(np.float64)
            gap = np.nan_to_num(value.astype(np.float64) - want, nan=_FAR, posinf=_FAR, neginf=_FAR)
            self.most = max(self.most, float(np.abs(gap).max()))
            self.signal += float((want**2).sum())
            self.noise += float((gap**2).sum())


def measure(job: Measure) -> Measured:
    """Measure ``job.artifact`` and write its golden set to ``job.out``.

    Raises:
        BadData: labels that name no class of the model.
    """
    artifact = Path(job.artifact)
    fresh = partial(opened, artifact, job.format)
    session = fresh()
    inputs = tuple(_as_real(each.tensor, quantized=each.quantized) for each in session.inputs)
    proving = sample_set(job.samples, job.samples.proving or "", inputs)
    file = job.samples.evaluation
    evaluation = sample_set(job.samples, file, inputs) if file else None
    latencies = _latencies(session, evaluation or proving)
    figures = Figures(
        size_bytes=artifact.stat().st_size,
        p50_ms=round(float(np.percentile(latencies, 50)), 4),
        p95_ms=round(float(np.percentile(latencies, 95)), 4),
    )
    snr_db = None
    if evaluation is not None:
        figures, snr_db = _evaluated(job, session, evaluation, figures)
    try:
        cases = golden_cases(fresh, proving, job.samples.cases, job.precision)
    except Worthless as error:
        return Measured(figures=figures, snr_db=snr_db, no_golden=str(error))
    write_cases(cases, Path(job.out))
    return Measured(
        figures=figures,
        snr_db=snr_db,
        tolerances=cases.tolerances,
        cases=len(next(iter(cases.inputs.values()))),
    )


def _as_real(tensor: Tensor, *, quantized: bool) -> Tensor:
    return tensor.model_copy(update={"dtype": "float32"}) if quantized else tensor


def _latencies(session: Session, samples: SampleSet) -> list[float]:
    """Milliseconds of CPU time of one run each, after a warm-up."""
    fewest, most = TIMED_RUNS
    feeds = [native(session, samples.feed(index)) for index in samples.spread(fewest)]
    for feed in feeds[:5]:
        session.run(feed)
    taken: list[float] = []
    while len(taken) < fewest or (len(taken) < most and sum(taken) < TIMED_S * 1000):
        taken.append(session.run(feeds[len(taken) % len(feeds)])[1])
    return taken


def _evaluated(
    job: Measure, session: Session, samples: SampleSet, figures: Figures
) -> tuple[Figures, float | None]:
    """The figures with accuracy and deviation, and the signal-to-noise ratio in decibels."""
    alone = job.precision is Precision.FLOAT32
    reference = session if alone else opened(Path(job.float_model), job.format)
    labels = _class_labels(session, samples, job.samples.evaluation or "")
    tally = Tally()
    for index in samples.spread(MOST_SAMPLES):
        feed = samples.feed(index)
        ours = _real_outputs(session, feed)
        theirs = ours if alone else _real_outputs(reference, feed)
        tally.samples += 1
        tally.add(ours, theirs)
        if labels is not None:
            tally.right += _top(ours) == labels[index]
            tally.float_right += _top(theirs) == labels[index]
    judged = labels is not None
    update = {
        "samples": tally.samples,
        "accuracy": round(tally.right / tally.samples, 6) if judged else None,
        "accuracy_drop": round((tally.float_right - tally.right) / tally.samples, 6)
        if judged
        else None,
        "max_abs_diff": None if alone else tally.most,
    }
    return figures.model_copy(update=update), _decibels(tally)


def _decibels(tally: Tally) -> float | None:
    if tally.noise == 0:
        return None
    return round(10 * math.log10(max(tally.signal, 1e-30) / tally.noise), 2)


def _class_labels(session: Session, samples: SampleSet, file: str) -> list[int] | None:
    """One class per sample where the model is a classifier: a single output of (1, classes)."""
    shapes = [each.tensor.shape for each in session.outputs]
    if samples.labels is None or len(shapes) != 1 or len(shapes[0]) != 2:
        return None
    classes = shapes[0][1]
    if shapes[0][0] != 1 or classes is None or classes < 2:
        return None
    wrong = (samples.labels < 0) | (samples.labels >= classes)
    if wrong.any():
        at = int(np.argmax(wrong))
        raise BadData(
            f"label {int(samples.labels[at])} of sample {at} is no class of the model, which has "
            f"{classes} (0 to {classes - 1})",
            file=file,
        )
    return [int(label) for label in samples.labels]


def _real_outputs(session: Session, feed: Arrays) -> Arrays:
    outputs = session.run(native(session, feed))[0]
    return {each.tensor.name: each.real(outputs[each.tensor.name]) for each in session.outputs}


def _top(outputs: Arrays) -> int:
    return int(np.argmax(next(iter(outputs.values()))[0]))
