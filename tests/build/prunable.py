"""Makes the models that pruning is tested on, in a process of its own: ``python prunable.py FOLDER``.

Trained on scikit-learn's digits, as the others are; the folder holds those already.
"""

import os
import sys
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

import keras
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits

layers = keras.layers


def main(folder: Path) -> None:
    keras.utils.set_random_seed(11)
    x, y = training(folder / "data")
    models = folder / "models"
    for model in (chain(), normed()):
        adam = keras.optimizers.Adam(3e-3)
        model.compile(adam, "sparse_categorical_crossentropy", jit_compile=False)
        model.fit(x, y, batch_size=32, epochs=8, verbose=0)
        model.save(models / f"{model.name}.keras")
        if model.name == "normed":
            onnx.save(as_onnx(model), models / "normed.onnx")
    unprunable(models)


def training(data: Path) -> tuple[np.ndarray, np.ndarray]:
    """The digits that the other models are trained on too: none of them is evaluated on."""
    bunch = load_digits()
    order = np.random.default_rng(7).permutation(len(bunch.images))[:1200]
    x, y = bunch.images[order].astype(np.uint8)[..., None], bunch.target[order].astype(np.int64)
    np.savez(data / "training.npz", x=x, y=y)
    np.savez(data / "training-unlabelled.npz", x=x)
    np.savez(data / "training-wrong.npz", x=x, y=y + 3)
    return x.astype(np.float32) / 16, y


def chain() -> keras.Model:
    image = keras.Input((8, 8, 1), name="image")
    h = layers.Conv2D(16, 3, padding="same", activation="relu", name="first")(image)
    h = layers.MaxPooling2D()(h)
    h = layers.Conv2D(32, 3, activation="relu", name="second")(h)
    h = layers.Dropout(0.1)(layers.Flatten()(h))
    h = layers.Dense(64, activation="relu", name="hidden")(h)
    return keras.Model(
        image, layers.Dense(10, activation="softmax", name="scores")(h), name="chain"
    )


def normed() -> keras.Model:
    """Batch normalisation after each convolution, one of them depthwise; a chain as well."""
    image = keras.Input((8, 8, 1), name="image")
    h = layers.Conv2D(32, 3, use_bias=False, name="stem")(image)
    h = layers.ReLU()(normalization("stem_bn")(h))
    h = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="depthwise")(h)
    h = layers.ReLU(6.0)(normalization("depthwise_bn")(h))
    h = layers.Conv2D(64, 1, use_bias=False, name="pointwise")(h)
    h = layers.ReLU(6.0)(normalization("pointwise_bn")(h))
    h = layers.GlobalAveragePooling2D()(h)
    scores = layers.Dense(10, activation="softmax", name="scores")(h)
    return keras.Model(image, scores, name="normed")


def normalization(name: str) -> keras.Layer:
    """Statistics that settle within the few steps of this training."""
    return layers.BatchNormalization(momentum=0.9, name=name)


def as_onnx(model: keras.Model) -> onnx.ModelProto:
    """The same net as other frameworks write it: channels first, batch normalisations unfolded."""
    weights = {}
    for name, kernel in (
        ("stem", (3, 2, 0, 1)),
        ("depthwise", (2, 3, 0, 1)),
        ("pointwise", (3, 2, 0, 1)),
    ):
        weights[f"{name}.w"] = model.get_layer(name).get_weights()[0].transpose(kernel)
        for part, values in zip("gbmv", model.get_layer(f"{name}_bn").get_weights(), strict=True):
            weights[f"{name}.{part}"] = values
    weights["scores.w"], weights["scores.b"] = model.get_layer("scores").get_weights()
    weights["six"], weights["zero"] = np.float32(6), np.float32(0)
    nodes, value = [], "pixels"
    for name, more in (
        ("stem", {}),
        ("depthwise", {"group": 32, "pads": [1, 1, 1, 1]}),
        ("pointwise", {}),
    ):
        norm = [f"{name}.{part}" for part in "gbmv"]
        clip = [f"{name}_n", "zero", "" if name == "stem" else "six"]
        nodes += [
            helper.make_node("Conv", [value, f"{name}.w"], [f"{name}_c"], **more),
            helper.make_node(
                "BatchNormalization", [f"{name}_c", *norm], [f"{name}_n"], epsilon=1e-3
            ),
            helper.make_node("Clip", [each for each in clip if each], [f"{name}_r"]),
        ]
        value = f"{name}_r"
    nodes += [
        helper.make_node("GlobalAveragePool", [value], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "scores.w", "scores.b"], ["l"]),
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


def unprunable(models: Path) -> None:
    image = keras.Input((8, 8, 1), name="image")
    h = layers.Conv2D(4, 3, padding="same", name="before")(image)
    h = layers.Add(name="residual")([h, layers.Conv2D(4, 3, padding="same", name="inside")(h)])
    scores = layers.Dense(10, name="scores")(layers.Flatten()(h))
    keras.Model(image, scores).save(models / "residual.keras")
    h = layers.Flatten()(layers.DepthwiseConv2D(3, name="depthwise")(image))
    keras.Model(image, h).save(models / "bare.keras")
    same = layers.Dense(10, kernel_initializer="ones", name="ones")(layers.Flatten()(image))
    keras.Model(image, same).save(models / "ones.keras")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
