"""Magnitude pruning of ONNX initializers, at once, and new batch statistics; canonical bytes."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orchestrator.build import canonical
from orchestrator.build.failures import Unprunable
from orchestrator.build.finetune import statistics_set
from orchestrator.build.jobs import Prune, Samples
from orchestrator.build.magnitude import kept, thresholds
from orchestrator.build.onnx_source import load_onnx
from orchestrator.build.runtimes import OnnxSession
from orchestrator.build.samples import SampleSet
from orchestrator.build.tensors import Tensor
from orchestrator.build.verified_sparsity import verified
from orchestrator.catalog.pruning import PrunedLayer, Sparsity

_KINDS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def prune_onnx(job: Prune) -> Sparsity:
    """Write the pruned model to ``job.out`` and count in that file what was achieved.

    Raises:
        BadSource, BadData: what was handed in cannot be meant.
        Unprunable: nothing to prune.
    """
    out = Path(job.out)
    source = load_onnx(Path(job.source), job.shown)
    model = source.model
    found = list(_kernels(model))
    if not found:
        raise Unprunable(
            "nothing to prune: it has no Conv, Gemm or MatMul with float32 weights as an "
            "initializer (depthwise ones are left alone)"
        )
    limits = thresholds([values for _, values in found], job.pruning)
    for (tensor, values), limit in zip(found, limits, strict=True):
        _set(tensor, np.where(kept(values, limit), values, np.float32(0)))
    norms = _renormalized(model, job.samples, source.inputs, out)
    layers = tuple(
        PrunedLayer(
            name=str(tensor.name),
            weights=values.size,
            left=int(np.count_nonzero(_array(tensor))),
            threshold=round(limit, 9),
        )
        for (tensor, values), limit in zip(found, limits, strict=True)
    )
    out.write_bytes(canonical.canonical_bytes(model))
    _check_written(out, sum(each.left for each in layers))
    return verified(layers, job.pruning, norms)


def _kernels(model: Any) -> Iterator[tuple[Any, NDArray[np.float32]]]:
    """The initializers that are weights of a convolution or product and of nothing else."""
    onnx: Any = import_module("onnx")
    weights: set[str] = set()
    others: set[str] = set()
    for node in model.graph.node:
        grouped = next((each.i for each in node.attribute if each.name == "group"), 1) > 1
        for place, name in enumerate(node.input):
            product = node.op_type in ("Gemm", "MatMul") and place < 2
            kernel = product or (place == 1 and not grouped)
            (weights if node.op_type in _KINDS and kernel else others).add(name)
    for tensor in model.graph.initializer:
        float32 = tensor.data_type == onnx.TensorProto.FLOAT
        if float32 and tensor.name in weights - others and len(tensor.dims) > 1:
            yield tensor, _array(tensor)


def _renormalized(model: Any, samples: Samples, inputs: tuple[Tensor, ...], out: Path) -> int:
    """Find the statistics of every batch normalisation again, in the order of the graph.

    Exporters mostly fold them into the weights before; then there is nothing to find again.
    """
    values = {each.name: each for each in model.graph.initializer}
    norms = [
        node
        for node in model.graph.node
        if node.op_type == "BatchNormalization" and {*node.input[3:5]} <= values.keys()
    ]
    if not norms:
        return 0
    found = statistics_set(samples, inputs, len(norms))
    for norm in norms:
        mean, variance = _moments(model, norm.input[0], found, out.with_suffix(".part.onnx"))
        for name, value in ((norm.input[3], mean), (norm.input[4], variance)):
            _set(values[name], value.astype(np.float32))
    return len(norms)


def _moments(
    model: Any, name: str, samples: SampleSet, file: Path
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and variance of a value by its channel (axis 1) over some samples."""
    onnx: Any = import_module("onnx")
    part = onnx.ModelProto()
    part.CopyFrom(model)
    del part.graph.output[:]
    part.graph.output.add().CopyFrom(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
    )
    file.write_bytes(part.SerializeToString())
    session = OnnxSession(file)
    count, total, squares = 0, np.zeros(1), np.zeros(1)
    for index in samples.spread(_MOST):
        given = session.run(samples.feed(index))[0][name].astype(np.float64)
        by_channel = np.moveaxis(given, 1, 0).reshape(given.shape[1], -1)
        count += by_channel.shape[1]
        total = total + by_channel.sum(axis=1)
        squares = squares + (by_channel**2).sum(axis=1)
    mean = total / count
    return mean, np.maximum(squares / count - mean**2, 0.0)


_MOST = 200
"""Samples that statistics are found on: each normalisation takes a run over all of them."""


def _check_written(out: Path, left: int) -> None:
    """Count again in the file: what is left is what was meant to be."""
    again = canonical.parsed(out.read_bytes())
    found = sum(int(np.count_nonzero(values)) for _, values in _kernels(again))
    if found != left:
        raise RuntimeError(f"{found} weights are left in the file, and {left} were to be")


def _array(tensor: Any) -> NDArray[np.float32]:
    return np.asarray(import_module("onnx").numpy_helper.to_array(tensor))


def _set(tensor: Any, values: NDArray[np.float32]) -> None:
    tensor.CopyFrom(import_module("onnx").numpy_helper.from_array(values, tensor.name))
