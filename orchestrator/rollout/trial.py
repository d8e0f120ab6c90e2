"""Who measures which variants of a model: one device of each class, or every device of a target."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.artifact.lock import LockedModel, offers
from orchestrator.artifact.manifest import Manifest
from orchestrator.catalog.assignment import Reason, eligible
from orchestrator.catalog.model import Model
from orchestrator.catalog.runtime import ADAPTERS, Program
from orchestrator.inventory.device import Device
from orchestrator.inventory.facts import Facts
from orchestrator.inventory.hardware import hardware
from orchestrator.inventory.profile import Profile, Runtime
from orchestrator.inventory.runner import Proof
from orchestrator.rollout.desire import offered
from orchestrator.rollout.observation import Observation, Observed, Unobserved
from orchestrator.rollout.plan import Skip, Why, unreachable

ONE_PER_CLASS = "one-per-class"
"""The target that means one reachable device for each fingerprint."""


_PROGRAM = "a program of its own runs it, and alone knows how long that takes: see its smoke tests"


@dataclass(frozen=True, slots=True)
class Trial:
    """One variant to be measured on one device."""

    device: str
    manifest: Manifest
    runtime: Runtime


@dataclass(frozen=True, slots=True)
class Turn:
    """Everything that one device measures, and what it said of itself just before."""

    device: Device
    facts: Facts
    trials: tuple[Trial, ...]


def turns(
    model: Model,
    locked: LockedModel,
    devices: Sequence[Device],
    seen: Mapping[str, Observation],
    profiles: Mapping[str, Profile],
) -> tuple[Turn | Skip, ...]:
    """For each device: the accepted variants that it can run, or why it measures nothing."""
    found: list[Turn | Skip] = []
    for device in devices:
        observation = seen[device.name]
        if isinstance(observation, Unobserved):
            found.append(unreachable(observation, model.name))
            continue
        facts = observation.facts
        mine = locked.on(device.name, hardware(facts))
        able = offered(device, profiles[device.profile], Proof.RUNS_ONLY)
        fits, others = eligible(offers(model, mine), able, facts)
        by_program = [o for o, r in fits if isinstance(ADAPTERS[r].trial(device), Program)]
        others += tuple(Reason(variant=o.variant.name, because=_PROGRAM) for o in by_program)
        trials = tuple(
            Trial(device.name, mine.manifest(offer.variant.name), runtime)
            for offer, runtime in fits
            if offer not in by_program
        )
        why = "; ".join(f"{each.variant}: {each.because}" for each in others)
        found.append(
            Turn(device, facts, trials)
            if trials
            else Skip(
                device=device.name,
                model=model.name,
                why=Why.NO_VARIANT,
                because=f"no variant fits ({why})",
                hint=f"see fleet explain {device.name}",
                others=others,
            )
        )
    return tuple(found)


def one_per_class(
    devices: Iterable[Device], seen: Mapping[str, Observation], known: Mapping[str, Facts]
) -> tuple[Device, ...]:
    """The first device of each fingerprint that answers, and those whose class nobody stands for.

    Args:
        known: what devices said before; by it, one that does not answer may be of a class that
            another one stands for.
    """
    every = list(devices)
    first: dict[str, str] = {}
    for device in every:
        if isinstance(observation := seen[device.name], Observed):
            first.setdefault(observation.facts.fingerprint, device.name)
    for device in every:
        if isinstance(seen[device.name], Unobserved):
            facts = known.get(device.name)
            first.setdefault(facts.fingerprint if facts else device.name, device.name)
    return tuple(device for device in every if device.name in first.values())
