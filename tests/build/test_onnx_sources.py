"""ONNX in, both formats out: the second one only where its toolchain is installed."""

import os
from pathlib import Path

import pytest

from orchestrator.artifact.lock import Status
from orchestrator.build import onnx2tf

ONNX = {"evaluation": "onnx-evaluation", "calibration": "onnx-calibration"}
TOOLCHAIN = Path(__file__).parents[2] / ".fleet" / "toolchains" / "onnx2tf"


def test_an_onnx_source_is_built_in_onnx_and_says_what_tflite_needs(site, digits):
    locked = site.build(digits("digits.onnx", **ONNX))

    by_status = {a.variant: a.status for a in locked.artifacts}
    assert [by_status.pop("onnx-float32"), by_status.pop("onnx-int8")] == [Status.ACCEPTED] * 2
    assert set(by_status.values()) == {Status.UNBUILDABLE}
    assert locked.artifact("tflite-int8").because == (
        "ONNX → TFLite needs onnx2tf in an environment of its own: "
        "run fleet toolchain install onnx2tf"
    )


def test_a_half_made_toolchain_does_not_count_as_installed(tmp_path):
    (tmp_path / "onnx2tf" / "bin").mkdir(parents=True)

    assert onnx2tf.installed(tmp_path / "onnx2tf") is None


@pytest.mark.skipif(
    onnx2tf.installed(TOOLCHAIN) is None and os.environ.get("FLEET_TEST_ONNX2TF") != "1",
    reason="onnx2tf is not installed here (FLEET_TEST_ONNX2TF=1 installs it, about 700 MB)",
)
def test_with_its_toolchain_an_onnx_source_is_built_in_tflite_too(site, digits):
    place = site.folder / ".fleet" / "toolchains" / "onnx2tf"
    if onnx2tf.installed(TOOLCHAIN):
        place.parent.mkdir(parents=True)
        place.symlink_to(TOOLCHAIN)
    else:
        onnx2tf.install(place, print)

    locked = site.build(digits("digits.onnx", **ONNX))

    assert [(a.status, a.because) for a in locked.artifacts] == [(Status.ACCEPTED, "")] * 6
