"""What people hand in: read, or refused in words that say what to do, never with a traceback."""

import io
import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from orchestrator.artifact.lock import Status
from orchestrator.build.failures import BadSource
from orchestrator.build.nature import quantized
from orchestrator.build.provenance import read
from orchestrator.catalog.variant import Format

VECTORS = {"evaluation": "vectors", "calibration": None}
FLOAT = {**VECTORS, "variants": ("tflite-float32",)}


@pytest.fixture
def own(catalog, site):
    """A catalog of its own: a copy by links, to which a test may add files."""
    folder = site.folder / "catalog"
    for name in ("models", "data"):
        (folder / name).mkdir(parents=True)
        for file in (catalog / name).iterdir():
            (folder / name / file.name).symlink_to(file)
    return type(site)(site.folder, folder)


def test_a_saved_model_with_a_number_integers_and_an_open_axis_is_built(site, digits):
    model = digits("mixed", evaluation="mixed", calibration=None, variants=("tflite-float32",))

    artifact = site.build(model).artifacts[0]
    golden = np.load(io.BytesIO(site.store.read(artifact.golden.sha256)))

    assert (artifact.status, artifact.because) == (Status.ACCEPTED, "")
    assert golden["in_factor"].shape == (8,)
    assert golden["in_series"].shape == (8, 1, 7)
    assert golden["in_numbers"].dtype == golden["out_most"].dtype == np.int32
    assert {t.output: t.max_abs_diff for t in artifact.golden.tolerances}["most"] == 0.0
    assert "tf-keras" in read(site.store.path(artifact.sha256))["tools"]


def test_a_model_that_keeps_state_is_compared_from_a_fresh_start_each_time(site, digits):
    model = digits("memory.keras", evaluation="steps", calibration=None, variants=FLOAT["variants"])

    artifact = site.build(model).artifacts[0]
    golden = np.load(io.BytesIO(site.store.read(artifact.golden.sha256)))

    assert (artifact.status, artifact.because) == (Status.ACCEPTED, "")
    assert "stateful" in golden.files


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("lambda.keras", "the Lambda layer 'double'"),
        ("lambda.h5", "the Lambda layer 'double'"),
        ("old-lambda.h5", "the Lambda layer 'own'"),
        ("writing", "the operation WriteFile"),
    ],
)
def test_code_inside_a_model_is_refused_before_it_is_loaded(site, digits, source, what):
    with pytest.raises(BadSource) as refused:
        site.build(digits(source, **FLOAT))

    assert str(refused.value) == (
        f"models/{source}: it holds {what}, which is code and would run when the model is loaded"
    )
    assert refused.value.hint == (
        "save the model again without it; or, if you trust whoever made it: fleet build --trust"
    )


def test_code_that_is_trusted_is_let_run_says_so_in_the_file_and_stays_refused_elsewhere(
    site, digits, spawned
):
    model = digits("lambda.keras", **FLOAT)

    artifact = site.builder(trust=True).build(model).artifacts[0]
    spawned.clear()

    assert (artifact.status, artifact.because) == (Status.ACCEPTED, "")
    assert read(site.store.path(artifact.sha256))["trusted"] == "the Lambda layer 'double'"
    with pytest.raises(BadSource, match="the Lambda layer 'double', which is code"):
        site.build(model)
    assert spawned == []


@pytest.mark.parametrize(
    ("source", "message", "hint"),
    [
        (
            "bare",
            "no signature 'serving_default' to ask it by (it has none)",
            "export it with Keras: model.export(folder), or "
            "tf.saved_model.save(model, folder, signatures)",
        ),
        (
            "words",
            "input 'words' is string, and only tensors of numbers are supported",
            "export the part of the model behind the text or table lookup",
        ),
        (
            "old-custom.h5",
            "Keras 2 cannot load it: Unknown layer: 'Attention2'.",
            "custom layers are not supported: export a SavedModel where they are known",
        ),
        (
            "some.weights.h5",
            "it holds weights only, and no model",
            "save the whole model: model.save('name.keras')",
        ),
    ],
)
def test_what_cannot_be_asked_is_refused_by_name(site, digits, source, message, hint):
    with pytest.raises(BadSource) as refused:
        site.build(digits(source, **FLOAT))

    assert str(refused.value).startswith(f"models/{source}: {message}")
    assert refused.value.hint == hint


def test_a_folder_or_a_file_that_is_no_model_is_refused_before_anything_starts(
    own, digits, spawned
):
    models = own.catalog / "models"
    (models / "empty").mkdir()
    said = {}

    for name in ("empty", "mixed/saved_model.pb"):
        with pytest.raises(BadSource) as refused:
            own.build(digits(name, **FLOAT, name="odd"))
        said[name] = (str(refused.value), refused.value.hint)

    assert said["empty"] == (
        "models/empty: a folder without a saved_model.pb, so no SavedModel",
        "name the folder that saved_model.pb lies in, or a model file",
    )
    assert said["mixed/saved_model.pb"] == (
        "models/mixed/saved_model.pb: unknown kind of source '.pb'",
        "name the folder that it lies in, which is a SavedModel",
    )
    assert spawned == []


def test_a_saved_model_is_known_by_all_of_its_files(own, digits):
    place = own.catalog / "models/copy"
    place.mkdir()
    for file in (own.catalog / "models/mixed").rglob("*"):
        if file.is_file():
            target = place / file.relative_to(own.catalog / "models/mixed")
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(file.read_bytes())
    model = digits("copy", evaluation="mixed", calibration=None, variants=("tflite-as-is",))

    first = own.build(model).source
    os.utime(place / "saved_model.pb")
    (place / "fingerprint.pb").unlink()
    same = own.build(model).source
    weights = place / "variables/variables.data-00000-of-00001"
    weights.write_bytes(weights.read_bytes()[::-1])

    assert first == same != own.build(model).source


def test_a_float32_tflite_file_is_quantized_further_and_a_quantized_one_is_taken_as_it_is(
    built, shared, own, digits
):
    models = own.catalog / "models"
    for name in ("tflite-float32", "tflite-int8"):
        (models / f"{name}.tflite").write_bytes(shared.store.read(built.artifact(name).sha256))
    variants = ("tflite-as-is", "tflite-float32", "tflite-int8", "onnx-float32", "onnx-as-is")

    full = own.build(digits("tflite-float32.tflite", variants=variants))
    small = own.build(digits("tflite-int8.tflite", variants=variants[:3]))

    as_is, again, int8, other, strange = full.artifacts
    assert [each.status for each in full.artifacts[:3]] == [Status.ACCEPTED] * 3
    assert as_is.sha256 == built.artifact("tflite-float32").sha256
    assert as_is.golden.tolerances[0].max_abs_diff < 2e-3
    assert again.figures.accuracy == as_is.figures.accuracy
    assert int8.size_bytes < 0.5 * as_is.size_bytes
    assert (other.status, other.because) == (
        Status.UNBUILDABLE,
        "a .tflite source gives TFLite variants only: "
        "hand in the Keras model, SavedModel or .onnx it was made from",
    )
    assert (strange.status, strange.because) == (
        Status.UNBUILDABLE,
        "only a .onnx source can be taken as it is: leave out onnx-as-is, or hand in such a file",
    )
    kept, *lost = small.artifacts
    named = quantized(models / "tflite-int8.tflite", Format.TFLITE)
    assert (kept.status, kept.sha256) == (Status.ACCEPTED, built.artifact("tflite-int8").sha256)
    assert kept.golden.tolerances[0].max_abs_diff > 0.01
    assert {(each.status, each.because) for each in lost} == {
        (
            Status.UNBUILDABLE,
            f"its source is quantized already ({named}), and what that lost does not come back: "
            "take it as it is (tflite-as-is), or hand in the float32 model",
        )
    }
    assert named.startswith("tensor ")
    assert named.endswith(" is int8")


def test_a_quantized_onnx_file_is_taken_as_it_is_and_gives_nothing_else(built, shared, own, digits):
    quantized_file = own.catalog / "models/small.onnx"
    quantized_file.write_bytes(shared.store.read(built.artifact("onnx-int8").sha256))

    kept, lost = own.build(digits("small.onnx", variants=("onnx-as-is", "onnx-int8"))).artifacts

    assert (kept.status, kept.sha256) == (Status.ACCEPTED, built.artifact("onnx-int8").sha256)
    assert lost.status is Status.UNBUILDABLE
    assert lost.because.startswith("its source is quantized already (it has ")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<html>", "not a .tflite file: it lacks the mark TFL3"),
        (b"\x1c\0\0\0TFL3" + bytes(8), "LiteRT cannot run it: "),
    ],
)
def test_a_file_that_only_calls_itself_tflite_is_refused(own, digits, content, message):
    (own.catalog / "models/web.tflite").write_bytes(content)

    with pytest.raises(BadSource) as refused:
        own.build(digits("web.tflite", **VECTORS, variants=("tflite-as-is",)))

    assert str(refused.value).startswith(f"models/web.tflite: {message}")


def test_outputs_that_are_no_tensors_are_named(own, digits):
    nodes = [
        helper.make_node("SequenceConstruct", ["vector"], ["all"]),
        helper.make_node("Identity", ["vector"], ["same"]),
    ]
    several = helper.make_tensor_sequence_value_info("all", TensorProto.FLOAT, None)
    save(own.catalog / "models/sequence.onnx", nodes, [several])

    with pytest.raises(BadSource) as refused:
        own.build(digits("sequence.onnx", **VECTORS, variants=("onnx-float32",)))

    assert str(refused.value) == (
        "models/sequence.onnx: 'all' is seq(tensor(float)); only tensors of numbers are supported"
    )
    assert refused.value.hint == (
        "export it without: for scikit-learn, options={'zipmap': False}; leave text outside"
    )


def test_an_onnx_model_of_a_forgotten_operator_set_is_lifted(own, digits):
    nodes = [helper.make_node("Add", ["vector", "vector"], ["out"])]
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, ["batch", 4])
    save(own.catalog / "models/old.onnx", nodes, [out], opset=6)

    artifact = own.build(digits("old.onnx", **VECTORS, variants=("onnx-float32",))).artifacts[0]

    assert (artifact.status, artifact.because) == (Status.ACCEPTED, "")
    assert onnx.load(own.store.path(artifact.sha256)).opset_import[0].version == 13


def save(file: Path, nodes: list[onnx.NodeProto], outputs: list[object], opset: int = 17) -> None:
    given = helper.make_tensor_value_info("vector", TensorProto.FLOAT, ["batch", 4])
    graph = helper.make_graph(nodes, "odd", [given], outputs)
    opsets = [helper.make_opsetid("", opset)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), file)
