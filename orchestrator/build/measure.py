"""Artifact → figures and golden set: one thread, batch 1, float32's samples. In a worker."""

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from orchestrator.build import nature
from orchestrator.build.deviation import Deviation
from orchestrator.build.dissection import dissected
from orchestrator.build.goldens import Cases, Worthless, golden_cases, native, write_cases
from orchestrator.build.jobs import Measure, Measured
from orchestrator.build.metrics import Comparison, compared, scorer
from orchestrator.build.runtimes import Arrays, Session, opened
from orchestrator.build.samples import SampleSet, sample_set
from orchestrator.catalog.acceptance import MetricName
from orchestrator.catalog.assignment import Figures
from orchestrator.catalog.variant import Recipe

MOST_SAMPLES = 2000
"""Evaluation samples used; more would narrow an accuracy's error below 1 % at too great a price."""

MOST_STATEFUL = 200
"""Evaluation samples of a model that has to be loaded again for each."""

TIMED_S = 2.0
TIMED_RUNS = (20, 1000)
"""Latency is taken over at most `TIMED_S`, but over no fewer and no more than so many runs."""


def measure(job: Measure) -> Measured:
    """Measure ``job.artifact`` and write its golden set to ``job.out``.

    Raises:
        BadData: labels that do not fit the model or the metric.
    """
    artifact = Path(job.artifact)
    weights = Path(job.weights) if job.weights else None
    fresh = partial(opened, artifact, job.recipe.format, weights)
    session = fresh()
    inputs = tuple(each.sampled for each in session.inputs)
    proving = sample_set(job.samples, job.samples.proving or "", inputs)
    file = job.samples.evaluation
    evaluation = sample_set(job.samples, file, inputs) if file else None
    latencies = _latencies(session, evaluation or proving)
    figures = Figures(
        size_bytes=sum(file.stat().st_size for file in (artifact, weights) if file),
        p50_ms=round(float(np.percentile(latencies, 50)), 4),
        p95_ms=round(float(np.percentile(latencies, 95)), 4),
    )
    figures = figures.model_copy(update=_coverage(artifact, job.recipe))
    cases, worthless = _cases(job, fresh, proving)
    if evaluation is not None:
        stateful = cases is not None and cases.stateful
        figures = evaluated(job, fresh, evaluation, figures, stateful=stateful)
    if cases is None:
        return Measured(figures=figures, no_golden=worthless)
    write_cases(cases, Path(job.out))
    count = len(next(iter(cases.inputs.values())))
    return Measured(figures=figures, tolerances=cases.tolerances, cases=count)


def _coverage(artifact: Path, recipe: Recipe) -> dict[str, object]:
    """Which operations are as quantized as the recipe says; nothing for floats."""
    if not recipe.precision.integers:
        return {}
    coverage = dissected(artifact, recipe.format).coverage
    return {
        "operations": coverage.operations,
        "quantized": coverage.quantized(recipe.precision),
        "kept_float": coverage.kept_float(recipe.precision),
    }


def _cases(
    job: Measure, fresh: Callable[[], Session], proving: SampleSet
) -> tuple[Cases | None, str]:
    precision = nature.precision(Path(job.artifact), job.recipe)
    try:
        return golden_cases(fresh, proving, job.samples.cases, precision), ""
    except Worthless as error:
        return None, str(error)


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


def evaluated(
    job: Measure,
    fresh: Callable[[], Session],
    samples: SampleSet,
    figures: Figures,
    *,
    stateful: bool,
) -> Figures:
    """The figures with the task's metric, its interval, and the deviation from float32."""
    recipe, reference = job.recipe, job.recipe.reference
    alone = recipe == reference
    other_fresh = partial(opened, Path(job.reference), reference.format)
    ours = runner(fresh, stateful=stateful)
    theirs = ours if alone else runner(other_fresh, stateful=stateful)
    file, folder = job.samples.evaluation or "", Path(job.samples.folder)
    outputs = tuple(each.tensor for each in fresh().outputs)
    mine, other = (scorer(job.metric, outputs, samples, folder, file) for _ in range(2))
    deviation = Deviation()
    indices = samples.spread(MOST_STATEFUL if stateful else MOST_SAMPLES)
    for index in indices:
        feed = samples.feed(index)
        have = ours(feed)
        want = have if alone else theirs(feed)
        deviation.add(have, want)
        if mine is not None and other is not None:
            mine.add(have, index)
            other.add(want, index)
    update: dict[str, object] = {"samples": len(indices)}
    if not alone:
        update |= {
            "max_abs_diff": deviation.most,
            "cosine": deviation.cosine,
            "snr_db": deviation.snr_db,
            "agreement": deviation.agreement,
            "confident": deviation.confident,
        }
    if mine is not None and other is not None:
        update |= _compared(compared(mine, other))
    return figures.model_copy(update=update)


def _compared(found: Comparison) -> dict[str, object]:
    """A comparison as figures, rounded so that equal outputs give equal text everywhere."""
    value, reference = round(found.value, 6), round(found.reference, 6)
    update: dict[str, object] = {
        "metric": found.metric.value,
        "value": value,
        "reference": reference,
        "low": _bounded(found.interval.low),
        "high": _bounded(found.interval.high),
        "spread": _bounded(found.spread),
        "unit": None if found.unit is None else round(found.unit, 6),
    }
    if found.metric is MetricName.TOP1:
        update |= {"accuracy": value, "accuracy_drop": round(reference - value, 6)}
    return update


def _bounded(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None


def runner(fresh: Callable[[], Session], *, stateful: bool) -> Callable[[Arrays], Arrays]:
    """Sample → real outputs; where a model keeps state, each by an interpreter of its own."""
    kept = fresh()

    def run(feed: Arrays) -> Arrays:
        session = fresh() if stateful else kept
        outputs = session.run(native(session, feed))[0]
        return {each.tensor.name: each.real(outputs[each.tensor.name]) for each in session.outputs}

    return run
