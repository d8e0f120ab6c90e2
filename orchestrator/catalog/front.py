"""The Pareto front of variants: those that no other beats in accuracy, latency and size at once."""

from collections.abc import Mapping, Sequence

from orchestrator.catalog.assignment import Figures

Point = tuple[float, ...]
"""One variant's prices, each the smaller the better."""


def prices(figures: Figures) -> Point:
    """Accuracy lost, milliseconds and bytes; what was not measured costs nothing in comparison."""
    accuracy = figures.accuracy if figures.accuracy is not None else 0.0
    latency = figures.p50_ms if figures.p50_ms is not None else 0.0
    return -accuracy, latency, float(figures.size_bytes)


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
