"""The building half of a site: sources → locked artifacts, and what can be said about them."""

from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from orchestrator.artifact.dominance import marked
from orchestrator.artifact.lock import LockedArtifact, LockedModel, Status
from orchestrator.catalog.ladder import ladders
from orchestrator.catalog.model import Model
from orchestrator.catalog.variant import Variant
from orchestrator.errors import NotFound
from orchestrator.site import Site

if TYPE_CHECKING:
    from orchestrator.artifact.bought import Bought, Packed
    from orchestrator.build.anatomy import Anatomy
    from orchestrator.build.builder import Builder, BuildEvent
    from orchestrator.build.collection import Garbage
    from orchestrator.build.edgetpu import Compiler
    from orchestrator.build.store import Store
    from orchestrator.build.verification import Compared
    from orchestrator.catalog.variant import Format as Form
    from orchestrator.web.report import Sensed


class Workshop:
    """What is built for one site. Heavy parts are imported when used.

    `find` finds the Edge TPU's compiler, which may be on a device.
    """

    def __init__(self, site: Site, find: "Callable[[], Compiler | None]") -> None:
        self.site, self.settings, self._find = site, site.settings, find

    @property
    def store(self) -> "Store":
        """The bytes of everything that was built."""
        from orchestrator.build.store import Store

        return Store(self.settings.state / "store")

    def build(
        self,
        names: Sequence[str],
        *,
        variants: Collection[str] | None = None,
        jobs: int | None = None,
        deadline_s: float = 900.0,
        force: bool = False,
        ladder: bool = False,
        trust: bool = False,
        watch: "Callable[[str, BuildEvent], None]" = lambda model, event: None,
    ) -> None:
        """Make what is missing of some models and write the lock after each.

        With `ladder`, the variants of each format are made from the top rung down, one after the
        other, until one is accepted; see `orchestrator.catalog.ladder`. Code inside a model is
        refused unless `trust` says that whoever made it may run it here.
        """
        builder = self._builder(jobs, deadline_s, trust=trust)

        def made(model: Model, wanted: Collection[str] | None) -> LockedModel:
            seen = partial(watch, model.name)
            built = builder.build(model, variants=wanted, force=force, watch=seen)
            self.keep(model, built)
            return built

        for model in [self.site.model(name) for name in names or self.site.models]:
            if not ladder:
                made(model, variants)
                continue
            for rungs in ladders(model.variants):
                for rung in rungs:
                    if made(model, (rung,)).artifacts[0].status is Status.ACCEPTED:
                        break

    def _builder(
        self, jobs: int | None = None, deadline_s: float = 900.0, *, trust: bool = False
    ) -> "Builder":
        from orchestrator.build.builder import Builder

        return Builder(
            self.settings.inventory,
            self.store,
            self.settings.state / "build",
            jobs=jobs or self.settings.count("jobs") or None,
            deadline_s=deadline_s,
            trust=trust,
            find=self._find,
        )

    def with_parents(
        self, model: Model, variants: Sequence[Variant], deadline_s: float
    ) -> LockedModel:
        """Two artifacts of each name: what a variant is compiled of, and then the variant itself.

        The lock is left alone.
        """
        parents = [Variant(name=each.name, **dict(each.parent or each)) for each in variants]
        both = (model.model_copy(update={"variants": tuple(v)}) for v in (parents, variants))
        builder = self._builder(deadline_s=deadline_s)
        made, compiled = (builder.build(each) for each in both)
        return compiled.model_copy(update={"artifacts": (*made.artifacts, *compiled.artifacts)})

    def keep(self, model: Model, built: LockedModel) -> None:
        """Put what was built into the lock, and mark what is dominated now."""
        merged = self.site.lock().merged(built)
        whole = merged.find(model.name)
        assert whole is not None
        self.site.write_lock(merged.merged(marked(model, whole)))

    def verify(
        self,
        names: Sequence[str],
        *,
        variants: Collection[str] | None = None,
        jobs: int | None = None,
        trust: bool = False,
        watch: "Callable[[str, BuildEvent], None]" = lambda model, event: None,
    ) -> "tuple[Compared, ...]":
        """Make locked artifacts again in a scratch folder and compare their digests."""
        from orchestrator.build.verification import verified

        models = [self.site.model(name) for name in names or self.site.models]
        inventory, state = self.settings.inventory, self.settings.state
        return verified(
            models,
            self.site.lock(),
            inventory,
            state,
            variants=variants,
            jobs=jobs or self.settings.count("jobs") or None,
            trust=trust,
            watch=watch,
        )

    def collect(
        self, serving: Iterable[str], *, unused_days: float = 30.0, dry_run: bool = False
    ) -> "Garbage":
        """Remove from the store what neither the lock, a device nor the cache needs.

        Args:
            serving: digests of what devices serve.
        """
        from orchestrator.build.collection import collected

        locked = {digest for model in self.site.lock().models for digest in model.digests}
        return collected(
            self.settings.state, {*locked, *serving}, unused_days=unused_days, dry_run=dry_run
        )

    def locked(self, name: str) -> LockedModel:
        """What the lock says of a model."""
        self.site.model(name)
        found = self.site.lock().find(name)
        if found is None:
            raise NotFound("built model", name, (), hint=f"build it: fleet build {name}")
        return found

    def anatomy(self, named: str) -> "tuple[LockedArtifact, Anatomy]":
        """Take one artifact apart, named as ``MODEL:VARIANT``."""
        from orchestrator.build.anatomy import inspect

        name, _, variant = named.partition(":")
        locked = self.locked(name)
        artifact = locked.artifact(variant)
        if artifact is None or artifact.sha256 is None:
            known = [f"{name}:{a.variant}" for a in locked.artifacts if a.sha256]
            raise NotFound("artifact", named, known)
        self.contents(artifact.sha256)
        file = self.store.path(artifact.sha256)
        anatomy = inspect(file, artifact.format)
        return artifact, anatomy.model_copy(update={"size_bytes": artifact.whole_bytes})

    def bought(self, named: str) -> "Bought | None":
        """What pruning buys an artifact beside its unpruned twin; None where it is not pruned."""
        from orchestrator.artifact.bought import of_variant, twin_of

        name, _, variant = named.partition(":")
        locked = self.locked(name)
        artifact = locked.artifact(variant)
        if artifact is None or artifact.sparsity is None:
            return None
        pair = (artifact, twin_of(locked, artifact))
        packed = self._packed(each for each in pair if each is not None)
        return of_variant(locked, artifact, packed)

    def report(self, names: Sequence[str], *, sensitivity: bool = False) -> str:
        """A self-contained page about some built models, compressed sizes included.

        With `sensitivity`, what is sensitive to int8 is found out for every model that has
        calibration data, where it is not known from a mixed variant.
        """
        models = [self.locked(name) for name in names or self.site.models]
        return self.page(models, sensed=self._sensed(models) if sensitivity else {})

    def page(self, models: Sequence[LockedModel], **beside: Any) -> str:
        """A self-contained page about models as they stand; `beside` as `web.report.Beside` has it."""
        from orchestrator.web.report import Beside, report

        packed = self._packed(a for model in models for a in model.artifacts)
        template = self.site.template("pages/report.html").decode()
        return report(models, template, Beside(packed=packed, **beside))

    def _sensed(self, models: Sequence[LockedModel]) -> "dict[tuple[str, Form], Sensed]":
        from orchestrator.build.cache import Failure
        from orchestrator.web.report import Sensed

        builder = self._builder()
        found = {}
        for locked in models:
            mixed = {a.format for a in locked.artifacts if a.mixture}
            built = {a.format for a in locked.artifacts if a.sha256 and not a.format.translated}
            for form in sorted(built - mixed):
                blocks = builder.sensitivity(self.site.model(locked.name), form)
                because = blocks.because if isinstance(blocks, Failure) else ""
                known = () if isinstance(blocks, Failure) else blocks
                found[(locked.name, form)] = Sensed(known, because=because)
        return found

    def _packed(self, artifacts: "Iterable[LockedArtifact]") -> "dict[str, Packed]":
        """The bytes of artifacts after compression, all parts together, by digest."""
        import gzip

        import zstandard

        from orchestrator.artifact.bought import Packed

        compressor = zstandard.ZstdCompressor(level=19)
        found = {}
        for digest, parts in sorted({(a.sha256, a.parts) for a in artifacts if a.sha256}):
            data = b"".join(self.contents(part) for part in parts)
            small = len(gzip.compress(data, 9, mtime=0)), len(compressor.compress(data))
            found[digest] = Packed(*small)
        return found

    def contents(self, digest: str) -> bytes:
        """The bytes behind a digest of a manifest."""
        return self.store.read(digest)
