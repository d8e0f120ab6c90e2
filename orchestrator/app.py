"""The composition root: what a person can ask of fleet, as one object; the Python API."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.artifact.manifest import Manifest
from orchestrator.catalog.assignment import Assigned
from orchestrator.catalog.model import Model
from orchestrator.errors import BadTarget
from orchestrator.field import Field
from orchestrator.foundry import Foundry
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
from orchestrator.values import by_first
from orchestrator.workshop import Workshop

if TYPE_CHECKING:
    from orchestrator.build.collection import Garbage
    from orchestrator.deploy.claim import Claim
    from orchestrator.deploy.errand import Progress
    from orchestrator.deploy.execute import Report
    from orchestrator.deploy.pace import Pace
    from orchestrator.deploy.visit import Reach
    from orchestrator.inventory.contradiction import Contradiction
    from orchestrator.lab.lab import Lab
    from orchestrator.ledger.ledger import Ledger
    from orchestrator.provision import Provision


class Fleet:
    """One site and everything that can be done with it. Heavy parts are imported when used."""

    def __init__(self, site: Path | None = None) -> None:
        self.settings = load(find_site(site))
        self.site = Site(self.settings)

    def __enter__(self) -> "Fleet":
        """Keep sessions open between what is done inside, such as looking and deploying."""
        self.field.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.field.__exit__(*error)

    # --- what exists ---------------------------------------------------------------------

    def select(self, target: str) -> tuple[Device, ...]:
        """The devices of a target; facts of earlier visits count."""
        facts = self.ledger.facts() if any(sign in target for sign in "=<>") else {}
        return select(self.site.inventory, target, facts)

    def device(self, name: str) -> Device:
        """A device by name."""
        return self.site.device(name)

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

    @cached_property
    def field(self) -> Field:
        """The devices out there, and the sessions with them."""
        return Field(self.site, lambda: self.ledger.facts())

    @cached_property
    def provision(self) -> "Provision":
        """The runtimes that are brought to devices."""
        from orchestrator.provision import Provision

        return Provision(self.site, self.field)

    # --- what is built -------------------------------------------------------------------

    @cached_property
    def workshop(self) -> Workshop:
        """Everything that makes artifacts and tells about them."""
        return Workshop(self.site, self.foundry.compiler)

    @cached_property
    def foundry(self) -> Foundry:
        """What is built on devices and build hosts."""
        return Foundry(self.site, self.field)

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

        seen = self.field.visit(devices, lambda hands: observe(hands, datetime.now(UTC)), watch)
        said = {name: o.facts for name, o in seen.items() if isinstance(o, Observed)}
        self.ledger.remember(said)
        return seen

    def _glance(
        self, devices: Iterable[Device], watch: Callable[[Device], None] = lambda device: None
    ) -> dict[str, Observation]:
        """Ask devices what they run; what they are only where that is not known yet."""
        from orchestrator.deploy.probe import glance

        each, facts = list(devices), self.ledger.facts()
        known = [device for device in each if device.name in facts]
        strange = [device for device in each if device.name not in facts]
        seen = self.field.visit(known, lambda hands: glance(hands, facts[hands.device.name]), watch)
        return {**seen, **(self.observe(strange, watch) if strange else {})}

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
        expected, known = by_first(self.ledger.expected()), by_first(self.ledger.manifests())
        meant, lock = self._meant(()), self.site.lock()
        seen = self.field.visit(devices, current_files, watch)
        return tuple(
            drift
            for device in devices
            for drift in drifts(
                device,
                [model.name for model, names in meant if device.name in names],
                seen[device.name],
                expected.get(device.name, {}),
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
        seen = self._glance(devices, watch)
        profiles = self.site.inventory.profiles
        wishes = to_roll_back(devices, names, to, seen, known, profiles, playbook.proof)
        return plan(Intent.ROLLBACK, target, playbook, wishes, seen, self._profiles(devices))

    def changed_since(self, plan: Plan) -> tuple[Skip, ...]:
        """Look again at the devices of a saved plan: the steps that no longer hold, and why."""
        return changed_since(plan, self._glance(self.device(s.device) for s in plan.switches))

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
        sent = {step.manifest for step in plan.switches if step.bytes_to_send}
        self.refuse_missing_bytes(m for m in plan.manifests if m.sha256 in sent)
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
            with self.field, Claim(self.settings.state / "controllers") as claim:
                reach = self.reach(claim, pace, plan.playbook)
                report = execute(plan, reach, record, watch=watch, refused=refused)
        except BaseException as error:
            self.ledger.end(run, "interrupted", type(error).__name__)
            raise
        verdict = "halted" if report.halted else "failed" if report.failed else "done"
        self.ledger.end(run, verdict, report.halted)
        return report

    # --- the parts the above is made of --------------------------------------------------

    def reach(
        self, claim: "Claim", pace: "Pace | None" = None, playbook: Playbook | None = None
    ) -> "Reach":
        """How workers get at devices and at bytes, within the limits of a playbook."""
        from orchestrator.build.store import Store
        from orchestrator.deploy.goods import Goods
        from orchestrator.deploy.pace import Pace
        from orchestrator.deploy.turns import limits
        from orchestrator.deploy.visit import Reach

        return Reach(
            connect=self.field.connect,
            devices=self.device,
            goods=Goods(Store(self.settings.state / "store").mapped),
            scripts=self.field.scripts,
            claim=claim,
            known=self.ledger.manifests(),
            rates=self.ledger.rates(),
            pace=pace or Pace(),
            limits=limits(self.site.inventory, playbook or Playbook()),
        )

    def refuse_missing_bytes(self, manifests: Iterable[Manifest]) -> None:
        """See that everything of some releases is there that would be sent.

        Raises:
            NotInStore: it is not.
        """
        from orchestrator.build.store import NotInStore, Store

        store = Store(self.settings.state / "store")
        for manifest in manifests:
            for file in manifest.files:
                if manifest.written(file.path) is None and file.sha256 not in store:
                    raise NotInStore(file.sha256)

    def _damage(self, devices: Iterable[Device]) -> dict[tuple[str, str], str]:
        """What is wrong with the releases that devices run, by device and model."""
        from orchestrator.deploy.probe import current_files

        known = self.ledger.manifests()
        found = {}
        for name, seen in self.field.visit(devices, current_files, lambda device: None).items():
            for hashed in () if isinstance(seen, Unobserved) else seen:
                manifest = known.get((hashed.model, hashed.current or ""))
                if manifest and (wrong := damage(manifest, hashed.files)):
                    found[(name, hashed.model)] = "; ".join(wrong)
        return found

    def _known(self, playbook: Playbook) -> Known:
        return Known(
            profiles=self.site.inventory.profiles,
            lock=self.site.lock(),
            readings=self.ledger.readings(),
            objective=playbook.objective,
            proof=playbook.proof,
        )

    def _meant(self, models: Sequence[str]) -> list[tuple[Model, frozenset[str]]]:
        """The models named, or all, each with the names of the devices it is meant for."""
        return [
            (model, frozenset(d.name for d in self.select(model.target) if not d.build_host))
            for model in (self.site.model(name) for name in models or self.site.models)
        ]

    def _profiles(self, devices: Iterable[Device]) -> Mapping[str, str]:
        return {device.name: device.profile for device in devices}
