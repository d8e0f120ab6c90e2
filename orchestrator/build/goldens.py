"""An artifact's golden set: samples with the artifact's own outputs, or why there is none."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orchestrator.artifact.golden import TOLERANCE, Tolerance
from orchestrator.build.runtimes import Arrays, Scaled, Session
from orchestrator.build.samples import SampleSet
from orchestrator.catalog.variant import Precision

STEPS = 2.0
"""The least a quantized output may be off: one rounding in the last layer, one before it."""


STATEFUL = "stateful"
"""The array that tells the smoke test to load the model anew for each case."""


class Worthless(Exception):
    """Golden cases that would prove nothing; says why."""


@dataclass(frozen=True, slots=True)
class Cases:
    """Golden cases: native inputs and outputs by name, the cases along a new first axis.

    A `stateful` model gave each of them in an interpreter of its own, and has to again.
    """

    inputs: Arrays
    outputs: Arrays
    tolerances: tuple[Tolerance, ...]
    stateful: bool = False


def golden_cases(
    fresh: Callable[[], Session], samples: SampleSet, count: int, precision: Precision
) -> Cases:
    """Run the first samples, each in a fresh interpreter, as a device would.

    Raises:
        Worthless: outputs are empty, not finite, random, or ignore the input.
    """
    sessions = [fresh() for _ in range(min(count, samples.count))]
    feeds = [native(session, samples.feed(index)) for index, session in enumerate(sessions)]
    runs = [session.run(feed)[0] for session, feed in zip(sessions, feeds, strict=True)]
    for name, first in runs[0].items():
        if first.size == 0:
            raise Worthless(f"output {name!r} is empty")
        if not all(np.isfinite(run[name]).all() for run in runs if first.dtype.kind == "f"):
            raise Worthless(f"output {name!r} is not finite")
    again = fresh()
    if not _equal(runs[0], again.run(feeds[0])[0]):
        raise Worthless("two runs with the same input differ: it draws random numbers")
    repeated = all(_equal(r, again.run(feed)[0]) for r, feed in zip(runs, feeds, strict=True))
    if not repeated and not _remembers(fresh, feeds):
        raise Worthless(
            "it answers differently when run again, whatever it was given before: it draws "
            "random numbers"
        )
    distinct = any(not _equal(feeds[0], feed) for feed in feeds)
    if distinct and all(_equal(runs[0], run) for run in runs):
        raise Worthless(f"its outputs are the same for {len(runs)} different inputs")
    if not distinct and _deaf(fresh(), feeds[0], runs[0]):
        raise Worthless("its outputs do not change when its only input is changed")
    outputs = _stacked(runs)
    tolerances = tuple(_tolerance(o, outputs[o.tensor.name], precision) for o in again.outputs)
    return Cases(_stacked(feeds), outputs, tolerances, stateful=not repeated)


def _remembers(fresh: Callable[[], Session], feeds: list[Arrays]) -> bool:
    """Whether an answer depends on what was asked before: a state, and not a random number."""
    other = next((feed for feed in feeds if not _equal(feeds[0], feed)), None)
    if other is None:
        return False
    answers = []
    for before in (feeds[0], other):
        session = fresh()
        session.run(before)
        answers.append(session.run(feeds[0])[0])
    return not _equal(*answers)


def _deaf(session: Session, feed: Arrays, answer: Arrays) -> bool:
    """Whether a model answers the same whatever becomes of the one sample there is.

    What it is asked is no golden case. A model that cannot bear it (indices out of range) hears it;
    so does one whose only input, equal integers, cannot be turned.
    """
    for other in (_turned(feed, -1, -0.5), _turned(feed, 1, 3.0)):
        if _equal(feed, other):
            return False
        try:
            if not _equal(answer, session.run(other)[0]):
                return False
        except Exception:  # noqa: BLE001 whatever a runtime raises, the input mattered
            return False
    return True


def _turned(feed: Arrays, step: int, factor: float) -> Arrays:
    """Real numbers scaled and moved, integers reversed or put into another order; same range."""
    return {
        name: (value * factor + step).astype(value.dtype)
        if value.dtype.kind == "f"
        else np.roll(value.reshape(-1)[::step], 1).reshape(value.shape)
        for name, value in feed.items()
    }


def native(session: Session, feed: Arrays) -> Arrays:
    """What the runtime takes for a sample in real numbers."""
    return {each.tensor.name: each.native(feed[each.tensor.name]) for each in session.inputs}


def write_cases(cases: Cases, out: Path) -> None:
    """Write the cases as ``.npz``: equal cases, equal bytes (NumPy writes no dates).

    An array ``stateful`` is there only where each case needs a fresh interpreter.
    """
    arrays: dict[str, Any] = {f"in_{name}": array for name, array in cases.inputs.items()}
    arrays |= {f"out_{name}": array for name, array in cases.outputs.items()}
    if cases.stateful:
        arrays[STATEFUL] = np.array(True)
    with out.open("wb") as file:
        np.savez_compressed(file, **dict(sorted(arrays.items())))


def _stacked(runs: list[Arrays]) -> Arrays:
    """Cases along a new first axis, so that each is exactly what the runtime takes or gives."""
    return {name: np.stack([run[name] for run in runs]) for name in runs[0]}


def _tolerance(output: Scaled, values: NDArray[Any], precision: Precision) -> Tolerance:
    name = output.tensor.name
    if output.quantized:
        share = TOLERANCE[precision] * float(np.ptp(values.astype(np.int64)))
        return Tolerance(output=name, max_abs_diff=max(STEPS, float(np.floor(share))))
    if values.dtype.kind != "f":
        return Tolerance(output=name, max_abs_diff=0.0)
    span = float(np.ptp(values)) or float(np.abs(values).max())
    return Tolerance(output=name, max_abs_diff=TOLERANCE[precision] * max(span, 1e-6))


def _equal(one: Arrays, other: Arrays) -> bool:
    return all(np.array_equal(array, other[name]) for name, array in one.items())
