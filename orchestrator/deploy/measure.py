"""Variants measured on devices: staged beside what runs, run for a while, and taken away again."""

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from orchestrator.artifact.excerpt import Excerpt
from orchestrator.catalog.reading import Condition, Measurement
from orchestrator.deploy.cargo import Pieces
from orchestrator.deploy.deliver import deliver
from orchestrator.deploy.errand import Errand, Interrupted, Progress
from orchestrator.deploy.hands import DeviceRefused, Hands
from orchestrator.deploy.pace import Paced
from orchestrator.deploy.switch import there, with_lease
from orchestrator.deploy.visit import Reach
from orchestrator.errors import FleetError, Owner
from orchestrator.inventory.condition import read_temperatures, throttled, throttling
from orchestrator.rollout.outcome import Outcome, Status
from orchestrator.rollout.plan import Switch
from orchestrator.rollout.playbook import Playbook
from orchestrator.rollout.trial import Trial, Turn
from orchestrator.transport.transport import DeviceUnreachable

_BESIDES_S = 90.0
"""Opening the model, golden cases and samples, besides the deadline of a smoke test."""
_SLOWEST_BYTES_PER_S = 4096.0
_FIGURES = ("load_ms", "first_ms", "p50_ms", "p95_ms", "runs", "seconds", "slowdown", "rss_mib")


class NotMeasured(FleetError):
    """A variant does not compute what it should on this device, or ends before it is measured."""

    path = ("PROFILE", "FAILED")
    owner = Owner.ARTIFACT

    def __init__(self, device: str, variant: str, because: str, evidence: str = "") -> None:
        self.evidence = evidence
        super().__init__(
            f"{device}: {because}",
            hint=f"a deployment of {variant} would fail there as well; see fleet explain {device}",
        )


class Bug(FleetError):
    """Something that nobody foresaw."""

    path = ("CONTROLLER", "BUG")
    owner = Owner.CONTROLLER


@dataclass(frozen=True, slots=True)
class Tried:
    """How one trial ended: the outcome, and what was measured if it went well."""

    outcome: Outcome
    measurement: Measurement | None = None


@dataclass(slots=True)
class Bench:
    """What one thread does for one device: stage, measure and clear away each variant in turn.

    `samples` are by variant; where one has none, its accuracy is not measured. `seconds` is how
    long each variant is kept busy. `watch` and `done` are called by the threads.
    """

    reach: Reach
    seconds: float
    samples: Mapping[str, Excerpt] = field(default_factory=dict)
    watch: Callable[[Progress], None] = lambda progress: None
    done: Callable[[Tried], None] = lambda tried: None
    _stop: threading.Event = field(default_factory=threading.Event)
    _at_work: dict[str, str] = field(default_factory=dict)

    def __call__(self, name: str, turn: Turn) -> list[Tried]:
        """Every trial of a device; the rest of them deferred where its line fails."""
        tried: list[Tried] = []
        errands = [self._errand(trial) for trial in turn.trials]
        try:
            with self.reach.connect(turn.device) as transport:
                hands = Hands(transport, turn.device, self.reach.scripts)
                self._at_work[name] = turn.trials[0].manifest.model
                self._all(hands, errands, turn, tried)
            stopped = Interrupted(f"{name}: stopped before it was its turn")
            tried += [_ended(each, Status.ABORTED, stopped) for each in errands[len(tried) :]]
        except DeviceUnreachable as error:
            tried += [_ended(each, Status.DEFERRED, error) for each in errands[len(tried) :]]
        except FleetError as error:
            failed = Status.FAILED_UNCHANGED
            tried += [_ended(each, failed, error) for each in errands[len(tried) :]]
        except Exception as error:  # noqa: BLE001 - a bug in one worker must not take the other devices with it
            bug = Bug(f"{type(error).__name__}: {error}")
            tried += [_ended(each, Status.FAILED_UNCHANGED, bug) for each in errands[len(tried) :]]
        finally:
            self._at_work.pop(name, None)
        return tried

    def _all(self, hands: Hands, errands: Sequence[Errand], turn: Turn, tried: list[Tried]) -> None:
        """One after the other; each removes what the one before has left, and the last is cleared."""
        sent: set[str] = set()
        latest = errands[0]
        try:
            for latest in errands:
                tried.append(self._tried(hands, latest, turn, sent))
                self.done(tried[-1])
                if self._stop.is_set():
                    break
        finally:
            self._clear(hands, latest)

    def give_up(self) -> None:
        """End what is being measured: from a session beside, the lease is handed back."""
        self._stop.set()
        for name, model in list(self._at_work.items()):
            device = self.reach.devices(name)
            try:
                with self.reach.connect(device) as transport:
                    hands = Hands(transport, device, self.reach.scripts)
                    hands.call("leave", model, self.reach.claim.owner)
            except FleetError:
                continue  # what runs there ends at its deadline

    def _errand(self, trial: Trial) -> Errand:
        manifest, device = trial.manifest, self.reach.devices(trial.device)
        samples = self.samples.get(manifest.variant)
        step = Switch(
            device=trial.device,
            model=manifest.model,
            was=None,
            release=manifest.release,
            manifest=manifest.sha256,
            runtime=trial.runtime,
            bytes_to_send=manifest.size_bytes + (len(samples.content) if samples else 0),
            because="measured beside what runs",
        )
        return Errand(
            step=step,
            manifest=manifest,
            playbook=Playbook(),
            owner=self.reach.claim.owner,
            goods=self.reach.goods,
            known=self.reach.known,
            stopped=self._stop.is_set,
            watch=self.watch,
            gone=self.reach.claim.gone,
            link=device.link,
            bytes_per_s=self.reach.rates.get(trial.device),
            buckets=self.reach.pace.of_a_device(),
        )

    def _tried(self, hands: Hands, errand: Errand, turn: Turn, sent: set[str]) -> Tried:
        try:
            return self._measured(hands, errand, turn, sent)
        except DeviceUnreachable:
            raise
        except FleetError as error:
            errand.evidence = error.evidence if isinstance(error, NotMeasured) else ""
            held = isinstance(error, DeviceRefused) and error.word == "locked"
            late = error.owner is Owner.NETWORK  # the line costs too much
            status = Status.DEFERRED if held or late else Status.FAILED_UNCHANGED
            stopped = self._stop.is_set() or isinstance(error, Interrupted)
            return _ended(errand, Status.ABORTED if stopped else status, error)

    def _measured(self, hands: Hands, errand: Errand, turn: Turn, sent: set[str]) -> Tried:
        errand.at("prepare")
        answer = with_lease(hands, errand)
        found = there(answer)
        whole = {name: seen.sha256 for name, seen in found.staged.items()} == errand.wanted
        if not (answer.one("made") and whole):
            deliver(hands, errand, replace(found, staged={}) if answer.one("made") else found)
        samples = self.samples.get(errand.manifest.variant)
        if samples is not None and samples.sha256 not in sent:
            _send(hands, errand, samples)
            sent.add(samples.sha256)
        errand.at("measure")
        deadline_s = errand.manifest.limits.deadline_s + self.seconds + _BESIDES_S
        answer = hands.call(
            "measure",
            *(errand.step.model, errand.step.release, errand.owner, errand.step.runtime.value),
            *(hands.device.python, str(deadline_s), str(self.seconds)),
            samples.sha256 if samples else "-",
            timeout_s=deadline_s + 30,
        )
        measurement = read_measurement(
            answer.one("measured"), errand, turn, samples, datetime.now(UTC)
        )
        return Tried(errand.outcome(Status.SUCCEEDED), measurement)

    def _clear(self, hands: Hands, errand: Errand) -> None:
        try:
            hands.call("clear-away", errand.step.model, errand.step.release, errand.owner)
        except FleetError:
            return  # the lease ends by itself, and the next visit tidies up


def read_measurement(
    text: str, errand: Errand, turn: Turn, samples: Excerpt | None, now: datetime
) -> Measurement:
    """The device's line of JSON → a measurement.

    Raises:
        NotMeasured: it is none, or says that nothing was measured, and why.
    """
    step, manifest, facts = errand.step, errand.manifest, turn.facts
    try:
        report = json.loads(text)
    except ValueError:
        report = {"passed": False, "because": f"it said {text[:200]!r}"}
    if not report.get("passed"):
        because, evidence = str(report.get("because")), str(report.get("evidence", ""))
        raise NotMeasured(step.device, manifest.variant, because, evidence)
    judged = samples is not None and report.get("samples")
    return Measurement(
        at=now,
        model=step.model,
        variant=manifest.variant,
        sha256=manifest.model_file.sha256,
        device=step.device,
        profile=turn.device.profile,
        fingerprint=facts.fingerprint,
        runtime=str(report["runtime"]),
        power_mode=facts.power_mode,
        emulated=facts.emulated,
        before=read_condition(report["before"]),
        after=read_condition(report["after"]),
        metric=samples.metric if samples and judged else None,
        data=samples.data if samples and judged else "",
        value=report["value"] if judged else None,
        samples=report["samples"] if judged else 0,
        **{key: report[key] for key in _FIGURES},
    )


def read_condition(raw: Mapping[str, Any]) -> Condition:
    """What measure.py read from the kernel and the firmware → how the device was."""
    temperatures = read_temperatures(raw["zones"])
    clocks = [int(khz) / 1000 for khz in raw["khz"] if khz.isdigit()]
    bits = throttled(raw["throttled"])
    return Condition(
        temperature_c=max((each.celsius for each in temperatures), default=None),
        clock_mhz=max(clocks, default=None),
        throttling=throttling(bits) if bits is not None else None,
    )


def _send(hands: Hands, errand: Errand, samples: Excerpt) -> None:
    """Samples go to each device once; they lie in the lease."""
    size = len(samples.content)
    errand.at("send samples", size)
    hands.send(
        Paced(Pieces([samples.content]), errand.buckets),
        *("samples", errand.step.model, errand.owner, samples.sha256),
        timeout_s=60
        + size / min([_SLOWEST_BYTES_PER_S, *(b.bytes_per_s / 2 for b in errand.buckets)]),
        sent=lambda count: None,
    )
    errand.bytes_sent += size


def _ended(errand: Errand, status: Status, error: FleetError) -> Tried:
    return Tried(errand.outcome(status, error.message, code=error.code, hint=error.hint))
