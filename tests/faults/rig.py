"""A lab whose devices are interrupted exactly where a test wants it, and looked at from outside.

A case is one fault on one device in the middle of one deployment. Cases run side by side, one a
device; then the fault is healed, the deployment runs again, and everything must be in order. Every
deployment brings the next of three versions, so nothing is ever set back: what one case leaves
behind, the next one meets.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from case import CODES, COUNTED, GOOD, Case, Watch
from scale import MODEL, offer
from sight import HERE, listing, look, said

from orchestrator.app import Fleet
from orchestrator.lab.addresses import detour
from orchestrator.lab.lab import Lab
from orchestrator.lab.link import Relay
from orchestrator.rollout.outcome import Outcome, Status
from orchestrator.selftest.invariant import Seen, remains, violations

PLAYBOOK = """name: all
waves:
  - {name: all, size: all, max_failed: 100%}
at_once: 32
keep_releases: 2
confirm_within_s: 30
"""


@dataclass
class Rig:
    """One lab, one site, one ledger; used by many cases one after the other."""

    site: Path
    lab: Lab
    userlands: Mapping[str, str]
    wrong: list[str] = field(default_factory=list)
    versions: int = 0
    ballast: int = 0
    dirty: bool = False
    """Whether the last test has left something that was wrong."""
    blind: bool = False
    """Whether devices cannot be looked at before they are healed."""
    release: str = ""
    runs: dict[str, tuple[str | None, str | None]] = field(default_factory=dict)
    roots: dict[str, Path] = field(default_factory=dict)

    # --- the site ---------------------------------------------------------------------------

    def describe(self, addresses: Mapping[str, str] | None = None) -> None:
        """Write the site; `addresses` may name a way around, such as a relay."""
        inventory = self.site / "inventory" / "main"
        inventory.mkdir(parents=True, exist_ok=True)
        (inventory / "devices.yaml").write_text(listing(self.lab, addresses or {}))

    @property
    def fleet(self) -> Fleet:
        return Fleet(self.site)

    def next_version(self) -> str:
        """Another of three versions becomes the one to deploy."""
        self.versions += 1
        self.release = offer(self.site, f"{self.versions % 3 + 1}.0", size=self.ballast)
        return self.release

    def deploy(
        self,
        devices: Iterable[str],
        planned: Callable[[], None] = lambda: None,
        *,
        repair: bool = False,
        playbook: str = "all",
    ) -> dict[str, Outcome]:
        """One plan for some devices, carried out in this process; `planned` runs in between."""
        fleet = self.fleet
        target = " | ".join(sorted(devices))
        plan = fleet.plan(target, fleet.site.playbook(playbook), repair=repair)
        planned()
        outcomes = fleet.execute(plan).outcomes
        fleet.ledger._engine.dispose()
        return {outcome.device: outcome for outcome in outcomes}

    # --- what is seen from outside ----------------------------------------------------------

    def root(self, device: str) -> Path:
        """The device's root; asked for again after every boot."""
        if device not in self.roots or not self.roots[device].exists():
            self.roots[device] = self.lab.root(device)
        return self.roots[device]

    def place(self, device: str) -> Path:
        return self.root(device) / "home/pi/.fleet" / MODEL

    def linked(self, device: str) -> str:
        """What a device runs."""
        return (self.place(device) / "current").readlink().name

    def findings(self, devices: Iterable[str]) -> dict[str, str]:
        """What an audit finds."""
        drifts = self.fleet.audit(" | ".join(sorted(devices)))
        return {drift.device: drift.finding.value for drift in drifts}

    def seen(self, device: str) -> Seen:
        return look(self.place(device))

    def level(self) -> None:
        """Bring all devices to the same two releases, whatever the last test left."""
        while self.dirty or len(set(self.runs.values())) != 1:
            for _ in range(3 if self.dirty else 2):
                self.next_version()
                for outcome in self.deploy(self.userlands, repair=self.dirty).values():
                    assert outcome.status in GOOD, said(outcome)
                self.settle(self.userlands)
            self.wrong, self.dirty = [], False

    # --- one round of cases -----------------------------------------------------------------

    def trip(self, device: str, at: int, how: str) -> None:
        """Wait for the `at`-th step of the device's script."""
        folder = self.root(device) / "dev/shm/trip"
        folder.mkdir(exist_ok=True)
        folder.chmod(0o777)
        for old in ("fired", "trace"):
            (folder / old).unlink(missing_ok=True)
        if not (folder / "go").exists():
            os.mkfifo(folder / "go")
        for name, text in (("count", "0\n"), ("trace", ""), ("at", f"{at} {how}\n")):
            (folder / name).write_text(text)
            (folder / name).chmod(0o666)
        (folder / "go").chmod(0o666)

    def untrip(self, device: str) -> bool:
        """Whether the step was reached; nothing waits for one any more."""
        folder = self.root(device) / "dev/shm/trip"
        (folder / "at").unlink(missing_ok=True)
        return (folder / "fired").exists()

    def go_on(self, device: str) -> None:
        """Let a script that waits, or is about to, go on; one that was killed never does."""
        last = time.monotonic() + 2
        while time.monotonic() < last:
            try:
                handle = os.open(self.root(device) / "dev/shm/trip/go", os.O_WRONLY | os.O_NONBLOCK)
            except OSError:
                time.sleep(0.005)
                continue
            os.write(handle, b"on\n")
            os.close(handle)
            return

    @cached_property
    def steps(self) -> dict[str, list[str]]:
        """The steps of an ordinary deployment in each userland."""
        self.next_version()
        for device in self.userlands:
            self.trip(device, 0, "trace")
        for outcome in self.deploy(self.userlands).values():
            assert outcome.status is Status.SUCCEEDED, said(outcome)
        self.settle(self.userlands)
        return {
            land: (self.root(device) / "dev/shm/trip/trace").read_text().splitlines()
            for device, land in self.userlands.items()
        }

    def at_every_step(
        self, make: Callable[[int, str], Case | None], *, before: bool = True, after: bool = False
    ) -> None:
        """A case before and after every step of every userland, shared out among its devices.

        `make` gets the number of the step and the userland. ``FLEET_FAULTS_SHARE=0.1`` takes every
        tenth of them, for a quick look.
        """
        every = round(1 / float(os.environ.get("FLEET_FAULTS_SHARE", "1")))
        cases: dict[str, list[Case]] = {}
        for land, steps in self.steps.items():
            at = [n for n, step in enumerate(steps, 1) if (after if step[-1] == "." else before)]
            made = [case for n in at[::every] if (case := make(n, land)) is not None]
            devices = sorted(d for d, its in self.userlands.items() if its == land)
            for place, device in enumerate(devices):
                cases[device] = made[place :: len(devices)]
        self.all(cases)

    def round(self, cases: Mapping[str, Case]) -> None:
        """Inject one fault on each device, look, heal, run again, look again."""
        self.next_version()
        for device, case in cases.items():
            self.trip(device, case.at, "pause" if case.act else "kill")
        with Watch(self, cases) as watch:
            outcomes = self.deploy(cases)
        running = self.lab._running()
        for device, case in cases.items():
            fired = device in watch.fired or (device in running and self.untrip(device))
            if not fired:
                self.report(case, device, "the step was never reached: no fault was injected")
        self.judge(cases, outcomes)

    def kill_controller(self, struck: Callable[[], set[str]], devices: Iterable[str]) -> None:
        """Deploy in a process of its own, and kill it once `struck` names every device."""
        target = " | ".join(sorted(devices))
        zygote = self.zygote
        assert zygote.stdin is not None
        assert zygote.stdout is not None
        zygote.stdin.write(target + "\n")
        zygote.stdin.flush()
        pid = int(zygote.stdout.readline())
        last = time.monotonic() + 60
        while set(devices) - struck() and time.monotonic() < last:
            time.sleep(0.005)
        os.kill(pid, signal.SIGKILL)
        assert int(zygote.stdout.readline()) == -signal.SIGKILL, "it had ended before"

    @cached_property
    def zygote(self) -> "subprocess.Popen[str]":
        """A process that forks controllers."""
        return subprocess.Popen(
            [sys.executable, str(HERE / "controller.py"), str(self.site)],
            env={**os.environ, "PYTHONPATH": str(HERE.parents[1])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    # --- lines --------------------------------------------------------------------------------

    @contextmanager
    def relayed(self, ballast: int = 0) -> Iterator[Relay]:
        """Reach every device through a relay meanwhile, with releases of some size."""
        devices = self.lab.status().devices
        routes = {
            one.name: ((detour(one.address), one.port), (one.address, one.port)) for one in devices
        }
        relay = Relay(routes).start()
        self.describe({name: near[0] for name, (near, _) in routes.items()})
        self.ballast = ballast
        try:
            yield relay
        finally:
            self.ballast = 0
            self.describe()
            relay.stop()

    def judge(self, cases: Mapping[str, Case], outcomes: Mapping[str, Outcome]) -> None:
        """Look at every device after its fault, heal it, deploy again, and look again."""
        running = self.lab._running()
        for device, case in cases.items():
            COUNTED[case.kind] += 1
            if device not in running:
                self.lab.mend(device)
                self.roots.pop(device, None)
            if self.blind:
                case.heal(device)
            self.check(case, device, outcomes.get(device))
            if not self.blind:
                case.heal(device)
        again = self.deploy(cases)
        for device, case in cases.items():
            if again[device].status not in GOOD:
                self.report(case, device, f"no second run: {said(again[device])}")
        self.settle(cases)

    def check(self, case: Case, device: str, outcome: Outcome | None) -> None:
        """The invariant right after the fault, and whether the outcome says what is."""
        current, previous = self.runs[device]
        had = [link for link, release in (("current", current), ("previous", previous)) if release]
        seen = self.seen(device)
        for wrong in violations(seen, {self.release, current or ""}, had=had):
            self.report(case, device, wrong)
        if outcome is None:
            return  # the controller is dead: the ledger says "interrupted"
        now = seen.linked("current")
        match outcome.status:
            case Status.SUCCEEDED | Status.ALREADY_CURRENT:
                meant: Sequence[str | None] = [self.release]
            case Status.FAILED_UNKNOWN:
                meant = [self.release, current]
            case _:
                meant = [current]
        if now not in meant:
            self.report(case, device, f"runs {now}, and the ledger says {said(outcome)}")
        CODES[case.kind][outcome.code or outcome.status.value] += 1
        if outcome.code and case.codes and outcome.code not in case.codes:
            self.report(case, device, f"misnamed: {said(outcome)}")
        if outcome.code == "CONTROLLER > BUG":
            self.report(case, device, said(outcome))

    def settle(self, devices: Iterable[str]) -> None:
        """After an undisturbed visit everything is in order, and the ledger knows it."""
        fleet = self.fleet
        expected = fleet.ledger.expected()
        for device in devices:
            current, _ = self.runs.get(device, (None, None))
            before = current if current != self.release else self.runs[device][1]
            case = Case("settled", 0)
            for wrong in remains(self.seen(device), self.release, before, 2):
                self.report(case, device, wrong)
            known = expected.get((device, MODEL))
            if known is None or known.manifest.release != self.release:
                self.report(case, device, f"the ledger expects {known}")
            self.runs[device] = (self.release, before)
        fleet.ledger._engine.dispose()

    def report(self, case: Case, device: str, wrong: str) -> None:
        where = f"{case.kind} at step {case.at} on {device} ({self.userlands[device]})"
        self.wrong.append(f"{where}: {wrong}")

    def all(self, cases: Mapping[str, Sequence[Case]]) -> None:
        """Rounds until every device has had all of its cases; then nothing may be wrong."""
        for number in range(max(map(len, cases.values()))):
            left = {d: each[number] for d, each in cases.items() if number < len(each)}
            self.round(left)
        self.verdict()

    def verdict(self) -> None:
        """Nothing was wrong since the last verdict."""
        wrong, self.wrong = self.wrong, []
        self.dirty = bool(wrong)
        assert not wrong, "\n".join(wrong)
