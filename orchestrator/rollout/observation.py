"""What was seen on a device at one time, or why nothing could be seen."""

from typing import Literal, TypeAlias

from orchestrator.inventory.facts import Facts
from orchestrator.values import Value


class Installed(Value):
    """The releases of one model on a device. `current` is what runs; None before the first.

    `unsettled` names what an interrupted visit has left behind, or what one at work still needs.
    """

    model: str
    current: str | None = None
    previous: str | None = None
    releases: tuple[str, ...] = ()
    unsettled: tuple[str, ...] = ()


class Observed(Value):
    """A device that answered."""

    kind: Literal["observed"] = "observed"
    device: str
    facts: Facts
    installed: tuple[Installed, ...] = ()

    def of(self, model: str) -> Installed:
        """What is installed of a model; empty where it never was."""
        return next((i for i in self.installed if i.model == model), Installed(model=model))


class Unobserved(Value):
    """A device that did not answer, with the error's code and words."""

    kind: Literal["unobserved"] = "unobserved"
    device: str
    code: str
    because: str
    hint: str = ""


Observation: TypeAlias = Observed | Unobserved
