"""The ladder: which variants are tried for a format, and in which order."""

from orchestrator.catalog.ladder import LADDER, ladders
from orchestrator.catalog.variant import BUILDABLE, Precision, Variant


def listed(*names: str) -> list[Variant]:
    return [Variant.model_validate({"name": name, **dict(BUILDABLE[name])}) for name in names]


def test_each_format_is_gone_down_from_int8_to_float32_whatever_the_catalogs_order():
    variants = listed(
        "onnx-float32", "tflite-float32", "tflite-float16", "tflite-mixed", "tflite-int8"
    )

    assert ladders(variants) == (
        ("onnx-float32",),
        ("tflite-int8", "tflite-mixed", "tflite-float16", "tflite-float32"),
    )


def test_what_is_on_no_rung_is_not_tried():
    assert ladders(listed("tflite-int8-dynamic")) == ()


def test_the_ladder_goes_from_int8_over_mixed_to_float32():
    assert LADDER[:2] == (Precision.INT8, Precision.MIXED)
    assert LADDER[-1] is Precision.FLOAT32
    assert len(set(LADDER)) == len(LADDER)
