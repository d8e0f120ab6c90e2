"""Work on devices while it happens: what each that is at work is at, and those that are done."""

from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Self

from orchestrator.cli.render import Screen, size
from orchestrator.cli.show import outcome_line
from orchestrator.deploy.errand import Progress
from orchestrator.deploy.measure import Tried
from orchestrator.rollout.outcome import Outcome, Status
from orchestrator.rollout.plan import Plan, Skip
from orchestrator.rollout.trial import Turn


class AtWork(AbstractContextManager["AtWork"]):
    """A bar, with what each device is at; written by workers, shown on standard error."""

    def __init__(self, screen: Screen, total: int, what: str) -> None:
        self.screen = screen
        self.bar = screen.progress(total, what)
        self._phases: dict[str, str] = {}

    def __enter__(self) -> Self:
        self.bar.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.__exit__(*error)

    def watch(self, progress: Progress) -> None:
        """A device has come to another phase, or has got more bytes."""
        phase = progress.phase
        if progress.total:
            phase = f"{phase} {size(progress.sent)}/{size(progress.total)}"
        self._phases[progress.device] = phase
        self.bar.now(self._working())

    def ended(self, device: str) -> None:
        """A device is done with something."""
        self._phases.pop(device, None)
        self.bar.now(self._working())

    def _working(self) -> str:
        phases = dict(self._phases)
        if len(phases) <= 3:
            return "  ".join(f"{device}: {phase}" for device, phase in sorted(phases.items()))
        counts = Counter(phase.split(" ")[0] for phase in phases.values())
        return "  ".join(f"{n} × {phase}" for phase, n in sorted(counts.items()))


class Rollout(AtWork):
    """What a person sees between yes and the recap."""

    def __init__(self, screen: Screen, plan: Plan) -> None:
        self._changing = {(step.device, step.model) for step in plan.switches}
        super().__init__(screen, len(self._changing), plan.intent.value)

    def done(self, outcome: Outcome) -> None:
        """A device is done with one of its steps."""
        if (outcome.device, outcome.model) in self._changing:
            shown = self.screen.for_people and outcome.status is not Status.ABORTED
            self.bar.step(outcome_line(outcome) if shown else "")
        self.ended(outcome.device)


class Profiling(AtWork):
    """What a person sees while devices measure."""

    def __init__(self, screen: Screen, turns: Sequence[Turn | Skip]) -> None:
        super().__init__(
            screen, sum(len(t.trials) for t in turns if isinstance(t, Turn)), "profile"
        )

    def done(self, tried: Tried) -> None:
        """A device has measured one variant, or could not."""
        self.bar.step(outcome_line(tried.outcome) if self.screen.for_people else "")
        self.ended(tried.outcome.device)
