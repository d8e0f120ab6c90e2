"""What each device should run: by assignment for a deployment, by history for a rollback."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from orchestrator.artifact.lock import Lock, LockedModel, offers
from orchestrator.artifact.manifest import Manifest
from orchestrator.catalog.assignment import Assigned, Objective, Offer, Refusal, assign
from orchestrator.catalog.model import Model
from orchestrator.catalog.reading import Reading
from orchestrator.catalog.runtime import runtime_for
from orchestrator.inventory.device import Device
from orchestrator.inventory.facts import Facts
from orchestrator.inventory.hardware import hardware
from orchestrator.inventory.profile import Profile, Runtime
from orchestrator.inventory.runner import Proof
from orchestrator.rollout.observation import Installed, Observation, Unobserved
from orchestrator.rollout.plan import Desired, Skip, Why, Wish, unreachable


@dataclass(frozen=True, slots=True)
class Known:
    """Everything a wish is decided on.

    `readings` are what was measured on devices, by the digest of the model file;
    `proof` is what the playbook is content with.
    """

    profiles: Mapping[str, Profile]
    lock: Lock
    readings: Mapping[str, tuple[Reading, ...]]
    objective: Objective
    proof: Proof = Proof.COMPARED


def assigned(model: Model, device: Device, facts: Facts | None, known: Known) -> Assigned:
    """The variant of a model that suits a device best, or why none does."""
    measured = measured_offers(model, _locked(model, device, facts, known), known.readings)
    able = offered(device, known.profiles[device.profile], known.proof)
    return assign(measured, able, facts, known.objective)


def offered(device: Device, profile: Profile, proof: Proof) -> Profile:
    """A profile as one device has it: with its own runner, and what the playbook is content with."""
    least = Proof.RUNS_ONLY if Proof.RUNS_ONLY in (device.proof, proof) else Proof.COMPARED
    return profile.model_copy(update={"runner": device.runner, "proof": least})


def _locked(model: Model, device: Device, facts: Facts | None, known: Known) -> LockedModel | None:
    """What is built of a model for a device."""
    locked = known.lock.find(model.name)
    return locked.on(device.name, hardware(facts) if facts else None) if locked else None


def measured_offers(
    model: Model, locked: LockedModel | None, readings: Mapping[str, tuple[Reading, ...]]
) -> tuple[Offer, ...]:
    """What could be assigned for a model, with what was measured of it on devices."""
    built = {a.variant: a.sha256 for a in locked.artifacts} if locked else {}
    return tuple(
        replace(offer, readings=readings.get(built.get(offer.variant.name) or "", ()))
        for offer in offers(model, locked)
    )


def to_deploy(
    wanted: Iterable[tuple[Model, Device]], seen: Mapping[str, Observation], known: Known
) -> tuple[Wish, ...]:
    """For each model and device: the release of the variant that suits it best."""
    return tuple(_deployed(model, device, seen[device.name], known) for model, device in wanted)


def _deployed(model: Model, device: Device, seen: Observation, known: Known) -> Wish:
    if isinstance(seen, Unobserved):
        return unreachable(seen, model.name)
    choice = assigned(model, device, seen.facts, known)
    locked = _locked(model, device, seen.facts, known)
    if isinstance(choice, Refusal) or locked is None:
        return Skip(
            device=device.name,
            model=model.name,
            why=Why.NO_VARIANT,
            because=f"no variant fits ({choice.because})",
            hint=f"see fleet explain {device.name}",
            others=choice.others,
        )
    manifest = locked.manifest(choice.variant)
    return Desired(device.name, model.name, manifest, choice.runtime, choice.because)


def to_roll_back(
    devices: Sequence[Device],
    models: Sequence[str],
    to: str | None,
    seen: Mapping[str, Observation],
    known: Mapping[tuple[str, str], Manifest],
    profiles: Mapping[str, Profile],
    proof: Proof = Proof.COMPARED,
) -> tuple[Wish, ...]:
    """For each device that has one of the models: its previous release, or the one named.

    Args:
        to: a release by name, or the start of one such as a version; None for the previous one.
        known: every release with a manifest, by model and name.
    """
    wishes: list[Wish] = []
    for device in devices:
        state = seen[device.name]
        if isinstance(state, Unobserved):
            wishes += [unreachable(state, model) for model in models]
            continue
        present = [i for i in state.installed if i.model in models and i.current]
        if not present:
            wishes.append(_nothing(device.name, ", ".join(models), "it runs nothing of it"))
        profile = offered(device, profiles[device.profile], proof)
        wishes += [_rolled_back(device, i, to, state.facts, known, profile) for i in present]
    return tuple(wishes)


def _rolled_back(
    device: Device,
    installed: Installed,
    to: str | None,
    facts: Facts,
    known: Mapping[tuple[str, str], Manifest],
    profile: Profile,
) -> Wish:
    model = installed.model
    if to is None and installed.previous is None:
        return _nothing(device.name, model, "there is no previous release on it")
    meant = _meant(to, installed, sorted(name for owner, name in known if owner == model))
    versions = sorted({name.partition("+")[0] for name in meant})
    manifests = [known[model, name] for name in meant if (model, name) in known]
    if not manifests or len(versions) > 1:
        no_release = f"no release {to or installed.previous!r} is known for it"
        return Skip(
            device=device.name,
            model=model,
            why=Why.UNKNOWN_RELEASE,
            because=f"{to!r} could be {' or '.join(versions)}" if versions[1:] else no_release,
            hint=f"see fleet history --device {device.name}",
        )
    for manifest in manifests:
        runtime = runtime_for(manifest.runs_as, profile, facts)
        if isinstance(runtime, Runtime):
            because = "the previous release" if to is None else f"asked for {to}"
            return Desired(device.name, model, manifest, runtime, because)
    return Skip(
        device=device.name,
        model=model,
        why=Why.NO_VARIANT,
        because=f"{manifests[0].release} cannot run: {runtime_for(manifests[0].runs_as, profile, facts)}",
    )


def _meant(to: str | None, installed: Installed, known: Iterable[str]) -> tuple[str, ...]:
    """The previous release, or the one that is `to`, or all that begin with it up to a whole word.

    What is on the device comes first, so that going back needs no transfer if it can.
    """
    if to is None:
        return (installed.previous,) if installed.previous else ()
    on_device = (installed.current, installed.previous, *installed.releases)
    names = [name for name in dict.fromkeys((*on_device, *known)) if name]
    return (to,) if to in names else tuple(n for n in names if n.startswith((f"{to}+", f"{to}.")))


def _nothing(device: str, model: str, because: str) -> Skip:
    return Skip(
        device=device,
        model=model,
        why=Why.NOTHING_TO_GO_BACK_TO,
        because=f"nothing to go back to: {because}",
        hint=f"see fleet history --device {device}",
    )
