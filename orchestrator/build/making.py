"""How one model's artifacts come about: cached steps, each in a worker, float32 made once."""

import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import assert_never

from orchestrator.artifact.golden import GoldenSet
from orchestrator.artifact.lock import LockedFile
from orchestrator.build.cache import Cache, Conversion, Failure, Measurement, Record
from orchestrator.build.failures import BadData, BadGolden, BadSource
from orchestrator.build.jobs import (
    Convert,
    Failed,
    Identified,
    Made,
    Measure,
    Measured,
    Prune,
    Pruned,
    Quantize,
    Refused,
    Result,
    Samples,
)
from orchestrator.build.openvino_ir import WEIGHTS
from orchestrator.build.recipes import (
    Ingredients,
    conversion_key,
    measurement_key,
    provenance,
    pruned_suffix,
    pruning_key,
)
from orchestrator.build.store import Store
from orchestrator.build.workers import Job, Workers
from orchestrator.catalog.model import Metric
from orchestrator.catalog.pruning import Sparsity
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
    metric: Metric


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

    def _conversion(self, recipe: Recipe, at: At) -> Conversion | Failure:
        key = conversion_key(self.order.ingredients, recipe)
        parent = recipe.parent
        if parent is None:
            record = self._once(key, lambda: self._converted(recipe, at))
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
            return self._kept(*self._run(recipe, "prune", job, at))

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
                provenance=provenance(order.ingredients, recipe),
                out=str(out),
            )

        record, lasting = self._kept(*self._run(recipe, "make", job, at))
        return (_said(record, pruned.sparsity) if pruned else record), lasting

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

        record, lasting = self._kept(*self._run(recipe, "make", job, at))
        return _said(record, made.sparsity), lasting

    def _measured(self, recipe: Recipe, artifact: Conversion, at: At) -> tuple[Record, bool]:
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
                metric=self.order.metric,
                out=str(out),
            )

        return self._kept(*self._run(recipe, "measure", job, at))

    def _run(
        self, recipe: Recipe, step: str, job: Callable[[Path], Job], at: At
    ) -> tuple[Result, Path]:
        return self.workers.run(f"{self.order.model}-{recipe}-{step}", job, at)

    def _kept(self, result: Result, out: Path) -> tuple[Record, bool]:
        """Put what a worker made into the store; the record, and whether it would come again.

        Raises:
            BadSource, BadData, BadGolden: the worker refused what it was given.
        """
        match result:
            case Made(max_abs_diff=difference):
                record = Conversion(
                    sha256=self.store.add_file(out),
                    size_bytes=out.stat().st_size,
                    weights=_weights(out, self.store),
                    max_abs_diff=difference,
                )
                return record, True
            case Pruned(sparsity=sparsity):
                digest = self.store.add_file(out)
                size_bytes = out.stat().st_size
                return Conversion(sha256=digest, size_bytes=size_bytes, sparsity=sparsity), True
            case Measured():
                return _measurement(result, out, self.store), True
            case Failed(because=because, lasting=lasting, log=log):
                return Failure(because=because, log=log), lasting
            case Refused():
                raise _error(result)
            case Identified():
                raise AssertionError("no step of making")
            case _:
                assert_never(result)


def _weights(out: Path, store: Store) -> LockedFile | None:
    """The second file beside a model, put into the store; None where there is none."""
    beside = out.with_suffix(WEIGHTS)
    if not beside.exists():
        return None
    return LockedFile(sha256=store.add_file(beside), size_bytes=beside.stat().st_size)


def _said(record: Record, sparsity: Sparsity | None) -> Record:
    """The same record with what its source was pruned to."""
    if not isinstance(record, Conversion):
        return record
    return record.model_copy(update={"sparsity": sparsity})


def _measurement(result: Measured, out: Path, store: Store) -> Measurement:
    golden = None
    if not result.no_golden:
        golden = GoldenSet(
            sha256=store.add_file(out),
            size_bytes=out.stat().st_size,
            cases=result.cases,
            tolerances=result.tolerances,
        )
    return Measurement(figures=result.figures, golden=golden, no_golden=result.no_golden)


def _error(refused: Refused) -> BadSource | BadData | BadGolden:
    kinds: dict[str, type[BadSource | BadData | BadGolden]] = {
        "source": BadSource,
        "data": BadData,
        "golden": BadGolden,
    }
    return kinds[refused.error](refused.message, file=refused.file, hint=refused.hint)


def recalled(cache: Cache, ingredients: Ingredients, recipe: Recipe) -> Outcome | None:
    """What was made before, if all of it is still there; nothing is started."""
    conversion = cache.get(conversion_key(ingredients, recipe))
    if isinstance(conversion, Failure):
        return Outcome(conversion, conversion)
    measurement = cache.get(measurement_key(ingredients, recipe))
    if not isinstance(conversion, Conversion) or not isinstance(measurement, Measurement | Failure):
        return None
    return Outcome(conversion, measurement)
