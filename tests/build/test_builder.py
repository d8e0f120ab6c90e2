"""What a build gives: variants made, measured and judged; nothing made twice; equal bytes again."""

import io
import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest

from orchestrator.artifact.lock import Status
from orchestrator.build.builder import Finished, Started, Working
from orchestrator.build.verdict import NO_CALIBRATION, NO_EVALUATION
from orchestrator.errors import NotFound

FRESH = """
import json, sys
from pathlib import Path
from orchestrator.build.builder import Builder
from orchestrator.build.store import Store
from orchestrator.catalog.model import Model
catalog, site, model = Path(sys.argv[1]), Path(sys.argv[2]), Model.model_validate_json(sys.argv[3])
locked = Builder(catalog, Store(site / "store"), site / ".fleet" / "build").build(model)
heavy = {"tensorflow", "keras", "onnx", "onnxruntime", "numpy", "litert_quantizer"}
print(json.dumps({
    "digests": [[a.variant, a.parts, a.golden and a.golden.sha256] for a in locked.artifacts],
    "heavy": sorted(heavy & set(sys.modules)),
}))
"""


def test_every_variant_of_a_keras_model_is_built_measured_and_accepted(built, shared):
    assert [a.status for a in built.artifacts] == [Status.ACCEPTED] * 6
    for artifact in built.artifacts:
        figures = artifact.figures
        assert artifact.sha256 in shared.store
        assert figures.size_bytes == artifact.size_bytes == len(shared.store.read(artifact.sha256))
        assert figures.accuracy > 0.9
        assert figures.samples == 597
        assert 0 < figures.p50_ms <= figures.p95_ms
    sizes = {a.variant: a.size_bytes for a in built.artifacts}
    assert sizes["tflite-int8"] < 0.5 * sizes["tflite-float32"]
    assert sizes["onnx-int8"] < 0.5 * sizes["onnx-float32"]


def test_golden_cases_hold_what_the_runtime_takes_and_gives(built, shared):
    for artifact in built.artifacts:
        golden = np.load(io.BytesIO(shared.store.read(artifact.golden.sha256)))

        assert sorted(golden.files) == ["in_image", "out_scores"]
        assert golden["in_image"].shape == (8, 1, 8, 8, 1)
        assert golden["in_image"].dtype == golden["out_scores"].dtype == np.float32
        assert golden["in_image"].max() <= 1.0
        assert golden["out_scores"].shape == (8, 1, 10)
        assert [t.output for t in artifact.golden.tolerances] == ["scores"]
        assert 0 < artifact.golden.tolerances[0].max_abs_diff <= 0.05


def test_a_second_build_starts_no_process_and_takes_no_time(built, shared, digits, spawned):
    events = []

    began = time.monotonic()
    again = shared.build(digits(), watch=events.append)

    assert again == built
    assert spawned == []
    assert time.monotonic() - began < 0.5
    assert [event.cached for event in events] == [True] * 6


def test_other_limits_give_another_verdict_and_build_nothing(built, shared, digits, spawned):
    strict = digits(acceptance={"min_accuracy": 0.999}, variants=("tflite-int8",))

    artifact = shared.build(strict).artifacts[0]

    assert artifact.status is Status.REJECTED
    assert artifact.because.endswith("is below the 0.999 that acceptance asks for")
    assert artifact.sha256 == built.artifact("tflite-int8").sha256
    assert spawned == []


def test_only_the_variants_asked_for_are_in_the_result(built, shared, digits):
    locked = shared.build(digits(), variants=["onnx-int8"])

    assert [a.variant for a in locked.artifacts] == ["onnx-int8"]


def test_a_variant_the_model_does_not_have_is_not_found(shared, digits):
    with pytest.raises(NotFound, match="no variant named 'tflite-int4'; did you mean"):
        shared.build(digits(), variants=["tflite-int4"])


def test_bytes_the_store_has_lost_are_made_again(built, shared, digits):
    lost = built.artifact("tflite-float16")
    shared.store.path(lost.sha256).unlink()
    events = []

    again = shared.build(digits(), variants=["tflite-float16"], watch=events.append)

    assert again.artifacts[0].sha256 == lost.sha256
    assert lost.sha256 in shared.store
    assert [type(event) for event in events] == [Started, Working, Working, Finished]


def test_equal_inputs_give_equal_bytes_in_another_site_under_another_hash_seed(
    every, catalog, digits, tmp_path
):
    model = digits(variants=tuple(a.variant for a in every.artifacts)).model_dump_json()

    ended = subprocess.run(
        [sys.executable, "-c", FRESH, str(catalog), str(tmp_path), model],
        env={**os.environ, "PYTHONHASHSEED": "4711"},
        capture_output=True,
        text=True,
        timeout=400,
        check=True,
    )
    fresh = json.loads(ended.stdout)

    known = [[a.variant, list(a.parts), a.golden.sha256] for a in every.artifacts]
    assert fresh["digests"] == known
    assert fresh["heavy"] == [], "the caller has imported a toolchain"


def test_every_variant_of_an_h5_model_is_built_and_accepted(site, digits):
    locked = site.build(digits("digits.h5"))

    assert [(a.status, a.because) for a in locked.artifacts] == [(Status.ACCEPTED, "")] * 6


@pytest.mark.parametrize("calibration", ["zeros", "raw"])
def test_int8_with_unchecked_bad_calibration_data_is_built_measured_and_rejected(
    built, shared, digits, calibration
):
    bad = digits(calibration=calibration, check=False, variants=("tflite-int8", "onnx-int8"))

    for artifact in shared.build(bad).artifacts:
        figures = artifact.figures

        assert artifact.status is Status.REJECTED
        assert artifact.sha256 in shared.store
        assert figures.accuracy_drop > 0.1
        assert artifact.because.startswith(
            f"accuracy {figures.accuracy:.3f} is {figures.accuracy_drop:.3f} below float32's "
            f"{figures.accuracy + figures.accuracy_drop:.3f} (95 % interval of the gain -0."
        )


def test_without_calibration_data_int8_is_rejected_and_says_what_to_do(built, shared, digits):
    locked = shared.build(digits(calibration=None))

    because = {a.variant: a.because for a in locked.artifacts if a.status is Status.REJECTED}
    assert because == {"tflite-int8": NO_CALIBRATION, "onnx-int8": NO_CALIBRATION}


def test_without_labels_outputs_far_from_float32_are_rejected(site, digits):
    model = digits(
        "digits.onnx",
        evaluation="onnx-unlabelled",
        calibration="onnx-raw",
        check=False,
        variants=("onnx-int8",),
    )

    artifact = site.build(model).artifacts[0]

    assert artifact.status is Status.REJECTED
    assert artifact.figures.accuracy is None
    assert artifact.because.startswith("unlabelled: its outputs deviate too much from float32's")


def test_without_evaluation_data_only_float32_is_accepted(site, digits):
    variants = ("onnx-float32", "onnx-int8")
    model = digits(
        "digits.onnx", evaluation=None, calibration="onnx-calibration", variants=variants
    )

    full, small = site.build(model).artifacts

    assert (full.status, full.figures.accuracy) == (Status.ACCEPTED, None)
    assert (small.status, small.because) == (Status.REJECTED, NO_EVALUATION)


def test_several_inputs_and_outputs_and_refused_layer_names_are_built(site, digits):
    two = digits("two.keras", evaluation="two", calibration=None, variants=("tflite-float32",))
    named = digits(
        "names.keras", evaluation="vectors", calibration=None, variants=("tflite-float32",)
    )

    first, second = (site.build(model).artifacts[0] for model in (two, named))

    assert [first.status, second.status] == [Status.ACCEPTED] * 2
    assert [t.output for t in first.golden.tolerances] == ["first", "second"]


def test_a_function_of_ones_own_judges_and_a_change_of_it_measures_again(
    built, shared, digits, catalog, spawned
):
    function = catalog / "data/own.py"
    function.write_text("def sure(outputs, y):\n    return outputs['scores'][range(len(y)), y]\n")
    metric = {"name": "python", "entry": "data/own.py:sure"}
    model = digits(acceptance={"metric": metric}, variants=("onnx-int8",))

    figures = shared.build(model).artifacts[0].figures
    first = len(spawned)
    function.write_text("def sure(outputs, y):\n    return -y * 1.0\n")
    changed = shared.build(model).artifacts[0]

    assert figures.metric == "python"
    assert 0.8 < figures.value < 1
    assert figures.low <= figures.difference <= figures.high
    assert (first, len(spawned)) == (1, 2)
    assert changed.sha256 == built.artifact("onnx-int8").sha256
    assert changed.figures.difference == 0


def test_too_little_evaluation_data_is_accepted_with_the_number_that_would_do(
    built, shared, digits, catalog
):
    whole = np.load(catalog / "data/evaluation.npz")
    np.savez(catalog / "data/little.npz", x=whole["x"][:60], y=whole["y"][:60])
    variants = ("onnx-float32", "onnx-int8")

    loose = shared.build(digits(evaluation="little", variants=variants))
    strict = shared.build(
        digits(evaluation="little", variants=variants, acceptance={"strict": True})
    )

    assert [a.status for a in loose.artifacts] == [Status.ACCEPTED, Status.ACCEPTED]
    assert loose.artifacts[1].because.startswith("inconclusive with 60 samples: accuracy")
    assert "samples would decide it" in loose.artifacts[1].because
    assert [a.status for a in strict.artifacts] == [Status.ACCEPTED, Status.REJECTED]
