"""A plan carried out: wave by wave, a bounded number of devices at once, one connection each."""

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass

from orchestrator.deploy.claim import Claim
from orchestrator.deploy.hands import Hands, Scripts
from orchestrator.deploy.switch import Errand, Progress, switch
from orchestrator.errors import FleetError
from orchestrator.inventory.device import Device
from orchestrator.rollout.gate import Halt, judge
from orchestrator.rollout.outcome import Outcome, Status
from orchestrator.rollout.plan import Keep, Plan, Skip, Switch, Why
from orchestrator.transport.transport import DeviceUnreachable, Transport

_STATUS = {
    Why.UNREACHABLE: Status.DEFERRED,
    Why.UNUSABLE: Status.REFUSED,
    Why.NO_VARIANT: Status.NO_VARIANT,
    Why.NOTHING_TO_GO_BACK_TO: Status.REFUSED,
    Why.UNKNOWN_RELEASE: Status.REFUSED,
}


@dataclass(frozen=True, slots=True)
class Reach:
    """How workers get at devices and at bytes; the same for every device of a run."""

    connect: Callable[[Device], Transport]
    devices: Callable[[str], Device]
    contents: Callable[[str], bytes]
    scripts: Scripts
    claim: Claim


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
    record: Callable[[Outcome], None],
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

    def keep(outcome: Outcome) -> None:
        record(outcome)
        outcomes.append(outcome)

    gone = {(skip.device, skip.model): skip for skip in refused}
    for step in plan.steps:
        if (skip := gone.get((step.device, step.model))) is not None:
            keep(_unchanged(skip))
        elif not isinstance(step, Switch):
            keep(_unchanged(step))
    halted = ""
    for wave in plan.waves:
        work = [
            (name, [s for s in plan.switches if s.device == name and (name, s.model) not in gone])
            for name in wave.devices
        ]
        if halted:
            for step in (step for _, steps in work for step in steps):
                keep(_aborted(step))
            continue
        worker = _Worker(plan, reach, stop, watch)
        for outcome in _all(worker, work, plan.playbook.at_once, stop):
            keep(outcome)
        verdict = judge(wave, outcomes)
        halted = verdict.because if isinstance(verdict, Halt) else ""
    return Report(tuple(outcomes), halted)


class _Worker:
    """What one thread does for one device: connect, take every step, never raise."""

    def __init__(
        self, plan: Plan, reach: Reach, stop: threading.Event, watch: Callable[[Progress], None]
    ) -> None:
        self.plan, self.reach, self.stop, self.watch = plan, reach, stop, watch

    def __call__(self, name: str, steps: list[Switch]) -> list[Outcome]:
        errands = [self._errand(step) for step in steps]
        if self.stop.is_set():
            return [e.outcome(Status.ABORTED, "stopped before it was its turn") for e in errands]
        try:
            device = self.reach.devices(name)
            self.watch(Progress(name, steps[0].model, "connect"))
            with self.reach.connect(device) as transport:
                hands = Hands(transport, device, self.reach.scripts)
                return [switch(hands, errand) for errand in errands]
        except DeviceUnreachable as error:
            return [_failed(errand, Status.DEFERRED, error) for errand in errands]
        except FleetError as error:
            return [_failed(errand, Status.FAILED_UNCHANGED, error) for errand in errands]
        except Exception as error:  # noqa: BLE001 - a bug in one worker must not take the other devices with it
            return [_bug(errand, error) for errand in errands]

    def _errand(self, step: Switch) -> Errand:
        return Errand(
            step=step,
            manifest=self.plan.manifest(step.manifest),
            playbook=self.plan.playbook,
            owner=self.reach.claim.owner,
            contents=self.reach.contents,
            stopped=self.stop.is_set,
            watch=self.watch,
            gone=self.reach.claim.gone,
        )


def _all(
    worker: _Worker,
    work: list[tuple[str, list[Switch]]],
    at_once: int,
    stop: threading.Event,
) -> Iterator[Outcome]:
    with ThreadPoolExecutor(max_workers=at_once, thread_name_prefix="device") as pool:
        left = {pool.submit(worker, name, steps) for name, steps in work if steps}
        interrupted: KeyboardInterrupt | None = None
        try:
            while left:
                try:
                    done, left = wait(left, timeout=0.5, return_when=FIRST_COMPLETED)
                except KeyboardInterrupt as error:
                    stop.set()
                    interrupted = error
                    continue
                for future in done:
                    yield from future.result()
        except BaseException:  # whoever takes the outcomes has given up: so does everybody
            stop.set()
            raise
        if interrupted is not None:
            raise interrupted


def _unchanged(step: Keep | Skip) -> Outcome:
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


def _aborted(step: Switch) -> Outcome:
    return Outcome(
        device=step.device,
        model=step.model,
        status=Status.ABORTED,
        was=step.was,
        release=step.release,
        because="the rollout was halted before its turn",
        code="ROLLOUT > GATE > HALTED",
    )


def _failed(errand: Errand, status: Status, error: FleetError) -> Outcome:
    return errand.outcome(status, error.message, code=error.code, hint=error.hint)


def _bug(errand: Errand, error: Exception) -> Outcome:
    status = Status.FAILED_UNKNOWN if errand.switched else Status.FAILED_UNCHANGED
    return errand.outcome(status, f"{type(error).__name__}: {error}", code="CONTROLLER > BUG")
