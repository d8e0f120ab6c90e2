"""Evaluation samples → the few that a device judges a variant by, just as its runtime takes them."""

from pathlib import Path

import numpy as np

from orchestrator.build.failures import BadData
from orchestrator.build.goldens import native
from orchestrator.build.jobs import Extract, Extracted
from orchestrator.build.runtimes import Arrays, Session, opened
from orchestrator.build.samples import SampleSet, sample_set
from orchestrator.values import sha256


def extract(job: Extract) -> Extracted:
    """Write ``in_0`` …, ``y_0`` … and ``metric`` to ``job.out``, at most ``job.most`` samples each.

    Numbers are places in the order of names, so that artifacts which take the same get the same
    bytes. For mse ``scale_0`` and ``zero_0`` say what an integer output stands for (scale 0: itself).

    Raises:
        BadData: the evaluation data fits neither the model nor the metric.
    """
    session = opened(Path(job.artifact), job.format, Path(job.weights) if job.weights else None)
    inputs = tuple(each.sampled for each in session.inputs)
    samples = sample_set(job.samples, job.samples.evaluation or "", inputs)
    indices = samples.spread(job.most)
    feeds = [native(session, samples.feed(index)) for index in indices]
    names = sorted(feeds[0])
    arrays: Arrays = {
        f"in_{place}": np.stack([feed[name] for feed in feeds]) for place, name in enumerate(names)
    }
    truth = _truth(job, samples, session, indices)
    parameters = _scales(session) if job.metric == "mse" else {}
    with Path(job.out).open("wb") as file:
        whole = {**arrays, **truth, **parameters, "metric": np.array(job.metric)}
        np.savez_compressed(file, **dict(sorted(whole.items())))  # type: ignore[arg-type]
    told = b"".join(name.encode() + array.tobytes() for name, array in sorted(truth.items()))
    return Extracted(data=sha256(told)[:12])


def _truth(job: Extract, samples: SampleSet, session: Session, indices: list[int]) -> Arrays:
    """What the outputs should be, by their places."""
    names = sorted(each.tensor.name for each in session.outputs)
    keys = ["y"] if len(names) == 1 or job.metric == "top1" else [f"y_{name}" for name in names]
    for key in keys:
        if key not in samples.truth:
            raise BadData(f"no array named {key!r}", file=job.samples.evaluation or "")
    return {f"y_{place}": samples.truth[key][indices] for place, key in enumerate(keys)}


def _scales(session: Session) -> Arrays:
    """What integers stand for: ``(integer - zero) * scale``."""
    outputs = sorted(session.outputs, key=lambda each: each.tensor.name)
    return {
        name: np.array(value)
        for place, each in enumerate(outputs)
        for name, value in (
            (f"scale_{place}", np.float32(each.scale if each.quantized else 0.0)),
            (f"zero_{place}", np.float32(each.zero)),
        )
    }
