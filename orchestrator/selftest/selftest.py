"""Harmless faults against a device of somebody's own, and what came of each.

Everything happens in a scratch folder below the device's storage root; models are not touched.
Power, disk and clock are left alone: for these there is the lab.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.app import Fleet
from orchestrator.errors import FleetError
from orchestrator.field import Field
from orchestrator.inventory.device import Device
from orchestrator.rollout.outcome import Outcome, Status
from orchestrator.selftest.invariant import remains, violations
from orchestrator.selftest.scratch import MODEL, Scratch, scratch

if TYPE_CHECKING:
    from orchestrator.deploy.errand import Progress
    from orchestrator.transport.transport import Transport

_CUTS = ("prepare", "send", "half-way", "smoke test", "activate", "confirm")
_REVERTS_S = 30.0
_HURT = 'r=$1; case $r in "~/"*) r=$HOME/${r#"~/"};; esac; cd "$r/selftest" && '


@dataclass(frozen=True, slots=True)
class Check:
    """One fault and what came of it; `wrong` is empty when all was well."""

    name: str
    wrong: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Report:
    """All checks of one device."""

    device: str
    runtime: str
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing was wrong."""
        return not any(check.wrong for check in self.checks)


class _Cut(Field):
    """Sessions as any fleet's, of which the last one can be cut when a phase begins, once."""

    def __init__(self, fleet: Fleet, phase: str) -> None:
        super().__init__(fleet.site, fleet.ledger.facts)
        self.phase = phase
        self.line: Transport | None = None

    def connect(self, device: Device) -> "Transport":
        """The same session as any fleet's, which can be cut."""
        self.line = super().connect(device)
        return self.line

    def watch(self, progress: "Progress") -> None:
        """Cut the line when the phase begins."""
        half = progress.phase == "send" and 0 < progress.total <= progress.sent * 2
        reached = half if self.phase == "half-way" else progress.phase == self.phase
        if reached and self.line is not None:
            self.phase = ""
            self.line.close()


def selftest(
    fleet: Fleet, device: Device, watch: Callable[[str], None] = lambda name: None
) -> Report:
    """Try every harmless fault on a device.

    Args:
        watch: hears the name of each check before it begins.

    Raises:
        NothingToProve: the device has no runtime.
        Unreachable: the device does not answer.
    """
    with tempfile.TemporaryDirectory(prefix="fleet-selftest-") as folder:
        with scratch(fleet, device, Path(folder) / "site") as made:
            test = _Test(made)
            checks = tuple(_timed(name, check, watch) for name, check in test.checks())
        return Report(device.name, made.runtime, checks)


def _timed(name: str, check: Callable[[], Iterator[str]], watch: Callable[[str], None]) -> Check:
    watch(name)
    began = time.monotonic()
    try:
        wrong = tuple(check())
    except FleetError as error:
        wrong = (f"{error.code}: {error.message}",)
    return Check(name, wrong, round(time.monotonic() - began, 2))


class _Test:
    """The checks, in an order in which each leaves the device whole for the next."""

    def __init__(self, made: Scratch) -> None:
        self.made, self.version = made, 0
        self.current: str | None = None
        self.previous: str | None = None

    def checks(self) -> Iterator[tuple[str, Callable[[], Iterator[str]]]]:
        """Name → what to do; each yields what was wrong."""
        yield "first release", self.deployed
        yield "second release", self.deployed
        for phase in _CUTS:
            yield f"line cut: {phase}", lambda phase=phase: self.cut(phase)  # type: ignore[misc]
        yield "running model damaged", lambda: self.repaired("echo x >>current/model.*")
        yield (
            "running model emptied",
            lambda: self.repaired("for f in current/model.*; do : >$f; done"),
        )
        yield "another controller at work", self.locked
        yield "no confirmation: reverts by itself", self.reverts
        yield "rollback without sending", self.rolled_back

    def deployed(self) -> Iterator[str]:
        """The next version, without a fault."""
        self._next()
        yield from self._converged()

    def cut(self, phase: str) -> Iterator[str]:
        """The next version, with the line cut; then again."""
        self._next()
        fleet = Fleet(self.made.folder)
        fleet.field = cutting = _Cut(fleet, phase)
        outcome = self._deploy(fleet, cutting.watch)
        if cutting.phase:
            yield f"the line was not cut: the deployment {outcome.status} without it"
        yield from self._whole()
        yield from self._converged()

    def repaired(self, hurt: str) -> Iterator[str]:
        """What runs is damaged: an audit finds it, and a repair puts it in order."""
        fleet = Fleet(self.made.folder)
        self.made.ask(fleet, _HURT + hurt)
        found = [drift.finding.value for drift in fleet.audit(self.made.device.name)]
        if found != ["drift"]:
            yield f"the audit found {', '.join(found)} instead of drift"
        yield from self._converged(repair=True)

    def locked(self) -> Iterator[str]:
        """Somebody else's lease is respected until it is gone."""
        fleet = Fleet(self.made.folder)
        until = "$(($(date +%s) + 600))"
        self.made.ask(fleet, _HURT + f'mkdir lock && echo "somebody.else {until}" >lock/owner')
        was = self._next()
        outcome = self._deploy(fleet)
        if outcome.status is not Status.DEFERRED:
            yield f"a deployment under another's lease ended as {_said(outcome)}"
        if self.made.seen(fleet).linked("current") != was:
            yield "it changed what another controller was at work on"
        self.made.ask(fleet, _HURT + "rm -rf lock")
        yield from self._converged()

    def reverts(self) -> Iterator[str]:
        """The line is cut between the switch and its confirmation: the device goes back alone."""
        was = self._next()
        fleet = Fleet(self.made.folder)
        fleet.field = cutting = _Cut(fleet, "confirm")
        self._deploy(fleet, cutting.watch)
        fleet, last = Fleet(self.made.folder), time.monotonic() + _REVERTS_S
        while self.made.seen(fleet).linked("current") != was:
            if time.monotonic() > last:
                yield f"it did not go back within {_REVERTS_S:.0f} s"
                break
            time.sleep(1.0)
        yield from self._converged()

    def rolled_back(self) -> Iterator[str]:
        """The previous release runs again without a byte of it being sent."""
        fleet = Fleet(self.made.folder)
        plan = fleet.rollback_plan(self.made.device.name, fleet.site.playbook("selftest"))
        outcome = fleet.execute(plan).outcomes[0]
        if outcome.status is not Status.SUCCEEDED or outcome.bytes_sent:
            yield f"{_said(outcome)}, {outcome.bytes_sent} bytes sent"
        if (seen := self.made.seen(fleet)).linked("current") != self.previous:
            yield f"runs {seen.linked('current')}, not {self.previous}"

    def _next(self) -> str | None:
        """Offer another version; what ran before."""
        self.version += 1
        was, self.target = self.current, self.made.offer(f"{self.version}.0")
        return was

    def _deploy(
        self,
        fleet: Fleet,
        watch: "Callable[[Progress], None]" = lambda progress: None,
        *,
        repair: bool = False,
    ) -> Outcome:
        playbook = fleet.site.playbook("selftest")
        plan = fleet.plan(self.made.device.name, playbook, [MODEL], repair=repair)
        return fleet.execute(plan, watch=watch).outcomes[0]

    def _whole(self) -> Iterator[str]:
        """The invariant, right after a fault."""
        seen = self.made.seen(Fleet(self.made.folder))
        known = [release for release in (self.current, self.target) if release]
        yield from violations(seen, known, had=["current"] if self.current else [])

    def _converged(self, *, repair: bool = False) -> Iterator[str]:
        """Deployed once more, without a fault, everything is in order."""
        fleet = Fleet(self.made.folder)
        outcome = self._deploy(fleet, repair=repair)
        if outcome.status not in (Status.SUCCEEDED, Status.ALREADY_CURRENT):
            yield f"the next run ended as {_said(outcome)}"
        if self.current != self.target:
            self.previous, self.current = self.current, self.target
        yield from remains(self.made.seen(fleet), self.target, self.previous, 2)


def _said(outcome: Outcome) -> str:
    return f"{outcome.status.value} ({outcome.code or 'no code'}: {outcome.because})"
