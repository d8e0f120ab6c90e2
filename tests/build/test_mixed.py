"""Mixed precision on real nets: what is sensitive stays float, as far as the gate asks for it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.artifact.lock import LockedModel, Status
from orchestrator.build.anatomy import inspect
from orchestrator.build.cache import Failure
from orchestrator.build.verdict import NO_CALIBRATION, NO_EVALUATION
from orchestrator.catalog.model import Model
from orchestrator.catalog.variant import Format

FRESH = """
import sys
from pathlib import Path
from orchestrator.build.builder import Builder
from orchestrator.build.store import Store
from orchestrator.catalog.model import Model
catalog, site, model = Path(sys.argv[1]), Path(sys.argv[2]), Model.model_validate_json(sys.argv[3])
locked = Builder(catalog, Store(site / "store"), site / ".fleet" / "build").build(model)
print(locked.model_dump_json())
"""


@pytest.fixture(scope="session")
def depthwise(digits):
    """The depthwise net in ONNX, built without TensorFlow."""

    def model(source: str = "depthwise.onnx", **more: object) -> Model:
        given = {
            "evaluation": "onnx-evaluation",
            "calibration": "onnx-calibration",
            "variants": ("onnx-float32", "onnx-int8", "onnx-mixed"),
        }
        return digits(source, **{**given, **more})

    return model


@pytest.fixture(scope="session")
def mixed(shared, depthwise) -> LockedModel:
    return shared.build(depthwise())


def test_a_net_whose_int8_fails_the_gate_passes_with_its_two_most_sensitive_blocks_float(mixed):
    whole, int8, chosen = mixed.artifacts

    assert int8.status is Status.REJECTED
    assert int8.figures.accuracy_drop > 0.1
    assert chosen.status is Status.ACCEPTED
    assert chosen.because == "2 of 8 blocks stayed float: Conv_0, Conv_2 (4 mixtures tried)"
    assert abs(chosen.figures.accuracy_drop) < 0.02
    assert chosen.size_bytes < 0.6 * whole.size_bytes
    assert [(each.kept, each.passed) for each in chosen.mixture.tried] == [
        (0, False),
        (4, True),
        (2, True),
        (1, False),
    ]
    assert chosen.mixture.tried[0].because == int8.because, "the gate is the same one"


def test_the_blocks_around_the_unequal_channels_are_the_sensitive_ones(mixed):
    blocks = mixed.artifact("onnx-mixed").mixture.blocks

    first, rest = blocks[:2], blocks[2:]
    assert len(rest) == 6
    assert max(block.snr_db for block in first) < min(block.snr_db for block in rest) - 20
    assert blocks[0].operations == ("Conv", "Relu")


def test_what_stayed_float_has_float_weights_in_the_file(mixed, shared):
    anatomy = {
        each.variant: inspect(shared.store.path(each.sha256), Format.ONNX)
        for each in mixed.artifacts
    }

    def floats(variant: str) -> int:
        return sum(w.size_bytes for w in anatomy[variant].weights if w.name == "float")

    assert floats("onnx-int8") < floats("onnx-mixed") < floats("onnx-float32")
    assert "QuantizeLinear" in {each.name for each in anatomy["onnx-mixed"].operations}


def test_the_tflite_variant_keeps_the_layers_float_that_people_know_by_name(shared, digits):
    variants = ("tflite-float32", "tflite-int8", "tflite-mixed")

    whole, int8, chosen = shared.build(digits("depthwise.keras", variants=variants)).artifacts

    assert [each.status for each in (whole, int8, chosen)] == [
        Status.ACCEPTED,
        Status.REJECTED,
        Status.ACCEPTED,
    ]
    assert [name.partition("_")[0] for name in chosen.mixture.kept] == ["stem", "deep"]
    assert int8.size_bytes < chosen.size_bytes < 0.7 * whole.size_bytes
    assert {each.dtype for each in inspect_ports(shared, chosen.sha256)} == {"float32"}


def inspect_ports(site, sha256: str):
    anatomy = inspect(site.store.path(sha256), Format.TFLITE)
    return (*anatomy.inputs, *anatomy.outputs)


def test_where_int8_alone_passes_the_mixed_variant_computes_the_same_and_says_so(shared, depthwise):
    _, int8, chosen = shared.build(depthwise("digits.onnx")).artifacts

    assert chosen.status is Status.ACCEPTED
    assert chosen.mixture.kept == ()
    assert len(chosen.mixture.tried) == 1
    assert chosen.because == "int8 alone passes: none of 3 blocks had to stay float"
    assert chosen.golden.sha256 == int8.golden.sha256


def test_where_no_mixture_passes_the_variant_is_rejected_and_says_what_was_tried(
    mixed, shared, depthwise
):
    hopeless = depthwise(
        acceptance={"max_drop": 0, "strict": True, "min_quantized": 0}, variants=("onnx-mixed",)
    )

    chosen = shared.build(hopeless).artifacts[0]

    assert chosen.status is Status.REJECTED
    assert chosen.because.startswith(
        "no mixture short of float32 passes: 4 mixtures tried, in the last one 7 of 8 blocks were "
        "float; inconclusive with 597 samples: accuracy"
    )
    assert not chosen.mixture.passed


def test_other_limits_search_again_and_another_size_limit_only_judges(
    mixed, shared, depthwise, spawned
):
    one = ("onnx-mixed",)

    small = shared.build(depthwise(acceptance={"max_size_bytes": 100}, variants=one)).artifacts[0]
    before = len(spawned)
    loose = shared.build(depthwise(acceptance={"max_accuracy_drop": 0.5}, variants=one)).artifacts[
        0
    ]

    assert before == 0
    assert small.status is Status.REJECTED
    assert "bytes are more than acceptance.max_size_bytes allows (100)" in small.because
    assert small.sha256 == mixed.artifact("onnx-mixed").sha256
    assert len(spawned) == 2, "a search and a measurement; sensitivities depend on no limit"
    assert loose.mixture.kept == ()


def test_without_labels_the_search_goes_by_how_far_outputs_are_from_float32s(shared, depthwise):
    model = depthwise(evaluation="onnx-unlabelled", variants=("onnx-mixed",))

    chosen = shared.build(model).artifacts[0]

    assert chosen.status is Status.ACCEPTED
    assert chosen.figures.value is None
    assert chosen.mixture.kept == ("Conv_0", "Conv_2")
    assert chosen.mixture.tried[0].because.startswith("unlabelled: its outputs deviate too much")
    assert "; unlabelled: signal to deviation" in chosen.because


def test_without_evaluation_data_nothing_is_searched(site, depthwise, spawned):
    model = depthwise(evaluation=None, variants=("onnx-mixed",))

    chosen = site.build(model).artifacts[0]

    assert (chosen.status, chosen.because) == (Status.REJECTED, NO_EVALUATION)
    assert [each for each in spawned if "orchestrator.build.worker" in each][1:] == []


def test_equal_inputs_give_an_equal_mixture_in_another_process_under_another_hash_seed(
    mixed, catalog, depthwise, tmp_path
):
    model = depthwise(variants=("onnx-mixed",)).model_dump_json()

    ended = subprocess.run(
        [sys.executable, "-c", FRESH, str(catalog), str(tmp_path), model],
        env={**os.environ, "PYTHONHASHSEED": "4711"},
        capture_output=True,
        text=True,
        timeout=200,
        check=True,
    )
    fresh = LockedModel.model_validate_json(ended.stdout).artifacts[0]

    mine = mixed.artifact("onnx-mixed")
    assert (fresh.sha256, fresh.key) == (mine.sha256, mine.key)
    assert fresh.mixture == mine.mixture


def test_a_mixed_file_says_by_what_its_search_went(mixed, shared):
    path = shared.store.path(mixed.artifact("onnx-mixed").sha256)

    said = json.loads(dict(inspect(path, Format.ONNX).metadata)["fleet.provenance"])

    assert said["precision"] == "mixed"
    assert len(said["evaluation"]) == len(said["judged_by"]) == 64


def test_sensitivities_can_be_asked_for_alone_and_are_found_out_once(
    mixed, shared, depthwise, spawned
):
    blocks = shared.builder().sensitivity(depthwise(), Format.ONNX)
    missing = shared.builder().sensitivity(depthwise(calibration=None), Format.ONNX)

    assert blocks == mixed.artifact("onnx-mixed").mixture.blocks
    assert missing == Failure(because=NO_CALIBRATION)
    assert spawned == []


@pytest.fixture
def ladder_site(tmp_path: Path, catalog: Path) -> Path:
    inventory = tmp_path / "inventory"
    inventory.mkdir()
    for name in ("models", "data"):
        (inventory / name).symlink_to(catalog / name)
    (tmp_path / "fleet.toml").write_text('inventory = "inventory"\n')
    (inventory / "devices.yaml").write_text("devices: {}\n")
    (inventory / "models.yaml").write_text(
        """
models:
  deep:
    source: models/depthwise.onnx
    version: "1"
    preprocessing: {scale: 0.0625}
    data: {evaluation: data/onnx-evaluation.npz, calibration: data/onnx-calibration.npz}
    variants: [onnx-float32, onnx-int8, onnx-mixed]
"""
    )
    return tmp_path


def fleet(site: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "orchestrator.cli", *words, "--site", str(site)]
    return subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)


def test_the_ladder_goes_down_to_the_first_rung_that_passes_and_what_was_built_can_be_looked_at(
    ladder_site,
):
    page, drawn = ladder_site / "page.html", ladder_site / "front.svg"
    json_ = ("--output", "json")

    built = fleet(ladder_site, "build", "--ladder", "--report", str(page), "--output", "json")
    front = fleet(ladder_site, "pareto", "deep", "--out", str(drawn), "--output", "json")
    shown = fleet(ladder_site, "model", "show", "deep:onnx-mixed")
    plain = fleet(ladder_site, "model", "show", "deep:onnx-mixed", "--output", "json")
    every = fleet(ladder_site, "model", "show", "deep", "--output", "json")
    other = fleet(ladder_site, "model", "diff", "deep:onnx-int8", "deep:onnx-mixed", *json_)
    both = fleet(ladder_site, "build", "--ladder", "--variant", "onnx-int8")

    rows = json.loads(built.stdout)["data"]
    assert [(row["variant"], row["status"]) for row in rows] == [
        ("onnx-int8", "rejected"),
        ("onnx-mixed", "accepted"),
    ], built.stderr
    assert "The search for onnx-mixed" in page.read_text()
    assert "What is sensitive to int8 (onnx)" in page.read_text()
    best = {row["variant"]: row for row in json.loads(front.stdout)["data"]}
    assert best["onnx-mixed"]["low"] < best["onnx-mixed"]["value"] < best["onnx-mixed"]["high"]
    assert drawn.read_text().startswith("<svg")
    assert "Conv_0" in shown.stdout
    for part in ("operations", "weights", "inputs", "figures", "blocks", "provenance"):
        assert f"\n{part}\n" in shown.stdout
    assert "float; " in shown.stdout
    assert "dB signal to deviation where it alone is int8" in " ".join(shown.stdout.split())
    data = json.loads(plain.stdout)["data"]
    assert data["artifact"]["mixture"]["kept"] == ["Conv_0", "Conv_2"]
    assert {each["name"] for each in data["anatomy"]["operations"]} >= {"Conv", "QuantizeLinear"}
    assert [row["variant"] for row in json.loads(every.stdout)["data"]] == [
        "onnx-int8",
        "onnx-mixed",
    ]
    parts = {(row["part"], row["key"]) for row in json.loads(other.stdout)["data"]}
    assert parts >= {
        ("operations", "QuantizeLinear"),
        ("weights", "float"),
        ("figures", "accuracy"),
        ("blocks", "Conv_0"),
        ("provenance", "precision"),
        ("file", "bytes"),
    }
    assert both.returncode == 2
    assert "leave one of them out" in both.stderr
