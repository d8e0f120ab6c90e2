"""One fault on one device, the count of all of them, and the thread that does what they ask for."""

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.rollout.outcome import Status

GOOD = (Status.SUCCEEDED, Status.ALREADY_CURRENT)
COUNTED: Counter[str] = Counter()
"""Injected faults by kind, for the summary at the end of the run."""
CODES: defaultdict[str, Counter[str]] = defaultdict(Counter)
"""How the outcomes of a kind were called."""


@dataclass(frozen=True)
class Case:
    """One fault: at the `at`-th step of the script, die (`act` None) or let `act` do something.

    `goes_on`: whether the script goes on after `act`, or is left waiting where it is. `heal` undoes
    what must be undone before a second visit can go well. `codes`: what a failure may be called.
    """

    kind: str
    at: int
    act: Callable[[str], None] | None = None
    goes_on: bool = False
    heal: Callable[[str], None] = lambda device: None
    codes: tuple[str, ...] = ()


def waiting(rig: Any) -> set[str]:
    """The devices whose script waits at its step."""
    return {d for d in rig.userlands if (rig.root(d) / "dev/shm/trip/fired").exists()}


class Watch(threading.Thread):
    """Does what cases ask for as soon as their devices wait."""

    def __init__(self, rig: Any, cases: Mapping[str, Case]) -> None:
        super().__init__(daemon=True)
        self.rig, self.left = rig, {d: case for d, case in cases.items() if case.act}
        self.fired: set[str] = set()
        self.over = False
        self.flags = {d: rig.root(d) / "dev/shm/trip/fired" for d in self.left}

    def __enter__(self) -> "Watch":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over = True
        self.join()

    def run(self) -> None:
        while not self.over:
            for device in [d for d in self.left if self.flags[d].exists()]:
                case = self.left.pop(device)
                self.fired.add(device)
                assert case.act is not None
                try:
                    case.act(device)
                except Exception as error:  # noqa: BLE001 - a thread must not die in silence
                    self.rig.report(case, device, f"the fault itself failed: {error}")
                if case.goes_on:
                    self.rig.go_on(device)
            time.sleep(0.005)
