"""What programs print about a model that they ran → latency and memory; a parser for each kind of text."""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Printed:
    """What a program said of itself: milliseconds of single inferences, memory in MiB."""

    p50_ms: float | None = None
    p95_ms: float | None = None
    load_ms: float | None = None
    rss_mib: float | None = None


_NUMBER = r"([0-9.]+(?:e[+-]?[0-9]+)?)"
_LONE = re.compile(rf"Inference timings in us:.* Init: {_NUMBER}.*Inference \(avg\): {_NUMBER}")
_OLD = re.compile(rf"Average inference timings in us:.* Init: {_NUMBER}, no stats: {_NUMBER}")
_RUNS = re.compile(rf"count=[0-9]+ first=.* median={_NUMBER} p95={_NUMBER}")
_MEMORY = re.compile(rf"emory footprint.*\(MB\).*overall={_NUMBER}")


def benchmarked(said: str) -> Printed:
    """What TensorFlow Lite's ``benchmark_model`` printed, on either stream.

    Its summary has been ``Inference timings in us: Init: …, … Inference (avg): …`` since 2.2,
    and ``Average inference timings in us: … no stats: …`` before; memory came with the first, as a
    delta from the tool's start. Where it prints a median, of the runs after the warm-up, that is
    the p50, and where it does not, the average stands for it.
    """
    summary = _LONE.search(said) or _OLD.search(said)
    if summary is None:
        return Printed()
    runs = [*_RUNS.finditer(said)]
    memory = _MEMORY.search(said)
    return Printed(
        p50_ms=float(runs[-1][1] if runs else summary[2]) / 1e3,
        p95_ms=float(runs[-1][2]) / 1e3 if runs else None,
        load_ms=float(summary[1]) / 1e3,
        rss_mib=float(memory[1]) if memory else None,
    )


def told(said: str) -> Printed:
    """Lines ``inference_ms=1.25`` and ``rss_mib=40`` of a site's own program, from all golden cases."""
    times = sorted(_values("inference_ms", said))
    return Printed(
        p50_ms=times[len(times) // 2] if times else None,
        p95_ms=times[int(len(times) * 0.95)] if times else None,
        rss_mib=max(_values("rss_mib", said), default=None),
    )


def _values(key: str, said: str) -> list[float]:
    return [float(each) for each in re.findall(rf"^{key}=([0-9]+(?:\.[0-9]+)?)\r?$", said, re.M)]
