"""The Pareto front of variants: those that no other beats in quality, latency and size at once."""

from collections.abc import Mapping, Sequence

from orchestrator.catalog.assignment import Figures

Point = tuple[float, ...]
"""One variant's prices, each the smaller the better."""


def quality(figures: Figures) -> float:
    """What variants are compared by, higher is better: the metric, else the cosine with float32.

    Where a model has neither labels nor evaluation data, all variants are equal.
    """
    if figures.score is not None:
        return figures.score
    return 1.0 if figures.cosine is None else figures.cosine


def prices(figures: Figures) -> Point:
    """Quality lost, milliseconds and bytes; a latency not measured costs nothing in comparison."""
    latency = figures.p50_ms if figures.p50_ms is not None else 0.0
    return -quality(figures), latency, float(figures.size_bytes)


def front(variants: Mapping[str, Figures]) -> tuple[str, ...]:
    """The names of the variants on the front, in the order given.

    A variant is off the front when another is at least as good in all three and better in one.
    """
    points = {name: prices(figures) for name, figures in variants.items()}
    return tuple(
        name
        for name, point in points.items()
        if not any(beats(other, point) for other in points.values())
    )


def beats(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether the first is no worse in anything and better in something."""
    return all(a <= b for a, b in zip(one, other, strict=True)) and tuple(one) != tuple(other)
