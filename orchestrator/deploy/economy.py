"""Which way costs a device least: decided by what its line is worth, never by habit."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from orchestrator.inventory.device import Link

_START_S = 0.3
"""What a device needs to begin with anything but writing down what comes."""
_JOINED_BYTES_PER_S = 20e6
_UNPACKED_BYTES_PER_S = 40e6
_WORTHWHILE = 0.95
"""Less is not worth the trouble, even where bytes cost money."""


class Way(StrEnum):
    """How the bytes of a release get onto a device."""

    WHOLE = "whole"
    SQUEEZED = "compressed"
    DELTA = "delta"


@dataclass(frozen=True, slots=True)
class Offer:
    """One way, and the bytes that it sends."""

    way: Way
    bytes: int


def worth_asking(whole_bytes: int, link: Link, bytes_per_s: float | None) -> bool:
    """Whether any other way could be cheaper, before it is found out what the others would send."""
    if link is Link.METERED:
        return whole_bytes > 0
    known = bytes_per_s if link is Link.AUTO else None
    return known is not None and whole_bytes / known > _START_S


def cheapest(
    whole_bytes: int, others: Iterable[Offer], link: Link, bytes_per_s: float | None
) -> Way:
    """The way to take.

    On a metered line the bytes decide; on any other the time, sending and the device's work
    together. A line of unknown speed counts as fast: whoever sends finds out in the first seconds.

    Args:
        bytes_per_s: what the line was measured to carry, or None.
    """
    best, cost = Way.WHOLE, _cost(Offer(Way.WHOLE, whole_bytes), whole_bytes, link, bytes_per_s)
    for offer in others:
        if offer.bytes > _WORTHWHILE * whole_bytes:
            continue
        if (price := _cost(offer, whole_bytes, link, bytes_per_s)) < cost:
            best, cost = offer.way, price
    return best


def _cost(offer: Offer, whole_bytes: int, link: Link, bytes_per_s: float | None) -> float:
    """Bytes where they are counted, else seconds."""
    if link is Link.METERED:
        return offer.bytes
    seconds = offer.bytes / bytes_per_s if bytes_per_s and link is not Link.FAST else 0.0
    match offer.way:
        case Way.WHOLE:
            return seconds
        case Way.DELTA:
            return seconds + _START_S + whole_bytes / _JOINED_BYTES_PER_S
        case Way.SQUEEZED:
            return seconds + _START_S + whole_bytes / _UNPACKED_BYTES_PER_S
