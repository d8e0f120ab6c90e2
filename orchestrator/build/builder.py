"""A model of the catalog → its locked artifacts: made, measured, judged; kept by content."""

import queue
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from orchestrator.artifact.lock import LockedArtifact, LockedFile, LockedModel, Status
from orchestrator.artifact.mixture import Block
from orchestrator.build import edgetpu, onnx2tf
from orchestrator.build.cache import Cache, Digests, Failure, Meanings
from orchestrator.build.failures import BadGolden, code_inside
from orchestrator.build.impossible import impossible
from orchestrator.build.jobs import Identified, Identify, Samples
from orchestrator.build.locking import absent, locked
from orchestrator.build.making import Making, Order, recalled
from orchestrator.build.recipes import Ingredients
from orchestrator.build.source_files import (
    data_sha256,
    judged_by,
    kind,
    labels_bytes,
    source_sha256,
)
from orchestrator.build.store import Store
from orchestrator.build.verdict import NO_CALIBRATION, NO_EVALUATION, ON_DEVICE
from orchestrator.build.workers import Room, Workers, cores_here, memory_here
from orchestrator.catalog.model import Model
from orchestrator.catalog.variant import Format, Precision, Recipe, Variant
from orchestrator.errors import NotFound


@dataclass(frozen=True, slots=True)
class Started:
    """A variant is being made."""

    variant: str


@dataclass(frozen=True, slots=True)
class Working:
    """A variant has come to another step, or waits for what it is made from."""

    variant: str
    step: str


@dataclass(frozen=True, slots=True)
class Finished:
    """A variant is done, whatever became of it; `cached` when nothing had to be made.

    `log` is what the worker wrote of a failure, below the site.
    """

    variant: str
    artifact: LockedArtifact
    cached: bool
    seconds: float
    log: str = ""


BuildEvent: TypeAlias = Started | Working | Finished


def ignore(event: BuildEvent) -> None:
    """Watch nothing."""


class Builder:
    """Makes and measures the variants of models; everything kept is kept by content.

    `catalog` is the folder of models.yaml; `work` (``<site>/.fleet/build``) holds records, logs
    and scratch. TensorFlow and its like are imported in worker processes only; at most `jobs`
    run at once (default: one a core), no more than memory bears, none longer than `deadline_s`.
    Code inside a model (a Lambda layer) is refused unless its maker is trusted: `trust`. `find`
    finds the Edge TPU's compiler, where something is to be compiled.
    """

    def __init__(
        self,
        catalog: Path,
        store: Store,
        work: Path,
        *,
        jobs: int | None = None,
        deadline_s: float = 900.0,
        trust: bool = False,
        find: edgetpu.Find = edgetpu.nowhere,
    ) -> None:
        self._find = find
        self._catalog, self._store, self._work = catalog.resolve(), store, work.resolve()
        self._jobs, self._deadline_s, self._trust = jobs or cores_here(), deadline_s, trust
        self._cache = Cache(self._work / "cache", store)
        self._toolchain = self._work.parent / "toolchains" / "onnx2tf"

    def build(
        self,
        model: Model,
        *,
        variants: Collection[str] | None = None,
        force: bool = False,
        watch: Callable[[BuildEvent], None] = ignore,
    ) -> LockedModel:
        """Every variant asked for (default: all of the catalog entry), in the catalog's order.

        What did not work out, or is not good enough, is in the result with its reason. `watch`
        is called in the calling thread.

        Raises:
            NotFound: a variant the model does not have.
            BadSource, BadData, BadGolden, BadInput: a file that cannot be meant.
            MissingTool: a library for the asked variants is not installed.
        """
        wanted = _wanted(model, variants)
        order = self._order(model)
        labels = labels_bytes(model, self._catalog)
        done: dict[str, LockedArtifact] = {}
        missing: list[Variant] = []
        for variant in wanted:
            artifact = self._without_work(model, order, variant, force=force)
            if artifact is None:
                missing.append(variant)
                continue
            done[variant.name] = artifact
            watch(Finished(variant.name, artifact, cached=True, seconds=0.0))
        for variant_name, artifact in self._made(model, order, missing, watch, force=force):
            done[variant_name] = artifact
        return LockedModel(
            name=model.name,
            version=model.version,
            source=order.ingredients.source,
            labels=None
            if labels is None
            else LockedFile(sha256=self._store.add(labels), size_bytes=len(labels)),
            preprocessing=model.preprocessing,
            limits=model.limits,
            artifacts=tuple(done[variant.name] for variant in wanted),
        )

    def sensitivity(self, model: Model, form: Format) -> tuple[Block, ...] | Failure:
        """How sensitive the blocks of a model's float32 variant are to int8, found out once.

        Raises:
            BadSource, BadData, BadInput: a file that cannot be meant.
            MissingTool: a library for it is not installed.
        """
        if model.data.calibration is None:
            return Failure(because=NO_CALIBRATION)
        order = self._order(model)
        recipe = Recipe(format=form, precision=Precision.MIXED)
        if order.ingredients.from_onnx and form is Format.TFLITE and not order.ingredients.onnx2tf:
            return Failure(because=onnx2tf.MISSING)
        workers = self._workers()
        try:
            making = Making(order, self._cache, self._store, workers, force=False)
            found = making.sensitivity(recipe, lambda step: None)
        finally:
            workers.stop()
            workers.close()
        return found if isinstance(found, Failure) else found.blocks

    def _workers(self) -> Workers:
        return Workers(self._work, Room(self._jobs, memory_here()), self._deadline_s)

    def _order(self, model: Model) -> Order:
        files = (model.data.evaluation, model.data.calibration, model.golden.inputs)
        if files[0] is None and files[1] is None and files[2] is None:
            raise BadGolden(
                f"{model.name!r} has no data to make golden cases from",
                hint="name some samples in models.yaml under data.evaluation or golden.inputs",
            )
        digests = Digests(self._work / "cache" / "files.json")
        found = self._meaning(model, source_sha256(model, self._catalog, digests))
        if found.code and not self._trust:
            raise code_inside(found.code, model.source)
        evaluation, calibration, golden = (data_sha256(f, self._catalog, digests) for f in files)
        training = data_sha256(model.data.training, self._catalog, digests)
        suffix = kind(self._catalog / model.source)
        ingredients = Ingredients(
            source=found.digest,
            suffix=suffix,
            evaluation=evaluation,
            calibration=calibration,
            golden=golden,
            training=training,
            cases=model.golden.cases,
            preprocessing=model.preprocessing,
            metric=judged_by(model, self._catalog, digests),
            check=model.data.check,
            acceptance=model.acceptance.for_search,
            onnx2tf=onnx2tf.installed(self._toolchain) if suffix == ".onnx" else None,
            legacy=found.legacy,
            trusted=found.code,
            quantized=found.quantized,
        )
        samples = Samples(
            folder=str(self._catalog),
            evaluation=files[0],
            calibration=files[1],
            golden=files[2],
            training=model.data.training,
            cases=model.golden.cases,
            preprocessing=model.preprocessing,
            check=model.data.check,
        )
        python = onnx2tf.python_of(self._toolchain)
        path = self._catalog / model.source
        acceptance = model.acceptance
        return Order(model.name, path, model.source, ingredients, samples, python, acceptance)

    def _meaning(self, model: Model, raw: str) -> Identified:
        """What a source is and the digest of what it means, found out once for the same bytes.

        Where it cannot be found out, the digest of the bytes stands for it: whoever converts the
        source will say what is wrong.
        """
        meanings = Meanings(self._work / "cache" / "meanings.json")
        known = meanings.get(raw)
        if known is not None:
            return known
        workers = self._workers()
        source = str(self._catalog / model.source)
        try:
            result, _ = workers.run(f"{model.name}-identify", lambda _: Identify(source=source))
        finally:
            workers.stop()
            workers.close()
        if not isinstance(result, Identified):
            return Identified(digest=raw)
        meanings.put(raw, result)
        return result

    def _without_work(
        self, model: Model, order: Order, variant: Variant, *, force: bool
    ) -> LockedArtifact | None:
        """The artifact where nothing has to be made: cached, or not to be made at all."""
        if because := impossible(order.ingredients, variant.recipe):
            return absent(order, variant, Status.UNBUILDABLE, because)
        if variant.format is Format.TENSORRT:
            return absent(order, variant, Status.ON_DEVICE, ON_DEVICE.format(model=model.name))
        if variant.precision.calibrated and order.ingredients.calibration is None:
            return absent(order, variant, Status.REJECTED, NO_CALIBRATION)
        if variant.precision.searched and order.ingredients.evaluation is None:
            return absent(order, variant, Status.REJECTED, NO_EVALUATION)
        outcome = None if force else recalled(self._cache, order.ingredients, variant.recipe)
        return None if outcome is None else locked(model, order, variant, outcome)

    def _made(
        self,
        model: Model,
        order: Order,
        missing: list[Variant],
        watch: Callable[[BuildEvent], None],
        *,
        force: bool,
    ) -> Iterator[tuple[str, LockedArtifact]]:
        """Make what is missing, a thread a variant, each waiting for its workers."""
        if not missing:
            return
        news: queue.SimpleQueue[BuildEvent | BaseException] = queue.SimpleQueue()
        workers = self._workers()
        making = Making(order, self._cache, self._store, workers, force, self._find)

        def one(variant: Variant) -> None:
            began = time.monotonic()
            news.put(Started(variant.name))
            try:
                outcome = making.made(
                    variant.recipe, lambda step: news.put(Working(variant.name, step))
                )
            except BaseException as error:  # noqa: BLE001 raised again in the calling thread
                news.put(error)
                return
            artifact = locked(model, order, variant, outcome)
            took_s = time.monotonic() - began
            log = outcome.measurement.log if isinstance(outcome.measurement, Failure) else ""
            news.put(Finished(variant.name, artifact, cached=False, seconds=took_s, log=log))

        threads = ThreadPoolExecutor(len(missing))
        try:
            for variant in missing:
                threads.submit(one, variant)
            left = len(missing)
            while left:
                event = news.get()
                if isinstance(event, BaseException):
                    raise event
                watch(event)
                if isinstance(event, Finished):
                    left -= 1
                    yield event.variant, event.artifact
        finally:
            workers.stop()
            threads.shutdown(wait=True, cancel_futures=True)
            workers.close()


def _wanted(model: Model, names: Collection[str] | None) -> list[Variant]:
    known = {variant.name: variant for variant in model.variants}
    for name in names or ():
        if name not in known:
            raise NotFound("variant", name, known, hint=f"{model.name} has {', '.join(known)}")
    return [variant for variant in model.variants if names is None or variant.name in names]
