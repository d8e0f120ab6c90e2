"""What is built elsewhere: engines on the devices they are for, Edge TPU models where the compiler is."""

import shutil
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.artifact.compilation import Engine
from orchestrator.artifact.lock import LockedArtifact, LockedModel, Status
from orchestrator.catalog.model import Model
from orchestrator.catalog.variant import Format, Variant
from orchestrator.errors import FleetError, NotFound
from orchestrator.field import Field
from orchestrator.inventory.hardware import Hardware, hardware
from orchestrator.rollout.observation import Observation, Observed, Unobserved
from orchestrator.site import Site
from orchestrator.workshop import Workshop

if TYPE_CHECKING:
    from orchestrator.build.edgetpu import Compiler
    from orchestrator.build.engines import Place
    from orchestrator.build.workbench import Bench, Ended, Task

_FOLDER = "work"
NO_TENSORRT = "no Jetson with TensorRT: see fleet facts"


@dataclass(frozen=True, slots=True)
class Attempt:
    """What became of one engine: it, or why there is none. `cached`: nothing had to be built."""

    model: str
    variant: str
    device: str
    hardware: Hardware | None
    engine: Engine | None
    because: str
    cached: bool = False
    seconds: float = 0.0


class Foundry:
    """The benches of one site outside its workshop. Heavy parts are imported when used."""

    def __init__(self, site: Site, field: Field) -> None:
        self.site, self.settings, self.field = site, site.settings, field

    def compiler(self) -> "Compiler | None":
        """The Edge TPU's: the configured command, what is on PATH, or what a build host has."""
        from orchestrator.build.edgetpu import TOOL, Compiler
        from orchestrator.build.workbench import here

        named = self.settings.command(TOOL)
        if named or shutil.which(TOOL):
            return Compiler(named or (TOOL,), here(str(self.settings.state / _FOLDER)))
        hosts = [each for each in self.site.inventory.devices.values() if each.build_host]
        return Compiler((TOOL,), self._bench(hosts[0].name), hosts[0].name) if hosts else None

    def _bench(self, name: str) -> "Bench":
        """A scratch folder on a device, with a session of its own for each task."""
        device = self.site.device(name)

        def carry_out(task: "Task") -> "Ended":
            from orchestrator.build.workbench import there

            with self.field.connect(device) as session:
                return there(session, f"{device.storage_root}/{_FOLDER}", name)(task)

        return carry_out

    def engines(
        self,
        workshop: Workshop,
        names: Sequence[str],
        seen: Mapping[str, Observation],
        *,
        variants: Collection[str] | None = None,
        deadline_s: float = 900.0,
        force: bool = False,
        watch: Callable[[str], None] = lambda words: None,
    ) -> Iterator[Attempt]:
        """Every engine that devices lack, one device of each hardware after the other.

        The lock is written after each. Devices of equal hardware share an engine.

        Raises:
            NotFound: no variant asked for is built on devices.
        """
        places, others = self._places(seen)
        asked = [(model, _compiled(model, variants)) for model in self._models(names)]
        if not any(each for _, each in asked):
            kind = "variant that is built on devices"
            raise NotFound(kind, "", (), hint="list one in models.yaml: tensorrt-float16, say")
        for model, wanted in asked:
            if not wanted:
                continue
            yield from (Attempt(model.name, "", *other) for other in others)
            if places:
                both = workshop.with_parents(model, wanted, deadline_s)
                forge = _Forge(workshop, model, both, deadline_s, force, watch)
                for variant in wanted:
                    for place in places:
                        yield forge(variant, place)

    def _models(self, names: Sequence[str]) -> Iterable[Model]:
        return [self.site.model(name) for name in names or self.site.models]

    def _places(
        self, seen: Mapping[str, Observation]
    ) -> "tuple[list[Place], list[tuple[str, Hardware | None, None, str]]]":
        """One device of each hardware, and every other device with the reason."""
        from orchestrator.build.engines import Place

        places: dict[Hardware, Place] = {}
        others: list[tuple[str, Hardware | None, None, str]] = []
        for name, each in seen.items():
            if isinstance(each, Unobserved):
                others.append((name, None, None, f"{each.code}: {each.because}"))
                continue
            assert isinstance(each, Observed)
            kind = hardware(each.facts)
            if kind is None:
                others.append((name, None, None, NO_TENSORRT))
            elif kind in places:
                others.append((name, kind, None, f"shares the engine of {places[kind].device}"))
            else:
                places[kind] = Place(name, each.facts, kind, self._bench(name))
        return list(places.values()), others


def _compiled(model: Model, names: Collection[str] | None) -> list[Variant]:
    on_devices = [each for each in model.variants if each.format is Format.TENSORRT]
    return [each for each in on_devices if names is None or each.name in names]


@dataclass(frozen=True, slots=True)
class _Forge:
    """The engines of one model."""

    workshop: Workshop
    model: Model
    both: LockedModel
    deadline_s: float
    force: bool
    watch: Callable[[str], None]

    def __call__(self, variant: Variant, place: "Place") -> Attempt:
        """Build one engine, unless there is one, and put it into the lock."""
        from orchestrator.build.cache import Cache
        from orchestrator.build.engines import Wish, engine

        parent, mine = (each for each in self.both.artifacts if each.variant == variant.name)
        head = (self.model.name, variant.name, place.device, place.hardware)
        if (known := self._known(mine, place.hardware)) is not None:
            return Attempt(*head, known, known.because, cached=True)
        if parent.status not in (Status.ACCEPTED, Status.DOMINATED):
            because = f"{variant.parent} is {parent.status}: {parent.because}"
            return Attempt(*head, None, because)
        self.watch(f"{variant.name} on {place.device}")
        began = time.monotonic()
        cache = Cache(self.workshop.settings.state / "build" / "cache", self.workshop.store)
        wish = Wish(parent, variant.precision, self.deadline_s)
        try:
            made = engine(wish, place, self.workshop.store, cache, force=self.force)
        except FleetError as error:
            return Attempt(*head, None, f"{error.message}: {error.hint}".rstrip(": "))
        whole = mine.model_copy(update={"engines": (made,)})
        self.workshop.keep(self.model, self.both.model_copy(update={"artifacts": (whole,)}))
        return Attempt(*head, made, made.because, seconds=time.monotonic() - began)

    def _known(self, mine: LockedArtifact, kind: Hardware) -> Engine | None:
        """The engine in the lock, if it was made of the same and its bytes are still there."""
        locked = self.workshop.site.lock().find(self.model.name)
        old = locked.artifact(mine.variant) if locked else None
        known = old.engine(kind) if old and old.key == mine.key else None
        if self.force or known is None or not known.accepted or known.sha256 is None:
            return None
        return known if known.sha256 in self.workshop.store else None
