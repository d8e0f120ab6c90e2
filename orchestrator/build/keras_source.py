"""``.keras`` and ``.h5`` sources: load, give batch 1 and names, export. TensorFlow lives here."""

import importlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from orchestrator.build.failures import BadSource, code_inside
from orchestrator.build.runtimes import Arrays
from orchestrator.build.tensors import Tensor, allowed, distinct

OPSET = 17
"""ONNX operator set of exports: known to ONNX Runtime 1.12 and later, and to TensorRT 8.5."""


@dataclass(frozen=True, slots=True)
class KerasSource:
    """A loaded model. `outputs` are flat, in the order of the model's own structure."""

    model: Any
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    state: tuple[tuple[Any, Any], ...] = ()

    def predict(self, feed: Arrays) -> Arrays:
        """The source's own outputs for one sample, batch 1."""
        tree: Any = importlib.import_module("keras").tree
        flat = [feed[each.name] for each in self.inputs]
        results = tree.flatten(self.model(_packed(self.model, flat), training=False))
        names = [each.name for each in self.outputs]
        return {name: np.asarray(out) for name, out in zip(names, results, strict=True)}

    def afresh(self) -> None:
        """Forget what earlier samples left behind."""
        for variable, value in self.state:
            variable.assign(value)


def load_keras(source: Path, shown: str, *, trust: bool = False) -> KerasSource:
    """Load a model without its optimizer; code inside it (Lambda) is refused without `trust`.

    Raises:
        BadSource: it cannot be read, holds code, or is not a model with known inputs.
    """
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    keras: Any = importlib.import_module("keras")
    try:
        loaded = keras.saving.load_model(source, compile=False, safe_mode=not trust)
    except (ValueError, OSError, TypeError, KeyError, AttributeError) as error:
        raise _unreadable(error, shown) from error
    if not getattr(loaded, "inputs", None) or not hasattr(loaded, "output_names"):
        raise BadSource(
            "the model does not say what its inputs are",
            file=shown,
            hint="save a functional or sequential model, or one that has been called once",
        )
    model = _named_for_tensorflow(loaded, shown)
    given = keras.tree.flatten(model.input)
    inputs = zip(distinct([allowed(each.name) for each in given]), given, strict=True)
    names = distinct([allowed(name) for name in loaded.output_names])
    outputs = zip(names, keras.tree.flatten(model.output), strict=True)
    return KerasSource(
        model,
        tuple(_tensor(name, each) for name, each in inputs),
        tuple(_tensor(name, each) for name, each in outputs),
        _state(model),
    )


def export_tflite(source: KerasSource, inputs: tuple[Tensor, ...], out: Path) -> None:
    """Write a float32 ``.tflite`` whose every dimension is fixed, through a SavedModel.

    Converting the model directly would leave the batch open, and the runtime computing shapes.
    """
    keras: Any = importlib.import_module("keras")
    tensorflow: Any = importlib.import_module("tensorflow")
    flat = _flat(keras, source, inputs)
    names = [each.name for each in source.outputs]

    def serve(*tensors: Any) -> dict[str, Any]:
        results = flat(list(tensors) if len(tensors) > 1 else tensors[0], training=False)
        return dict(zip(names, keras.tree.flatten(results), strict=True))

    archive = keras.export.ExportArchive()
    archive.track(flat)
    archive.add_endpoint("serving_default", serve, input_signature=_specs(keras, inputs))
    folder = out.with_suffix(".savedmodel")
    archive.write_out(str(folder), verbose=False)
    converter = tensorflow.lite.TFLiteConverter.from_saved_model(str(folder))
    out.write_bytes(converter.convert())


def export_onnx(source: KerasSource, inputs: tuple[Tensor, ...], out: Path) -> None:
    """Write a float32 ``.onnx`` with batch 1; outputs are named by the exporter, in order."""
    keras: Any = importlib.import_module("keras")
    specs = _specs(keras, inputs)
    _flat(keras, source, inputs).export(
        str(out),
        format="onnx",
        verbose=False,
        opset_version=OPSET,
        input_signature=specs if len(specs) == 1 else [specs],
    )


def _flat(keras: Any, source: KerasSource, inputs: tuple[Tensor, ...]) -> Any:
    """The model behind one flat list of inputs with batch 1; calling it also builds it."""
    tensors = [
        keras.Input(batch_shape=each.shape, dtype=each.dtype, name=each.name) for each in inputs
    ]
    results = keras.tree.flatten(source.model(_packed(source.model, tensors), training=False))
    return keras.Model(
        tensors if len(tensors) > 1 else tensors[0], results if len(results) > 1 else results[0]
    )


def _specs(keras: Any, inputs: tuple[Tensor, ...]) -> list[Any]:
    return [keras.InputSpec(shape=t.shape, dtype=t.dtype, name=t.name) for t in inputs]


def _packed(model: Any, flat: list[Any]) -> Any:
    tree: Any = importlib.import_module("keras").tree
    return tree.pack_sequence_as(model.input, flat)


def _named_for_tensorflow(model: Any, shown: str) -> Any:
    """The same model with layers renamed whose names TensorFlow refuses: ``_hidden``, ``a b``."""
    bad = {each.name for each in _layers(model) if each.name != allowed(each.name)}
    if not bad:
        return model
    try:
        twin = model.__class__.from_config(_renamed(model.get_config(), bad))
        twin.set_weights(model.get_weights())
    except (ValueError, TypeError, KeyError) as error:
        raise BadSource(
            f"layer {min(bad)!r} has a name that TensorFlow refuses",
            file=shown,
            hint="rename the layer (letters, digits and _ inside) and save the model again",
        ) from error
    return twin


def _renamed(config: Any, bad: set[str]) -> Any:
    """A configuration in which other names stand for the bad ones, wherever they do."""
    if isinstance(config, dict):
        return {key: _renamed(value, bad) for key, value in config.items()}
    if isinstance(config, list | tuple):
        return type(config)(_renamed(each, bad) for each in config)
    return allowed(config) if isinstance(config, str) and config in bad else config


def _state(model: Any) -> tuple[tuple[Any, Any], ...]:
    """Variables that running a model may change, with their values: statistics, memories, seeds."""
    tree: Any = importlib.import_module("keras").tree
    memories = [getattr(layer, "states", None) or () for layer in _layers(model)]
    variables = [*model.non_trainable_variables, *tree.flatten(memories)]
    return tuple((each, each.numpy()) for each in variables if hasattr(each, "assign"))


def _layers(model: Any) -> list[Any]:
    """All layers, those of inner models too."""
    return list(model._flatten_layers(include_self=False))


def _unreadable(error: Exception, shown: str) -> BadSource:
    said = " ".join(str(error).split())
    if "safe_mode" in said:
        return code_inside("a Lambda", shown)
    return BadSource(
        f"Keras cannot load it: {said[:300]}",
        file=shown,
        hint="save it again with model.save(...) by Keras 3; custom layers are not supported",
    )


def _tensor(name: str, tensor: Any) -> Tensor:
    shape = tuple(None if size is None else int(size) for size in tensor.shape)
    return Tensor(name=name, shape=shape, dtype=str(tensor.dtype))
