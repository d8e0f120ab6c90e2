"""Every variant beside the default ones: made, judged, proved on the device, the same bytes again."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from orchestrator.artifact.lock import LockedModel, Status
from orchestrator.build import ortformat, provenance
from orchestrator.build.dissection import dissected
from orchestrator.build.runtimes import opened
from orchestrator.catalog.variant import BUILDABLE, DEFAULT, RUNS, Format, Precision
from orchestrator.values import canonical

SMOKE = Path(__file__).parents[2] / "templates/device/smoke.py"
MADE = {
    name: recipe
    for name, recipe in BUILDABLE.items()
    if recipe.precision is not Precision.AS_IS and not recipe.format.compiled
}
OTHERS = tuple(name for name in MADE if name not in DEFAULT)
QUANTIZED = tuple(name for name, recipe in MADE.items() if recipe.precision.integers)


def file_of(site, artifact) -> Path:
    return site.store.path(artifact.sha256)


def anatomy_of(site, artifact):
    return dissected(file_of(site, artifact), artifact.format)


def released(site, locked: LockedModel, variant: str, folder: Path) -> Path:
    """A release as a device has it."""
    manifest = locked.manifest(variant)
    (folder / "manifest.json").write_bytes(manifest.data)
    for file in manifest.files:
        data = manifest.written(file.path)
        (folder / file.path).write_bytes(site.store.read(file.sha256) if data is None else data)
    return folder


@pytest.mark.parametrize("variant", OTHERS)
def test_every_other_variant_is_built_and_accepted_and_passes_its_smoke_test(
    every, shared, variant, tmp_path
):
    release, home = tmp_path / "release", tmp_path / "home"
    release.mkdir()
    home.mkdir()

    artifact = every.artifact(variant)
    runtime = RUNS[artifact.format][0].value
    done = subprocess.run(
        [sys.executable, str(SMOKE), str(released(shared, every, variant, release)), runtime, "60"],
        env={**os.environ, "HOME": str(home)},
        capture_output=True,
        timeout=90,
        check=True,
    )
    report = json.loads(done.stdout)

    why = (
        f"int8 alone passes: none of {len(artifact.mixture.blocks)} blocks had to stay float"
        if artifact.mixture
        else ""
    )
    assert (artifact.status, artifact.because) == (Status.ACCEPTED, why)
    assert artifact.figures.accuracy > 0.95
    assert report["passed"], report
    assert report["cases"] == 8
    assert list(home.iterdir()) == [], "a runtime keeps a record for its maker"


@pytest.mark.parametrize("variant", QUANTIZED)
def test_every_operation_that_multiplies_is_counted_and_quantized(every, variant):
    figures = every.artifact(variant).figures

    assert (figures.operations, figures.quantized, figures.kept_float) == (3, 3, ())


def test_floats_count_no_quantized_operations(every):
    floats = [every.artifact(name).figures for name in MADE if name not in QUANTIZED]

    assert {(f.operations, f.quantized) for f in floats} == {(None, None)}


def test_integer_inputs_and_outputs_have_a_scale_and_a_zero_and_goldens_are_integers(every, shared):
    artifact = every.artifact("tflite-int8-io")

    (taken,), (given,) = anatomy_of(shared, artifact).inputs, anatomy_of(shared, artifact).outputs
    golden = np.load(io.BytesIO(shared.store.read(artifact.golden.sha256)))

    assert (taken.dtype, given.dtype) == ("int8", "int8")
    assert (taken.scale, taken.zero) == (pytest.approx(1 / 255), -128)
    assert (given.scale, given.zero) == (pytest.approx(1 / 256), -128)
    assert golden["in_image"].dtype == golden["out_scores"].dtype == np.int8
    assert [t.max_abs_diff for t in artifact.golden.tolerances] == [12.0], "steps of 255"


def test_sixteen_bits_between_the_operations_and_eight_in_the_weights(every, shared):
    anatomy = anatomy_of(shared, every.artifact("tflite-int16x8"))

    assert {port.dtype for port in (*anatomy.inputs, *anatomy.outputs)} == {"float32"}
    assert {kind.activations for kind in anatomy.coverage.kinds} == {1, 2}
    assert "int8" in {each.name for each in anatomy.weights}


def test_weight_only_int8_computes_in_float(every, shared):
    anatomy = anatomy_of(shared, every.artifact("tflite-int8-weights"))

    assert anatomy.coverage.quantized(Precision.INT8_WEIGHTS) == 3
    assert anatomy.coverage.quantized(Precision.INT8) == 0


def test_half_precision_is_inside_and_floats_are_at_the_edges(every, shared):
    half, full = (anatomy_of(shared, every.artifact(f"onnx-float{n}")) for n in (16, 32))

    assert {each.name for each in half.weights} == {"float16", "int64"}
    assert (half.inputs, half.outputs) == (full.inputs, full.outputs)


def test_symmetric_int8_has_no_zero_point_but_zero_and_no_integer_bias(every, shared):
    model = onnx.load(str(file_of(shared, every.artifact("onnx-int8-symmetric"))))
    held = {each.name: onnx.numpy_helper.to_array(each) for each in model.graph.initializer}
    nodes = [n for n in model.graph.node if n.op_type in ("QuantizeLinear", "DequantizeLinear")]
    read = [held[n.input[0]].dtype for n in nodes if n.input[0] in held]

    assert {held[n.input[2]].dtype.name for n in nodes} == {"int8"}
    assert all((held[n.input[2]] == 0).all() for n in nodes)
    assert [dtype.name for dtype in read] == ["int8"] * 3, "the weights of three operations"


def test_int8_is_exact_on_processors_that_would_clip_sums_of_products(every, shared):
    samples = np.load(shared.catalog / "data/evaluation.npz")["x"][:200].astype(np.float32) / 16
    sessions = [
        opened(file_of(shared, every.artifact(name)), BUILDABLE[name].format)
        for name in ("onnx-int8", "ort-int8")
    ]

    onnx_outputs, ort_outputs = (
        np.stack([session.run({"image": each[None]})[0]["scores"] for each in samples])
        for session in sessions
    )
    accuracies = [every.artifact(n).figures.accuracy for n in ("onnx-float32", "ort-int8")]

    assert np.array_equal(onnx_outputs, ort_outputs)
    assert abs(accuracies[0] - accuracies[1]) < 0.005


def test_the_table_that_differs_between_processes_is_sorted_in_an_ort_file(every, shared):
    data = file_of(shared, every.artifact("ort-int8")).read_bytes()

    kinds = [kind for kind, _ in ortformat.kernel_types(ortformat.session(data))]
    again = ortformat.canonical(data)

    assert again == data
    assert kinds == sorted(kinds)
    assert "com.microsoft:QLinearConv:1" in kinds


def test_an_ort_file_gives_the_same_bytes_in_every_process(tmp_path):
    model, script = tmp_path / "chain.onnx", "import sys; from pathlib import Path; "
    script += "from orchestrator.build.ortformat import write; write(*map(Path, sys.argv[1:]))"
    onnx.save(chain(), model)

    written = []
    for seed in ("1", "2", "3"):
        out = tmp_path / f"{seed}.ort"
        argv = [sys.executable, "-c", script, str(model), str(out)]
        subprocess.run(argv, env={**os.environ, "PYTHONHASHSEED": seed}, timeout=60, check=True)
        written.append(out.read_bytes())

    assert len(written[0]) > 80_000
    assert written[0] == written[1] == written[2]


def chain() -> onnx.ModelProto:
    """Eighty products with five kinds of activations: many tensors, many kinds, much to mix up."""
    draw, held, nodes, last = np.random.default_rng(1), [], [], "x"
    for i in range(80):
        held.append(onnx.numpy_helper.from_array(draw.random((16, 16), np.float32), f"w{i}"))
        nodes.append(onnx.helper.make_node("MatMul", [last, f"w{i}"], [f"m{i}"]))
        kind = ("Sigmoid", "Tanh", "Erf", "Softplus", "Elu")[i % 5]
        nodes.append(onnx.helper.make_node(kind, [f"m{i}"], [f"a{i}"]))
        last = f"a{i}"
    ends = (
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 16])
        for name in ("x", last)
    )
    graph = onnx.helper.make_graph(nodes, "chain", [next(ends)], [next(ends)], held)
    opset = [onnx.helper.make_opsetid("", 17)]
    return onnx.helper.make_model(graph, opset_imports=opset, ir_version=8)


def test_openvino_is_two_files_that_are_measured_released_and_kept_together(every, shared, digits):
    artifact = every.artifact("openvino-int8")
    sizes = {f.path: f.size_bytes for f in every.manifest("openvino-int8").files}

    shared.store.path(artifact.weights.sha256).unlink()
    again = shared.build(digits(variants=("openvino-int8",))).artifacts[0]

    assert sizes["model.xml"] + sizes["model.bin"] == artifact.figures.size_bytes
    assert {artifact.sha256, artifact.weights.sha256} <= every.digests
    assert again.weights == artifact.weights
    assert artifact.weights.sha256 in shared.store


def test_float32_in_another_format_is_measured_against_the_one_it_was_made_from(every):
    for variant in ("ort-float32", "openvino-float32"):
        figures = every.artifact(variant).figures

        assert figures.difference == 0
        assert figures.max_abs_diff < 1e-5


@pytest.mark.parametrize("variant", OTHERS)
def test_every_file_says_from_what_and_how_it_was_made(every, shared, variant):
    said = provenance.read(file_of(shared, every.artifact(variant)))

    assert (said["format"], said["precision"]) == tuple(
        BUILDABLE[variant].model_dump(mode="json")[key] for key in ("format", "precision")
    )
    assert canonical(said) == canonical(json.loads(json.dumps(said, sort_keys=True)))


def test_ports_of_translated_files_are_those_of_the_model(every, shared):
    want = anatomy_of(shared, every.artifact("onnx-float32"))
    for variant in ("ort-float32", "openvino-float32"):
        have = anatomy_of(shared, every.artifact(variant))

        for mine, theirs in ((have.inputs, want.inputs), (have.outputs, want.outputs)):
            assert [(p.name, p.shape) for p in mine] == [(p.name, p.shape) for p in theirs]
        assert sum(each.count for each in have.operations) > 3
        assert sum(each.size_bytes for each in have.weights) > 30_000


def test_a_model_of_which_nothing_can_be_quantized_is_rejected_with_the_reason(site, digits):
    model = digits(
        "lstm.onnx",
        evaluation="sequences",
        calibration="sequences",
        scale=1.0,
        variants=("onnx-float32", "onnx-int8"),
    )
    lenient = model.model_copy(
        update={"acceptance": model.acceptance.model_copy(update={"min_quantized": 0.0})}
    )

    full, small = site.build(model).artifacts
    kept = site.build(lenient).artifacts[1]

    assert full.status is Status.ACCEPTED
    assert small.status is Status.REJECTED
    assert small.because == (
        "called quantized, but 0 of 1 operations that multiply are (left in float: LSTM), "
        "and acceptance.min_quantized is 0.5"
    )
    assert kept.status is Status.ACCEPTED
    assert small.format is Format.ONNX
