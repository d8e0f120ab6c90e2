"""Pruned variants of trained nets: what is gone, what it costs, what it buys, and what is refused.

The models of one site are built once by ``fleet build`` and looked at by every test; TensorFlow
has to start for each source and each conversion, which is what takes the time.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from orchestrator.artifact.lock import Lock, LockedArtifact, Status, read_lock
from orchestrator.build import provenance
from orchestrator.build.jobs import Prune, Samples
from orchestrator.build.prune_onnx import prune_onnx
from orchestrator.build.runtimes import OnnxSession
from orchestrator.build.store import Store
from orchestrator.catalog.model import Preprocessing
from orchestrator.catalog.pruning import Pruning

MODELS = """
models:
  chain:
    source: models/chain.keras
    version: "1"
    preprocessing: {scale: 0.0625}
    data: &data
      calibration: data/calibration.npz
      evaluation: data/evaluation.npz
      training: data/training.npz
    variants:
      tflite-float32:
      tflite-int8:
      tflite-float32-pruned-80: {pruning: {sparsity: 0.8, schedule: polynomial, epochs: 2}}
      tflite-int8-pruned-80: {pruning: {sparsity: 0.8, schedule: polynomial, epochs: 2}}
      tflite-float32-pruned-half: {pruning: {channels: 0.5, epochs: 3}}
  normed:
    source: models/normed.onnx
    version: "1"
    preprocessing: {scale: 0.0625}
    data: {calibration: data/onnx-calibration.npz, evaluation: data/onnx-evaluation.npz}
    variants:
      onnx-float32:
      onnx-int8:
      onnx-float32-pruned: {pruning: {sparsity: 0.3}}
      onnx-int8-pruned: {pruning: {sparsity: 0.3}}
      onnx-float32-pruned-95: {pruning: {sparsity: 0.95}}
"""


@dataclass(frozen=True, slots=True)
class Pruned:
    """A site whose models were built."""

    folder: Path

    @property
    def store(self) -> Store:
        return Store(self.folder / ".fleet" / "store")

    @property
    def logs(self) -> list[str]:
        return sorted(file.name for file in (self.folder / ".fleet/build/logs").iterdir())

    @property
    def lock(self) -> Lock:
        return read_lock((self.folder / "inventory" / "fleet.lock").read_text(), "fleet.lock")

    def artifact(self, model: str, variant: str) -> LockedArtifact:
        found = self.lock.find(model)
        artifact = found and found.artifact(variant)
        assert artifact is not None
        return artifact

    def run(self, *words: str) -> str:
        ended = subprocess.run(
            [sys.executable, "-m", "orchestrator.cli", *words, "--site", str(self.folder)],
            capture_output=True,
            text=True,
            timeout=500,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout


@pytest.fixture(scope="session")
def prunable(catalog: Path) -> Path:
    """The catalog with the models of prunable.py."""
    script = Path(__file__).with_name("prunable.py")
    subprocess.run(
        [sys.executable, str(script), str(catalog)], check=True, timeout=300, capture_output=True
    )
    return catalog


@pytest.fixture(scope="session")
def pruned(prunable: Path, tmp_path_factory: pytest.TempPathFactory) -> Pruned:
    folder = tmp_path_factory.mktemp("pruned")
    (folder / "fleet.toml").write_text('inventory = "inventory"\n')
    (folder / "inventory").mkdir()
    for name in ("models", "data"):
        (folder / "inventory" / name).symlink_to(prunable / name)
    (folder / "inventory" / "models.yaml").write_text(MODELS)
    site = Pruned(folder)
    site.run("build")
    return site


@pytest.fixture(scope="session")
def cases(prunable: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What came of every case of prune_cases.py, in another process under another hash seed."""
    script = Path(__file__).with_name("prune_cases.py")
    ended = subprocess.run(
        [sys.executable, str(script), str(prunable), str(tmp_path_factory.mktemp("cases"))],
        env={**os.environ, "PYTHONHASHSEED": "4711"},
        capture_output=True,
        text=True,
        timeout=500,
        check=True,
    )
    found: dict[str, dict[str, Any]] = json.loads(ended.stdout.splitlines()[-1])
    return found


def test_a_pruned_variant_is_judged_against_the_float32_model_that_is_not(pruned):
    plain = pruned.artifact("chain", "tflite-float32")

    for name in ("tflite-float32-pruned-80", "tflite-int8-pruned-80", "tflite-float32-pruned-half"):
        artifact = pruned.artifact("chain", name)

        assert artifact.status in (Status.ACCEPTED, Status.DOMINATED)  # by what is as fast
        assert artifact.figures.reference == plain.figures.value
        assert artifact.figures.value > 0.9
        assert artifact.figures.max_abs_diff > 0.01


def test_fine_tuned_to_80_per_cent_the_file_compresses_to_less_and_is_as_large_as_before(pruned):
    said = json.loads(pruned.run("model", "show", "chain:tflite-int8-pruned-80", "-o", "json"))

    bought = said["data"]["pruning"]
    assert sum(each["left"] for each in bought["sparsity"]["layers"]) == round(0.2 * 13584)
    assert bought["pruned"]["zstd_bytes"] < 0.6 * bought["twin"]["zstd_bytes"]
    assert bought["pruned"]["size_bytes"] > 0.95 * bought["twin"]["size_bytes"]
    assert "sparsity does not make it faster: p50 " in bought["words"]


def test_the_zeros_that_were_counted_are_in_the_file_that_is_deployed(pruned):
    artifact = pruned.artifact("normed", "onnx-float32-pruned")

    model = onnx.load_model_from_string(pruned.store.read(artifact.sha256))

    kernels = [
        onnx.numpy_helper.to_array(each) for each in model.graph.initializer if len(each.dims) > 1
    ]
    zeros = sum(int((each == 0).sum()) for each in kernels)
    assert artifact.sparsity.share == pytest.approx(0.3, abs=0.001)
    assert zeros == round(0.3 * (288 + 2048 + 640))


def test_half_the_channels_make_a_smaller_model(pruned):
    plain = pruned.artifact("chain", "tflite-float32")
    half = pruned.artifact("chain", "tflite-float32-pruned-half")

    channels = {each.name: each.channels for each in half.sparsity.layers}
    assert channels == {"first": 8, "second": 16, "hidden": 32, "scores": 10}
    assert half.size_bytes < 0.5 * plain.size_bytes
    assert half.sparsity.share == pytest.approx(1 - 3592 / 13584, abs=0.001)


def test_too_much_at_once_is_built_and_the_gate_says_no(pruned):
    artifact = pruned.artifact("normed", "onnx-float32-pruned-95")

    assert artifact.status is Status.REJECTED
    assert artifact.sparsity.share == pytest.approx(0.95, abs=0.001)
    assert "below float32's" in artifact.because


def test_one_pruned_source_serves_all_its_variants(pruned):
    prunings = [name for name in pruned.logs if name.endswith("-prune.log")]

    assert len(prunings) == 4
    assert len([name for name in prunings if name.startswith("chain-")]) == 2


def test_a_second_build_makes_nothing_and_shows_what_is_gone(pruned):
    logs = {file.name: file.stat().st_mtime_ns for file in _logs(pruned)}

    rows = json.loads(pruned.run("build", "-o", "json"))["data"]
    table = pruned.run("build")

    assert {row["variant"]: row.get("sparsity") for row in rows if row["model"] == "chain"} == {
        "tflite-float32": None,
        "tflite-int8": None,
        "tflite-float32-pruned-80": pytest.approx(0.8, abs=0.001),
        "tflite-int8-pruned-80": pytest.approx(0.8, abs=0.001),
        "tflite-float32-pruned-half": pytest.approx(0.736, abs=0.001),
    }
    assert {row["built"] for row in rows} == {"cached"}
    assert "SPARSITY" in table
    assert {file.name: file.stat().st_mtime_ns for file in _logs(pruned)} == logs


def test_the_page_shows_a_pruned_variant_beside_its_twin(pruned):
    page = pruned.folder / "report.html"

    pruned.run("build", "chain", "--report", str(page))

    html = page.read_text()
    assert "What pruning buys" in html
    assert "sparsity does not make it faster: p50 " in html
    assert "channels are gone, so there is less to compute" in html


def test_a_rebuild_elsewhere_gives_the_same_bytes(pruned):
    rows = json.loads(pruned.run("build", "normed", "--verify", "-o", "json"))["data"]

    assert {row["variant"] for row in rows if "pruned" in row["variant"]} == {
        "onnx-float32-pruned",
        "onnx-int8-pruned",
        "onnx-float32-pruned-95",
    }
    assert {row["status"] for row in rows} == {"equal"}


def test_fine_tuned_weights_are_the_same_in_another_process(pruned, cases):
    assert cases["polynomial"]["sha256"] in pruned.store


def test_a_file_says_how_it_was_pruned(pruned):
    tuned, plain = (
        provenance.read(pruned.store.path(pruned.artifact("chain", name).sha256))
        for name in ("tflite-float32-pruned-80", "tflite-float32")
    )

    assert tuned["source"] == plain["source"]
    assert tuned["pruning"]["schedule"] == "polynomial"
    assert len(tuned["training"]) == 64
    assert "pruning" not in plain


def test_one_threshold_spares_small_layers_and_one_by_layer_does_not(cases):
    together, each = cases["polynomial"]["left"], cases["by layer"]["left"]

    assert together["first"][0] / together["first"][1] > 0.4
    assert {left / weights for left, weights in each.values()} == {0.5}
    assert cases["threshold"]["share"] > 0.1


def test_the_same_net_loses_the_same_weights_in_keras_and_in_onnx(prunable, cases, tmp_path):
    sparsity = prune_onnx(_onnx_job(prunable, tmp_path / "out", Pruning(sparsity=0.5)))

    onnx_left = {each.name.removesuffix(".w"): each.left for each in sparsity.layers}
    assert onnx_left == {name: left for name, (left, _) in cases["normed"]["left"].items()}
    assert sparsity.renormalized == cases["normed"]["renormalized"] == 3


def test_new_batch_statistics_recover_what_pruning_broke(prunable, tmp_path):
    out = tmp_path / "out"
    prune_onnx(_onnx_job(prunable, out, Pruning(sparsity=0.5)))
    found = onnx.load_model_from_string(out.read_bytes())
    old = onnx.load(prunable / "models/normed.onnx")
    spoiled = onnx.load_model_from_string(out.read_bytes())
    stale = [node.input[3:5] for node in old.graph.node if node.op_type == "BatchNormalization"]
    fresh = [node.input[3:5] for node in found.graph.node if node.op_type == "BatchNormalization"]
    for theirs, mine in zip(stale, fresh, strict=True):
        for name, target in zip(theirs, mine, strict=True):
            values = next(each for each in old.graph.initializer if each.name == name)
            place = next(each for each in spoiled.graph.initializer if each.name == target)
            place.raw_data = onnx.numpy_helper.to_array(values).tobytes()
    (tmp_path / "spoiled").write_bytes(spoiled.SerializeToString())

    assert _accuracy(prunable, out) > _accuracy(prunable, tmp_path / "spoiled") + 0.1


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("residual channels", "layer 'residual' (Add) joins 2 branches, whose channels would have"),
        ("bare", "nothing to prune: it has no Conv or Dense layer"),
        ("ones", "a sparsity of 0.5 was asked for, and 0.000 was achieved"),
        ("tiny threshold", "nothing was pruned: no weight is below the threshold 1e-09"),
        ("one layer", "channels are removed between Conv and Dense layers, and it has 1 of them"),
        ("no statistics", "it has 3 batch normalisations, whose statistics are wrong once weights"),
        ("unlabelled", "data/training-unlabelled.npz: it holds no labels 'y'"),
        (
            "wrong labels",
            "data/training-wrong.npz: labels 'y' go from 3 to 12, and the model knows",
        ),
    ],
)
def test_what_cannot_be_pruned_says_why(cases, case, said):
    assert said in cases[case]["refused"]


def test_branches_can_lose_weights_and_chains_with_depthwise_layers_channels(cases):
    assert cases["residual"]["share"] == pytest.approx(0.5, abs=0.001)
    assert cases["normed channels"]["channels"] == {"stem": 16, "pointwise": 32, "scores": 10}
    assert cases["normed channels"]["renormalized"] == 3


def _logs(pruned: Pruned) -> list[Path]:
    return sorted((pruned.folder / ".fleet/build/logs").iterdir())


def _onnx_job(folder: Path, out: Path, pruning: Pruning) -> Prune:
    samples = Samples(
        folder=str(folder),
        evaluation="data/onnx-evaluation.npz",
        calibration="data/onnx-calibration.npz",
        cases=8,
        preprocessing=Preprocessing(scale=1 / 16),
    )
    source = str(folder / "models/normed.onnx")
    return Prune(source=source, shown="m.onnx", pruning=pruning, samples=samples, out=str(out))


def _accuracy(folder: Path, model: Path) -> float:
    data = np.load(folder / "data/onnx-evaluation.npz")
    session = OnnxSession(model)
    right = 0
    for x, y in zip(data["x"], data["y"], strict=True):
        given, _ = session.run({"pixels": x[None].astype(np.float32) / 16})
        right += int(given["probabilities"].argmax() == y)
    return right / len(data["y"])
