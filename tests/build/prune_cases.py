"""Prunes models in every way that a test asks for, in one process: ``prune_cases.py FOLDER OUT``.

Prints one JSON object: by case what was achieved and the digest of the file, or why nothing was.
"""

import json
import os
import sys
from pathlib import Path

os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": "-1"}
os.environ["KERAS_BACKEND"] = "tensorflow"

from orchestrator.build.failures import BadData, Unprunable
from orchestrator.build.jobs import Prune, Samples
from orchestrator.build.pruning import prune
from orchestrator.build.store import file_sha256
from orchestrator.catalog.model import Preprocessing

POLYNOMIAL = {"sparsity": 0.8, "schedule": "polynomial", "epochs": 2}
CASES: dict[str, tuple[str, dict[str, object], dict[str, object]]] = {
    "polynomial": ("chain", POLYNOMIAL, {}),
    "by layer": ("chain", {"sparsity": 0.5, "scope": "layer"}, {}),
    "threshold": ("chain", {"threshold": 0.05}, {}),
    "normed": ("normed", {"sparsity": 0.5}, {}),
    "normed channels": ("normed", {"channels": 0.5}, {}),
    "no statistics": ("normed", {"sparsity": 0.5}, {"training": None, "calibration": None}),
    "unlabelled": ("chain", POLYNOMIAL, {"training": "data/training-unlabelled.npz"}),
    "wrong labels": ("chain", POLYNOMIAL, {"training": "data/training-wrong.npz"}),
    "residual": ("residual", {"sparsity": 0.5}, {}),
    "residual channels": ("residual", {"channels": 0.5}, {}),
    "bare": ("bare", {"sparsity": 0.5}, {}),
    "ones": ("ones", {"sparsity": 0.5}, {}),
    "tiny threshold": ("chain", {"threshold": 1e-9}, {}),
    "one layer": ("ones", {"channels": 0.5}, {}),
}


def outcome(folder: Path, out: Path, source: str, how: object, data: dict[str, object]) -> object:
    samples = {
        "folder": str(folder),
        "evaluation": "data/evaluation.npz",
        "calibration": "data/calibration.npz",
        "training": "data/training.npz",
        "cases": 8,
        "preprocessing": Preprocessing(scale=1 / 16),
    }
    job = Prune(
        source=str(folder / "models" / f"{source}.keras"),
        shown=f"models/{source}.keras",
        pruning=how,
        samples=Samples.model_validate(samples | data),
        out=str(out),
    )
    try:
        sparsity = prune(job).sparsity
    except (BadData, Unprunable) as error:
        return {"refused": str(error)}
    return {
        "sha256": file_sha256(out),
        "share": sparsity.share,
        "renormalized": sparsity.renormalized,
        "left": {each.name: [each.left, each.weights] for each in sparsity.layers},
        "channels": {each.name: each.channels for each in sparsity.layers},
    }


if __name__ == "__main__":
    found = {}
    for number, (name, case) in enumerate(CASES.items()):
        out = Path(sys.argv[2]) / str(number)
        out.mkdir()
        found[name] = outcome(Path(sys.argv[1]), out / "out", *case)
    sys.stdout.write(json.dumps(found))
