"""What is wrong with a source, its data or its golden cases is said exactly, before anything is kept."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from orchestrator.artifact.lock import Status
from orchestrator.build.failures import BadData, BadGolden, BadSource

ONNX = {"evaluation": "onnx-evaluation", "calibration": "onnx-calibration"}
VECTORS = {"evaluation": "vectors", "calibration": None}


@pytest.fixture
def own(catalog, site):
    """A catalog of its own: a copy by links, to which a test may add files."""
    folder = site.folder / "catalog"
    for name in ("models", "data"):
        (folder / name).mkdir(parents=True)
        for file in (catalog / name).iterdir():
            (folder / name / file.name).symlink_to(file)
    return type(site)(site.folder, folder)


def test_a_text_file_named_keras_is_refused_before_anything_starts(own, digits, spawned):
    (own.catalog / "models/text.keras").write_text("this is no model")

    with pytest.raises(BadSource, match=r"models/text\.keras: not a \.keras file"):
        own.build(digits("text.keras"))
    assert spawned == []


def test_a_source_of_an_unknown_kind_is_refused(own, digits):
    (own.catalog / "models/net.pt").write_bytes(b"PK")

    with pytest.raises(BadSource, match=r"unknown kind of source '\.pt'") as refused:
        own.build(digits("net.pt"))
    assert ".keras" in refused.value.hint


def test_a_missing_source_is_refused(own, digits):
    with pytest.raises(BadSource, match=r"models/absent\.onnx: no such file"):
        own.build(digits("absent.onnx"))


def test_a_source_that_is_not_the_one_the_catalog_means_is_refused(site, digits):
    with pytest.raises(BadSource, match="and the catalog says 0000"):
        site.build(digits(sha256="0" * 64))


def test_a_truncated_onnx_file_is_refused(own, digits):
    whole = (own.catalog / "models/digits.onnx").read_bytes()
    (own.catalog / "models/half.onnx").write_bytes(whole[: len(whole) // 2])

    with pytest.raises(BadSource, match=r"models/half\.onnx: not a model that ONNX Runtime can"):
        own.build(digits("half.onnx", **ONNX))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"x": np.zeros((9, 8, 8), "u1")},
            r"have the shape \(8, 8\), and the model takes \(1, 8, 8\)",
        ),
        ({"z": np.zeros((9, 1, 8, 8), "u1")}, "no array named 'pixels' \\(or 'x'\\)"),
        ({"x": np.full((9, 1, 8, 8), np.nan)}, r"'pixels' is not finite at \(0, 0, 0, 0\): nan"),
        (
            {"x": np.zeros((9, 1, 8, 8), "u1"), "y": np.zeros(4, "i8")},
            "4 labels 'y' for 9 samples",
        ),
        (
            {"x": np.eye(9 * 8, 64, dtype="f4").reshape(9, 8, 8, 8)[:, :1], "y": np.full(9, 10)},
            r"label 10 of sample 0 is no class of the model, which has 10 \(0 to 9\)",
        ),
        ({"x": np.array(["a"])}, "'pixels' holds <U1, not numbers"),
        ({"x": np.zeros((0, 1, 8, 8), "u1")}, "no samples at all"),
    ],
)
def test_evaluation_data_that_does_not_fit_the_model_is_refused(own, digits, arrays, message):
    np.savez(own.catalog / "data/bad.npz", **arrays)
    model = digits("digits.onnx", evaluation="bad", calibration=None, variants=("onnx-float32",))

    with pytest.raises(BadData, match=message) as refused:
        own.build(model)
    assert str(refused.value).startswith("data/bad.npz: ")


def test_data_that_is_no_npz_or_is_not_there_is_refused(own, digits):
    (own.catalog / "data/text.npz").write_text("no arrays")

    with pytest.raises(BadData, match=r"data/text\.npz: not an \.npz file of plain arrays"):
        own.build(digits("digits.onnx", evaluation="text", variants=("onnx-float32",)))
    with pytest.raises(BadData, match=r"data/absent\.npz: no such file"):
        own.build(digits("digits.onnx", evaluation="absent", variants=("onnx-float32",)))


def test_a_model_without_any_data_has_no_golden_cases(site, digits):
    with pytest.raises(BadGolden, match="has no data to make golden cases from"):
        site.build(digits(evaluation=None, calibration=None))


def test_expected_outputs_that_the_model_does_not_give_fail_it(own, digits):
    x = np.load(own.catalog / "data/onnx-evaluation.npz")["x"][:4]
    wrong = np.full((4, 10), 0.1, np.float32)
    np.savez(own.catalog / "data/golden.npz", x=x, expect_probabilities=wrong)
    golden = {"inputs": "data/golden.npz"}

    locked = own.build(digits("digits.onnx", **ONNX, golden=golden, variants=("onnx-float32",)))

    assert locked.artifacts[0].status is Status.FAILED
    assert "away from what data/golden.npz expects (limit" in locked.artifacts[0].because


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("expect_scores", (4, 10), "is for an output the model does not have"),
        (
            "expect_probabilities",
            (4, 3),
            r"has the shape \(4, 3\), and \(cases, 10,\) was expected",
        ),
    ],
)
def test_expected_outputs_that_do_not_fit_the_model_are_refused(own, digits, name, shape, message):
    x = np.load(own.catalog / "data/onnx-evaluation.npz")["x"][:4]
    np.savez(own.catalog / "data/golden.npz", x=x, **{name: np.zeros(shape, np.float32)})
    golden = {"inputs": "data/golden.npz"}

    with pytest.raises(BadGolden, match=message):
        own.build(digits("digits.onnx", **ONNX, golden=golden, variants=("onnx-float32",)))


def test_a_model_that_ignores_its_input_gets_no_golden_cases(site, digits):
    model = digits("constant.onnx", **VECTORS, variants=("onnx-float32",))

    artifact = site.build(model).artifacts[0]

    assert artifact.status is Status.FAILED
    assert artifact.because == ("no golden cases: its outputs are the same for 8 different inputs")


def test_a_model_that_draws_random_numbers_fails(site, digits):
    model = digits("random.onnx", **VECTORS, variants=("onnx-float32",))

    artifact = site.build(model).artifacts[0]

    assert artifact.status is Status.FAILED
    assert "it draws random numbers (log: .fleet/build/logs/" in artifact.because


def test_a_conversion_that_fails_is_a_result_and_the_others_go_on(site, digits):
    model = digits(
        "unconvertible.keras",
        evaluation="vectors",
        calibration="vectors",
        variants=("tflite-float32", "tflite-int8", "onnx-float32"),
    )

    full, small, other = site.build(model).artifacts

    log = ".fleet/build/logs/unconvertible-tflite-float32-make.log"
    assert [full.status, small.status, other.status] == [Status.FAILED] * 3
    assert full.because == f"TensorFlow Lite has no operation for Erfinv (log: {log})"
    assert small.because == f"tflite-float32 failed: {full.because}"
    assert "No Op registered for Erfinv" in other.because
    assert (site.folder / log).is_file()


def test_a_step_that_takes_too_long_is_ended_and_is_a_result(site, digits):
    model = digits("digits.onnx", **ONNX, variants=("onnx-float32",))

    artifact = site.builder(deadline_s=0.2).build(model).artifacts[0]
    again = site.build(model).artifacts[0]

    assert artifact.status is Status.FAILED
    assert artifact.because.startswith("took longer than 0.2 s (log: .fleet/build/logs/")
    assert again.status is Status.ACCEPTED


@pytest.mark.parametrize(
    ("calibration", "because"),
    [
        ("zeros", "every value of 'pixels' is 0, and the evaluation data varies"),
        ("raw", "it looks as if it was not normalised"),
        ("noise", "look like random noise"),
        ("few", "5 calibration samples are too few: 20 are needed"),
    ],
)
def test_calibration_data_that_is_not_like_the_evaluation_data_is_refused(
    own, digits, calibration, because
):
    real = np.load(own.catalog / "data/onnx-calibration.npz")["x"]
    bad = {
        "zeros": np.zeros_like(real),
        "raw": real.astype(np.float32) * 255,
        "noise": np.random.default_rng(3).uniform(0, 16, real.shape).astype(np.float32),
        "few": real[:5],
    }
    np.savez(own.catalog / "data/bad.npz", x=bad[calibration])
    model = digits(
        "digits.onnx", evaluation="onnx-evaluation", calibration="bad", variants=("onnx-int8",)
    )

    with pytest.raises(BadData, match=because) as refused:
        own.build(model)
    assert str(refused.value).startswith("data/bad.npz: ")
    assert "data.check: false" in refused.value.hint


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_workers_die_with_the_build_that_started_them(site, catalog, digits, how):
    code = (
        "import sys; from pathlib import Path\n"
        "from orchestrator.build.builder import Builder\n"
        "from orchestrator.build.store import Store\n"
        "from orchestrator.catalog.model import Model\n"
        "site = Path(sys.argv[2])\n"
        "Builder(Path(sys.argv[1]), Store(site / 'store'), site / '.fleet/build').build("
        "Model.model_validate_json(sys.argv[3]))\n"
    )
    model = digits().model_dump_json()
    build = subprocess.Popen(
        [sys.executable, "-c", code, str(catalog), str(site.folder), model],
        stderr=subprocess.DEVNULL,
    )
    while len(_workers(site.folder)) < 2:
        time.sleep(0.05)

    os.kill(build.pid, how)
    build.wait(20)

    patience = time.monotonic() + 15
    while _workers(site.folder) and time.monotonic() < patience:
        time.sleep(0.05)
    assert _workers(site.folder) == []
    if how is signal.SIGINT:
        assert list(site.work.glob("scratch-*")) == []
    assert not list(site.store.folder.rglob(".part-*"))


def _workers(folder: Path) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if "orchestrator.build.worker" in command and f"{folder}/" in command:
            found.append(command)
    return found
