"""What each device should run: by assignment for a deployment, by history for a rollback."""

from typing import Any

from examples import (
    artifact,
    device,
    facts,
    lock,
    locked,
    manifest,
    model,
    observed,
    profile,
    reading,
    runs,
    unobserved,
)

from orchestrator.artifact.manifest import Manifest
from orchestrator.catalog.assignment import Assignment, Figures, Objective
from orchestrator.inventory.profile import Runtime
from orchestrator.rollout.desire import Known, assigned, to_deploy, to_roll_back
from orchestrator.rollout.observation import Installed, Observation
from orchestrator.rollout.plan import Desired, Skip, Why, Wish

LITERT, ONNX = Runtime.LITERT, Runtime.ONNXRUNTIME
PROFILES = {"pi": profile(LITERT, ONNX), "jetson": profile(ONNX, name="jetson")}
V1, V2, V3 = (manifest(f"{n}.0.0") for n in (1, 2, 3))


def known_from(*manifests: Manifest) -> dict[tuple[str, str], Manifest]:
    return {(each.model, each.release): each for each in manifests}


# --- deployment -------------------------------------------------------------------------------

BOTH = locked(
    artifact("tflite-int8", figures=Figures(size_bytes=9, p50_ms=1.0)),
    artifact("onnx-int8", figures=Figures(size_bytes=9, p50_ms=2.0)),
)


def deployed(*seen: Observation, on: str = "pi", **known: Any) -> tuple[Wish, ...]:
    everything = {
        "profiles": PROFILES,
        "lock": lock(BOTH),
        "readings": {},
        "objective": Objective.LATENCY,
    }
    wanted = [(model(variants=["tflite-int8", "onnx-int8"]), device(s.device, on)) for s in seen]
    return to_deploy(wanted, {s.device: s for s in seen}, Known(**{**everything, **known}))


def test_a_device_shall_run_the_release_of_the_variant_that_suits_it_best():
    (wish,) = deployed(observed("a"))

    assert wish == Desired(
        "a",
        "fashion",
        BOTH.manifest("tflite-int8"),
        LITERT,
        "best latency: 1.000 ms on the build machine",
    )


def test_figures_the_ledger_remembers_of_this_hardware_decide():
    said = facts(LITERT, ONNX)
    slow, fast = BOTH.artifacts[0].sha256, BOTH.artifacts[1].sha256
    remembered = {
        slow: (reading(said.fingerprint, 9.0),),
        fast: (reading(said.fingerprint, 5.0),),
    }

    (wish,) = deployed(observed("a", facts_=said), readings=remembered)

    assert isinstance(wish, Desired)
    assert wish.manifest.variant == "onnx-int8"


def test_a_device_that_does_not_answer_is_left_with_the_reason():
    (wish,) = deployed(unobserved("a"))

    assert isinstance(wish, Skip)
    assert wish.why is Why.UNREACHABLE


def test_a_device_no_variant_fits_is_left_with_every_reason():
    (wish,) = deployed(observed("a", facts_=facts(LITERT)), on="jetson")

    assert isinstance(wish, Skip)
    assert wish.why is Why.NO_VARIANT
    assert wish.because.startswith(
        "no variant fits (tflite-int8: profile jetson offers onnxruntime"
    )
    assert [each.variant for each in wish.others] == ["tflite-int8", "onnx-int8"]
    assert wish.hint == "see fleet explain a"


def test_nothing_is_deployed_before_it_is_built():
    (wish,) = deployed(observed("a"), lock=lock(locked(name="other")))

    assert isinstance(wish, Skip)
    assert "not built: run fleet build fashion" in wish.because


def test_a_device_that_was_never_asked_is_assigned_by_its_profile_s_word():
    known = Known(PROFILES, lock(BOTH), {}, Objective.LATENCY)

    found = assigned(model(variants=["onnx-int8"]), device("a", "jetson"), None, known)

    assert isinstance(found, Assignment)
    assert found.runtime is ONNX


# --- rollback ---------------------------------------------------------------------------------


def back(
    *installed: Installed,
    to: str | None = None,
    known: dict[tuple[str, str], Manifest] | None = None,
    on: str = "pi",
    said: tuple[Runtime, ...] = (LITERT, ONNX),
) -> tuple[Wish, ...]:
    seen: dict[str, Observation] = {"a": observed("a", *installed, facts_=facts(*said))}
    everything = known_from(V1, V2, V3) if known is None else known
    return to_roll_back([device("a", on)], ["fashion"], to, seen, everything, PROFILES)


def target(*wishes: Wish) -> str:
    (wish,) = wishes
    assert isinstance(wish, Desired), wish
    return wish.manifest.release


def refused(*wishes: Wish) -> tuple[Why, str]:
    (wish,) = wishes
    assert isinstance(wish, Skip), wish
    assert wish.hint == "see fleet history --device a" or wish.why is Why.NO_VARIANT
    return wish.why, wish.because


def test_a_device_goes_back_to_its_previous_release():
    (wish,) = back(runs(V2, V1, V3))

    assert wish == Desired("a", "fashion", V1, LITERT, "the previous release")


def test_a_device_goes_back_to_a_version():
    wishes = back(runs(V3, V2, V1), to="1.0.0")

    assert target(*wishes) == V1.release
    assert wishes[0].because == "asked for 1.0.0"


def test_a_device_goes_back_to_a_release_by_its_whole_name_though_it_is_no_longer_on_it():
    assert target(*back(runs(V3, V2), to=V1.release)) == V1.release
    assert target(*back(runs(V3, V2), to="1.0.0")) == V1.release


def test_a_device_that_runs_the_version_already_keeps_it():
    assert target(*back(runs(V3, V2), to="3.0.0")) == V3.release


def test_a_version_on_the_device_is_taken_before_one_that_must_be_sent():
    here, elsewhere = manifest("1.0.0", "onnx-int8"), manifest("1.0.0", "tflite-int8")

    wishes = back(runs(V3, V2, here), to="1.0.0", known=known_from(elsewhere, here, V3))

    assert target(*wishes) == here.release


def test_a_version_is_gone_back_to_in_the_variant_the_device_can_run():
    other, mine = manifest("1.0.0", "tflite-int8"), manifest("1.0.0", "onnx-int8")

    for known in (known_from(other, mine, V3), known_from(mine, other, V3)):
        wishes = back(runs(V3, V2), to="1.0.0", known=known, on="jetson", said=(ONNX,))

        assert target(*wishes) == mine.release


def test_a_version_that_nobody_knows_is_refused():
    assert refused(*back(runs(V2, V1), to="7.0.0")) == (
        Why.UNKNOWN_RELEASE,
        "no release '7.0.0' is known for it",
    )


def test_a_word_is_a_whole_word():
    assert refused(*back(runs(V2, V1), to="1.0.")) == (
        Why.UNKNOWN_RELEASE,
        "no release '1.0.' is known for it",
    )


def test_a_word_that_could_be_two_versions_is_refused():
    known = known_from(manifest("1.1.0"), manifest("1.2.0"), V2)

    assert refused(*back(runs(V2), to="1", known=known)) == (
        Why.UNKNOWN_RELEASE,
        "'1' could be 1.1.0 or 1.2.0",
    )


def test_a_previous_release_without_a_manifest_is_refused():
    assert refused(*back(runs(V2, V1), known=known_from(V2))) == (
        Why.UNKNOWN_RELEASE,
        f"no release {V1.release!r} is known for it",
    )


def test_a_device_without_a_previous_release_has_nothing_to_go_back_to():
    assert refused(*back(runs(V2))) == (
        Why.NOTHING_TO_GO_BACK_TO,
        "nothing to go back to: there is no previous release on it",
    )


def test_a_device_that_runs_nothing_has_nothing_to_go_back_to():
    reason = (Why.NOTHING_TO_GO_BACK_TO, "nothing to go back to: it runs nothing of it")

    assert refused(*back()) == reason
    assert refused(*back(runs(V2, V1, model="other"))) == reason
    assert refused(*back(Installed(model="fashion", previous=V1.release))) == reason


def test_a_release_whose_runtime_is_gone_is_refused():
    assert refused(*back(runs(V2, V1), said=(ONNX,))) == (
        Why.NO_VARIANT,
        f"{V1.release} cannot run: litert is not installed on the device",
    )


def test_a_device_that_does_not_answer_has_a_reason_for_each_model():
    wishes = to_roll_back([device("a")], ["x", "y"], None, {"a": unobserved("a")}, {}, PROFILES)

    assert [(wish.model, wish.why) for wish in wishes if isinstance(wish, Skip)] == [
        ("x", Why.UNREACHABLE),
        ("y", Why.UNREACHABLE),
    ]
