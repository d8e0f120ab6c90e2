"""What a device judges a variant by: on the same samples it finds what the builder found."""

import importlib.util
import io
import sys
from pathlib import Path

import numpy as np
import pytest

from orchestrator.build.excerpts import excerpts

DEVICE = Path(__file__).parents[2] / "templates" / "device"
VARIANTS = ("tflite-float32", "tflite-int8", "tflite-int8-io", "onnx-float32", "onnx-int8")
RUNTIMES = {"tflite": "litert", "onnx": "onnxruntime"}


@pytest.fixture(scope="module")
def measure():
    sys.path.insert(0, str(DEVICE))  # for its `import smoke`
    writes = sys.dont_write_bytecode
    spec = importlib.util.spec_from_file_location("measure", DEVICE / "measure.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.path.remove(str(DEVICE))
    sys.dont_write_bytecode = writes
    return module


def found_on_a_device(measure, site, artifact, excerpt) -> dict[str, float]:
    """What measure.py finds with the very runtime, model file, golden names and samples."""
    model = site.store.path(artifact.sha256)
    run, _ = measure.smoke.OPEN[RUNTIMES[artifact.format.value]](str(model))
    golden = np.load(io.BytesIO(site.store.read(artifact.golden.sha256)))
    names = [
        sorted(n.partition("_")[2] for n in golden.files if n[:3] == k) for k in ("in_", "out")
    ]
    given = dict(np.load(io.BytesIO(excerpt.content), allow_pickle=False))
    return measure.judged(np, run, None, *names, given, lambda: None)


def of(site, model, locked, most):
    state = site.folder / ".fleet"
    return excerpts(model, locked, VARIANTS, most, state, site.catalog)


def test_on_all_samples_a_device_finds_the_accuracy_that_the_builder_found(measure, shared, digits):
    model = digits(variants=VARIANTS)
    locked = shared.build(model)

    found, why = of(shared, model, locked, 2000)

    assert why == ()
    for artifact in locked.artifacts:
        told = found_on_a_device(measure, shared, artifact, found[artifact.variant])
        assert told == {"value": artifact.figures.value, "samples": artifact.figures.samples}


def test_variants_that_take_the_same_get_the_same_bytes(shared, digits):
    model = digits(variants=VARIANTS)
    locked = shared.build(model)

    found, _ = of(shared, model, locked, 50)
    again, _ = of(shared, model, locked, 50)

    assert len({each.sha256 for each in found.values()}) == 2  # int8-io takes integers
    assert len({each.data for each in found.values()}) == 1
    assert {n: e.sha256 for n, e in found.items()} == {n: e.sha256 for n, e in again.items()}
    arrays = dict(np.load(io.BytesIO(found["tflite-float32"].content), allow_pickle=False))
    assert len(arrays["in_0"]) == len(arrays["y_0"]) == 50


def test_errors_are_those_that_the_builder_found_for_integers_too(measure, shared, digits, catalog):
    with np.load(catalog / "data" / "evaluation.npz") as given:
        y = np.eye(10, dtype=np.float32)[given["y"]]
        np.savez(catalog / "data" / "onehot.npz", x=given["x"], y=y)
    model = digits(
        evaluation="onehot",
        variants=VARIANTS,
        acceptance={"metric": "mse"},
        calibration="calibration",
    )
    locked = shared.build(model)

    found, why = of(shared, model, locked, 2000)

    assert why == ()
    for artifact in locked.artifacts:
        told = found_on_a_device(measure, shared, artifact, found[artifact.variant])
        assert told["value"] == pytest.approx(artifact.figures.value, abs=2e-6)


def test_data_that_is_gone_or_a_model_without_any_is_said_and_nothing_is_judged(shared, digits):
    model = digits(variants=VARIANTS)
    locked = shared.build(model)

    without = of(shared, digits(variants=VARIANTS, evaluation=None), locked, 50)
    gone = of(shared, digits(variants=("tflite-int8",), evaluation="gone"), locked, 50)

    assert without == ({}, ("digits has no evaluation data (data.evaluation)",))
    assert gone[0] == {}
    assert gone[1][0] == "onnx-float32: data/gone.npz: no such file"
