"""How carefully to roll out: which waves, how many failures each may have, what to optimise for."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer

from orchestrator.catalog.assignment import Objective
from orchestrator.inventory.device import Link
from orchestrator.inventory.runner import Proof
from orchestrator.values import Name, Value
from orchestrator.yamltext import Document

_SIZE = re.compile(r"^([1-9][0-9]*%?|all|one-per-profile)$")
_SHARE = re.compile(r"^[0-9]+%?$")
_PERCENTAGE = re.compile(r"^[1-9][0-9]{2,4}%$")


def _is_size(text: str) -> str:
    if not _SIZE.match(text):
        raise ValueError("should be a count, a percentage such as 10%, 'one-per-profile' or 'all'")
    return text


def _is_share(text: str) -> str:
    if not _SHARE.match(text):
        raise ValueError("should be a count or a percentage such as 10%")
    return text


Size = Annotated[str, BeforeValidator(str), AfterValidator(_is_size)]
Share = Annotated[str, BeforeValidator(str), AfterValidator(_is_share)]


def _is_percentage(text: str) -> str:
    if not _PERCENTAGE.match(text):
        raise ValueError("should be a percentage of a release's size of 100% or more")
    return text


def _is_counts(pairs: tuple[tuple[str, int], ...]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(pairs))


Counts = Annotated[
    tuple[tuple[Name, Annotated[int, Field(ge=1, le=512)]], ...],
    BeforeValidator(lambda raw: tuple(raw.items()) if isinstance(raw, dict) else raw),
    AfterValidator(_is_counts),
    PlainSerializer(dict, return_type=dict[str, int]),
]
"""Group → count, read from a mapping, kept as sorted pairs, written as a mapping."""


class Wave(Value):
    """Some of the devices, rolled out together; the gate after it decides whether to go on."""

    name: Name
    size: Size
    max_failed: Share = "0"


class Playbook(Value):
    """How carefully to roll out, and at what cost.

    A step is tried `attempts` times if the line fails, as long as no more than `send_at_most` of
    the release's size has been sent to the device. `link` overrides what the inventory says. With
    `relay`, a release is sent once to each gateway, and devices behind it fetch it from there. A
    `proof` of ``runs-only`` lets runtimes serve that cannot tell what they compute.
    """

    name: Name = "canary"
    objective: Objective = Objective.LATENCY
    waves: Annotated[tuple[Wave, ...], Field(min_length=1)] = (
        Wave(name="canary", size="one-per-profile"),
        Wave(name="rest", size="all", max_failed="10%"),
    )
    at_once: Annotated[int, Field(ge=1, le=512)] = 16
    at_once_per_group: Counts = ()
    at_once_per_gateway: Annotated[int, Field(ge=1, le=512)] | None = None
    attempts: Annotated[int, Field(ge=1, le=10)] = 3
    send_at_most: Annotated[str, AfterValidator(_is_percentage)] = "300%"
    link: Link | None = None
    relay: bool = False
    keep_releases: Annotated[int, Field(ge=2, le=50)] = 3
    confirm_within_s: Annotated[int, Field(ge=5, le=3600)] = 60
    proof: Proof = Proof.COMPARED


class PlannedWave(Value):
    """A wave with its devices; every device of a plan stands in exactly one."""

    name: str
    devices: tuple[str, ...]
    may_fail: int


def waves(
    playbook: Playbook, devices: Sequence[str], profiles: Mapping[str, str]
) -> tuple[PlannedWave, ...]:
    """Deal the devices, in the order given, into the playbook's waves; the last takes the rest.

    Args:
        profiles: the profile of each device, for waves of one per profile.
    """
    left = list(devices)
    planned = []
    for index, wave in enumerate(playbook.waves):
        last = index == len(playbook.waves) - 1
        chosen = left if last else _chosen(wave.size, left, len(devices), profiles)
        taken = set(chosen)
        left = [name for name in left if name not in taken]
        if chosen:
            may_fail = _count(wave.max_failed, len(chosen), up=False)
            planned.append(PlannedWave(name=wave.name, devices=tuple(chosen), may_fail=may_fail))
    return tuple(planned)


def _chosen(size: str, left: list[str], total: int, profiles: Mapping[str, str]) -> list[str]:
    if size == "all":
        return left
    if size == "one-per-profile":
        first: dict[str, str] = {}
        for name in left:
            first.setdefault(profiles[name], name)
        return list(first.values())
    return left[: _count(size, total, up=True)]


def _count(share: str, of: int, *, up: bool) -> int:
    if not share.endswith("%"):
        return int(share)
    exact = int(share[:-1]) * of / 100
    return math.ceil(exact) if up else math.floor(exact)


def read_playbook(text: str, file: str) -> Playbook:
    """A playbook file → Playbook.

    Raises:
        BadInput: with file, line, value and what was expected.
    """
    return Document(text, file).into(Playbook)
