"""fleet.lock: which built artifact stands for which variant of which model, and what it measured."""

import json
from collections.abc import Iterable
from enum import StrEnum
from typing import Literal

from pydantic import Field, ValidationError

from orchestrator.artifact.compilation import Compilation, Engine
from orchestrator.artifact.golden import GoldenSet
from orchestrator.artifact.manifest import Manifest, ReleaseFile
from orchestrator.artifact.mixture import Mixture
from orchestrator.catalog.assignment import Figures, Offer
from orchestrator.catalog.model import Limits, Model, Preprocessing
from orchestrator.catalog.pruning import Sparsity
from orchestrator.catalog.variant import Format, Variant
from orchestrator.errors import BadInput
from orchestrator.inventory.hardware import Hardware
from orchestrator.values import Name, Sha256, Value, canonical, sha256


class Status(StrEnum):
    """What became of a variant in the builder.

    A `dominated` one is good enough, but another accepted one is both faster and better. One
    `on-device` has an artifact for each kind of hardware: its engines.
    """

    ACCEPTED = "accepted"
    DOMINATED = "dominated"
    REJECTED = "rejected"
    FAILED = "failed"
    UNBUILDABLE = "unbuildable"
    ON_DEVICE = "on-device"


class LockedFile(Value):
    """A file that ships beside the one the runtime loads: labels, or weights kept apart."""

    sha256: Sha256
    size_bytes: int


class LockedArtifact(Value):
    """One variant as built: its bytes by digest, what it measured, and whether it may be used.

    `key` is the digest of everything the bytes depend on: source, recipe, data, tool versions.
    A variant that failed or cannot be built here has no bytes and says why. `weights` is the
    second file of a format that keeps them apart from the graph (OpenVINO), `sparsity` what
    pruning achieved, where the variant is pruned, `mixture` what the search for a mixed one found,
    `compilation` how a maker's compiler made it. `engines` are what was built of it on devices.
    """

    variant: Name
    key: Sha256
    status: Status
    because: str = ""
    format: Format
    sha256: Sha256 | None = None
    size_bytes: int = 0
    weights: LockedFile | None = None
    figures: Figures | None = None
    golden: GoldenSet | None = None
    mixture: Mixture | None = Field(default=None, exclude_if=lambda value: value is None)
    sparsity: Sparsity | None = Field(default=None, exclude_if=lambda value: value is None)
    compilation: Compilation | None = Field(default=None, exclude_if=lambda value: value is None)
    engines: tuple[Engine, ...] = Field(default=(), exclude_if=lambda value: not value)

    @property
    def parts(self) -> tuple[str, ...]:
        """The digests of the files that the runtime loads."""
        return tuple(d for d in (self.sha256, self.weights and self.weights.sha256) if d)

    @property
    def whole_bytes(self) -> int:
        """The size of the files that the runtime loads."""
        return self.size_bytes + (self.weights.size_bytes if self.weights else 0)

    @property
    def digests(self) -> frozenset[str]:
        """The digests of all bytes that are named."""
        made: tuple[LockedArtifact | Engine, ...] = (self, *self.engines)
        goldens = {each.golden.sha256 for each in made if each.golden}
        logs = {each.compilation.log for each in made if each.compilation}
        files = {each.sha256 for each in self.engines if each.sha256}
        return frozenset({*self.parts, *files, *goldens, *logs})

    def engine(self, hardware: Hardware) -> Engine | None:
        """The engine for some hardware, whatever became of it."""
        return next((each for each in self.engines if each.hardware == hardware), None)

    def on(self, hardware: Hardware | None, build: str) -> "LockedArtifact":
        """What this is for some hardware: itself, or the engine that stands for it there.

        Args:
            build: the command that would build an engine where there is none.
        """
        if self.status is not Status.ON_DEVICE:
            return self
        engine = self.engine(hardware) if hardware else None
        if engine is None:
            because = f"no engine for this hardware yet: {build}"
            return self.model_copy(update={"because": because})
        return self.model_copy(
            update={
                "status": Status.ACCEPTED if engine.accepted else Status.REJECTED,
                "because": engine.because,
                "sha256": engine.sha256,
                "size_bytes": engine.size_bytes,
                "figures": engine.figures,
                "golden": engine.golden,
                "compilation": engine.compilation,
            }
        )

    def with_engines_of(self, old: "LockedArtifact | None") -> "LockedArtifact":
        """The same, with what was built of the same inputs on other hardware."""
        if old is None or old.key != self.key:
            return self
        kept = [each for each in old.engines if self.engine(each.hardware) is None]
        every = sorted([*kept, *self.engines], key=lambda each: str(each.hardware))
        return self.model_copy(update={"engines": tuple(every)})


class LockedModel(Value):
    """All artifacts of one version of one model."""

    name: Name
    version: Name
    source: Sha256
    labels: LockedFile | None = None
    preprocessing: Preprocessing
    limits: Limits = Limits()
    artifacts: tuple[LockedArtifact, ...]

    def artifact(self, variant: str) -> LockedArtifact | None:
        """The artifact of a variant, or None where the variant was never built."""
        return next((a for a in self.artifacts if a.variant == variant), None)

    @property
    def digests(self) -> frozenset[str]:
        """The digests of all bytes that are named."""
        named = {self.labels.sha256} if self.labels else set()
        return frozenset(named.union(*(each.digests for each in self.artifacts)))

    def on(self, device: str, hardware: Hardware | None) -> "LockedModel":
        """What it is for one device: where engines are built, the one for its hardware."""
        build = f"fleet build {self.name} --on {device}"
        artifacts = tuple(each.on(hardware, build) for each in self.artifacts)
        return self.model_copy(update={"artifacts": artifacts})

    def manifest(self, variant: str) -> Manifest:
        """The release that stands for an accepted variant."""
        artifact = self.artifact(variant)
        accepted = artifact is not None and artifact.status is Status.ACCEPTED
        if not accepted or artifact is None or artifact.sha256 is None or artifact.golden is None:
            raise ValueError(f"{self.name} has no accepted artifact for {variant}")
        extra = canonical(self.preprocessing)
        files = [
            _file(f"model{artifact.format.suffix}", artifact.sha256, artifact.size_bytes),
            _file("preprocessing.json", sha256(extra), len(extra)),
            _file("golden.npz", artifact.golden.sha256, artifact.golden.size_bytes),
        ]
        if artifact.weights:
            files.append(_file("model.bin", artifact.weights.sha256, artifact.weights.size_bytes))
        if self.labels:
            files.append(_file("labels.txt", self.labels.sha256, self.labels.size_bytes))
        return Manifest(
            model=self.name,
            version=self.version,
            variant=variant,
            runs_as=artifact.format,
            files=tuple(sorted(files, key=lambda f: f.path)),
            preprocessing=self.preprocessing,
            tolerances=artifact.golden.tolerances,
            cases=artifact.golden.cases,
            limits=self.limits,
        )


class Lock(Value):
    """Everything `fleet build` vouches for. Models stand in order of their names."""

    format: Literal[1] = 1
    models: tuple[LockedModel, ...] = ()

    def find(self, model: str) -> LockedModel | None:
        """The locked model of that name, or None."""
        return next((m for m in self.models if m.name == model), None)

    def merged(self, model: LockedModel) -> "Lock":
        """The same lock with a model put in; variants of the same release and source stay.

        What was proved with another preprocessing does not stay: one release, never mixed.
        """
        old = self.find(model.name)
        kept: tuple[LockedArtifact, ...] = ()
        if old and _made_of(old) == _made_of(model):
            kept = tuple(a for a in old.artifacts if model.artifact(a.variant) is None)
        made = [
            a.with_engines_of(old.artifact(a.variant) if old else None) for a in model.artifacts
        ]
        artifacts = tuple(sorted([*kept, *made], key=lambda a: a.variant))
        rest = [m for m in self.models if m.name != model.name]
        whole = model.model_copy(update={"artifacts": artifacts})
        return Lock(models=tuple(sorted([*rest, whole], key=lambda m: m.name)))


def _made_of(model: LockedModel) -> tuple[str, str, Preprocessing]:
    return model.version, model.source, model.preprocessing


def read_lock(text: str, file: str) -> Lock:
    """fleet.lock → Lock.

    Raises:
        BadInput: it is damaged, or written by a newer fleet.
    """
    try:
        return Lock.model_validate_json(text)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        if problem["loc"] == ("format",):
            raise BadInput(
                f"written by another fleet: format {problem['input']!r}, and this one reads 1",
                file=file,
                hint="upgrade fleet",
            ) from error
        where = ".".join(map(str, problem["loc"]))
        raise BadInput(
            f"damaged lock at {where or 'its start'}: {problem['msg']}",
            file=file,
            hint="it is written by the builder and never by hand: run fleet build again",
        ) from error


def write_lock(lock: Lock) -> str:
    """Lock → the text of fleet.lock: one artifact a line, so that a diff reads well."""
    plain = json.loads(canonical(lock))
    return json.dumps(plain, sort_keys=True, indent=1, ensure_ascii=False) + "\n"


def offers(model: Model, locked: LockedModel | None) -> Iterable[Offer]:
    """What could be assigned for a model: every variant of its catalog entry, blocked or not."""
    for variant in model.variants:
        yield _offer(variant, model, locked)


def _offer(variant: Variant, model: Model, locked: LockedModel | None) -> Offer:
    artifact = locked.artifact(variant.name) if locked else None
    if locked is None or artifact is None:
        return Offer(variant, None, blocked=f"not built: run fleet build {model.name}")
    if locked.version != model.version:
        was = f"built for version {locked.version}, and the catalog says {model.version}"
        return Offer(variant, artifact.figures, blocked=f"{was}: run fleet build {model.name}")
    if artifact.status is Status.ON_DEVICE:
        return Offer(variant, artifact.figures, blocked=artifact.because)
    if artifact.status is not Status.ACCEPTED:
        return Offer(variant, artifact.figures, blocked=f"{artifact.status}: {artifact.because}")
    return Offer(variant, artifact.figures)


def _file(path: str, digest: str, size_bytes: int) -> ReleaseFile:
    return ReleaseFile.model_validate({"path": path, "sha256": digest, "size_bytes": size_bytes})
