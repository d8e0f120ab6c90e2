"""One step on one device: stage, prove, activate, confirm; whatever fails leaves the old one running."""

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.artifact.manifest import MANIFEST, Manifest
from orchestrator.deploy.hands import Answer, DeviceRefused, Hands
from orchestrator.deploy.probe import read_file
from orchestrator.errors import FleetError, Owner
from orchestrator.rollout.outcome import Outcome, Smoke, Status
from orchestrator.rollout.plan import Switch
from orchestrator.rollout.playbook import Playbook
from orchestrator.transport.transport import DeviceUnreachable
from orchestrator.values import sha256

_MARGIN_KIB = 1024
_SLOWEST_BYTES_PER_S = 4096
_LEASE_S = 1800


class Interrupted(FleetError):
    """The person at the keyboard, or a gate, said stop before anything was switched."""

    path = ("DEPLOY", "INTERRUPTED")


class Damaged(FleetError):
    """Bytes on the device are not what was sent."""

    path = ("DEPLOY", "TRANSFER", "DIGEST")
    owner = Owner.DEVICE


class SmokeFailed(FleetError):
    """The release does not compute what it should, or not within its limits, on this device."""

    path = ("DEPLOY", "SMOKE", "FAILED")
    owner = Owner.ARTIFACT

    def __init__(self, device: str, smoke: Smoke, evidence: str) -> None:
        self.smoke, self.evidence = smoke, evidence
        super().__init__(f"{device}: {smoke.because}", hint=f"see fleet history --device {device}")


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a device is: the phase, and bytes sent of those to send."""

    device: str
    model: str
    phase: str
    sent: int = 0
    total: int = 0


@dataclass(slots=True)
class Errand:
    """Everything one step needs, and what it has found out so far.

    `contents` gives the bytes of a digest; `stopped` tells whether to give up before the switch;
    `gone` tells of a lease's owner whether it is a controller of this site that is no more.
    """

    step: Switch
    manifest: Manifest
    playbook: Playbook
    owner: str
    contents: Callable[[str], bytes]
    stopped: Callable[[], bool]
    watch: Callable[[Progress], None]
    gone: Callable[[str], bool] = lambda owner: False
    bytes_sent: int = 0
    switched: bool = False
    smoke: Smoke | None = None
    evidence: str = ""
    began: float = field(default_factory=time.monotonic)

    def at(self, phase: str, total: int = 0) -> None:
        """Say where we are; the place where an interruption is heard."""
        if self.stopped() and not self.switched:
            raise Interrupted(f"{self.step.device}: stopped before the switch")
        self.watch(Progress(self.step.device, self.step.model, phase, self.bytes_sent, total))

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
            seconds=round(time.monotonic() - self.began, 3),
            smoke=self.smoke,
            evidence=self.evidence,
            **more,
        )


def switch(hands: Hands, errand: Errand) -> Outcome:
    """Bring one device from one release to another; every failure becomes an Outcome."""
    try:
        return _switch(hands, errand)
    except Interrupted as error:
        _give_up(hands, errand, "leave")
        return errand.outcome(Status.ABORTED, error.message, code=error.code, hint=error.hint)
    except DeviceUnreachable as error:
        return _line_lost(errand, error)
    except DeviceRefused as error:
        return _refused(hands, errand, error)
    except FleetError as error:
        if errand.switched:
            return _unanswered(errand, error)
        _give_up(hands, errand, "discard")
        return errand.outcome(
            Status.FAILED_UNCHANGED, error.message, code=error.code, hint=error.hint
        )


def _switch(hands: Hands, errand: Errand) -> Outcome:
    step = errand.step
    errand.at("prepare")
    there = _prepare(hands, errand)
    if there is None:
        return errand.outcome(Status.ALREADY_CURRENT, "already current")
    _send_missing(hands, errand, there)
    errand.at("smoke test")
    errand.smoke, errand.evidence = _smoke(hands, errand)
    if not errand.smoke.passed:
        raise SmokeFailed(step.device, errand.smoke, errand.evidence)
    errand.at("activate")
    errand.switched = True
    token = sha256(f"{errand.owner} {step.device} {step.release}".encode())[:16]
    hands.call(
        "activate",
        *(step.model, step.release, errand.owner, step.was or "-", token),
        str(errand.playbook.confirm_within_s),
    )
    errand.at("confirm")
    hands.call(
        "confirm",
        *(step.model, step.release, errand.owner, str(errand.playbook.keep_releases)),
    )
    return errand.outcome(Status.SUCCEEDED)


def _prepare(hands: Hands, errand: Errand) -> Mapping[str, str] | None:
    """Take the lease, tidy up, check space; digests of what is there, or None if nothing is to do."""
    step, manifest = errand.step, errand.manifest
    need_kib = math.ceil(step.bytes_to_send / 1024) + _MARGIN_KIB
    space = (str(need_kib), str(len(manifest.files) + 16))
    answer = _with_lease(hands, errand, space)
    current = answer.one("current") or None
    there = {seen.path: seen.sha256 for seen in map(read_file, answer.all("file"))}
    if current == step.release:
        if there != _wanted(manifest):
            return {}  # damaged while it runs: proved beside it, then put in its place
        keep = str(errand.playbook.keep_releases)  # what was not confirmed to its end is now
        hands.call("confirm", step.model, step.release, errand.owner, keep)
        return None
    if current != step.was:
        raise DeviceRefused(
            step.device,
            "changed",
            f"runs {current or 'nothing'}, and the plan was made for {step.was or 'nothing'}",
        )
    if answer.one("made") and there != _wanted(manifest):
        hands.call("drop", step.model, step.release, errand.owner)
        return {}
    return there


def _with_lease(hands: Hands, errand: Errand, space: tuple[str, str]) -> Answer:
    """Prepare under a lease; one that a dead controller of this site still holds is ended first."""
    args = (errand.step.model, errand.step.release, errand.owner, str(_LEASE_S), *space)
    try:
        return hands.call("prepare", *args)
    except DeviceRefused as error:
        if error.word != "locked" or not errand.gone(error.holder):
            raise
        hands.call("leave", errand.step.model, error.holder)
        return hands.call("prepare", *args)


def _wanted(manifest: Manifest) -> dict[str, str]:
    return {MANIFEST: manifest.sha256, **{file.path: file.sha256 for file in manifest.files}}


def _send_missing(hands: Hands, errand: Errand, there: Mapping[str, str]) -> None:
    """Send what is not there with the right digest, and believe only what the device hashed."""
    wanted = _wanted(errand.manifest)
    missing = [path for path in sorted(wanted) if there.get(path) != wanted[path]]
    if not missing:
        return
    files = [
        (path, errand.manifest.written(path) or errand.contents(wanted[path])) for path in missing
    ]
    total = sum(len(data) for _, data in files)
    errand.at("send", total)

    def sent(count: int) -> None:
        errand.bytes_sent += count
        errand.at("send", total)

    answer = hands.send(
        files,
        "receive",
        *(errand.step.model, errand.step.release, errand.owner),
        timeout_s=60 + total / _SLOWEST_BYTES_PER_S,
        sent=sent,
    )
    got = {seen.path: seen.sha256 for seen in map(read_file, answer.all("file"))}
    if wrong := sorted(path for path in {*wanted, *got} if wanted.get(path) != got.get(path)):
        raise Damaged(
            f"{errand.step.device}: {', '.join(wrong)} arrived with another SHA-256 than was sent",
            hint="run the same command again; if it happens twice, suspect the device's storage",
        )


def _smoke(hands: Hands, errand: Errand) -> tuple[Smoke, str]:
    step = errand.step
    deadline_s = errand.manifest.limits.deadline_s
    answer = hands.call(
        "smoke",
        *(step.model, step.release, step.runtime.value, hands.device.python, str(deadline_s)),
        timeout_s=deadline_s + 30,
    )
    text = answer.one("smoke")
    report = _report(text)
    if report is None:
        how = _ending(answer.one("ended"))
        said = f"said {text[:200]!r}" if text else "said nothing"
        return Smoke(passed=False, because=f"the smoke test {how} and {said}"), text
    evidence = str(report.pop("evidence", ""))
    kind = report.pop("kind", "")
    known = {key: value for key, value in report.items() if key in Smoke.model_fields}
    return Smoke(**known), evidence or kind


def _report(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _ending(status: str) -> str:
    """How a shell's ``$?`` reads in words."""
    if not status.isdigit():
        return "ended"
    return f"was killed by signal {int(status) - 128}" if int(status) > 128 else f"exited {status}"


def _line_lost(errand: Errand, error: DeviceUnreachable) -> Outcome:
    if not errand.switched:
        return errand.outcome(Status.DEFERRED, error.message, code=error.code, hint=error.hint)
    return _unanswered(errand, error)


def _unanswered(errand: Errand, error: FleetError) -> Outcome:
    """It was told to switch, and what came of it was not heard."""
    because = (
        f"{error.message}; it was switching: unless confirmed it goes back to "
        f"{errand.step.was or 'nothing'} within {errand.playbook.confirm_within_s} s"
    )
    hint = f"ask it: fleet audit --target {errand.step.device}"
    return errand.outcome(Status.FAILED_UNKNOWN, because, code=error.code, hint=hint)


def _refused(hands: Hands, errand: Errand, error: DeviceRefused) -> Outcome:
    if errand.switched and error.word in ("killed", "lease-lost", "storage-dead"):
        return _unanswered(errand, error)
    if error.word in ("locked", "changed"):
        status = Status.DEFERRED if error.word == "locked" else Status.REFUSED
    elif error.word == "reverted":
        status = Status.FAILED_ROLLED_BACK
    else:
        status = Status.FAILED_UNCHANGED
    _give_up(hands, errand, "leave")
    return errand.outcome(status, error.message, code=error.code, hint=error.hint)


def _give_up(hands: Hands, errand: Errand, verb: str) -> None:
    """Hand back the lease, and with ``discard`` the staged bytes; a lost line changes nothing."""
    release = [errand.step.release] if verb == "discard" else []
    try:
        hands.call(verb, errand.step.model, *release, errand.owner)
    except FleetError:
        return  # the lease ends by itself, and the next visit tidies up
