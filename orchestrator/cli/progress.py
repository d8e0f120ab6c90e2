"""A rollout while it happens: one line a device that is being worked on, and those that are done."""

from collections import Counter
from contextlib import AbstractContextManager

from orchestrator.cli.render import Screen, size
from orchestrator.cli.show import outcome_line
from orchestrator.deploy.errand import Progress
from orchestrator.rollout.outcome import Outcome, Status
from orchestrator.rollout.plan import Plan


class Rollout(AbstractContextManager["Rollout"]):
    """What a person sees between yes and the recap; written by workers, shown on standard error."""

    def __init__(self, screen: Screen, plan: Plan) -> None:
        self._changing = {(step.device, step.model) for step in plan.switches}
        self._screen = screen
        self._bar = screen.progress(len(self._changing), plan.intent.value)
        self._phases: dict[str, str] = {}

    def __enter__(self) -> "Rollout":
        self._bar.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.__exit__(*error)

    def watch(self, progress: Progress) -> None:
        """A device has come to another phase, or has got more bytes."""
        phase = progress.phase
        if progress.total:
            phase = f"{phase} {size(progress.sent)}/{size(progress.total)}"
        self._phases[progress.device] = phase
        self._bar.now(self._working())

    def done(self, outcome: Outcome) -> None:
        """A device is done with one of its steps."""
        self._phases.pop(outcome.device, None)
        if (outcome.device, outcome.model) in self._changing:
            shown = self._screen.for_people and outcome.status is not Status.ABORTED
            self._bar.step(outcome_line(outcome) if shown else "")
        self._bar.now(self._working())

    def _working(self) -> str:
        phases = dict(self._phases)
        if len(phases) <= 3:
            return "  ".join(f"{device}: {phase}" for device, phase in sorted(phases.items()))
        counts = Counter(phase.split(" ")[0] for phase in phases.values())
        return "  ".join(f"{n} × {phase}" for phase, n in sorted(counts.items()))
