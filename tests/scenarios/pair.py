"""A model of two variants that differ in what they are good at: one is quick, the other is right."""

import io
import json
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from orchestrator.app import Fleet
from orchestrator.artifact.golden import GoldenSet, Tolerance
from orchestrator.artifact.lock import Lock, LockedArtifact, LockedModel, Status
from orchestrator.build.store import Store
from orchestrator.catalog.assignment import Figures
from orchestrator.catalog.model import Preprocessing
from orchestrator.catalog.variant import Format
from orchestrator.values import sha256

PAIR = "pair"
QUICK, RIGHT = "onnx-float32", "onnx-int8"
SHAPE, WIDE, DEEP = [1, 4], 256, 12


def offer_pair(site: Path, *, wrong: str = "") -> None:
    """Put the model into a site's catalog and lock, as a build would.

    The builder's figures say the contrary of what a device will find: `QUICK` would be slow and
    right. `wrong` names a variant whose golden outputs are not what it computes.
    """
    fleet = Fleet(site)
    inventory, store = fleet.settings.inventory, Store(site / ".fleet" / "store")
    x = np.random.default_rng(5).random((150, 4), np.float32)
    np.savez(inventory / "evaluation.npz", x=x, y=x.argmax(axis=1))
    entry = {
        "source": "pair.onnx",
        "version": "1",
        "data": {"evaluation": "evaluation.npz"},
        "variants": [QUICK, RIGHT],
    }
    (inventory / "models.yaml").write_text(json.dumps({"models": {PAIR: entry}}))
    made = {QUICK: (_quick(), -x, 9.0, 1.0), RIGHT: (_right(), x, 1.0, 0.0)}
    artifacts = []
    for name, (model, y, ms, accuracy) in made.items():
        golden = io.BytesIO()
        off = np.float32(1 if name == wrong else 0)
        np.savez_compressed(golden, in_x=x[:4, None], out_y=y[:4, None] + off)
        data = golden.getvalue()
        figures = Figures(
            size_bytes=len(model),
            metric="top1",
            value=accuracy,
            accuracy=accuracy,
            p50_ms=ms,
            samples=9,
        )
        artifacts.append(
            LockedArtifact(
                variant=name,
                key=sha256(name.encode()),
                status=Status.ACCEPTED,
                format=Format.ONNX,
                sha256=store.add(model),
                size_bytes=len(model),
                figures=figures,
                golden=GoldenSet(
                    sha256=store.add(data),
                    size_bytes=len(data),
                    cases=4,
                    tolerances=(Tolerance(output="y", max_abs_diff=1e-4),),
                ),
            )
        )
    locked = LockedModel(
        name=PAIR,
        version="1",
        source=sha256(b"pair"),
        preprocessing=Preprocessing(),
        artifacts=tuple(artifacts),
    )
    fleet.site.write_lock(Lock(models=(locked,)))


def _quick() -> bytes:
    """y = -x: the wrong class, at once."""
    return _model([helper.make_node("Neg", ["x"], ["y"])], {})


def _right() -> bytes:
    """y = x + 0·…: the right class, after many products."""
    rng = np.random.default_rng(7)
    weights = {"w0": rng.random((4, WIDE), np.float32), "out": np.zeros((WIDE, 4), np.float32)}
    nodes, last = [], "x"
    for layer in range(DEEP):
        weights.setdefault(f"w{layer}", rng.random((WIDE, WIDE), np.float32) / WIDE)
        nodes.append(helper.make_node("MatMul", [last, f"w{layer}"], [f"h{layer}"]))
        last = f"h{layer}"
    nodes += [
        helper.make_node("MatMul", [last, "out"], ["nothing"]),
        helper.make_node("Add", ["x", "nothing"], ["y"]),
    ]
    return _model(nodes, weights)


def _model(nodes: list[onnx.NodeProto], weights: dict[str, NDArray[np.float32]]) -> bytes:
    graph = helper.make_graph(
        nodes,
        PAIR,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, SHAPE)],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return model.SerializeToString(deterministic=True)
