"""Profiling a model: who measures what, asked first; then measured on the devices and remembered."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from orchestrator.app import Fleet
from orchestrator.artifact.excerpt import Excerpt
from orchestrator.errors import BadTarget
from orchestrator.inventory.device import Device
from orchestrator.rollout.plan import Skip
from orchestrator.rollout.trial import ONE_PER_CLASS, Turn, one_per_class, turns

if TYPE_CHECKING:
    from orchestrator.deploy.errand import Progress
    from orchestrator.deploy.measure import Tried

AT_ONCE = 16
SECONDS, SAMPLES = 10.0, 100
"""How long a variant is kept busy, and how many evaluation samples it is judged on."""


def candidates(fleet: Fleet, model: str, target: str) -> tuple[Device, ...]:
    """The devices of a target that a model is meant for.

    Raises:
        BadTarget: there is none.
    """
    meant = fleet.select(fleet.site.model(model).target)
    if target == ONE_PER_CLASS:
        return meant
    names = {device.name for device in meant}
    found = tuple(device for device in fleet.select(target) if device.name in names)
    if not found:
        raise BadTarget(
            f"{model} is meant for no device of {target!r}",
            hint="see models.yaml: the target of each model",
        )
    return found


def prepared(
    fleet: Fleet, model: str, target: str, watch: Callable[[Device], None] = lambda device: None
) -> tuple[Turn | Skip, ...]:
    """Ask the devices of a target, and say for each what it would measure, or why nothing.

    Raises:
        NotFound: the model does not exist, or was never built.
    """
    locked, known = fleet.workshop.locked(model), fleet.ledger.facts()
    devices = candidates(fleet, model, target)
    seen = fleet.observe(devices, watch)
    if target == ONE_PER_CLASS:
        devices = one_per_class(devices, seen, known)
    return turns(fleet.site.model(model), locked, devices, seen, fleet.site.inventory.profiles)


def excerpts(
    fleet: Fleet, model: str, prepared: Iterable[Turn | Skip], samples: int = SAMPLES
) -> tuple[Mapping[str, Excerpt], tuple[str, ...]]:
    """By variant: what devices judge it by; and why some variants are not judged."""
    from orchestrator.build.excerpts import excerpts

    each = [trial for turn in prepared if isinstance(turn, Turn) for trial in turn.trials]
    variants = {trial.manifest.variant for trial in each}
    if not samples or not variants:
        return {}, ()
    settings = fleet.settings
    locked = fleet.workshop.locked(model)
    return excerpts(
        fleet.site.model(model), locked, variants, samples, settings.state, settings.inventory
    )


def profile(
    fleet: Fleet,
    prepared: Sequence[Turn | Skip],
    excerpts: Mapping[str, Excerpt],
    *,
    seconds: float = SECONDS,
    watch: "Callable[[Progress], None]" = lambda progress: None,
    done: "Callable[[Tried], None]" = lambda tried: None,
) -> "tuple[Tried, ...]":
    """Have devices measure, and keep what they measured as it comes.

    Emulated devices share a processor and take turns. A `KeyboardInterrupt` has every device end
    what it is at and clear it away, and is raised again.

    Raises:
        NotInStore: bytes that are to be measured are not there; nothing was touched.
    """
    from orchestrator.deploy.claim import Claim
    from orchestrator.deploy.crew import taken
    from orchestrator.deploy.execute import unchanged
    from orchestrator.deploy.measure import Bench, Tried
    from orchestrator.deploy.turns import Turns

    tried = [Tried(unchanged(each)) for each in prepared if isinstance(each, Skip)]
    work = [(each.device.name, each) for each in prepared if isinstance(each, Turn)]
    manifests = [trial.manifest for _, turn in work for trial in turn.trials]
    fleet.refuse_missing_bytes(manifests)
    with fleet.field, Claim(fleet.settings.state / "controllers") as claim:
        bench = Bench(fleet.reach(claim), seconds, excerpts, watch, done)
        for new in taken(bench, Turns(work, AT_ONCE, partial(_shared, fleet)), AT_ONCE):
            fleet.ledger.measured(each.measurement for each in new if each.measurement)
            tried += new
    return tuple(tried)


def _shared(fleet: Fleet, name: str) -> tuple[tuple[str, int], ...]:
    """What a device shares with others so that only one of them may be at work."""
    return (("this machine", 1),) if fleet.device(name).emulated else ()
