"""Canonical bytes: equal for models that differ in inner names only, and computing the same."""

import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import onnxruntime as ort
    from onnx.backend.test.loader import load_model_tests

from onnx import TensorProto, helper, numpy_helper

from orchestrator.build.canonical import canonical_bytes, rename_outputs

KINDS = ("simple", "pytorch-converted", "pytorch-operator")
CASES = [case for kind in KINDS for case in load_model_tests(kind=kind) if case.model_dir]


def small(prefix: str, *, turned: bool) -> onnx.ModelProto:
    """x + a + b → out, with inner names and the order of constants as an exporter happens to."""
    constants = [(f"{prefix}a", 1.0), (f"{prefix}b", 2.0)]
    graph = helper.make_graph(
        [
            helper.make_node("Add", ["x", f"{prefix}a"], [f"{prefix}t"], name=f"{prefix}n"),
            helper.make_node("Add", [f"{prefix}t", f"{prefix}b"], ["out"], doc_string=prefix),
        ],
        prefix,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 4])],
        [
            numpy_helper.from_array(np.full(4, value, np.float32), name)
            for name, value in (reversed(constants) if turned else constants)
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_models_that_differ_in_inner_names_only_have_equal_bytes():
    one, other = small("export__152_", turned=False), small("export__155_", turned=True)

    assert canonical_bytes(one) == canonical_bytes(other)


def test_canonical_bytes_are_their_own_canonical_bytes():
    once = canonical_bytes(small("a", turned=True))

    assert canonical_bytes(onnx.load_model_from_string(once)) == once


def test_an_output_may_take_the_name_of_something_inside():
    model = small("v", turned=False)

    rename_outputs(model, ["vt"])

    onnx.checker.check_model(model, full_check=True)
    assert run(model, {"x": np.zeros((1, 4), np.float32)})[0].tolist() == [[3.0] * 4]
    assert [out.name for out in model.graph.output] == ["vt"]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_model_of_the_onnx_suite_computes_the_same_in_canonical_form(case):
    model = onnx.load(Path(case.model_dir) / "model.onnx")
    try:
        feed = inputs_of(case)
        wanted = run(model, feed)
    except Exception as error:  # noqa: BLE001 what ONNX Runtime cannot run proves nothing here
        pytest.skip(f"not for ONNX Runtime: {error}"[:80])

    again = onnx.load_model_from_string(canonical_bytes(model))

    onnx.checker.check_model(again)
    for want, have in zip(wanted, run(again, feed), strict=True):
        if np.asarray(want).dtype.kind == "f":
            np.testing.assert_allclose(have, want, rtol=1e-6, atol=1e-6)
        else:
            np.testing.assert_array_equal(have, want)


def inputs_of(case) -> dict[str, np.ndarray]:
    model = onnx.load(Path(case.model_dir) / "model.onnx")
    constants = {each.name for each in model.graph.initializer}
    names = [each.name for each in model.graph.input if each.name not in constants]
    folder = Path(case.model_dir) / "test_data_set_0"
    return {
        name: numpy_helper.to_array(onnx.load_tensor(folder / f"input_{index}.pb"))
        for index, name in enumerate(names)
    }


def run(model: onnx.ModelProto, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, feed)
