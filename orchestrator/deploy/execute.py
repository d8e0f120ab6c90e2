"""A plan carried out: wave by wave, a bounded number of devices at once, one connection each."""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

from orchestrator.deploy.crew import taken
from orchestrator.deploy.errand import Errand, Progress, no_gateway
from orchestrator.deploy.relay import Relays
from orchestrator.deploy.turns import Turns
from orchestrator.deploy.visit import Reach, Visit
from orchestrator.rollout.gate import Halt, judge
from orchestrator.rollout.outcome import Outcome, Status
from orchestrator.rollout.plan import Keep, Plan, Skip, Switch, Why

HALTED = "ROLLOUT > GATE > HALTED"
_STATUS = {
    Why.UNREACHABLE: Status.DEFERRED,
    Why.UNUSABLE: Status.REFUSED,
    Why.NO_VARIANT: Status.NO_VARIANT,
    Why.NOTHING_TO_GO_BACK_TO: Status.REFUSED,
    Why.UNKNOWN_RELEASE: Status.REFUSED,
}


@dataclass(frozen=True, slots=True)
class Report:
    """How a plan ended: every outcome, and what halted it if anything did."""

    outcomes: tuple[Outcome, ...]
    halted: str = ""

    @property
    def failed(self) -> tuple[Outcome, ...]:
        """The outcomes that a gate counts."""
        return tuple(o for o in self.outcomes if o.status.failed)


def execute(
    plan: Plan,
    reach: Reach,
    record: Callable[[Sequence[Outcome]], None],
    *,
    watch: Callable[[Progress], None] = lambda progress: None,
    refused: Iterable[Skip] = (),
) -> Report:
    """Carry out a plan. Outcomes are recorded as they come, from the calling thread only.

    A `KeyboardInterrupt` lets devices that are switching finish, leaves the others as they are,
    records both, and is raised again.

    Args:
        refused: steps of the plan that no longer hold; recorded, not tried.
    """
    outcomes: list[Outcome] = []
    stop = threading.Event()

    def keep(new: Sequence[Outcome]) -> None:
        if new:
            record(new)
            outcomes.extend(new)

    gone = {(skip.device, skip.model): skip for skip in refused}
    as_they_are = [gone.get((step.device, step.model), step) for step in plan.steps]
    keep([unchanged(step) for step in as_they_are if not isinstance(step, Switch)])
    worker = _Worker(plan, reach, stop, watch)
    steps: dict[str, list[Switch]] = {}
    for switch in plan.switches:
        if (switch.device, switch.model) not in gone:
            steps.setdefault(switch.device, []).append(switch)
    with closing(worker.relays):
        halted = _waves(worker, steps, outcomes, keep)
    return Report(tuple(outcomes), halted)


def _waves(
    worker: "_Worker",
    steps: Mapping[str, list[Switch]],
    outcomes: Sequence[Outcome],
    keep: Callable[[Sequence[Outcome]], None],
) -> str:
    """Wave after wave until a gate says halt; what it says, or nothing."""
    halted, at_once = "", worker.plan.playbook.at_once
    for wave in worker.plan.waves:
        work = [(name, steps[name]) for name in wave.devices if name in steps]
        if halted:
            because = "the rollout was halted before its turn"
            keep([_aborted(step, because, HALTED) for _, each in work for step in each])
            continue
        turns = Turns(work, at_once, worker.reach.limits, worker.gateway)
        for new in taken(worker, turns, at_once):
            keep(new)
        verdict = judge(wave, outcomes)
        halted = verdict.because if isinstance(verdict, Halt) else ""
    return halted


class _Worker:
    """What one thread does for one device: connect, take every step, never raise."""

    def __init__(
        self, plan: Plan, reach: Reach, stop: threading.Event, watch: Callable[[Progress], None]
    ) -> None:
        self.plan, self.reach, self.stop, self.watch = plan, reach, stop, watch
        self.relays = Relays(reach)

    def __call__(self, name: str, steps: list[Switch]) -> list[Outcome]:
        if self.stop.is_set():
            return [_aborted(step, "stopped before it was its turn") for step in steps]
        visit = Visit(name, self.reach, self.stop)
        try:
            return [self._step(visit, step) for step in steps]
        finally:
            visit.close()

    def give_up(self) -> None:
        """Devices that are switching finish, the others are left as they are."""
        self.stop.set()

    def _step(self, visit: Visit, step: Switch) -> Outcome:
        errand = self._errand(step)
        try:
            self.watch(Progress(step.device, step.model, "connect"))
            return visit.tried(errand)
        except Exception as error:  # noqa: BLE001 - a bug in one worker must not take the other devices with it
            return _bug(errand, error)

    def gateway(self, name: str) -> str | None:
        """Who has to have a release before a device: its gateway, where it hands it on."""
        return self.reach.devices(name).via if self.plan.playbook.relay else None

    def _errand(self, step: Switch) -> Errand:
        reach = self.reach
        device = reach.devices(step.device)
        return Errand(
            step=step,
            manifest=self.plan.manifest(step.manifest),
            playbook=self.plan.playbook,
            owner=reach.claim.owner,
            goods=reach.goods,
            known=reach.known,
            stopped=self.stop.is_set,
            watch=self.watch,
            gone=reach.claim.gone,
            relay=self.relays.offer if self.plan.playbook.relay else no_gateway,
            link=self.plan.playbook.link or device.link,
            bytes_per_s=reach.rates.get(step.device),
            buckets=reach.pace.of_a_device(),
        )


def unchanged(step: Keep | Skip) -> Outcome:
    """The outcome of a step that changes nothing."""
    if isinstance(step, Keep):
        return Outcome(
            device=step.device,
            model=step.model,
            status=Status.ALREADY_CURRENT,
            was=step.release,
            release=step.release,
            because=step.because,
        )
    unseen = step.why in (Why.UNREACHABLE, Why.UNUSABLE)
    code, _, because = step.because.partition(": ") if unseen else ("", "", "")
    return Outcome(
        device=step.device,
        model=step.model,
        status=_STATUS[step.why],
        because=because or step.because,
        code=code,
        hint=step.hint,
    )


def _aborted(step: Switch, because: str, code: str = "DEPLOY > INTERRUPTED") -> Outcome:
    return Outcome(
        device=step.device,
        model=step.model,
        status=Status.ABORTED,
        was=step.was,
        release=step.release,
        because=because,
        code=code,
    )


def _bug(errand: Errand, error: Exception) -> Outcome:
    status = Status.FAILED_UNKNOWN if errand.switched else Status.FAILED_UNCHANGED
    return errand.outcome(status, f"{type(error).__name__}: {error}", code="CONTROLLER > BUG")
