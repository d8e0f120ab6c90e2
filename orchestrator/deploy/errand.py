"""Everything one step needs, what it has found out so far, and what can end it early."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from orchestrator.artifact.manifest import MANIFEST, Manifest
from orchestrator.deploy.goods import Goods
from orchestrator.deploy.pace import Bucket
from orchestrator.errors import FleetError, Owner
from orchestrator.inventory.device import Link
from orchestrator.rollout.outcome import Outcome, Smoke, Status
from orchestrator.rollout.plan import Switch
from orchestrator.rollout.playbook import Playbook


class Interrupted(FleetError):
    """The person at the keyboard, or a gate, said stop before anything was switched."""

    path = ("DEPLOY", "INTERRUPTED")


class OverBudget(FleetError):
    """More was sent than a step may cost, and still not everything is there."""

    path = ("DEPLOY", "TRANSFER", "BUDGET")
    owner = Owner.NETWORK


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a device is: the phase, and bytes sent of those to send."""

    device: str
    model: str
    phase: str
    sent: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class Door:
    """Where a gateway hands out files, once, to whoever knows the secret."""

    host: str
    port: str
    secret: str


def no_gateway(errand: "Errand", names: Sequence[str], seen_at: str) -> None:
    """Nobody hands files on: the controller sends them."""


@dataclass(slots=True)
class Errand:
    """Everything one step needs, and what it has found out so far.

    `known` holds every release's manifest by model and release; `stopped` tells whether to give up
    before the switch; `gone` tells of a lease's owner whether it is a controller of this site that
    is no more; `relay` has the gateway, seen at an address, offer some files of the release, or says
    that it does not (None). `switched` holds once the device was told to switch, `activated` once it has.
    """

    step: Switch
    manifest: Manifest
    playbook: Playbook
    owner: str
    goods: Goods
    known: Mapping[tuple[str, str], Manifest]
    stopped: Callable[[], bool]
    watch: Callable[[Progress], None]
    gone: Callable[[str], bool] = lambda owner: False
    relay: "Callable[[Errand, Sequence[str], str], Door | None]" = no_gateway
    link: Link = Link.AUTO
    bytes_per_s: float | None = None
    buckets: tuple[Bucket, ...] = ()
    bytes_sent: int = 0
    sent_as: list[str] = field(default_factory=list)
    attempts: int = 1
    switched: bool = False
    activated: bool = False
    smoke: Smoke | None = None
    evidence: str = ""
    began: float = field(default_factory=time.monotonic)

    @property
    def wanted(self) -> dict[str, str]:
        """The digest of every file that the release consists of."""
        wanted: dict[str, str] = {MANIFEST: self.manifest.sha256}
        for file in self.manifest.files:
            wanted[file.path] = file.sha256
        return wanted

    @property
    def may_send(self) -> int:
        """Bytes that the step may cost, all attempts together."""
        return self.manifest.size_bytes * int(self.playbook.send_at_most[:-1]) // 100 + (1 << 16)

    def at(self, phase: str, total: int = 0) -> None:
        """Say where we are; the place where an interruption is heard."""
        if self.stopped() and not self.switched:
            raise Interrupted(f"{self.step.device}: stopped before the switch")
        self.watch(Progress(self.step.device, self.step.model, phase, self.bytes_sent, total))

    def count(self, sent: int) -> None:
        """Some bytes have gone.

        Raises:
            OverBudget: that was too much.
        """
        self.bytes_sent += sent
        if self.bytes_sent > self.may_send:
            raise OverBudget(
                f"{self.step.device}: {self.bytes_sent} bytes were sent of a release of "
                f"{self.manifest.size_bytes}, and it is still not there",
                hint="look at the line; or allow more: send_at_most in the playbook",
            )

    def note(self, how: str) -> None:
        """Remember a way by which bytes got there, or did not have to."""
        if how not in self.sent_as:
            self.sent_as.append(how)

    def outcome(self, status: Status, because: str = "", **more: str) -> Outcome:
        """How the step ended, with everything that was found out on the way."""
        return Outcome(
            device=self.step.device,
            model=self.step.model,
            status=status,
            was=self.step.was,
            release=self.step.release,
            because=(because or self.step.because).removeprefix(f"{self.step.device}: "),
            bytes_sent=self.bytes_sent,
            size_bytes=self.manifest.size_bytes,
            sent_as=", ".join(self.sent_as),
            bytes_per_s=self.bytes_per_s and round(self.bytes_per_s),
            attempts=self.attempts,
            seconds=round(time.monotonic() - self.began, 3),
            smoke=self.smoke,
            evidence=self.evidence,
            **more,
        )
