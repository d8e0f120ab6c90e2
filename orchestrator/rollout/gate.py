"""The gate between two waves: go on, or halt."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from orchestrator.rollout.outcome import Outcome
from orchestrator.rollout.playbook import PlannedWave


@dataclass(frozen=True, slots=True)
class Proceed:
    """The wave went well enough."""


@dataclass(frozen=True, slots=True)
class Halt:
    """Too many devices of the wave failed; the rest must keep what they run."""

    because: str


Verdict: TypeAlias = Proceed | Halt


def judge(wave: PlannedWave, outcomes: Iterable[Outcome]) -> Verdict:
    """Count the devices of a wave that failed by their own or the model's fault.

    Devices that could not be reached are deferred and never count.
    """
    failed = sorted({o.device for o in outcomes if o.status.failed and o.device in wave.devices})
    if len(failed) <= wave.may_fail:
        return Proceed()
    return Halt(
        f"{len(failed)} of {len(wave.devices)} devices of wave {wave.name!r} failed "
        f"({', '.join(failed[:5])}{', …' if len(failed) > 5 else ''}), and {wave.may_fail} may"
    )
