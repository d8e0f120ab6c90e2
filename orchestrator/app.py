"""The composition root: what a person can ask of fleet, as one object; the Python API."""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from random import uniform
from time import sleep
from typing import TYPE_CHECKING, TypeVar

from orchestrator.catalog.assignment import Assigned
from orchestrator.catalog.model import Model
from orchestrator.errors import BadTarget, FleetError, NotFound
from orchestrator.inventory.device import Device
from orchestrator.inventory.selection import select
from orchestrator.rollout.desire import Known, assigned, to_deploy, to_roll_back
from orchestrator.rollout.drift import Drift, damage, drifts
from orchestrator.rollout.observation import Observation, Observed, Unobserved
from orchestrator.rollout.outcome import Outcome
from orchestrator.rollout.plan import Intent, Plan, Skip, changed_since, plan
from orchestrator.rollout.playbook import Playbook
from orchestrator.settings import find_site, load
from orchestrator.site import Site
from orchestrator.workshop import Workshop

if TYPE_CHECKING:
    from orchestrator.build.collection import Garbage
    from orchestrator.deploy.claim import Claim
    from orchestrator.deploy.errand import Progress
    from orchestrator.deploy.execute import Report
    from orchestrator.deploy.hands import Hands, Scripts
    from orchestrator.deploy.pace import Pace
    from orchestrator.deploy.visit import Reach
    from orchestrator.inventory.contradiction import Contradiction
    from orchestrator.lab.lab import Lab
    from orchestrator.ledger.ledger import Ledger
    from orchestrator.transport.lines import Lines
    from orchestrator.transport.login import Address
    from orchestrator.transport.transport import Transport
    from orchestrator.trust.hostkeys import HostKey

T = TypeVar("T")
AT_ONCE = 32
"""Devices looked at side by side."""
_PATIENCE_S = (0.5, 1.5)
"""How long to wait, more or less, when a device's server has too many unfinished logins."""


class Fleet:
    """One site and everything that can be done with it. Heavy parts are imported when used."""

    def __init__(self, site: Path | None = None) -> None:
        self.settings = load(find_site(site))
        self.site = Site(self.settings)
        self._lines: Lines | None = None
        self._opening = threading.Lock()
        self._users = 0

    # --- what exists ---------------------------------------------------------------------

    def select(self, target: str) -> tuple[Device, ...]:
        """The devices of a target; facts of earlier visits count."""
        facts = self.ledger.facts() if any(sign in target for sign in "=<>") else {}
        return select(self.site.inventory, target, facts)

    def device(self, name: str) -> Device:
        """A device by name."""
        devices = self.site.inventory.devices
        if name not in devices:
            raise NotFound("device", name, devices)
        return devices[name]

    @cached_property
    def ledger(self) -> "Ledger":
        """The memory of this site; made or migrated when it is first asked for."""
        from orchestrator.ledger.ledger import Ledger

        return Ledger(self.settings.state / "ledger.db")

    @cached_property
    def lab(self) -> "Lab":
        """The fleet of emulated devices that can be started on this machine."""
        from orchestrator.lab.lab import Lab

        return Lab(self.settings.site, self.settings.inventory)

    # --- what is built -------------------------------------------------------------------

    @cached_property
    def workshop(self) -> Workshop:
        """Everything that makes artifacts and tells about them."""
        return Workshop(self.site)

    def collect(self, *, unused_days: float = 30.0, dry_run: bool = False) -> "Garbage":
        """Remove from the store what neither the lock, a device nor the cache needs."""
        known = (self.settings.state / "ledger.db").is_file()
        serving = self.ledger.serving() if known else ()
        digests = {file.sha256 for manifest in serving for file in manifest.files}
        return self.workshop.collect(digests, unused_days=unused_days, dry_run=dry_run)

    # --- what is seen --------------------------------------------------------------------

    def observe(
        self, devices: Iterable[Device], watch: Callable[[Device], None] = lambda device: None
    ) -> dict[str, Observation]:
        """Ask devices what they are and what they run; who does not answer is a value too."""
        from orchestrator.deploy.probe import observe

        seen = self._visit(devices, lambda hands: observe(hands, datetime.now(UTC)), watch)
        said = {name: o.facts for name, o in seen.items() if isinstance(o, Observed)}
        self.ledger.remember(said)
        return seen

    def contradictions(self, devices: Iterable[Device]) -> "dict[str, tuple[Contradiction, ...]]":
        """By device that has ever answered: what it denies of its inventory and its profile."""
        from orchestrator.inventory.contradiction import contradictions

        known = (self.settings.state / "ledger.db").is_file()
        said, inventory = self.ledger.facts() if known else {}, self.site.inventory
        return {
            device.name: contradictions(device, inventory.profile_of(device), said[device.name])
            for device in devices
            if device.name in said
        }

    def audit(
        self, target: str, watch: Callable[[Device], None] = lambda device: None
    ) -> tuple[Drift, ...]:
        """Hash what runs on each device and compare it with the ledger and the lock."""
        from orchestrator.deploy.probe import current_files

        devices = self.select(target)
        expected, known = self.ledger.expected(), self.ledger.manifests()
        meant, lock = self._meant(()), self.site.lock()
        seen = self._visit(devices, current_files, watch)
        return tuple(
            drift
            for device in devices
            for drift in drifts(
                device,
                [model.name for model, names in meant if device.name in names],
                seen[device.name],
                expected,
                known,
                lock,
            )
        )

    def explain(self, device: Device, playbook: Playbook) -> dict[str, Assigned]:
        """By model: the variant a device would get and why, from the last known facts."""
        facts = self.ledger.facts().get(device.name)
        known = self._known(playbook)
        return {
            name: assigned(model, device, facts, known) for name, model in self.site.models.items()
        }

    # --- what shall happen ---------------------------------------------------------------

    def plan(
        self,
        target: str,
        playbook: Playbook,
        models: Sequence[str] = (),
        watch: Callable[[Device], None] = lambda device: None,
        *,
        repair: bool = False,
    ) -> Plan:
        """Decide, for every device of a target, what it shall run.

        With `repair`, devices hash what they run, and a damaged release is put in order again.
        """
        devices = self.select(target)
        meant = self._meant(models)
        wanted = [
            (model, device) for device in devices for model, names in meant if device.name in names
        ]
        if not wanted:
            raise BadTarget(
                f"no model is meant for any device of {target!r}",
                hint="see models.yaml: its models, and the target of each",
            )
        seen = self.observe({d.name: d for _, d in wanted}.values(), watch)
        wishes = to_deploy(wanted, seen, self._known(playbook))
        harm = self._damage(devices) if repair else {}
        profiles = self._profiles(devices)
        return plan(Intent.DEPLOY, target, playbook, wishes, seen, profiles, harm)

    def rollback_plan(
        self,
        target: str,
        playbook: Playbook,
        models: Sequence[str] = (),
        to: str | None = None,
        watch: Callable[[Device], None] = lambda device: None,
    ) -> Plan:
        """Decide, for every device of a target, which older release it goes back to."""
        devices = self.select(target)
        known = self.ledger.manifests()
        names = list(models) or sorted({*self.site.models, *(model for model, _ in known)})
        seen = self.observe(devices, watch)
        wishes = to_roll_back(devices, names, to, seen, known, self.site.inventory.profiles)
        return plan(Intent.ROLLBACK, target, playbook, wishes, seen, self._profiles(devices))

    def changed_since(self, plan: Plan) -> tuple[Skip, ...]:
        """Look again at the devices of a saved plan: the steps that no longer hold, and why."""
        return changed_since(plan, self.observe(self.device(s.device) for s in plan.switches))

    # --- what is done --------------------------------------------------------------------

    def execute(
        self,
        plan: Plan,
        *,
        watch: "Callable[[Progress], None]" = lambda progress: None,
        done: Callable[[Outcome], None] = lambda outcome: None,
        refused: Iterable[Skip] = (),
        pace: "Pace | None" = None,
    ) -> "Report":
        """Carry out a plan; outcomes are in the ledger as soon as they are known.

        Args:
            pace: how fast bytes may be sent; as fast as lines and devices allow if None.

        Raises:
            NotInStore: bytes that are to be sent are not there; nothing was touched.
        """
        from orchestrator.deploy.claim import Claim
        from orchestrator.deploy.execute import execute

        prints = {name: facts.fingerprint for name, facts in self.ledger.facts().items()}
        self._refuse_missing_bytes(plan)
        self.ledger.close_dead_runs()
        run = self.ledger.begin(plan)

        def record(outcomes: Sequence[Outcome]) -> None:
            whole = [
                outcome.model_copy(update={"fingerprint": prints.get(outcome.device)})
                for outcome in outcomes
            ]
            self.ledger.append_all(run, [(o, self.device(o.device).profile) for o in whole])
            for outcome in whole:
                done(outcome)

        try:
            with self, Claim(self.settings.state / "controllers") as claim:
                reach = self._reach(plan, claim, pace)
                report = execute(plan, reach, record, watch=watch, refused=refused)
        except BaseException as error:
            self.ledger.end(run, "interrupted", type(error).__name__)
            raise
        verdict = "halted" if report.halted else "failed" if report.failed else "done"
        self.ledger.end(run, verdict, report.halted)
        return report

    def __enter__(self) -> "Fleet":
        """Keep sessions open between what is done inside, such as looking and deploying."""
        self._users += 1
        return self

    def __exit__(self, *error: object) -> None:
        self._users -= 1
        if self._users == 0 and self._lines is not None:
            self._lines.close()
            self._lines = None

    def connect(self, device: Device) -> "Transport":
        """A session with a device, through its gateway if it has one; a crowd is waited for."""
        from orchestrator.transport.greeting import Crowded

        for patience_s in _PATIENCE_S:
            try:
                return self._session(device)
            except Crowded:
                sleep(patience_s * uniform(0.5, 1.5))  # not all of those it turned away at once
        return self._session(device)

    def _session(self, device: Device) -> "Transport":
        from orchestrator.transport.greeting import looked_again
        from orchestrator.transport.lines import Lines
        from orchestrator.transport.transport import DeviceUnreachable

        try:
            if not self._users:
                return Lines(self._way, most_idle=0).take(device.name)
            with self._opening:
                lines = self._lines = self._lines or Lines(self._way)
            return lines.take(device.name)
        except DeviceUnreachable as error:
            met = self._met.get(device.name)
            raise looked_again(error, device.address, device.port, met) from error

    def _way(self, name: str) -> "tuple[Address, str | None]":
        device = self.device(name)
        return self.address(device), device.via

    def address(self, device: Device) -> "Address":
        """Where a device listens and who vouches for it."""
        from orchestrator.transport.login import Address

        site = self.settings.site
        return Address(
            device=device.name,
            host=device.address,
            port=device.port,
            user=device.user,
            identity=site / Path(device.identity_file).expanduser()
            if device.identity_file
            else None,
            known_hosts=(self.known_hosts(device),),
        )

    def known_hosts(self, device: Device) -> Path:
        """The file that pins a device's host key."""
        return self.settings.site / (device.known_hosts or self.settings.inventory / "known_hosts")

    def host_key(self, device: Device) -> "HostKey":
        """The host key a device shows right now; trusted by nobody yet."""
        from orchestrator.transport.login import shown_host_key
        from orchestrator.trust.hostkeys import HostKey

        return HostKey(*shown_host_key(self.address(device)))

    # --- the parts the above is made of --------------------------------------------------

    @cached_property
    def _met(self) -> Mapping[str, str]:
        """When devices were last logged in to, as far as the ledger knows."""
        facts = self.ledger.facts()
        return {name: f"{each.observed_at:%Y-%m-%d %H:%M}" for name, each in facts.items()}

    @cached_property
    def _scripts(self) -> "Scripts":
        from orchestrator.deploy.hands import Scripts

        names = ("device.sh", "facts.sh", "runtimes.py", "smoke.py", "relay.py")
        return Scripts(tuple((name, self.site.template(f"device/{name}")) for name in names))

    def _reach(self, plan: Plan, claim: "Claim", pace: "Pace | None") -> "Reach":
        """How the workers of a run get at devices and at bytes."""
        from orchestrator.build.store import Store
        from orchestrator.deploy.goods import Goods
        from orchestrator.deploy.pace import Pace
        from orchestrator.deploy.turns import limits
        from orchestrator.deploy.visit import Reach

        return Reach(
            connect=self.connect,
            devices=self.device,
            goods=Goods(Store(self.settings.state / "store").mapped),
            scripts=self._scripts,
            claim=claim,
            known=self.ledger.manifests(),
            rates=self.ledger.rates(),
            pace=pace or Pace(),
            limits=limits(self.site.inventory, plan.playbook),
        )

    def _refuse_missing_bytes(self, plan: Plan) -> None:
        from orchestrator.build.store import NotInStore, Store

        store = Store(self.settings.state / "store")
        sent = {step.manifest for step in plan.switches if step.bytes_to_send}
        for manifest in plan.manifests:
            for file in manifest.files if manifest.sha256 in sent else ():
                if manifest.written(file.path) is None and file.sha256 not in store:
                    raise NotInStore(file.sha256)

    def _visit(
        self,
        devices: Iterable[Device],
        deed: "Callable[[Hands], T]",
        watch: Callable[[Device], None],
    ) -> "dict[str, T | Unobserved]":
        """Do one thing on every device, many at once; who cannot be asked is a value."""
        from orchestrator.deploy.hands import Hands

        def visit(device: Device) -> "T | Unobserved":
            try:
                with self.connect(device) as transport:
                    return deed(Hands(transport, device, self._scripts))
            except FleetError as error:
                return Unobserved(
                    device=device.name, code=error.code, because=error.message, hint=error.hint
                )
            finally:
                watch(device)

        each = list(devices)
        with self, ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
            return {d.name: seen for d, seen in zip(each, pool.map(visit, each), strict=True)}

    def _damage(self, devices: Iterable[Device]) -> dict[tuple[str, str], str]:
        """What is wrong with the releases that devices run, by device and model."""
        from orchestrator.deploy.probe import current_files

        known = self.ledger.manifests()
        found = {}
        for name, seen in self._visit(devices, current_files, lambda device: None).items():
            for hashed in () if isinstance(seen, Unobserved) else seen:
                manifest = known.get((hashed.model, hashed.current or ""))
                if manifest and (wrong := damage(manifest, hashed.files)):
                    found[(name, hashed.model)] = "; ".join(wrong)
        return found

    def _known(self, playbook: Playbook) -> Known:
        return Known(
            profiles=self.site.inventory.profiles,
            lock=self.site.lock(),
            latencies=self.ledger.latencies(),
            objective=playbook.objective,
        )

    def _meant(self, models: Sequence[str]) -> list[tuple[Model, frozenset[str]]]:
        """The models named, or all, each with the names of the devices it is meant for."""
        return [
            (model, frozenset(device.name for device in self.select(model.target)))
            for model in (self.site.model(name) for name in models or self.site.models)
        ]

    def _profiles(self, devices: Iterable[Device]) -> Mapping[str, str]:
        return {device.name: device.profile for device in devices}
