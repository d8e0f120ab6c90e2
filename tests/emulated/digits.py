"""Two real nets for handwritten digits and their data, made without TensorFlow.

``digits.tflite`` beside this file is the convolutional net of tests/build/sources.py, converted by
`fleet build` as tflite-float32; the other one is trained here.
"""

import shutil
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier


def write(folder: Path) -> None:
    """``models/digits.tflite`` and ``models/digits.onnx``, and the data of both."""
    for name in ("models", "data"):
        (folder / name).mkdir(parents=True)
    bunch = load_digits()
    order = np.random.default_rng(7).permutation(len(bunch.images))
    x, y = bunch.images[order].astype(np.uint8), bunch.target[order].astype(np.int64)
    for name, shape in {"tflite": (-1, 8, 8, 1), "onnx": (-1, 64)}.items():
        samples = x.reshape(shape)
        np.savez(folder / f"data/{name}-evaluation.npz", x=samples[1200:], y=y[1200:])
        np.savez(folder / f"data/{name}-calibration.npz", x=samples[:100])
    shutil.copy(Path(__file__).with_name("digits.tflite"), folder / "models")
    net = MLPClassifier((32,), max_iter=400, random_state=7)
    net.fit(x[:1200].reshape(-1, 64) / 16, y[:1200])
    onnx.save(_as_onnx(net), folder / "models/digits.onnx")


def _as_onnx(net: MLPClassifier) -> onnx.ModelProto:
    weights, nodes, flowing = [], [], "pixels"
    for layer, (kernel, bias) in enumerate(zip(net.coefs_, net.intercepts_, strict=True)):
        for name, values in ((f"w{layer}", kernel), (f"b{layer}", bias)):
            weights.append(numpy_helper.from_array(values.astype(np.float32), name))
        nodes.append(helper.make_node("Gemm", [flowing, f"w{layer}", f"b{layer}"], [f"g{layer}"]))
        kind = "Softmax" if layer == len(net.coefs_) - 1 else "Relu"
        flowing = "scores" if kind == "Softmax" else f"r{layer}"
        nodes.append(helper.make_node(kind, [f"g{layer}"], [flowing]))
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [1, 64])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 10])],
        weights,
    )
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=9)
