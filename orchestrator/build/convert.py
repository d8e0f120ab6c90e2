"""Source → float32 model of one format, proven against the source on real samples. In a worker."""

import importlib
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from orchestrator.artifact.golden import TOLERANCE
from orchestrator.build import canonical, onnx2tf
from orchestrator.build.failures import BadSource, Unfaithful
from orchestrator.build.jobs import Convert, Made
from orchestrator.build.keras_source import KerasSource, export_onnx, export_tflite, load_keras
from orchestrator.build.onnx_source import OnnxSource, fixed, load_onnx
from orchestrator.build.runtimes import Arrays, Session, opened
from orchestrator.build.samples import SampleSet, checked, expectations
from orchestrator.build.tensors import Tensor, written
from orchestrator.catalog.variant import Format, Precision

COMPARED = 32
"""Samples on which a converted model is compared with its source."""


class Source(Protocol):
    """A model as it was handed in: the names of what it takes and gives, and what it computes."""

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """What it takes; a dimension may be open."""
        ...

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        """What it gives."""
        ...

    def predict(self, feed: Arrays) -> Arrays:
        """Its outputs by name for one sample with a batch of 1."""
        ...


def convert(job: Convert) -> Made:
    """Write the float32 model to ``job.out``.

    Raises:
        BadSource, BadData, BadGolden: what was handed in cannot be meant.
        Unfaithful: the converted model computes something else than its source.
    """
    source = _loaded(Path(job.source), job.shown)
    samples = checked(job.samples, source.inputs)
    wanted = expectations(job.samples, source.outputs) if job.original else {}
    _check_repeats(source, samples)
    _write(job, source, samples.inputs)
    session = opened(Path(job.out), job.recipe.format)
    _check_interface(session, source)
    indices = samples.spread(COMPARED)
    difference = 0.0
    theirs, ours = _both(source, session, samples, indices)
    for output in source.outputs:
        difference = max(difference, _difference(output.name, theirs, ours, "its source"))
    if wanted:
        _check_expectations(session, samples, wanted, job.samples.golden or "")
    return Made(max_abs_diff=difference)


def _loaded(source: Path, shown: str) -> KerasSource | OnnxSource:
    match source.suffix.lower():
        case ".keras" | ".h5" | ".hdf5":
            return load_keras(source, shown)
        case ".onnx":
            return load_onnx(source, shown)
        case suffix:
            raise BadSource(f"unknown kind of source {suffix!r}", file=shown)


def _write(job: Convert, source: KerasSource | OnnxSource, inputs: tuple[Tensor, ...]) -> None:
    out = Path(job.out)
    match source, job.recipe.format:
        case KerasSource(), Format.TFLITE:
            export_tflite(source, inputs, out)
        case KerasSource(), Format.ONNX:
            raw = out.with_suffix(".exported")
            export_onnx(source, inputs, raw)
            model = canonical.parsed(raw.read_bytes())
            canonical.rename_outputs(model, [each.name for each in source.outputs])
            _write_onnx(model, out)
        case OnnxSource(), Format.ONNX:
            _write_onnx(fixed(source, inputs), out)
        case OnnxSource(), Format.TFLITE:
            prepared = out.with_suffix(".fixed.onnx")
            _write_onnx(fixed(source, inputs), prepared)
            names = tuple(each.name for each in inputs)
            onnx2tf.convert(Path(job.onnx2tf or ""), prepared, names, out)


def _write_onnx(model: Any, out: Path) -> None:
    onnx: Any = importlib.import_module("onnx")
    data = canonical.canonical_bytes(model)
    onnx.checker.check_model(canonical.parsed(data))
    out.write_bytes(data)


def _check_interface(session: Session, source: Source) -> None:
    for what, ours, theirs in (
        ("inputs", session.inputs, source.inputs),
        ("outputs", session.outputs, source.outputs),
    ):
        have = sorted(each.tensor.name for each in ours)
        want = sorted(each.name for each in theirs)
        if have != want:
            raise Unfaithful(f"its {what} are {have}, and its source's are {want}")


def _check_repeats(source: Source, samples: SampleSet) -> None:
    once, again = (source.predict(samples.feed(0)) for _ in range(2))
    for name, values in once.items():
        if not np.array_equal(values, again[name], equal_nan=values.dtype.kind == "f"):
            raise Unfaithful(
                f"two runs of the source with the same input differ in output {name!r}: "
                "it draws random numbers, or keeps state"
            )


def _both(
    source: Source, session: Session, samples: SampleSet, indices: list[int]
) -> tuple[Arrays, Arrays]:
    """All outputs of the source and of the converted model, samples along a new first axis."""
    feeds = [samples.feed(index) for index in indices]
    theirs = [source.predict(feed) for feed in feeds]
    ours = [session.run(feed)[0] for feed in feeds]
    return _stacked(theirs), _stacked(ours)


def _stacked(runs: list[Arrays]) -> Arrays:
    return {name: np.stack([run[name] for run in runs]) for name in runs[0]}


def _difference(output: str, theirs: Arrays, ours: Arrays, whose: str) -> float:
    """The greatest difference of one output, if it is within float32's tolerance.

    Raises:
        Unfaithful: it is not; says how far off and how far it may be.
    """
    want, have = theirs[output], ours[output]
    if want.shape != have.shape:
        raise Unfaithful(
            f"output {output!r} has the shape {written(have.shape[1:])}, and {whose} gives "
            f"{written(want.shape[1:])}"
        )
    if want.size == 0:
        return 0.0
    gap = np.abs(want.astype(np.float64) - have.astype(np.float64))
    if want.dtype.kind != "f":
        if gap.any():
            raise Unfaithful(f"integer output {output!r} differs from {whose}")
        return 0.0
    finite = want[np.isfinite(want)]
    span = float(np.ptp(finite)) or float(np.abs(finite).max()) if finite.size else 0.0
    limit = TOLERANCE[Precision.FLOAT32] * max(span, 1e-6)
    if not float(gap.max()) <= limit:
        raise Unfaithful(
            f"output {output!r} is {gap.max():.3g} away from {whose} (limit {limit:.3g})"
        )
    return float(gap.max())


def _check_expectations(session: Session, samples: SampleSet, wanted: Arrays, file: str) -> None:
    for name, expected in wanted.items():
        count = min(len(expected), samples.count)
        runs = [session.run(samples.feed(index))[0] for index in range(count)]
        batched = next(o.tensor.batched for o in session.outputs if o.tensor.name == name)
        given = np.stack([run[name][0] if batched else run[name] for run in runs])
        want = {name: expected[:count].astype(given.dtype)}
        _difference(name, want, {name: given}, f"what {file} expects")
