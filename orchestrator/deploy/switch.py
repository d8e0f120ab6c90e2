"""One step on one device: stage, prove, activate, confirm; whatever fails leaves the old one running."""

import json
import math
from dataclasses import replace
from typing import Any, assert_never

from orchestrator.catalog.runtime import ADAPTERS, Imported, Program
from orchestrator.deploy.choice import There, codec_of
from orchestrator.deploy.deliver import deliver
from orchestrator.deploy.errand import Errand, Interrupted, OverBudget
from orchestrator.deploy.hands import Answer, DeviceRefused, Hands
from orchestrator.deploy.native import prove
from orchestrator.deploy.probe import read_file
from orchestrator.errors import FleetError, Owner
from orchestrator.inventory.runner import Proof
from orchestrator.rollout.outcome import Outcome, Smoke, Status
from orchestrator.transport.transport import DeviceUnreachable
from orchestrator.values import sha256

_MARGIN_KIB = 1024
_LEASE_S = 1800


class SmokeFailed(FleetError):
    """The release does not compute what it should, or not within its limits, on this device."""

    path = ("DEPLOY", "SMOKE", "FAILED")
    owner = Owner.ARTIFACT

    def __init__(self, device: str, smoke: Smoke, evidence: str) -> None:
        self.smoke, self.evidence = smoke, evidence
        super().__init__(
            f"{device}: {smoke.because}", hint=f"see fleet history --device {device} --evidence"
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
    except OverBudget as error:
        _give_up(hands, errand, "leave")
        return errand.outcome(Status.DEFERRED, error.message, code=error.code, hint=error.hint)
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
    found = _prepare(hands, errand)
    if found is None:
        return errand.outcome(Status.ALREADY_CURRENT, "already current")
    deliver(hands, errand, found)
    errand.at("smoke test")
    errand.smoke, errand.evidence = _smoke(hands, errand, codec_of(found))
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
    errand.activated = True
    errand.at("confirm")
    hands.call(
        "confirm",
        *(step.model, step.release, errand.owner, str(errand.playbook.keep_releases)),
    )
    limited = errand.smoke.proof is Proof.RUNS_ONLY
    because = f"{step.because}; {errand.smoke.because}" if limited else ""
    return errand.outcome(Status.SUCCEEDED, because)


def _prepare(hands: Hands, errand: Errand) -> There | None:
    """Take the lease, tidy up, check space; what is there, or None if nothing is to do."""
    step = errand.step
    answer = with_lease(hands, errand)
    current = answer.one("current") or None
    found = there(answer)
    whole = {name: seen.sha256 for name, seen in found.staged.items()} == errand.wanted
    if current == step.release:
        if not whole:  # damaged while it runs: proved beside it, then put in its place
            return replace(found, staged={})
        keep = str(errand.playbook.keep_releases)  # what was not confirmed to its end is now
        hands.call("confirm", step.model, step.release, errand.owner, keep)
        return None
    if current != step.was:
        raise DeviceRefused(
            step.device,
            "changed",
            f"runs {current or 'nothing'}, and the plan was made for {step.was or 'nothing'}",
        )
    if answer.one("made") and not whole:
        hands.call("drop", step.model, step.release, errand.owner)
        return replace(found, staged={})
    return found


def there(answer: Answer) -> There:
    """What a device says that it holds when it is prepared."""
    named = (line.partition(" ") for line in answer.all("has"))
    return There(
        staged={seen.path: seen for seen in map(read_file, answer.all("file"))},
        releases=tuple(sorted((model, release) for model, _, release in named)),
        unpacks=frozenset(answer.all("unpacks")),
        gateway=answer.one("line").partition(" ")[0],
    )


def with_lease(hands: Hands, errand: Errand) -> Answer:
    """Prepare under a lease; one that a dead controller of this site still holds is ended first.

    Raises:
        DeviceRefused: somebody else is at work there, or there is no room.
    """
    step = errand.step
    need_kib = math.ceil(step.bytes_to_send / 1024) + _MARGIN_KIB
    space = (str(need_kib), str(len(errand.manifest.files) + 16))
    args = (step.model, step.release, errand.owner, str(_LEASE_S), *space, hands.device.python)
    try:
        return hands.call("prepare", *args)
    except DeviceRefused as error:
        if error.word != "locked" or not errand.gone(error.holder):
            raise
        hands.call("leave", step.model, error.holder)
        return hands.call("prepare", *args)


def _smoke(hands: Hands, errand: Errand, codec: str) -> tuple[Smoke, str]:
    adapter = ADAPTERS[errand.step.runtime]
    match trial := adapter.trial(hands.device):
        case Imported():
            return _imported(hands, errand)
        case Program():
            return prove(hands, errand, adapter, trial, codec)
        case _:
            assert_never(trial)


def _imported(hands: Hands, errand: Errand) -> tuple[Smoke, str]:
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
    lost = errand.switched and error.word in ("killed", "lease-lost", "storage-dead")
    if lost or (errand.activated and error.word != "reverted"):
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
