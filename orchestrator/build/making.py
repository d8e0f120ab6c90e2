"""How one model's artifacts come about: cached steps, each in a worker, float32 made once."""

import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.build import edgetpu
from orchestrator.build.cache import Cache, Conversion, Failure, Measurement, Record, Sensitivity
from orchestrator.build.edgetpu_golden import renamed
from orchestrator.build.jobs import (
    Convert,
    Measure,
    Mix,
    Prune,
    Quantize,
    Result,
    Samples,
    Sense,
)
from orchestrator.build.keeping import kept, said
from orchestrator.build.recipes import (
    Ingredients,
    conversion_key,
    measurement_key,
    provenance,
    pruned_suffix,
    pruning_key,
    sensitivity_key,
)
from orchestrator.build.store import Store
from orchestrator.build.workers import Job, Workers
from orchestrator.catalog.acceptance import Acceptance
from orchestrator.catalog.variant import Recipe


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be made of which model; `source` and `samples.folder` are absolute."""

    model: str
    source: Path
    shown: str
    ingredients: Ingredients
    samples: Samples
    onnx2tf: Path
    acceptance: Acceptance


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a variant: its bytes and what was measured, or why there is neither."""

    conversion: Conversion | Failure
    measurement: Measurement | Failure


At = Callable[[str], None]
"""Hears what is being done for a variant: a worker's step, or what it waits for."""


@dataclass(slots=True)
class Making:
    """The artifacts of one order. `made` may be called from many threads."""

    order: Order
    cache: Cache
    store: Store
    workers: Workers
    force: bool
    find: edgetpu.Find = edgetpu.nowhere
    _fresh: dict[str, Record] = field(default_factory=dict)
    _locks: dict[str, threading.Lock] = field(default_factory=lambda: defaultdict(threading.Lock))

    def made(self, recipe: Recipe, at: At) -> Outcome:
        """Make and measure one artifact, or find that it was made before.

        Raises:
            BadSource, BadData, BadGolden: what was handed in cannot be meant.
            Stopped: the build was given up.
        """
        conversion = self._conversion(recipe, at)
        if isinstance(conversion, Failure):
            return Outcome(conversion, conversion)
        key = measurement_key(self.order.ingredients, recipe)
        record = self._once(key, lambda: self._measured(recipe, conversion, at))
        assert isinstance(record, Measurement | Failure)
        return Outcome(conversion, record)

    def sensitivity(self, recipe: Recipe, at: At) -> Sensitivity | Failure:
        """How sensitive the blocks of the float32 model are; found on calibration data alone.

        Raises:
            BadSource, BadData, Stopped: as for `made`.
        """
        key = sensitivity_key(self.order.ingredients, recipe)
        record = self._once(key, lambda: self._sensed(recipe, at))
        assert isinstance(record, Sensitivity | Failure)
        return record

    def _conversion(self, recipe: Recipe, at: At) -> Conversion | Failure:
        key = conversion_key(self.order.ingredients, recipe)
        parent = recipe.parent
        if parent is None:
            record = self._once(key, lambda: self._converted(recipe, at))
        elif recipe.format.compiled:
            record = self._once(key, lambda: self._compiled(recipe, parent, at))
        elif recipe.precision.searched:
            record = self._once(key, lambda: self._mixed(recipe, parent, at))
        else:
            record = self._once(key, lambda: self._quantized(recipe, parent, at))
        assert isinstance(record, Conversion | Failure)
        return record

    def _once(self, key: str, make: Callable[[], tuple[Record, bool]]) -> Record:
        """The record of a key: cached, or made by the first thread that asks for it."""
        with self._locks[key]:
            if key in self._fresh:
                return self._fresh[key]
            cached = None if self.force else self.cache.get(key)
            if cached is not None:
                return cached
            record, lasting = make()
            self._fresh[key] = record
            if lasting:
                self.cache.put(key, record)
            return record

    def _pruned_source(self, recipe: Recipe, at: At) -> Conversion | Failure | None:
        """The pruned source that a recipe starts from, None where it starts from the source."""
        if recipe.pruning is None:
            return None
        order, pruning = self.order, recipe.pruning

        def job(out: Path) -> Job:
            return Prune(
                source=str(order.source),
                shown=order.shown,
                pruning=pruning,
                samples=order.samples,
                out=str(out),
            )

        def make() -> tuple[Record, bool]:
            return kept(self.store, *self._run(recipe, "prune", job, at))

        record = self._once(pruning_key(order.ingredients, recipe), make)
        assert isinstance(record, Conversion | Failure)
        return record

    def _converted(self, recipe: Recipe, at: At) -> tuple[Record, bool]:
        order, pruned = self.order, self._pruned_source(recipe, at)
        if isinstance(pruned, Failure):
            because = f"it cannot be pruned: {pruned.because}"
            return Failure(because=because, log=pruned.log), False

        def job(out: Path) -> Job:
            return Convert(
                source=str(self._named(pruned, out) if pruned else order.source),
                shown=order.shown,
                original=pruned is None,
                recipe=recipe,
                samples=order.samples,
                onnx2tf=str(order.onnx2tf),
                trust=bool(order.ingredients.trusted),
                provenance=provenance(order.ingredients, recipe),
                out=str(out),
            )

        record, lasting = kept(self.store, *self._run(recipe, "make", job, at))
        return (said(record, pruned.sparsity) if pruned else record), lasting

    def _named(self, pruned: Conversion, out: Path) -> Path:
        """The bytes of a pruned source under a name that says what they are, beside an output."""
        name = out.with_name(f"pruned{pruned_suffix(self.order.ingredients)}")
        name.symlink_to(self.store.path(pruned.sha256))
        return name

    def _quantized(self, recipe: Recipe, parent: Recipe, at: At) -> tuple[Record, bool]:
        at(f"waits for {parent}")
        made = self._conversion(parent, at)
        if isinstance(made, Failure):
            because = f"{parent} failed: {made.because}"
            return Failure(because=because, log=made.log), False

        def job(out: Path) -> Job:
            return Quantize(
                parent=str(self.store.path(made.sha256)),
                recipe=recipe,
                samples=self.order.samples,
                provenance=provenance(self.order.ingredients, recipe),
                out=str(out),
            )

        record, lasting = kept(self.store, *self._run(recipe, "make", job, at))
        return said(record, made.sparsity), lasting

    def _compiled(self, recipe: Recipe, parent: Recipe, at: At) -> tuple[Record, bool]:
        at(f"waits for {parent}")
        made = self._conversion(parent, at)
        if isinstance(made, Failure):
            return Failure(because=f"{parent} failed: {made.because}", log=made.log), False
        at("compile")
        record = edgetpu.compiled(self.store, made.sha256, self.find, self.workers.deadline_s)
        return said(record, made.sparsity), isinstance(record, Conversion)

    def _sensed(self, recipe: Recipe, at: At) -> tuple[Record, bool]:
        parent = recipe.parent or recipe.reference
        made = self._conversion(parent, at)
        if isinstance(made, Failure):
            return Failure(because=f"its {parent.precision} model failed: {made.because}"), False
        job = Sense(
            parent=str(self.store.path(made.sha256)), recipe=recipe, samples=self.order.samples
        )
        return kept(self.store, *self._run(recipe, "sense", lambda _: job, at))

    def _mixed(self, recipe: Recipe, parent: Recipe, at: At) -> tuple[Record, bool]:
        at(f"waits for {parent}")
        made, found = self._conversion(parent, at), self.sensitivity(recipe, at)
        if isinstance(made, Failure):
            return Failure(because=f"its {parent.precision} model failed: {made.because}"), False
        if isinstance(found, Failure):
            return Failure(because=f"its blocks could not be told: {found.because}"), False
        reference = self._conversion(recipe.reference, at)
        if isinstance(reference, Failure):
            return Failure(because=f"{recipe.reference} failed: {reference.because}"), False
        acceptance = self.order.ingredients.acceptance or self.order.acceptance

        def job(out: Path) -> Job:
            return Mix(
                parent=str(self.store.path(made.sha256)),
                reference=str(self.store.path(reference.sha256)),
                recipe=recipe,
                samples=self.order.samples,
                acceptance=acceptance,
                blocks=found.blocks,
                provenance=provenance(self.order.ingredients, recipe),
                out=str(out),
            )

        record, lasting = kept(self.store, *self._run(recipe, "make", job, at))
        return said(record, made.sparsity), lasting

    def _as_parent(
        self, parent: Recipe, artifact: Conversion, at: At
    ) -> tuple[Measurement | Failure, bool]:
        """What was measured of the artifact that was compiled; latencies are not its own."""
        record = self.made(parent, at).measurement
        if isinstance(record, Failure):
            return record, False
        own = {"size_bytes": artifact.size_bytes, "p50_ms": None, "p95_ms": None}
        golden, compilation = record.golden, artifact.compilation
        if golden is not None and compilation is not None:
            golden = renamed(self.store, golden, compilation.made_of, artifact.sha256)
        figures = record.figures.model_copy(update=own)
        return record.model_copy(update={"figures": figures, "golden": golden}), True

    def _measured(self, recipe: Recipe, artifact: Conversion, at: At) -> tuple[Record, bool]:
        if recipe.format.compiled and recipe.parent is not None:
            return self._as_parent(recipe.parent, artifact, at)
        reference = self._conversion(recipe.reference, at)
        if isinstance(reference, Failure):
            return Failure(because=f"{recipe.reference} failed: {reference.because}"), False
        weights = artifact.weights

        def job(out: Path) -> Job:
            return Measure(
                artifact=str(self.store.path(artifact.sha256)),
                weights=str(self.store.path(weights.sha256)) if weights else None,
                reference=str(self.store.path(reference.sha256)),
                recipe=recipe,
                samples=self.order.samples,
                metric=self.order.acceptance.metric,
                out=str(out),
            )

        return kept(self.store, *self._run(recipe, "measure", job, at))

    def _run(
        self, recipe: Recipe, step: str, job: Callable[[Path], Job], at: At
    ) -> tuple[Result, Path]:
        return self.workers.run(f"{self.order.model}-{recipe}-{step}", job, at)


def recalled(cache: Cache, ingredients: Ingredients, recipe: Recipe) -> Outcome | None:
    """What was made before, if all of it is still there; nothing is started."""
    conversion = cache.get(conversion_key(ingredients, recipe))
    if isinstance(conversion, Failure):
        return Outcome(conversion, conversion)
    measurement = cache.get(measurement_key(ingredients, recipe))
    if not isinstance(conversion, Conversion) or not isinstance(measurement, Measurement | Failure):
        return None
    return Outcome(conversion, measurement)
