"""One device's turn: a session, opened again when the line fails, a few times and not at once."""

import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from orchestrator.artifact.manifest import Manifest
from orchestrator.deploy.claim import Claim
from orchestrator.deploy.errand import Errand
from orchestrator.deploy.goods import Goods
from orchestrator.deploy.hands import Hands, Scripts
from orchestrator.deploy.pace import Pace
from orchestrator.deploy.switch import switch
from orchestrator.deploy.turns import Limits
from orchestrator.errors import FleetError
from orchestrator.inventory.device import Device
from orchestrator.rollout.outcome import Outcome, Status
from orchestrator.transport.transport import DeviceUnreachable, Transport

_PAUSE_S = 0.5


@dataclass(frozen=True, slots=True)
class Reach:
    """How workers get at devices and at bytes; the same for every device of a run.

    `known` are all releases' manifests by model and release, `rates` what lines were measured to
    carry in bytes per second, `limits` what a device counts towards.
    """

    connect: Callable[[Device], Transport]
    devices: Callable[[str], Device]
    goods: Goods
    scripts: Scripts
    claim: Claim
    known: Mapping[tuple[str, str], Manifest] = field(default_factory=dict)
    rates: Mapping[str, float] = field(default_factory=dict)
    pace: Pace = field(default_factory=Pace)
    limits: Callable[[str], Limits] = lambda name: ()


class Visit:
    """A session with one device for all its steps."""

    def __init__(self, name: str, reach: Reach, stop: threading.Event) -> None:
        self._device = reach.devices(name)
        self._reach, self._stop = reach, stop
        self._transport: Transport | None = None
        self._away: DeviceUnreachable | None = None

    def tried(self, errand: Errand) -> Outcome:
        """How a step ended, after as many attempts as it may have.

        Only a line that failed before the switch is tried again: what was staged is still there.
        """
        for attempt in range(1, errand.playbook.attempts + 1):
            errand.attempts = attempt
            outcome, again = self._once(errand)
            if not again or attempt == errand.playbook.attempts:
                break
            self.close()
            if self._stop.wait(_PAUSE_S * 2 ** (attempt - 1) * random.uniform(0.5, 1.5)):
                break
        return outcome

    def close(self) -> None:
        """End the session, or give it back."""
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    def _once(self, errand: Errand) -> tuple[Outcome, bool]:
        try:
            hands = self._hands()
        except DeviceUnreachable as error:
            again = error.transient and not (error.absent and errand.attempts == 1)
            return _failed(errand, Status.DEFERRED, error), again
        except FleetError as error:
            return _failed(errand, Status.FAILED_UNCHANGED, error), False
        outcome = switch(hands, errand)
        lost = outcome.status is Status.DEFERRED and outcome.code == "TRANSPORT > UNREACHABLE"
        return outcome, lost

    def _hands(self) -> Hands:
        if self._away is not None:  # it was not there for the step before
            raise self._away
        if self._transport is None:
            try:
                self._transport = self._reach.connect(self._device)
            except DeviceUnreachable as error:
                self._away = error if error.absent else None
                raise
        return Hands(self._transport, self._device, self._reach.scripts)


def _failed(errand: Errand, status: Status, error: FleetError) -> Outcome:
    return errand.outcome(status, error.message, code=error.code, hint=error.hint)
