"""``.onnx`` sources: check, fix batch and open dimensions to what the data has."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.build import canonical
from orchestrator.build.failures import BadSource
from orchestrator.build.runtimes import Arrays, OnnxSession
from orchestrator.build.tensors import Tensor

OLDEST_OPSET = 7
"""The oldest operator set that ONNX Runtime has all operators of; older models are lifted."""

LIFTED_OPSET = 13
"""To which: TensorRT 8.2 knows it, and so does every runtime in use."""

LIFTED_IR = 7
"""The format of files of that time; in older ones a constant has to be an input as well."""


@dataclass(frozen=True, slots=True)
class OnnxSource:
    """A checked model; `session` runs it as it was handed in."""

    model: Any
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    session: OnnxSession

    def predict(self, feed: Arrays) -> Arrays:
        """The source's own outputs for one sample."""
        return self.session.run(feed)[0]

    def afresh(self) -> None:
        """Nothing: ONNX Runtime keeps no state between runs."""


def load_onnx(source: Path, shown: str) -> OnnxSource:
    """Read and check a model.

    Raises:
        BadSource: truncated or not ONNX, weights in other files, or nothing ONNX Runtime runs.
    """
    onnx: Any = importlib.import_module("onnx")
    protobuf: Any = importlib.import_module("google.protobuf.message")
    try:
        model = canonical.parsed(source.read_bytes())
    except (protobuf.DecodeError, ValueError) as error:
        raise _not_onnx(error, source, shown) from error
    if any(each.data_location == onnx.TensorProto.EXTERNAL for each in model.graph.initializer):
        raise BadSource(
            "its weights lie in other files",
            file=shown,
            hint="save it as one file: onnx.save(onnx.load(path), path)",
        )
    try:
        _check_numbers(onnx, model)
        onnx.checker.check_model(model)
        lifted = _lifted(model)
        session = OnnxSession(source if lifted is model else lifted.SerializeToString())
    except TypeError as error:
        raise BadSource(
            str(error),
            file=shown,
            hint="export it without: for scikit-learn, options={'zipmap': False}; leave text outside",
        ) from error
    except Exception as error:  # ONNX Runtime's exceptions have no common base of their own
        raise _not_onnx(error, source, shown) from error
    return OnnxSource(lifted, _inputs(lifted, session), _outputs(session), session)


def fixed(source: OnnxSource, inputs: tuple[Tensor, ...]) -> Any:
    """The model with every input's shape as given and everything inferred from that again."""
    onnx: Any = importlib.import_module("onnx")
    model = onnx.ModelProto()
    model.CopyFrom(source.model)
    by_name = {each.name: each for each in inputs}
    bound: dict[str, int] = {}
    for graph_input in model.graph.input:
        if graph_input.name in by_name:
            _fix(graph_input, by_name[graph_input.name], bound)
    for output in model.graph.output:
        for dimension in output.type.tensor_type.shape.dim:
            if dimension.dim_param in bound:
                dimension.dim_value = bound[dimension.dim_param]
    del model.graph.value_info[:]
    inferred = onnx.shape_inference.infer_shapes(model)
    onnx.checker.check_model(inferred)
    return inferred


def renamed(model: Any, names: Mapping[str, str]) -> None:
    """Give values of a graph other names, inside its subgraphs too."""
    for node in canonical.nodes(model.graph):
        for places in (node.input, node.output):
            for index, name in enumerate(places):
                places[index] = names.get(name, name)
    graph = model.graph
    for each in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        each.name = names.get(each.name, each.name)


def _check_numbers(onnx: Any, model: Any) -> None:
    """Name an input or output of text before a runtime stumbles over it: raises TypeError."""
    for each in (*model.graph.input, *model.graph.output):
        if each.type.tensor_type.elem_type == onnx.TensorProto.STRING:
            raise TypeError(
                f"{each.name!r} is tensor(string); only tensors of numbers are supported"
            )


def _lifted(model: Any) -> Any:
    """A model of an operator set that runtimes have dropped, in the oldest that all still have."""
    onnx: Any = importlib.import_module("onnx")
    version = next(
        (each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), 1
    )
    if version >= OLDEST_OPSET:
        return model
    closed = onnx.ModelProto()
    closed.CopyFrom(model)
    for each in (*closed.graph.input, *closed.graph.output):
        for dimension in each.type.tensor_type.shape.dim[:1]:
            if not dimension.HasField(
                "dim_value"
            ):  # the converter wants to know; a batch is 1 here
                dimension.dim_value = 1
    lifted = onnx.version_converter.convert_version(closed, LIFTED_OPSET)
    lifted.ir_version = max(lifted.ir_version, LIFTED_IR)
    return lifted


def _fix(graph_input: Any, tensor: Tensor, bound: dict[str, int]) -> None:
    dimensions = graph_input.type.tensor_type.shape.dim
    for dimension, size in zip(dimensions, tensor.shape, strict=True):
        if dimension.dim_param and size is not None:
            bound[dimension.dim_param] = size
        dimension.dim_value = size


def _inputs(model: Any, session: OnnxSession) -> tuple[Tensor, ...]:
    constants = {each.name for each in model.graph.initializer}
    return tuple(each.tensor for each in session.inputs if each.tensor.name not in constants)


def _outputs(session: OnnxSession) -> tuple[Tensor, ...]:
    return tuple(each.tensor for each in session.outputs)


def _not_onnx(error: Exception, source: Path, shown: str) -> BadSource:
    said = " ".join(str(error).split()).replace(str(source), shown)
    return BadSource(
        f"not a model that ONNX Runtime can run: {said[:300]}",
        file=shown,
        hint="export it again; a truncated download looks like this too",
    )
