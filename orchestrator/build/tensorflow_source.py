"""SavedModels and files of Keras 1 and 2: load, give batch 1 and names, export. Through tf_keras.

Keras 3 can read neither: optimizers inside SavedModels lack ``add_slot`` there, and layers of
old files have arguments that it dropped (``groups`` of DepthwiseConv2D).
"""

import importlib
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from orchestrator.build import canonical, nature
from orchestrator.build.failures import BadSource, code_inside
from orchestrator.build.runtimes import ONNX_TYPES, Arrays
from orchestrator.build.tensors import Tensor, allowed, distinct

SIGNATURE = "serving_default"
"""The signature that a SavedModel is asked by, where it has several."""


@dataclass(frozen=True, slots=True)
class TensorFlowSource:
    """A loaded model as a function of named tensors; `kept` is what owns its variables.

    `arguments` and `results` are the model's own names of `inputs` and `outputs`.
    """

    kept: Any
    call: Callable[[dict[str, Any]], Mapping[str, Any]]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    arguments: tuple[str, ...]
    results: tuple[str, ...]
    state: tuple[tuple[Any, Any], ...] = field(default=())

    def predict(self, feed: Arrays) -> Arrays:
        """The source's own outputs for one sample, batch 1."""
        tensorflow: Any = importlib.import_module("tensorflow")
        given = [tensorflow.constant(feed[each.name]) for each in self.inputs]
        return {name: np.asarray(value) for name, value in self.named(given).items()}

    def named(self, flat: list[Any]) -> dict[str, Any]:
        """Tensors in the order of `inputs` → the outputs by their public names."""
        given = self.call(dict(zip(self.arguments, flat, strict=True)))
        return {
            each.name: given[name] for each, name in zip(self.outputs, self.results, strict=True)
        }

    def afresh(self) -> None:
        """Forget what earlier samples left behind."""
        for variable, value in self.state:
            variable.assign(value)


def load_saved_model(source: Path, shown: str, *, trust: bool) -> TensorFlowSource:
    """Load a SavedModel's signature.

    Raises:
        BadSource: it cannot be read, has no signature to ask, or its graph reaches outside.
    """
    tensorflow = _tensorflow()
    try:
        if not trust:
            _check_operations(source, shown)
        loaded = tensorflow.saved_model.load(str(source))
        signature = _signature(loaded, shown)
    except (tensorflow.errors.OpError, OSError, *_ERRORS) as error:
        raise _unreadable(
            "TensorFlow", error, shown, "export it again; is the copy whole?"
        ) from error
    _, named = signature.structured_input_signature
    if not named:
        raise BadSource("its signature takes no inputs", file=shown, hint=_EXPORT)
    return _source(
        loaded,
        lambda given: signature(**given),
        {name: (each.shape, each.dtype) for name, each in sorted(named.items())},
        {n: (e.shape, e.dtype) for n, e in sorted(signature.structured_outputs.items())},
        signature.variables,
        shown,
    )


def load_legacy(source: Path, shown: str, *, trust: bool) -> TensorFlowSource:
    """Load a file of Keras 1 or 2 without its optimizer.

    Raises:
        BadSource: it cannot be read, or needs code that is not in it.
    """
    tensorflow = _tensorflow()
    keras: Any = importlib.import_module("tf_keras")
    try:
        model = keras.models.load_model(source, compile=False, safe_mode=not trust)
    except (OSError, *_ERRORS) as error:
        hint = "custom layers are not supported: export a SavedModel where they are known"
        raise _unreadable("Keras 2", error, shown, hint) from error
    if not getattr(model, "inputs", None):
        raise BadSource(
            "the model does not say what its inputs are",
            file=shown,
            hint="save a functional or sequential model, or one that has been called once",
        )
    for layer in model._flatten_layers(include_self=False):
        layer._name = allowed(layer.name)
    specs = [tensorflow.TensorSpec(each.shape, each.dtype) for each in model.inputs]
    names = distinct([str(name) for name in model.output_names])

    def called(*flat: Any) -> dict[str, Any]:
        packed = tensorflow.nest.pack_sequence_as(model.input, list(flat))
        with tensorflow.name_scope("model"):
            results = tensorflow.nest.flatten(model(packed, training=False))
        return dict(zip(names, results, strict=True))

    function = tensorflow.function(called, input_signature=specs)
    concrete = function.get_concrete_function()
    return _source(
        model,
        lambda given: function(*(given[name] for name in model.input_names)),
        {n: (e.shape, e.dtype) for n, e in zip(model.input_names, specs, strict=True)},
        {n: (e.shape, e.dtype) for n, e in zip(names, model.outputs, strict=True)},
        concrete.variables,
        shown,
    )


def export_tflite(source: TensorFlowSource, inputs: tuple[Tensor, ...], out: Path) -> None:
    """Write a float32 ``.tflite`` whose every dimension is fixed, through a SavedModel."""
    tensorflow: Any = importlib.import_module("tensorflow")
    folder = _saved(source, inputs, out)
    out.write_bytes(tensorflow.lite.TFLiteConverter.from_saved_model(folder).convert())


def export_onnx(source: TensorFlowSource, inputs: tuple[Tensor, ...], opset: int, out: Path) -> Any:
    """The model as a parsed float32 ONNX graph with batch 1 and public names.

    By way of a SavedModel beside `out`, as tf2onnx's own command does it: a function taken from
    memory would leave what it has captured as inputs.
    """
    convert: Any = importlib.import_module("tf2onnx.convert")
    loader: Any = importlib.import_module("tf2onnx.tf_loader")
    graph, names, results, tables, public = loader.from_saved_model(
        _saved(source, inputs, out),
        None,
        None,
        signatures=[SIGNATURE],
        return_initialized_tables=True,
        return_tensors_to_rename=True,
    )
    model, _ = convert._convert_common(
        graph,
        name="model",
        opset=opset,
        input_names=names,
        output_names=results,
        tensors_to_rename=public,
        initialized_tables=tables,
    )
    return canonical.parsed(model.SerializeToString())


def _saved(source: TensorFlowSource, inputs: tuple[Tensor, ...], out: Path) -> str:
    """A SavedModel of fixed shapes beside a file, as one signature; its folder.

    The scope around it admits names that must not be outermost.
    """
    tensorflow: Any = importlib.import_module("tensorflow")

    def serve(*flat: Any) -> dict[str, Any]:
        with tensorflow.name_scope("served"):
            return source.named(list(flat))

    specs = [tensorflow.TensorSpec(t.shape, t.dtype, name=t.name) for t in inputs]
    module = tensorflow.Module()
    module.kept = source.kept
    served = tensorflow.function(serve, input_signature=specs)
    folder = str(out.with_suffix(".savedmodel"))
    tensorflow.saved_model.save(module, folder, signatures={SIGNATURE: served})
    return folder


def _tensorflow() -> Any:
    """TensorFlow whose Keras is tf_keras, which only a process that has neither can have."""
    if "tensorflow" in sys.modules and os.environ.get("TF_USE_LEGACY_KERAS") != "1":
        raise RuntimeError(
            "TensorFlow is loaded with Keras 3 already: a process of its own is needed"
        )
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    tensorflow: Any = importlib.import_module("tensorflow")
    importlib.import_module("tf_keras")
    return tensorflow


def _source(
    kept: Any,
    call: Callable[[dict[str, Any]], Mapping[str, Any]],
    takes: Mapping[str, tuple[Any, Any]],
    gives: Mapping[str, tuple[Any, Any]],
    variables: Any,
    shown: str,
) -> TensorFlowSource:
    state = tuple((each, each.numpy()) for each in variables if not each.trainable)
    return TensorFlowSource(
        kept,
        call,
        _tensors("input", takes, shown),
        _tensors("output", gives, shown),
        tuple(takes),
        tuple(gives),
        state,
    )


def _tensors(what: str, specs: Mapping[str, tuple[Any, Any]], shown: str) -> tuple[Tensor, ...]:
    found = []
    for name, (name_specs, public) in zip(
        specs, zip(specs.values(), distinct([allowed(name) for name in specs])), strict=True
    ):
        shape, dtype = name_specs
        if dtype.name not in ONNX_TYPES.values():
            raise BadSource(
                f"{what} {name!r} is {dtype.name}, and only tensors of numbers are supported",
                file=shown,
                hint="export the part of the model behind the text or table lookup",
            )
        if shape.rank is None:
            raise BadSource(
                f"{what} {name!r} has no fixed number of dimensions",
                file=shown,
                hint="export it with an input_signature that says how many there are",
            )
        found.append(Tensor(name=public, shape=tuple(shape.as_list()), dtype=dtype.name))
    return tuple(found)


def _signature(loaded: Any, shown: str) -> Any:
    signatures = dict(loaded.signatures)
    if SIGNATURE in signatures:
        return signatures[SIGNATURE]
    if len(signatures) == 1:
        return next(iter(signatures.values()))
    has = f"it has {', '.join(map(repr, sorted(signatures)))}" if signatures else "it has none"
    raise BadSource(f"no signature {SIGNATURE!r} to ask it by ({has})", file=shown, hint=_EXPORT)


def _check_operations(source: Path, shown: str) -> None:
    """Refuse a graph that runs Python or reaches files, before it is loaded."""
    loader: Any = importlib.import_module("tensorflow.python.saved_model.loader_impl")
    for graph in (meta.graph_def for meta in loader.parse_saved_model(str(source)).meta_graphs):
        for nodes in (graph.node, *(each.node_def for each in graph.library.function)):
            for node in nodes:
                if node.op in nature.OPERATIONS:
                    raise code_inside(f"the operation {node.op}", shown)


_ERRORS = (ValueError, TypeError, KeyError, AttributeError, ImportError)

_EXPORT = (
    "export it with Keras: model.export(folder), or tf.saved_model.save(model, folder, signatures)"
)


def _unreadable(who: str, error: Exception, shown: str, hint: str) -> BadSource:
    said = " ".join(str(error).split())
    return BadSource(f"{who} cannot load it: {said[:300]}", file=shown, hint=hint)
