"""Makes the tests' models and data, in a process of its own: ``python sources.py FOLDER``.

Real ones: a small net trained on scikit-learn's handwritten digits, written in every way the
builder can read, and some that it has to refuse.
"""

import json
import os
import sys
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

import h5py
import keras
import numpy as np
import onnx
import tensorflow as tf
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits

layers = keras.layers


def main(folder: Path) -> None:
    for name in ("models", "data"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    models = folder / "models"
    keras.utils.set_random_seed(7)
    x, y = samples(folder / "data")
    model = trained(x, y)
    model.save(models / "digits.keras")
    model.save(models / "digits.h5")
    onnx.save(as_onnx(model), models / "digits.onnx")
    deep = unequal(x, y)
    deep.save(models / "depthwise.keras")
    onnx.save(deep_onnx(deep), models / "depthwise.onnx")
    odd_ones(models)
    (models / "labels.txt").write_text("\n".join(map(str, range(10))) + "\n")


def samples(data: Path) -> tuple[np.ndarray, np.ndarray]:
    bunch = load_digits()
    order = np.random.default_rng(7).permutation(len(bunch.images))
    x = bunch.images[order].astype(np.uint8)[..., None]
    y = bunch.target[order].astype(np.int64)
    np.savez(data / "evaluation.npz", x=x[1200:], y=y[1200:])
    np.savez(data / "onnx-unlabelled.npz", x=x[1200:].transpose(0, 3, 1, 2))
    np.savez(data / "onnx-raw.npz", x=x[:20].transpose(0, 3, 1, 2).astype(np.float32) * 255)
    np.savez(data / "calibration.npz", x=x[:100])
    np.savez(data / "zeros.npz", x=np.zeros_like(x[:20]))
    np.savez(data / "raw.npz", x=x[:20].astype(np.float32) * 255)
    np.savez(data / "onnx-evaluation.npz", x=x[1200:].transpose(0, 3, 1, 2), y=y[1200:])
    np.savez(data / "onnx-calibration.npz", x=x[:100].transpose(0, 3, 1, 2))
    np.savez(data / "vectors.npz", x=np.random.default_rng(1).random((40, 4), np.float32))
    np.savez(data / "sequences.npz", x=np.random.default_rng(2).normal(size=(60, 5, 4)))
    random = np.random.default_rng(2)
    np.savez(data / "steps.npz", x=random.random((40, 5, 2), np.float32))
    np.savez(
        data / "mixed.npz",
        factor=random.random(40, np.float32),
        numbers=random.integers(0, 9, (40, 3)),
        series=random.random((40, 7), np.float32),
    )
    two = {"vector": np.ones((40, 4), np.float32), "other": np.eye(40, 3, dtype=np.float32)}
    np.savez(data / "two.npz", **two)
    return x[:1200].astype(np.float32) / 16, y[:1200]


def trained(x: np.ndarray, y: np.ndarray) -> keras.Model:
    image = keras.Input((8, 8, 1), name="image")
    h = layers.Conv2D(8, 3, activation="relu", name="conv")(image)
    h = layers.Flatten()(h)
    h = layers.Dense(32, activation="relu", name="hidden")(h)
    model = keras.Model(image, layers.Dense(10, activation="softmax", name="scores")(h))
    model.compile(keras.optimizers.Adam(4e-3), "sparse_categorical_crossentropy")
    model.fit(x, y, batch_size=32, epochs=12, verbose=0)
    return model


def unequal(x: np.ndarray, y: np.ndarray) -> keras.Model:
    """A depthwise net whose stem has channels of very unequal range; the next layer undoes it.

    The function stays what was trained, since a ReLU lets a positive factor through; one scale for
    the whole tensor between the two leaves nothing of the small channels (Nagel et al. 2019,
    arXiv:1906.04721, equalise what is made unequal here).
    """
    image = keras.Input((8, 8, 1), name="image")
    h = layers.Conv2D(16, 3, padding="same", activation="relu", name="stem")(image)
    h = layers.DepthwiseConv2D(3, padding="same", activation="relu", name="deep")(h)
    for place in (1, 2):
        h = layers.Conv2D(16, 1, activation="relu", name=f"point_{place}")(h)
        h = layers.DepthwiseConv2D(
            3, strides=place, padding="same", activation="relu", name=f"deep_{place}"
        )(h)
    h = layers.Conv2D(24, 1, activation="relu", name="last")(h)
    h = layers.Flatten()(h)
    model = keras.Model(image, layers.Dense(10, activation="softmax", name="scores")(h))
    model.compile(keras.optimizers.Adam(8e-3), "sparse_categorical_crossentropy")
    model.fit(x, y, batch_size=32, epochs=12, verbose=0)
    stem, deep = model.get_layer("stem"), model.get_layer("deep")
    factors = (10 ** (-4 * np.sqrt(np.linspace(0, 1, 16)))).astype(np.float32)
    kernel, bias = stem.get_weights()
    stem.set_weights([kernel * factors, bias * factors])
    kernel, bias = deep.get_weights()
    deep.set_weights([kernel / factors[:, None], bias])
    return model


def as_onnx(model: keras.Model) -> onnx.ModelProto:
    """The same net as a framework with channels first would write it: open batch, NCHW."""
    kernel, bias, w1, b1, w2, b2 = model.get_weights()
    w1 = w1.reshape(6, 6, 8, 32).transpose(2, 0, 1, 3).reshape(288, 32)
    weights = {"k": kernel.transpose(3, 2, 0, 1), "b": bias, "w1": w1, "b1": b1, "w2": w2, "b2": b2}
    nodes = [
        helper.make_node("Conv", ["pixels", "k", "b"], ["c"], kernel_shape=[3, 3]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("Flatten", ["r"], ["f"]),
        helper.make_node("Gemm", ["f", "w1", "b1"], ["h"]),
        helper.make_node("Relu", ["h"], ["hr"]),
        helper.make_node("Gemm", ["hr", "w2", "b2"], ["l"]),
        helper.make_node("Softmax", ["l"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "torch_jit",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["batch", 1, 8, 8])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 10])],
        [numpy_helper.from_array(np.ascontiguousarray(v), n) for n, v in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def deep_onnx(model: keras.Model) -> onnx.ModelProto:
    """The depthwise net with channels first, so that it can be built without TensorFlow."""
    nodes, weights, last = [], [], "pixels"
    for layer in model.layers[1:-2]:
        kernel, bias = layer.get_weights()
        deep = isinstance(layer, layers.DepthwiseConv2D)
        order = (2, 3, 0, 1) if deep else (3, 2, 0, 1)
        made = {"k": np.ascontiguousarray(kernel.transpose(order)), "b": bias}
        weights += [numpy_helper.from_array(v, f"{layer.name}/{n}") for n, v in made.items()]
        how = {"auto_pad": "SAME_UPPER", "strides": list(layer.strides)}
        group = kernel.shape[2] if deep else 1
        inputs = [last, f"{layer.name}/k", f"{layer.name}/b"]
        conv = helper.make_node("Conv", inputs, [f"{layer.name}/c"], group=group, **how)
        conv.name, last = f"{layer.name}/Conv", f"{layer.name}/r"
        nodes += [conv, helper.make_node("Relu", [f"{layer.name}/c"], [last])]
    kernel, bias = model.layers[-1].get_weights()
    weights += [numpy_helper.from_array(kernel, "w"), numpy_helper.from_array(bias, "wb")]
    nodes += [
        helper.make_node("Transpose", [last], ["t"], perm=[0, 2, 3, 1]),
        helper.make_node("Flatten", ["t"], ["f"]),
        helper.make_node("Gemm", ["f", "w", "wb"], ["l"], name="scores/Gemm"),
        helper.make_node("Softmax", ["l"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "depthwise",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["batch", 1, 8, 8])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 10])],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def odd_ones(models: Path) -> None:
    vector = keras.Input((4,), name="vector")
    doubled = keras.Model(vector, layers.Lambda(lambda v: v * 2, name="double")(vector))
    doubled.save(models / "lambda.keras")
    doubled.save(models / "lambda.h5")
    named = keras.Input((4,), name="my vector")
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(3, name="_in")], name="_inner")
    hidden = layers.Dense(4, name="_hidden layer")(named)
    keras.Model(named, layers.Dense(2, name="out")(inner(hidden))).save(models / "names.keras")
    keras.Model(vector, layers.Dense(2)(vector)).save_weights(models / "some.weights.h5")
    steps = keras.Input(batch_shape=(1, 5, 2), name="steps")
    memory = layers.LSTM(3, stateful=True)(steps)
    keras.Model(steps, layers.Dense(2, name="out")(memory)).save(models / "memory.keras")
    keras.Model(vector, keras.ops.erfinv(vector)).save(models / "unconvertible.keras")
    noise = helper.make_node("RandomNormalLike", ["vector"], ["noise"])
    added = helper.make_node("Add", ["vector", "noise"], ["out"])
    odd_onnx("random", [noise, added], models)
    onnx.save(lstm(), models / "lstm.onnx")
    odd_onnx("constant", [helper.make_node("Mul", ["vector", "zeros"], ["out"])], models)
    other = keras.Input((3,), name="other")
    a = layers.Dense(2, name="first")(layers.Concatenate()([vector, other]))
    b = layers.Dense(5, name="second")(other)
    keras.Model([vector, other], [a, b]).save(models / "two.keras")
    saved_models(models)
    foreign_ones(models)


class Mixed(tf.Module):
    """A number, some integers and an open axis in; a number and an integer out; a counter inside."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = tf.Variable(0.0, trainable=False)

    @tf.function(
        input_signature=[
            tf.TensorSpec([], tf.float32, "factor"),
            tf.TensorSpec([None, 3], tf.int32, "numbers"),
            tf.TensorSpec([None, None], tf.float32, "series"),
        ]
    )
    def ask(self, factor: tf.Tensor, numbers: tf.Tensor, series: tf.Tensor) -> dict[str, tf.Tensor]:
        whole = tf.cast(tf.reduce_sum(numbers, 1), tf.float32)
        return {
            "weighed": factor * tf.reduce_sum(series, 1) + whole,
            "most": tf.reduce_max(numbers, 1),
        }

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "words")])
    def read(self, words: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"length": tf.strings.length(words)}


class Writing(tf.Module):
    """A graph that writes a file when it is asked."""

    @tf.function(input_signature=[tf.TensorSpec([], tf.float32, "x")])
    def write(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        tf.io.write_file("never-written", tf.strings.as_string(x))
        return {"out": x}


def saved_models(models: Path) -> None:
    module = Mixed()
    tf.saved_model.save(module, str(models / "mixed"), signatures=module.ask)
    tf.saved_model.save(module, str(models / "words"), signatures=module.read)
    bare = tf.Module()
    bare.weight = tf.Variable([1.0])
    tf.saved_model.save(bare, str(models / "bare"), signatures={})
    writing = Writing()
    tf.saved_model.save(writing, str(models / "writing"), signatures=writing.write)


def foreign_ones(models: Path) -> None:
    """What Keras 2 wrote down of models with code of people's own in them."""
    for name, kind in (("old-lambda", "Lambda"), ("old-custom", "Attention2")):
        layer = {"class_name": kind, "config": {"name": "own"}}
        with h5py.File(models / f"{name}.h5", "w") as file:
            config = {"class_name": "Sequential", "config": {"name": "s", "layers": [layer]}}
            file.attrs["model_config"] = json.dumps(config)
            file.attrs["keras_version"] = "2.4.0"
            file.create_group("model_weights").attrs["layer_names"] = []


def odd_onnx(name: str, nodes: list[onnx.NodeProto], models: Path) -> None:
    """A model of four numbers that gives four, `vector` → `out`."""
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("vector", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["batch", 4])],
        [numpy_helper.from_array(np.zeros(4, np.float32), "zeros")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, models / f"{name}.onnx")


def lstm() -> onnx.ModelProto:
    """One LSTM of three units over five steps, and nothing else."""
    draw = np.random.default_rng(3)
    held = {"w": draw.normal(size=(1, 12, 4)), "r": draw.normal(size=(1, 12, 3))}
    graph = helper.make_graph(
        [
            helper.make_node("Transpose", ["steps"], ["turned"], perm=[1, 0, 2]),
            helper.make_node("LSTM", ["turned", "w", "r"], ["", "last"], hidden_size=3),
            helper.make_node("Squeeze", ["last", "zero"], ["state"]),
        ],
        "lstm",
        [helper.make_tensor_value_info("steps", TensorProto.FLOAT, [1, 5, 4])],
        [helper.make_tensor_value_info("state", TensorProto.FLOAT, [1, 3])],
        [
            *(numpy_helper.from_array(v.astype(np.float32), n) for n, v in held.items()),
            numpy_helper.from_array(np.array([0], np.int64), "zero"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
