"""The model of the scenarios: y = k·x, a few hundred bytes, built without a builder."""

import io
import json
from functools import cache
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from orchestrator.app import Fleet
from orchestrator.artifact.golden import GoldenSet, Tolerance
from orchestrator.artifact.lock import Lock, LockedArtifact, LockedModel, Status
from orchestrator.build.store import Store
from orchestrator.catalog.assignment import Figures
from orchestrator.catalog.model import Limits, Preprocessing
from orchestrator.catalog.variant import Format
from orchestrator.values import sha256

MODEL = "scale"
DATA = Path(__file__).parents[2] / "orchestrator" / "selftest" / "data"


def offer(
    site: Path,
    version: str,
    *,
    size: int = 0,
    name: str = MODEL,
    k: str = "",
    even: bool = False,
    **limits: float,
) -> str:
    """Put a version into a site's catalog and lock, as a build would; its release.

    Versions of the same length have the same ballast, `even` or noise; those with the same `k`
    are the same file.
    """
    model, golden = made_model(k or version, size, even)
    store, fleet = Store(site / ".fleet" / "store"), Fleet(site)
    artifact = LockedArtifact(
        variant="onnx-float32",
        key=sha256(version.encode()),
        status=Status.ACCEPTED,
        format=Format.ONNX,
        sha256=store.add(model),
        size_bytes=len(model),
        figures=Figures(size_bytes=len(model), accuracy=1.0, p50_ms=0.01, samples=2),
        golden=GoldenSet(
            sha256=store.add(golden),
            size_bytes=len(golden),
            cases=2,
            tolerances=(Tolerance(output="y", max_abs_diff=1e-4),),
        ),
    )
    locked = LockedModel(
        name=name,
        version=version,
        source=sha256(model),
        preprocessing=Preprocessing(),
        limits=Limits(**limits),
        artifacts=(artifact,),
    )
    entry = {
        "source": "scale.onnx",
        "version": version,
        "variants": ["onnx-float32"],
        "limits": limits,
    }
    (fleet.settings.inventory / "models.yaml").write_text(json.dumps({"models": {name: entry}}))
    store.add(locked.manifest("onnx-float32").data)
    fleet.site.write_lock(Lock(models=(locked,)))
    return locked.manifest("onnx-float32").release


@cache
def made_model(version: str, size: int, even: bool = False) -> tuple[bytes, bytes]:
    """y = k·x with a k of the version's own, `size` bytes of ballast, and two golden cases."""
    k = np.float32(1 + int(sha256(version.encode())[:4], 16) / 1000)
    weights = [numpy_helper.from_array(np.array([k], np.float32), "k")]
    if size:
        highest = 2 if even else 255
        noise = np.random.default_rng(len(version)).integers(0, highest, size, np.uint8)
        weights.append(numpy_helper.from_array(noise, "ballast"))
    shape = [1, 4]
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "k"], ["y"])],
        "scale",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        weights,
    )
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=9)
    onnx.checker.check_model(model)
    x = np.arange(8, dtype=np.float32).reshape(2, *shape) / 8
    golden = io.BytesIO()
    np.savez_compressed(golden, in_x=x, out_y=x * k)
    return model.SerializeToString(deterministic=True), golden.getvalue()


def offer_tflite(site: Path, version: str) -> str:
    """Put the self-test's TFLite model, y = x + 1, into a site's catalog and lock; its release."""
    store = Store(site / ".fleet" / "store")
    model, golden = (DATA / "add_one.tflite").read_bytes(), (DATA / "golden.npz").read_bytes()
    artifact = LockedArtifact(
        variant="tflite-float32",
        key=sha256(version.encode()),
        status=Status.ACCEPTED,
        format=Format.TFLITE,
        sha256=store.add(model),
        size_bytes=len(model),
        figures=Figures(size_bytes=len(model), accuracy=1.0, p50_ms=0.01, samples=2),
        golden=GoldenSet(
            sha256=store.add(golden),
            size_bytes=len(golden),
            cases=2,
            tolerances=(Tolerance(output="y", max_abs_diff=1e-6),),
        ),
    )
    locked = LockedModel(
        name=MODEL,
        version=version,
        source=sha256(model),
        preprocessing=Preprocessing(),
        artifacts=(artifact,),
    )
    fleet = Fleet(site)
    entry = {"source": "add_one.tflite", "version": version, "variants": ["tflite-float32"]}
    (fleet.settings.inventory / "models.yaml").write_text(json.dumps({"models": {MODEL: entry}}))
    fleet.site.write_lock(Lock(models=(locked,)))
    return locked.manifest("tflite-float32").release
