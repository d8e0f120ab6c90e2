"""A locked model as a device measured it: its own figures, and never those of two means together."""

from examples import artifact, digest_of, locked, reading

from orchestrator.artifact.elsewhere import elsewhere
from orchestrator.artifact.lock import Status
from orchestrator.catalog.assignment import Figures
from orchestrator.catalog.reading import Means

FIGURES = Figures(
    size_bytes=1000,
    metric="top1",
    value=0.9,
    accuracy=0.9,
    reference=0.91,
    low=-0.02,
    high=0.01,
    p50_ms=2.0,
    p95_ms=3.0,
    samples=2000,
)
BUILT = locked(
    artifact("tflite-int8", figures=FIGURES),
    artifact("onnx-int8", figures=FIGURES),
    artifact("onnx-float32", figures=FIGURES, status=Status.REJECTED, because="poor"),
)


def profiled(ms: float, value: float | None, **more):
    return reading(
        "x", ms, means=Means.PROFILE, value=value, metric="top1", samples=100, data="d", **more
    )


def measured(**readings):
    named = {digest_of(name.replace("_", "-")): tuple(r) for name, r in readings.items()}
    found, used = elsewhere(BUILT, named, "x")
    return {a.variant: a.figures for a in found.artifacts}, used


def test_the_device_s_latency_and_quality_stand_in_the_place_of_the_builder_s():
    figures, used = measured(
        tflite_int8=[profiled(5.0, 0.75, p95_ms=6.0)], onnx_int8=[profiled(7.0, 0.5)]
    )

    own = figures["tflite-int8"]
    assert (own.p50_ms, own.p95_ms, own.accuracy, own.samples) == (5.0, 6.0, 0.75, 100)
    assert own.interval is None
    assert figures["onnx-float32"] is None
    assert len(used) == 2


def test_where_not_every_variant_was_judged_there_the_builder_s_quality_stays():
    figures, _ = measured(tflite_int8=[profiled(5.0, 0.75)], onnx_int8=[profiled(7.0, None)])

    assert {name: f and (f.p50_ms, f.value) for name, f in figures.items()} == {
        "tflite-int8": (5.0, 0.9),
        "onnx-int8": (7.0, 0.9),
        "onnx-float32": None,
    }


def test_a_smoke_test_does_not_stand_beside_a_profile():
    figures, used = measured(
        tflite_int8=[profiled(5.0, 0.75), reading("x", 1.0)], onnx_int8=[reading("x", 1.0)]
    )

    assert figures["onnx-int8"] is None
    assert [each.means for each in used] == [Means.PROFILE]


def test_smoke_tests_are_shown_where_nothing_was_profiled_and_nothing_of_other_classes():
    figures, used = measured(tflite_int8=[reading("x", 4.0)], onnx_int8=[reading("y", 1.0)])

    assert figures["tflite-int8"].p50_ms == 4.0
    assert figures["onnx-int8"] is None
    assert len(used) == 1


def test_where_nothing_was_measured_the_model_is_as_it_was_built():
    assert elsewhere(BUILT, {}, "x") == (BUILT, ())
