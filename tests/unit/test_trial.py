"""Who measures which variants: one device a class, every accepted variant that it can run."""

from typing import Any

from examples import artifact, device, facts, locked, model, observed, profile, unobserved

from orchestrator.artifact.lock import Status
from orchestrator.inventory.facts import Facts
from orchestrator.inventory.profile import Runtime
from orchestrator.rollout.plan import Skip, Why
from orchestrator.rollout.trial import Turn, one_per_class, turns

LITERT, ONNX = Runtime.LITERT, Runtime.ONNXRUNTIME
FAST, SLOW = (facts(LITERT, ONNX, power_mode=mode) for mode in ("MAXN", "15W"))


def seen(**said: Facts | None):
    return {
        name: observed(name, facts_=each) if each else unobserved(name)
        for name, each in said.items()
    }


def chosen(known: dict[str, Facts] | None = None, **said: Facts | None) -> list[str]:
    devices = [device(name) for name in said]
    return [each.name for each in one_per_class(devices, seen(**said), known or {})]


def test_the_first_of_each_class_measures_and_a_power_mode_makes_a_class():
    assert chosen(a=FAST, b=FAST, c=SLOW, d=SLOW) == ["a", "c"]


def test_one_that_does_not_answer_is_stood_for_by_another_of_its_class():
    assert chosen({"a": FAST}, a=None, b=FAST, c=SLOW) == ["b", "c"]


def test_a_class_of_which_nobody_answers_is_not_passed_over():
    assert chosen({"a": FAST, "b": FAST}, a=None, b=None, c=SLOW) == ["a", "c"]


def test_one_that_was_never_asked_and_does_not_answer_stands_for_itself():
    assert chosen(a=None, b=FAST) == ["a", "b"]


BUILT = locked(
    artifact("tflite-int8"),
    artifact("onnx-int8"),
    artifact("onnx-float32", status=Status.DOMINATED, because="slower"),
)
CATALOG = model(variants=["tflite-int8", "onnx-int8", "onnx-float32"])
PROFILES = {"pi": profile(LITERT, ONNX), "tf": profile(LITERT, name="tf")}


def taken(on: str = "pi", **said: Any):
    return turns(CATALOG, BUILT, [device(n, on) for n in said], seen(**said), PROFILES)


def test_every_accepted_variant_that_a_device_can_run_is_measured_with_its_runtime():
    (both,) = taken(a=FAST)
    (only,) = taken("tf", a=FAST)

    assert isinstance(both, Turn)
    assert [(t.manifest.variant, t.runtime) for t in both.trials] == [
        ("tflite-int8", LITERT),
        ("onnx-int8", ONNX),
    ]
    assert isinstance(only, Turn)
    assert [t.manifest.variant for t in only.trials] == ["tflite-int8"]


def test_a_device_that_can_run_nothing_or_does_not_answer_is_left_with_the_reason():
    nothing, away = taken(a=facts(), b=None)

    assert isinstance(nothing, Skip)
    assert (nothing.why, nothing.device) == (Why.NO_VARIANT, "a")
    assert "onnx-float32: dominated: slower" in nothing.because
    assert isinstance(away, Skip)
    assert away.why is Why.UNREACHABLE
