"""Engines in the lock: one for each kind of hardware, found by what a device says of itself."""

import pytest
from examples import artifact, device, digest_of, facts, lock, locked, model, profile

from orchestrator.artifact.compilation import Compilation, Engine
from orchestrator.artifact.golden import GoldenSet, Tolerance
from orchestrator.artifact.lock import Lock, LockedArtifact, Status, read_lock, write_lock
from orchestrator.catalog.assignment import Assignment, Figures, Objective, Refusal
from orchestrator.catalog.variant import Format
from orchestrator.inventory.hardware import hardware
from orchestrator.inventory.profile import Runtime
from orchestrator.inventory.software import Software
from orchestrator.rollout.desire import Known, assigned, to_deploy
from orchestrator.rollout.observation import Observed

ORIN = {
    "python": "3.10.12",
    "board": "NVIDIA Jetson Orin Nano",
    "soc": "tegra234",
    "software": (
        Software(name="jetpack", version="6.2"),
        Software(name="tensorrt", version="10.3.0"),
    ),
}
VARIANT = "tensorrt-float16"


def engine(said, **more):
    golden = GoldenSet(
        sha256=digest_of("golden"),
        size_bytes=9,
        cases=1,
        tolerances=(Tolerance(output="y", max_abs_diff=0.1),),
    )
    whole = {
        "hardware": hardware(said),
        "device": "jetson-1",
        "accepted": True,
        "sha256": digest_of("engine"),
        "size_bytes": 500,
        "figures": Figures(size_bytes=500, accuracy=0.9),
        "golden": golden,
        "compilation": Compilation(
            by="trtexec of TensorRT 10.3.0", made_of=digest_of("onnx"), log=digest_of("log")
        ),
    }
    return Engine(**{**whole, **more})


def on_device(*engines, key="key"):
    return LockedArtifact(
        variant=VARIANT,
        key=digest_of(key),
        status=Status.ON_DEVICE,
        format=Format.TENSORRT,
        engines=engines,
    )


def choice(*artifacts, said=None, objective=Objective.LATENCY, runtimes=None):
    kinds = runtimes or (Runtime.ONNXRUNTIME, Runtime.TENSORRT)
    known = Known(
        profiles={"jetson": profile(*kinds, name="jetson")},
        lock=lock(locked(*artifacts)),
        readings={},
        objective=objective,
    )
    asked = model(variants=["onnx-float32", VARIANT])
    return assigned(asked, device("jetson-1", "jetson"), said, known), known, asked


def reason(found, variant=VARIANT):
    return next(each.because for each in found.others if each.variant == variant)


SAID = facts(Runtime.ONNXRUNTIME, **ORIN)


def test_hardware_is_board_gpu_tensorrt_and_jetpack_and_nothing_that_changes_by_itself():
    warm = facts(**{**ORIN, "temperature_c": 80.0, "power_mode": "15W", "ram_free_mib": 3})

    assert hardware(SAID) == hardware(warm)
    assert str(hardware(SAID)) == ("NVIDIA Jetson Orin Nano, SM 8.7, TensorRT 10.3.0, JetPack 6.2")
    assert hardware(facts(soc="bcm2711")) is None
    assert hardware(facts(soc="tegra234")) is None


def test_an_engine_is_assigned_where_there_is_one_for_the_hardware():
    found, _, _ = choice(artifact("onnx-float32"), on_device(engine(SAID)), said=SAID)

    assert isinstance(found, Assignment)
    assert (found.variant, found.runtime) == (VARIANT, Runtime.TENSORRT)
    assert found.because == (
        "best latency: compiled for its hardware, and latency not measured yet"
    )


@pytest.mark.parametrize(
    "other",
    [
        {"board": "NVIDIA Jetson AGX Orin"},
        {"software": (Software(name="tensorrt", version="10.3.0"),)},
        {
            "software": (
                Software(name="jetpack", version="6.2"),
                Software(name="tensorrt", version="10.4.0"),
            )
        },
    ],
)
def test_other_hardware_is_told_how_to_get_an_engine(other):
    said = facts(Runtime.ONNXRUNTIME, **{**ORIN, **other})

    found, _, _ = choice(artifact("onnx-float32"), on_device(engine(SAID)), said=said)

    assert found.variant == "onnx-float32"
    assert reason(found) == ("no engine for this hardware yet: fleet build fashion --on jetson-1")


def test_a_device_that_was_never_asked_gets_no_engine():
    found, _, _ = choice(artifact("onnx-float32"), on_device(engine(SAID)))

    assert found.variant == "onnx-float32"
    assert "no engine for this hardware yet" in reason(found)


def test_devices_without_the_accelerator_are_not_told_to_build_anything():
    found, _, _ = choice(
        artifact("onnx-float32"), on_device(), said=SAID, runtimes=(Runtime.ONNXRUNTIME,)
    )

    assert reason(found) == "profile jetson offers onnxruntime, not tensorrt"


def test_without_python_an_engine_needs_a_program_of_the_sites_own():
    bare = facts(Runtime.ONNXRUNTIME, **{**ORIN, "python": None})

    found, _, _ = choice(on_device(engine(bare)), said=bare)

    assert reason(found) == ("tensorrt is tried with Python, and there is none: a runner: would do")


def test_an_engine_that_was_not_proved_is_never_assigned():
    wrong = engine(SAID, accepted=False, because="output 'y' is off")

    found, _, _ = choice(on_device(wrong), said=SAID)

    assert isinstance(found, Refusal)
    assert reason(found) == "rejected: output 'y' is off"


def test_an_engines_release_holds_its_bytes_and_the_golden_cases_of_what_it_was_made_of():
    _, known, asked = choice(on_device(engine(SAID)), said=SAID)

    (wish,) = to_deploy(
        [(asked, device("jetson-1", "jetson"))],
        {"jetson-1": Observed(device="jetson-1", facts=SAID, installed=())},
        known,
    )

    files = {file.path: file.sha256 for file in wish.manifest.files}
    assert files["model.engine"] == digest_of("engine")
    assert files["golden.npz"] == digest_of("golden")
    assert wish.manifest.runs_as is Format.TENSORRT


def test_a_lock_keeps_engines_of_the_same_inputs_and_names_all_their_bytes():
    nano = facts(**{**ORIN, "soc": "tegra210", "board": "Nano"})
    first = lock(locked(on_device(engine(SAID))))

    same = first.merged(locked(on_device(engine(nano))))
    newer = first.merged(locked(on_device(engine(SAID, size_bytes=9))))
    other = first.merged(locked(on_device(key="another source")))

    assert len(same.models[0].artifacts[0].engines) == 2
    assert [each.size_bytes for each in newer.models[0].artifacts[0].engines] == [9]
    assert other.models[0].artifacts[0].engines == ()
    assert {digest_of(w) for w in ("engine", "golden", "log")} <= same.models[0].digests
    assert read_lock(write_lock(same), "fleet.lock") == same


def test_a_lock_without_engines_is_written_as_before():
    assert "engines" not in write_lock(Lock(models=(locked(),)))


@pytest.mark.parametrize(
    ("more", "because"),
    [
        ({}, "no Edge TPU is on its buses"),
        ({"accelerators": ("edgetpu",)}, "libedgetpu is not installed on the device"),
        (
            {
                "accelerators": ("edgetpu",),
                "software": (Software(name="libedgetpu", version="16.0"),),
                "runtimes": (),
            },
            "an Edge TPU needs litert or tflite-runtime, and neither is installed",
        ),
    ],
)
def test_an_edge_tpu_is_proved_by_three_facts_and_the_one_missing_is_named(more, because):
    said = facts(Runtime.LITERT, **more)
    known = Known(
        profiles={"coral": profile(Runtime.EDGETPU, Runtime.LITERT, name="coral")},
        lock=lock(locked(artifact("edgetpu-int8"), artifact("tflite-int8"))),
        readings={},
        objective=Objective.LATENCY,
    )
    asked = model(variants=["edgetpu-int8", "tflite-int8"])

    found = assigned(asked, device("coral-1", "coral"), said, known)

    assert reason(found, "edgetpu-int8") == because


def test_an_edge_tpu_that_is_all_there_runs_what_was_compiled_for_it():
    said = facts(
        Runtime.TFLITE_RUNTIME,
        accelerators=("edgetpu",),
        software=(Software(name="libedgetpu", version="16.0"),),
    )

    assert said.version_of(Runtime.EDGETPU) == "16.0"
    assert said.version_of(Runtime.TENSORRT) is None
