"""What TensorFlow must be there for to refuse: ``python refused.py keras|legacy FOLDER``.

Prints what each case was refused with as JSON; a case that was not is an empty text.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

import numpy as np

from orchestrator.build.failures import BadData, BadSource, Unprunable
from orchestrator.build.jobs import Samples
from orchestrator.build.tensors import Tensor
from orchestrator.catalog.model import Preprocessing
from orchestrator.catalog.pruning import Pruning


def keras_cases(folder: Path) -> dict[str, Callable[[], object]]:
    import keras

    from orchestrator.build import keras_source
    from orchestrator.build.channels import narrowed

    layers = keras.layers

    @keras.saving.register_keras_serializable()
    class Subclassed(keras.Model):
        def call(self, x: Any) -> Any:
            return x

    @keras.saving.register_keras_serializable()
    class Stubborn(layers.Layer):
        """Suffers no other name."""

        def __init__(self, name: str = "_stays", **options: Any) -> None:
            if name != "_stays":
                raise ValueError(name)
            super().__init__(name=name, **options)

        def call(self, x: Any) -> Any:
            return x

    def loaded(model: Any) -> Callable[[], object]:
        model.save(folder / "one.keras")
        path = folder / "one.keras"
        kept = path.read_bytes()

        def load() -> object:
            path.write_bytes(kept)
            return keras_source.load_keras(path, "models/one.keras")

        return load

    def narrow(*middle: Any) -> Callable[[], object]:
        given = keras.Input((8, 8, 4))
        h = layers.Conv2D(8, 3, padding="same", name="first")(given)
        for layer in middle:
            h = layer(h)
        end = layers.Conv2D(2, 1, name="last") if len(h.shape) == 4 else layers.Dense(2)
        return lambda: narrowed(keras.Model(given, end(h)), 0.5)

    def crossed() -> object:
        given = keras.Input((4,))
        first = layers.Dense(4)(given)
        aside = layers.Dense(4, name="aside")(given)
        return narrowed(keras.Model(given, [first, aside]), 0.5)

    def learns(model: Any, y: np.ndarray, count: int = 40) -> Callable[[], object]:
        from orchestrator.build.finetune import lessons, trained

        def learn() -> object:
            x = np.random.default_rng(1).normal(size=(count, 4)).astype(np.float32)
            np.savez(folder / "training.npz", x=x, y=y[:count])
            samples = Samples(
                folder=str(folder), training="training.npz", cases=1, preprocessing=Preprocessing()
            )
            inputs = (Tensor(name="x", shape=(1, 4), dtype="float32"),)
            trained(model, lessons(samples, inputs), Pruning(sparsity=0.5, epochs=1), print_nothing)
            return model

        return learn

    def print_nothing(step: int, steps: int) -> None:
        pass

    def dense(*ends: tuple[int, str]) -> Any:
        given = keras.Input((4,), name="x")
        outputs = [layers.Dense(units, activation=kind)(given) for units, kind in ends]
        return keras.Model(given, outputs[0] if len(outputs) == 1 else outputs)

    whole, halves = np.arange(40) % 2, np.linspace(0, 1, 80, dtype=np.float32).reshape(40, 2)
    flat = keras.Input((4,))
    return {
        "no inputs": loaded(Subclassed()),
        "stubborn name": loaded(keras.Model(flat, Stubborn()(flat))),
        "across": narrow(layers.LayerNormalization(name="norm")),
        "groups": narrow(layers.Conv2D(8, 3, groups=2, name="grouped")),
        "axis": narrow(layers.BatchNormalization(axis=1, name="rows")),
        "multiplier": narrow(layers.DepthwiseConv2D(3, depth_multiplier=2, name="twice")),
        "two outputs": crossed,
        "few to train on": learns(dense((2, "softmax")), whole, 20),
        "two to train": learns(dense((2, "softmax"), (2, "softmax")), whole),
        "shape of floats": learns(dense((3, "linear")), halves),
        "shape of integers": learns(dense((2, "softmax")), np.stack([whole, whole], 1)),
        "trained: binary cross-entropy": learns(dense((1, "sigmoid")), whole),
        "trained: mean squared error": learns(dense((2, "linear")), halves),
    }


def legacy_cases(folder: Path) -> dict[str, Callable[[], object]]:
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    import tensorflow as tf

    from orchestrator.build import tensorflow_source

    def saved(*signature: Any, names: tuple[str, ...] = ("serving_default",)) -> Path:
        module = tf.Module()
        body = (lambda x: {"y": x * 2.0}) if signature else (lambda: {"y": tf.constant(1.0)})
        module.f = tf.function(body, input_signature=list(signature))
        path = folder / f"saved{len(list(folder.iterdir()))}"
        tf.saved_model.save(module, str(path), {n: module.f.get_concrete_function() for n in names})
        return path

    def load(path: Path) -> Callable[[], object]:
        return lambda: tensorflow_source.load_saved_model(path, "models/saved", trust=False)

    flat = tf.TensorSpec((None, 4), tf.float32, name="x")
    return {
        "nothing to give": load(saved()),
        "open rank": load(saved(tf.TensorSpec(None, tf.float32, name="x"))),
        "many signatures": load(saved(flat, names=("encode", "decode"))),
    }


def main(which: str, folder: Path) -> None:
    cases = {"keras": keras_cases, "legacy": legacy_cases}[which](folder)
    said = {}
    for name, case in cases.items():
        try:
            case()
            said[name] = ""
        except (BadSource, BadData, Unprunable) as error:
            said[name] = str(error)
    json.dump(said, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
