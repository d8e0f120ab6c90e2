"""Whose turn it is: a bounded number of devices overall, in each group, and behind each gateway."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from orchestrator.errors import NotFound
from orchestrator.inventory.inventory import Inventory
from orchestrator.rollout.playbook import Playbook

T = TypeVar("T")

Limits = tuple[tuple[str, int], ...]
"""What a device counts towards, and how many may be at work there at the same time."""


class Turns(Generic[T]):
    """Work in the order given, but nobody begins where there are enough at work already.

    Args:
        after: who has to be done before a device begins, where it has work at all.
    """

    def __init__(
        self,
        work: Iterable[tuple[str, T]],
        most: int,
        limits: Callable[[str], Limits],
        after: Callable[[str], str | None] = lambda name: None,
    ) -> None:
        self._waiting = [(name, item, limits(name)) for name, item in work]
        self._most, self._limits, self._after = most, limits, after
        self._unfinished = {name for name, _, _ in self._waiting}
        self._busy: Counter[str] = Counter()
        self._at_work = 0

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def begin(self) -> Iterable[tuple[str, T]]:
        """Everybody who may begin now."""
        waiting = []
        for name, item, limits in self._waiting:
            full = any(self._busy[place] >= most for place, most in limits)
            if self._at_work >= self._most or full or self._after(name) in self._unfinished:
                waiting.append((name, item, limits))
                continue
            self._at_work += 1
            self._busy.update(place for place, _ in limits)
            yield name, item
        self._waiting = waiting

    def end(self, name: str) -> None:
        """Somebody is done."""
        self._at_work -= 1
        self._unfinished.discard(name)
        self._busy.subtract(place for place, _ in self._limits(name))


def limits(inventory: Inventory, playbook: Playbook) -> Callable[[str], Limits]:
    """What a device counts towards: the groups that the playbook limits, and its gateway.

    Raises:
        NotFound: the playbook limits a group that does not exist.
    """
    members = {}
    for group, most in playbook.at_once_per_group:
        if group not in inventory.groups:
            raise NotFound("group", group, inventory.groups)
        members[group] = (inventory.members(group), most)
    per_gateway = playbook.at_once_per_gateway

    def of(name: str) -> Limits:
        found = [(f"group {g}", most) for g, (names, most) in members.items() if name in names]
        via = inventory.devices[name].via
        return (*found, *([(f"via {via}", per_gateway)] if via and per_gateway else []))

    return of
