"""Which operations multiply, and which do it in integers, read off lists of operations."""

import pytest

from orchestrator.build.coverage import Counted, Operation, covered
from orchestrator.catalog.variant import Format, Precision


def op(kind, reads, gives, *integers):
    return Operation(kind, tuple(reads.split()), (gives,), frozenset(integers))


QDQ = (
    op("QuantizeLinear", "x s z", "q"),
    op("DequantizeLinear", "q s z", "dq"),
    op("DequantizeLinear", "w s z", "dw"),
)


def test_a_product_of_two_dequantized_tensors_is_one_of_integers():
    found = covered([*QDQ, op("Conv", "dq dw b", "y"), op("Relu", "y", "r")], Format.ONNX)

    assert found.kinds == (Counted(kind="Conv", count=1, weights=1, activations=1),)
    assert (found.operations, found.quantized(Precision.INT8)) == (1, 1)
    assert found.kept_float(Precision.INT8) == ()


def test_integer_weights_alone_are_enough_where_a_precision_promises_no_more():
    found = covered([*QDQ, op("Gemm", "x dw", "a"), op("Gemm", "a v", "y")], Format.ONNX)

    assert found.operations == 2
    assert [found.quantized(p) for p in (Precision.INT8_DYNAMIC, Precision.INT8)] == [1, 0]
    assert found.kept_float(Precision.INT8_DYNAMIC) == ("Gemm",)


@pytest.mark.parametrize(
    ("kind", "weights", "activations"),
    [("QLinearConv", 1, 1), ("MatMulNBits", 1, 0), ("LSTM", 0, 0)],
)
def test_kinds_say_it_themselves_in_onnx_runtimes_format(kind, weights, activations):
    found = covered([op(kind, "x w", "y")], Format.ORT)

    assert found.kinds == (Counted(kind=kind, count=1, weights=weights, activations=activations),)


def test_tflite_tensors_are_integers_themselves_or_dequantized_from_some():
    operations = [
        op("CONV_2D", "x w", "a", "x", "w"),
        op("DEQUANTIZE", "v", "dv", "v"),
        op("FULLY_CONNECTED", "a dv", "b"),
        op("DEQUANTIZE", "half", "dh"),
        op("FULLY_CONNECTED", "b dh", "y"),
    ]

    conv, full = covered(operations, Format.TFLITE).kinds

    assert (conv.weights, conv.activations) == (1, 1)
    assert (full.count, full.weights, full.activations) == (2, 1, 0), "float16 is no integer"


def test_openvino_scales_and_shapes_stand_between_integers_and_a_product():
    operations = [
        op("FakeQuantize", "x", "q"),
        op("Reshape", "q n", "r"),
        op("Convert", "w", "c", "w"),
        op("Multiply", "c s", "m"),
        op("MatMul", "r m", "y"),
        op("MatMul", "y m", "z"),
    ]

    (found,) = covered(operations, Format.OPENVINO).kinds

    assert (found.count, found.weights, found.activations) == (2, 2, 1)


def test_nothing_multiplies_in_a_model_of_additions():
    assert covered([op("ADD", "x y", "z")], Format.TFLITE).operations == 0
