"""The words of every refusal that only TensorFlow or Keras can lead to."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
KERAS = {
    "no inputs": "models/one.keras: the model does not say what its inputs are",
    "stubborn name": "models/one.keras: layer '_stays' has a name that TensorFlow refuses",
    "across": "channels cannot be removed across layer 'norm' (LayerNormalization); give "
    "`sparsity` instead",
    "groups": "layer 'grouped' has 2 groups of channels",
    "axis": "layer 'rows' does not have its channels in the last axis",
    "multiplier": "layer 'twice' makes 2 of each channel",
    "two outputs": "it has 1 inputs and 2 outputs, and channels are removed from chains of layers "
    "only; give `sparsity` instead",
    "few to train on": "training.npz: 20 samples are too few to train on: 32 at least",
    "two to train": "training.npz: the model gives 2 outputs, and only models of one are trained",
    "shape of floats": "training.npz: labels 'y' have the shape (2,), and the model gives (3,)",
    "shape of integers": "training.npz: labels 'y' have the shape (2,) of integers, and the model "
    "gives (2,): one class a sample, or floats of that shape, were expected",
    "trained: binary cross-entropy": "",
    "trained: mean squared error": "",
}
LEGACY = {
    "nothing to give": "models/saved: its signature takes no inputs",
    "open rank": "models/saved: input 'x' has no fixed number of dimensions",
    "many signatures": "models/saved: no signature 'serving_default' to ask it by (it has "
    "'decode', 'encode')",
}


@pytest.mark.parametrize(("which", "wanted"), [("keras", KERAS), ("legacy", LEGACY)])
def test_what_is_wrong_is_named(tmp_path, which, wanted):
    ended = subprocess.run(
        [sys.executable, str(HERE / "refused.py"), which, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(HERE.parents[1])},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )

    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout) == wanted
