"""A plan: what every device of a target runs now and shall run, as one content-addressed value."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, ValidationError, model_validator

from orchestrator.artifact.manifest import Manifest
from orchestrator.catalog.assignment import Reason
from orchestrator.errors import BadInput
from orchestrator.inventory.profile import Runtime
from orchestrator.rollout.observation import Installed, Observation, Observed, Unobserved
from orchestrator.rollout.playbook import PlannedWave, Playbook, waves
from orchestrator.values import Sha256, Value, canonical, digest


class Intent(StrEnum):
    """Why a plan was made."""

    DEPLOY = "deploy"
    ROLLBACK = "rollback"


class Why(StrEnum):
    """Why a device is left as it is although it was named."""

    UNREACHABLE = "unreachable"
    UNUSABLE = "unusable"
    NO_VARIANT = "no-variant"
    NOTHING_TO_GO_BACK_TO = "nothing-to-go-back-to"
    UNKNOWN_RELEASE = "unknown-release"


class Switch(Value):
    """A device shall go from one release to another; `was` is None where none runs."""

    kind: Literal["switch"] = "switch"
    device: str
    model: str
    was: str | None
    release: str
    manifest: Sha256
    runtime: Runtime
    bytes_to_send: int
    because: str


class Keep(Value):
    """A device already runs what it should."""

    kind: Literal["keep"] = "keep"
    device: str
    model: str
    release: str
    manifest: Sha256
    because: str


class Skip(Value):
    """A device gets nothing, and why: a value in the plan, never an exception."""

    kind: Literal["skip"] = "skip"
    device: str
    model: str
    why: Why
    because: str
    hint: str = ""
    others: tuple[Reason, ...] = ()


Step: TypeAlias = Annotated[Switch | Keep | Skip, Field(discriminator="kind")]


class Plan(Value):
    """What shall happen. Equal inputs give equal bytes; manifests stand in it once."""

    format: Literal[1] = 1
    intent: Intent
    target: str
    playbook: Playbook
    manifests: tuple[Manifest, ...]
    steps: tuple[Step, ...]
    waves: tuple[PlannedWave, ...]

    @model_validator(mode="after")
    def _whole(self) -> Self:
        known = {manifest.sha256 for manifest in self.manifests}
        for step in self.steps:
            if not isinstance(step, Skip) and step.manifest not in known:
                raise ValueError(f"the manifest of {step.device!r} is not in the plan")
        dealt = sorted(device for wave in self.waves for device in wave.devices)
        if dealt != sorted({step.device for step in self.switches}):
            raise ValueError("a changing device must stand in exactly one wave")
        return self

    @cached_property
    def id(self) -> str:
        """The first 12 digits of the digest of everything in it."""
        return digest(self)[:12]

    @property
    def switches(self) -> tuple[Switch, ...]:
        """The steps that change something."""
        return tuple(step for step in self.steps if isinstance(step, Switch))

    def manifest(self, sha256: str) -> Manifest:
        """The release manifest with that digest."""
        return next(m for m in self.manifests if m.sha256 == sha256)


@dataclass(frozen=True, slots=True)
class Desired:
    """What one device should run of one model, as decided before a plan is made."""

    device: str
    model: str
    manifest: Manifest
    runtime: Runtime
    because: str


Wish: TypeAlias = Desired | Skip


def plan(
    intent: Intent,
    target: str,
    playbook: Playbook,
    wishes: Iterable[Wish],
    observations: Mapping[str, Observation],
    profiles: Mapping[str, str],
    damaged: Mapping[tuple[str, str], str] | None = None,
) -> Plan:
    """Compare what is wished with what was seen; one step for each, in the order of the wishes.

    Args:
        damaged: what is wrong with running releases, by device and model; these are put right.
    """
    steps: list[Step] = []
    manifests: dict[str, Manifest] = {}
    for wish in wishes:
        harm = (damaged or {}).get((wish.device, wish.model), "")
        step = _step(wish, observations[wish.device], harm)
        steps.append(step)
        if isinstance(wish, Desired):
            manifests[wish.manifest.sha256] = wish.manifest
    changing = list(dict.fromkeys(s.device for s in steps if isinstance(s, Switch)))
    return Plan(
        intent=intent,
        target=target,
        playbook=playbook,
        manifests=tuple(manifests[key] for key in sorted(manifests)),
        steps=tuple(steps),
        waves=waves(playbook, changing, profiles),
    )


def _step(wish: Wish, seen: Observation, harm: str) -> Step:
    if isinstance(wish, Skip):
        return wish
    if isinstance(seen, Unobserved):
        return unreachable(seen, wish.model)
    installed = seen.of(wish.model)
    release = wish.manifest.release
    if installed.current == release and not harm and not installed.unsettled:
        return Keep(
            device=wish.device,
            model=wish.model,
            release=release,
            manifest=wish.manifest.sha256,
            because="already current",
        )
    return Switch(
        device=wish.device,
        model=wish.model,
        was=installed.current,
        release=release,
        manifest=wish.manifest.sha256,
        runtime=wish.runtime,
        bytes_to_send=wish.manifest.size_bytes if harm or release not in installed.releases else 0,
        because=_because(wish, installed, harm),
    )


def _because(wish: Desired, installed: Installed, harm: str) -> str:
    if harm:
        return f"repair: {harm}"
    if installed.current == wish.manifest.release:
        return f"an earlier visit left {', '.join(installed.unsettled)}: put it in order"
    return wish.because


def unreachable(seen: Unobserved, model: str) -> Skip:
    """The step of a device that did not answer, or answered that nothing can be done on it."""
    return Skip(
        device=seen.device,
        model=model,
        why=Why.UNREACHABLE if seen.code.startswith("TRANSPORT") else Why.UNUSABLE,
        because=f"{seen.code}: {seen.because}",
        hint=seen.hint,
    )


def changed_since(plan: Plan, observations: Mapping[str, Observation]) -> tuple[Skip, ...]:
    """The switches of a saved plan whose device no longer runs what the plan was made for."""
    found = []
    for step in plan.switches:
        seen = observations[step.device]
        if isinstance(seen, Unobserved):
            found.append(unreachable(seen, step.model))
        elif isinstance(seen, Observed):
            current = seen.of(step.model).current
            if current not in (step.was, step.release):
                found.append(
                    Skip(
                        device=step.device,
                        model=step.model,
                        why=Why.UNKNOWN_RELEASE,
                        because=f"runs {current}, and the plan was made for {step.was}",
                        hint="make a new plan",
                    )
                )
    return tuple(found)


def read_plan(text: str, file: str) -> Plan:
    """A plan file → Plan.

    Raises:
        BadInput: it is damaged, changed by hand, or written by a newer fleet.
    """
    try:
        return Plan.model_validate_json(text)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        if problem["loc"] == ("format",):
            raise BadInput(
                f"written by another fleet: format {problem['input']!r}, and this one reads 1",
                file=file,
                hint="upgrade fleet, or make a new plan",
            ) from error
        where = ".".join(map(str, problem["loc"]))
        raise BadInput(
            f"not a plan, at {where or 'its start'}: {problem['msg']}",
            file=file,
            hint="make it again: fleet plan --target … --out FILE",
        ) from error


def write_plan(plan: Plan) -> bytes:
    """Plan → the bytes of its file, which are also what its id is made from."""
    return canonical(plan)
