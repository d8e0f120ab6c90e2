"""The ladder: from the smallest and fastest precision down to float32, until one is good enough. Pure."""

from collections.abc import Iterable

from orchestrator.catalog.variant import Format, Precision, Variant

LADDER: tuple[Precision, ...] = (
    Precision.INT8,
    Precision.MIXED,
    Precision.INT8_WEIGHTS,
    Precision.FLOAT16,
    Precision.FLOAT32,
)
"""Rungs from the top. Dynamic int8 is none: on most nets it buys bytes and costs time."""


def ladders(variants: Iterable[Variant]) -> tuple[tuple[str, ...], ...]:
    """For each format, in the catalog's order, the names of its variants from the top rung down.

    A rung that the catalog entry does not list is left out; variants on none are left out too.
    """
    listed = tuple(variants)
    formats: tuple[Format, ...] = tuple(dict.fromkeys(each.format for each in listed))
    return tuple(
        rungs
        for form in formats
        if (
            rungs := tuple(
                each.name
                for precision in LADDER
                for each in listed
                if each.format is form and each.precision is precision
            )
        )
    )
