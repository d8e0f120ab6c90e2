"""A model of two files goes to a device and runs there: OpenVINO, over a real sshd."""

import io
import json

import numpy as np
import onnx
import pytest

from orchestrator.app import Fleet
from orchestrator.artifact.golden import GoldenSet, Tolerance
from orchestrator.artifact.lock import Lock, LockedArtifact, LockedFile, LockedModel, Status
from orchestrator.build import openvino_ir
from orchestrator.catalog.assignment import Figures
from orchestrator.catalog.model import Limits, Preprocessing
from orchestrator.catalog.variant import Format
from orchestrator.values import sha256

VARIANT = "openvino-float32"


@pytest.fixture
def offered(site, tmp_path):
    """A version in OpenVINO's format in the catalog and the lock, and a device that can run it."""
    model, graph = tmp_path / "scale.onnx", tmp_path / "graph"
    x = np.arange(8, dtype=np.float32).reshape(2, 1, 4) / 8
    onnx.save(onnx.parser.parse_model(SCALE), model)
    openvino_ir.write(model, graph, halved=False)
    golden = io.BytesIO()
    np.savez_compressed(golden, in_x=x, out_y=x * 3)
    files = [graph.read_bytes(), graph.with_suffix(".bin").read_bytes(), golden.getvalue()]
    digests, sizes = [site.store.add(data) for data in files], [len(data) for data in files]
    artifact = LockedArtifact(
        variant=VARIANT,
        key=sha256(b"key"),
        status=Status.ACCEPTED,
        format=Format.OPENVINO,
        sha256=digests[0],
        size_bytes=sizes[0],
        weights=LockedFile(sha256=digests[1], size_bytes=sizes[1]),
        figures=Figures(size_bytes=sizes[0] + sizes[1], accuracy=1.0, p50_ms=0.01, samples=2),
        golden=GoldenSet(
            sha256=digests[2],
            size_bytes=sizes[2],
            cases=2,
            tolerances=(Tolerance(output="y", max_abs_diff=1e-4),),
        ),
    )
    locked = LockedModel(
        name="scale",
        version="1.0",
        source=sha256(b"source"),
        preprocessing=Preprocessing(),
        limits=Limits(),
        artifacts=(artifact,),
    )
    entry = {"source": "scale.onnx", "version": "1.0", "variants": [VARIANT]}
    (site.inventory / "models.yaml").write_text(json.dumps({"models": {"scale": entry}}))
    Fleet(site.folder).site.write_lock(Lock(models=(locked,)))
    return locked.manifest(VARIANT).release


SCALE = """<ir_version: 9, opset_import: ["": 17]>
scale (float[1, 4] x) => (float[1, 4] y) <float[1] k = {3}> { y = Mul(x, k) }"""


def test_a_model_of_two_files_is_delivered_proved_and_audited(site, offered):
    devices = site.inventory / "devices.yaml"
    listing = json.loads(devices.read_text())
    listing["profiles"]["bench"]["runtimes"] = ["openvino"]
    devices.write_text(json.dumps(listing))

    done = site.deploy("pi-01")
    found = site.findings("pi-01")

    assert done.outcome["status"] == "succeeded", done.outcome
    assert done.outcome["smoke"]["runtime"].startswith("openvino ")
    assert done.outcome["smoke"]["cases"] == 2
    assert site.running("pi-01") == [offered]
    assert found == {"pi-01": "match"}


def test_a_device_without_the_runtime_is_told_what_it_lacks(site, offered):
    done = site.run("plan", "-t", "pi-01")

    assert "profile bench offers onnxruntime, not openvino" in done.said
