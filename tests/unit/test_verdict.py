"""What is accepted, what is rejected, and what is said about it; what another variant beats."""

import pytest
from pydantic import ValidationError

from orchestrator.artifact.dominance import marked
from orchestrator.artifact.lock import Lock, LockedArtifact, LockedModel, Status, offers
from orchestrator.build.gate import matched_pairs
from orchestrator.build.verdict import NO_EVALUATION, NOT_JUDGED, limit, verdict
from orchestrator.catalog.acceptance import Acceptance
from orchestrator.catalog.assignment import Figures
from orchestrator.catalog.model import Model

DIGEST = "0" * 64


def measured(worse=0, better=0, samples=2000, reference=0.9, **more):
    interval, spread = matched_pairs(worse, better, samples)
    value = reference + (better - worse) / samples
    return Figures(
        size_bytes=1000,
        metric="top1",
        value=value,
        reference=reference,
        accuracy=value,
        accuracy_drop=reference - value,
        low=interval.low,
        high=interval.high,
        spread=spread,
        samples=samples,
        **more,
    )


def judge(acceptance, figures):
    return verdict(Acceptance.model_validate(acceptance), figures, reference=False)


def test_a_loss_within_the_limit_is_accepted_without_a_word():
    assert judge({}, measured(worse=10, better=8)) == (Status.ACCEPTED, "")


def test_a_loss_beyond_the_limit_is_rejected_with_its_interval():
    status, because = judge({}, measured(worse=200, better=20))

    assert status is Status.REJECTED
    assert because.startswith("accuracy 0.810 is 0.090 below float32's 0.900 (95 % interval of")


def test_too_few_samples_are_accepted_loudly_unless_one_is_strict():
    few = measured(worse=3, better=2, samples=100)

    status, because = judge({}, few)
    strict, _ = judge({"strict": True}, few)

    assert (status, strict) == (Status.ACCEPTED, Status.REJECTED)
    assert because.startswith("inconclusive with 100 samples: accuracy")
    assert "samples would decide it" in because


def test_an_inconclusive_loss_beyond_the_limit_is_rejected():
    status, because = judge({}, measured(worse=4, better=0, samples=100))

    assert status is Status.REJECTED
    assert because.startswith("inconclusive")


@pytest.mark.parametrize(
    ("acceptance", "allowed"),
    [
        ({}, 0.02),
        ({"max_accuracy_drop": 0.05}, 0.05),
        ({"max_drop": 0.3}, 0.3),
        ({"profile": "mlperf-mobile"}, 0.018),
        ({"profile": "mlperf-mobile", "task": "segmentation"}, 0.036),
        ({"profile": "mlperf-mobile", "metric": "map"}, 0.045),
        ({"profile": "mlperf-mobile", "task": "question-answering"}, 0.063),
    ],
)
def test_the_limit_is_what_acceptance_says(acceptance, allowed):
    assert limit(Acceptance.model_validate(acceptance), measured()) == pytest.approx(allowed)


def test_an_error_may_grow_by_a_share_of_the_labels_variance():
    figures = Figures(size_bytes=1, metric="mse", value=1.3, reference=1.0, unit=4.0, samples=500)

    assert limit(Acceptance(), figures) == pytest.approx(0.08)
    assert figures.difference == pytest.approx(-0.3)
    assert figures.score == -1.3


def test_a_published_rule_without_a_task_it_knows_is_refused():
    with pytest.raises(ValidationError, match="needs `task`"):
        Acceptance.model_validate({"profile": "mlperf-mobile", "metric": "auc"})
    with pytest.raises(ValidationError, match="belong together"):
        Acceptance.model_validate({"metric": "python"})


@pytest.mark.parametrize(
    ("bounds", "because"),
    [
        ({"min_accuracy": 0.95}, "accuracy 0.900 is below the 0.95 that acceptance asks for"),
        ({"min_value": 0.95}, "top1 0.9 is below acceptance.min_value (0.95)"),
        ({"max_value": 0.5}, "top1 0.9 is above acceptance.max_value (0.5)"),
        ({"max_size_bytes": 10}, "1000 bytes are more than acceptance.max_size_bytes allows (10)"),
    ],
)
def test_bounds_hold_whatever_float32_reaches(bounds, because):
    assert judge(bounds, measured()) == (Status.REJECTED, because)


def test_without_labels_a_near_variant_is_accepted_and_called_unlabelled():
    near = Figures(size_bytes=1, samples=140, cosine=0.99, snr_db=20.0, agreement=1.0, confident=23)
    far = near.model_copy(update={"cosine": 0.872, "snr_db": 5.9, "agreement": 0.83})

    assert judge({}, near) == (
        Status.ACCEPTED,
        "unlabelled: signal to deviation 20 dB, cosine 0.99, agreement 1 on 23 confident samples",
    )
    status, because = judge({}, far)
    assert status is Status.REJECTED
    assert because.startswith("unlabelled: its outputs deviate too much")
    assert judge({"unlabelled": {"min_snr_db": 5, "min_cosine": 0.8, "min_agreement": 0.8}}, far)[
        0
    ] is (Status.ACCEPTED)


def test_without_evaluation_data_only_the_reference_is_accepted_and_said_to_be_unjudged():
    nothing = Figures(size_bytes=1)

    assert judge({}, nothing) == (Status.REJECTED, NO_EVALUATION)
    assert verdict(Acceptance(), nothing, reference=True) == (Status.ACCEPTED, NOT_JUDGED)


def built(**latencies_and_values):
    """A locked model: variant → (p50 in ms, accuracy)."""
    artifacts = tuple(
        LockedArtifact(
            variant=name.replace("_", "-"),
            key=DIGEST,
            status=Status.ACCEPTED,
            format=name.split("_")[0],
            sha256=DIGEST,
            figures=Figures(size_bytes=1, metric="top1", value=value, p50_ms=p50_ms, samples=2000),
        )
        for name, (p50_ms, value) in latencies_and_values.items()
    )
    return LockedModel(name="m", version="1", source=DIGEST, preprocessing={}, artifacts=artifacts)


def a_model(**variants):
    names = {name.replace("_", "-"): more for name, more in variants.items()}
    return Model.model_validate({"name": "m", "source": "m.h5", "version": "1", "variants": names})


def statuses(model, locked):
    return {a.variant: a.status.value for a in marked(model, locked).artifacts}


def test_a_variant_that_is_slower_and_poorer_is_dominated_and_never_assigned():
    model = a_model(tflite_float32={}, tflite_int8={}, tflite_int8_dynamic={})
    locked = built(
        tflite_float32=(1.0, 0.9), tflite_int8=(0.5, 0.895), tflite_int8_dynamic=(1.7, 0.88)
    )

    whole = marked(model, locked)

    slow = whole.artifact("tflite-int8-dynamic")
    assert slow.status is Status.DOMINATED
    assert slow.because == (
        "tflite-float32 is 1.7 times as fast (1 ms against 1.7) and better (top1 0.9 against 0.88)"
    )
    assert statuses(model, locked)["tflite-int8"] == "accepted"
    blocked = {offer.variant.name: offer.blocked for offer in offers(model, whole)}
    assert blocked["tflite-int8-dynamic"].startswith("dominated: tflite-float32 is")
    assert blocked["tflite-int8"] == ""


@pytest.mark.parametrize(
    "dynamic",
    [(1.19, 0.88), (1.7, 0.8995), (1.7, 0.9), (0.9, 0.88)],
    ids=["hardly slower", "one sample poorer", "as good", "faster"],
)
def test_noise_dominates_nothing(dynamic):
    model = a_model(tflite_float32={}, tflite_int8_dynamic={})
    locked = built(tflite_float32=(1.0, 0.9), tflite_int8_dynamic=dynamic)

    assert statuses(model, locked)["tflite-int8-dynamic"] == "accepted"


def test_only_a_variant_that_could_stand_in_dominates():
    slow = {"tflite_int8_dynamic": (2.0, 0.8)}
    elsewhere = a_model(tflite_int8={"archs": ["x86_64"]}, tflite_int8_dynamic={})
    hungry = a_model(tflite_int8={"needs_mib": 64}, tflite_int8_dynamic={})
    other = a_model(onnx_float32={}, tflite_int8_dynamic={})

    for model in (elsewhere, hungry):
        found = statuses(model, built(tflite_int8=(1.0, 0.9), **slow))
        assert found["tflite-int8-dynamic"] == "accepted"
    assert statuses(other, built(onnx_float32=(1.0, 0.9), **slow))["tflite-int8-dynamic"] == (
        "accepted"
    )


def test_formats_of_one_runtime_dominate_each_other_and_other_interfaces_never():
    formats = a_model(ort_int8={}, onnx_int8={})
    interfaces = a_model(tflite_int8={}, tflite_int8_io={})

    found = statuses(formats, built(ort_int8=(2.0, 0.8), onnx_int8=(1.0, 0.9)))
    kept = statuses(interfaces, built(tflite_int8=(1.0, 0.9), tflite_int8_io=(2.0, 0.8)))

    assert found == {"ort-int8": "dominated", "onnx-int8": "accepted"}
    assert kept == {"tflite-int8": "accepted", "tflite-int8-io": "accepted"}


@pytest.mark.parametrize(
    ("quantized", "least", "status"),
    [
        (0, 0.5, Status.REJECTED),
        (3, 0.5, Status.REJECTED),
        (4, 0.5, Status.ACCEPTED),
        (0, 0.0, Status.ACCEPTED),
        (7, 1.0, Status.ACCEPTED),
        (6, 1.0, Status.REJECTED),
    ],
)
def test_a_variant_that_is_quantized_by_name_only_is_rejected(quantized, least, status):
    figures = measured(operations=8, quantized=quantized + quantized // 7, kept_float=("LSTM",))

    found, because = judge({"min_quantized": least}, figures)

    assert found is status
    assert because == "" or because == (
        f"called quantized, but {quantized} of 8 operations that multiply are (left in float: "
        f"LSTM), and acceptance.min_quantized is {least:g}"
    )


def test_a_model_in_which_nothing_multiplies_is_not_judged_by_what_does():
    assert judge({}, measured(operations=0, quantized=0)) == (Status.ACCEPTED, "")


def test_float32_is_never_dominated_and_a_mark_goes_when_its_reason_goes():
    model = a_model(tflite_float32={}, tflite_int8={}, tflite_int8_dynamic={})
    locked = built(
        tflite_float32=(3.0, 0.8), tflite_int8=(0.5, 0.9), tflite_int8_dynamic=(1.7, 0.7)
    )
    once = marked(model, locked)
    gone = once.artifact("tflite-int8").model_copy(update={"status": Status.REJECTED})
    slower = once.artifact("tflite-float32").model_copy(
        update={
            "figures": locked.artifact("tflite-float32").figures.model_copy(update={"value": 0.6})
        }
    )
    changed = Lock().merged(once).merged(once.model_copy(update={"artifacts": (gone, slower)}))

    assert [a.status for a in once.artifacts] == [
        Status.ACCEPTED,
        Status.ACCEPTED,
        Status.DOMINATED,
    ]
    assert statuses(model, changed.find("m"))["tflite-int8-dynamic"] == "accepted"
