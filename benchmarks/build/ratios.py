"""Latency of every built variant against float32, interleaved: ``python ratios.py LOCK STORE DATA``.

LOCK is a fleet.lock with one model, STORE the site's store, DATA the evaluation data. Machines that
do other things too shift figures taken one after the other; here every variant runs in every
round, and what is shown is the median over the rounds of its ratio to TFLite float32.
"""

import sys
from pathlib import Path

import numpy as np

from orchestrator.artifact.lock import LockedArtifact, LockedModel, read_lock
from orchestrator.build.goldens import native
from orchestrator.build.jobs import Samples
from orchestrator.build.runtimes import Session, opened
from orchestrator.build.samples import SampleSet, sample_set
from orchestrator.build.store import Store

ROUNDS, RUNS = 15, 60


def main(lock: Path, store: Path, data: Path) -> None:
    """Print one row a variant."""
    (model,) = read_lock(lock.read_text(), lock.name).models
    built = [each for each in model.artifacts if each.sha256]
    sessions = {each.variant: session(each, Store(store)) for each in built}
    times = {name: [] for name in sessions}
    for _ in range(ROUNDS):
        for name, each in sessions.items():
            times[name].append(p50_ms(each, samples(model, each, data)))
    first = np.array(times["tflite-float32"])
    for each in built:
        ratio = float(np.median(np.array(times[each.variant]) / first))
        size = (
            each.whole_bytes / next(a for a in built if a.variant == "tflite-float32").whole_bytes
        )
        print(
            f"| {each.variant} | {each.whole_bytes} | {size:.2f} | {each.figures.value:.4f} | {ratio:.1f} |"
        )


def session(artifact: LockedArtifact, store: Store) -> Session:
    """A model loaded from the store."""
    weights = store.path(artifact.weights.sha256) if artifact.weights else None
    return opened(store.path(artifact.sha256), artifact.format, weights)


def samples(model: LockedModel, one: Session, data: Path) -> SampleSet:
    """The evaluation data as a model takes it."""
    inputs = tuple(
        i.tensor.model_copy(update={"dtype": "float32"}) if i.quantized else i.tensor
        for i in one.inputs
    )
    how = Samples(folder=str(data.parent), cases=1, preprocessing=model.preprocessing)
    return sample_set(how, data.name, inputs)


def p50_ms(one: Session, feed: SampleSet) -> float:
    """The median CPU time of one inference."""
    feeds = [native(one, feed.feed(index)) for index in range(5)]
    return float(np.median([one.run(feeds[i % 5])[1] for i in range(RUNS)][10:]))


if __name__ == "__main__":
    main(*(Path(word) for word in sys.argv[1:4]))
