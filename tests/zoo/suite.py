"""The ONNX backend suite's models as catalog entries, with the suite's own inputs and outputs."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test.loader import load_model_tests

from orchestrator.catalog.model import Model

KINDS = ("simple", "pytorch-converted", "pytorch-operator")


@dataclass(frozen=True, slots=True)
class Case:
    """One model of the suite; `skipped` says why it has no catalog entry."""

    name: str
    model: Model | None
    skipped: str = ""


def cases(folder: Path) -> list[Case]:
    """Every case of the three kinds that comes as a file, written below a catalog's folder."""
    for name in ("models", "data"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    found = [case for kind in KINDS for case in load_model_tests(kind=kind) if case.model_dir]
    return [_case(Path(case.model_dir), case.name, folder) for case in found]


def _case(source: Path, test: str, folder: Path) -> Case:
    name = "onnx-" + re.sub(r"[^A-Za-z0-9]+", "-", test.removeprefix("test_")).strip("-")
    model = onnx.load(source / "model.onnx")
    constants = {each.name for each in model.graph.initializer}
    inputs = [each for each in model.graph.input if each.name not in constants]
    first = source / "test_data_set_0"
    try:
        arrays = {
            each.name: _sample(first / f"input_{number}.pb", each)
            for number, each in enumerate(inputs)
        } | {
            f"expect_{each.name}": _sample(first / f"output_{number}.pb", each)
            for number, each in enumerate(model.graph.output)
        }
    except (TypeError, ValueError) as error:
        return Case(name, None, str(error))
    if not inputs:
        return Case(name, None, "it has no inputs")
    (folder / f"models/{name}.onnx").write_bytes((source / "model.onnx").read_bytes())
    np.savez(folder / f"data/{name}.npz", **arrays)
    entry = {
        "name": name,
        "source": f"models/{name}.onnx",
        "version": "1",
        "golden": {"inputs": f"data/{name}.npz"},
        "variants": ["onnx-float32"],
    }
    return Case(name, Model.model_validate(entry))


def _sample(file: Path, value: onnx.ValueInfoProto) -> np.ndarray:
    """One tensor of the suite with the samples along its first axis, which is 1."""
    if not value.type.HasField("tensor_type"):
        raise TypeError(f"{value.name} is no tensor")
    array = numpy_helper.to_array(onnx.load_tensor(file))
    sizes = value.type.tensor_type.shape.dim
    batched = bool(sizes) and (sizes[0].dim_value == 1 or not sizes[0].dim_value)
    if batched and array.shape[0] != 1:
        raise ValueError(f"{value.name} has an open batch and is given {array.shape[0]} at once")
    return array if batched else array[np.newaxis]
