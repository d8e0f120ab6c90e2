"""Models that people really have, all the way: built, measured, deployed, proved on a device."""

import io

import numpy as np
import pytest
from suite import Case, cases

from orchestrator.artifact.lock import LockedArtifact, LockedModel, Status
from orchestrator.catalog.model import Model

NMP = {"serving_default_input_2:0": "input_2"} | {
    f"StatefulPartitionedCall:{index}": name
    for index, name in enumerate(("contour", "note", "onset"))
}
"""basic-pitch's ONNX names, as the signature of its TFLite file ties them to real ones."""

OWN = (
    ("fashion", "fashion.keras", ("tflite-float32", "tflite-int8", "onnx-float32", "onnx-int8")),
    ("motions", "motions.keras", ("tflite-float32", "tflite-int8")),
    ("lstm", "lstm.keras", ("tflite-float32", "onnx-float32")),
    ("nmp", "nmp", ("tflite-float32", "onnx-float32")),
    ("nmp-tflite", "nmp.tflite", ("tflite-as-is", "tflite-float32", "tflite-float16")),
    ("nmp-onnx", "nmp.onnx", ("onnx-as-is", "onnx-float32")),
    ("fer", "fer.hdf5", ("tflite-float32", "tflite-int8-dynamic")),
    ("fer-tflite", "fer.tflite", ("tflite-as-is", "tflite-float32")),
    ("magika", "magika.onnx", ("onnx-float32",)),
)
LABELLED = {"fashion": 1 / 255, "motions": 1.0, "lstm": 1.0}
DATA = {
    "nmp-tflite": "nmp",
    "fer": "faces",
    "fer-tflite": "faces",
    "magika": "files",
    "lstm": "motions",
}


@pytest.fixture(scope="session")
def own(zoo, catalog) -> dict[str, LockedModel]:
    return {name: zoo.build(_model(name, file, variants)) for name, file, variants in OWN}


@pytest.fixture(scope="session")
def suite(zoo, here) -> list[Case]:
    found = cases(zoo.inventory)
    with here():
        for case in found:
            if case.model is not None:
                zoo.build(case.model)
    return found


@pytest.fixture(scope="session")
def deployed(zoo, suite, own) -> dict[str, dict[str, object]]:
    return zoo.deploy()


def _model(name: str, file: str, variants: tuple[str, ...]) -> Model:
    data = f"data/{DATA.get(name, name)}.npz"
    files: dict[str, object] = {"golden": {"inputs": data, "cases": 4}}
    if name in LABELLED:
        files |= {
            "data": {"evaluation": data, "calibration": data.replace(".npz", "-calibration.npz")},
            "golden": {"cases": 4},
            "preprocessing": {"scale": LABELLED[name]},
        }
    else:
        files["data"] = {"evaluation": data}
    return Model.model_validate(
        {
            "name": name,
            "source": f"models/{file}",
            "version": "1",
            "variants": list(variants),
            **files,
        }
    )


def _golden(zoo, artifact: LockedArtifact) -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(zoo.store.read(artifact.golden.sha256))) as arrays:
        return {name.split("_", 1)[1]: arrays[name] for name in arrays.files}


def test_every_model_of_the_zoo_is_built_and_what_cannot_be_says_why(own):
    because = {
        (name, each.variant): each.because
        for name, locked in own.items()
        for each in locked.artifacts
        if each.status is not Status.ACCEPTED
    }

    refused = because.pop(("fer-tflite", "tflite-float32"))
    assert because == {}
    assert refused.startswith("its source is quantized already (tensor ")
    assert refused.endswith("take it as it is (tflite-as-is), or hand in the float32 model")


def test_trained_models_are_as_good_as_they_were_trained(own):
    for name, least in (("fashion", 0.8), ("motions", 0.7), ("lstm", 0.6)):
        for artifact in own[name].artifacts:
            assert artifact.figures.accuracy >= least, (name, artifact.variant)
    fashion = {each.variant: each.size_bytes for each in own["fashion"].artifacts}
    assert fashion["tflite-int8"] < 0.5 * fashion["tflite-float32"]


def test_a_file_taken_as_it_is_is_shipped_byte_for_byte(zoo, own):
    for name, file in (
        ("nmp-tflite", "nmp.tflite"),
        ("nmp-onnx", "nmp.onnx"),
        ("fer-tflite", "fer.tflite"),
    ):
        (artifact,) = (each for each in own[name].artifacts if each.variant.endswith("-as-is"))
        assert zoo.store.read(artifact.sha256) == (zoo.inventory / "models" / file).read_bytes()


def test_one_model_in_three_formats_gives_the_same_golden_outputs_by_name(zoo, own):
    golden = [
        {NMP.get(name, name): value for name, value in _golden(zoo, artifact).items()}
        for name in ("nmp", "nmp-tflite", "nmp-onnx")
        for artifact in own[name].artifacts
        if artifact.variant != "tflite-float16"
    ]

    first, *others = golden
    assert sorted(first) == ["contour", "input_2", "note", "onset"]
    assert len(others) == 5
    for other in others:
        assert sorted(other) == sorted(first)
        for name, value in first.items():
            np.testing.assert_allclose(other[name], value, atol=1e-4, err_msg=name)
    assert np.abs(first["note"] - first["onset"]).max() > 0.05, "two outputs of one shape differ"


def test_the_onnx_backend_suite_goes_through(zoo, suite):
    built = [case.name for case in suite if case.model and case.name in zoo.built]
    accepted = [n for n in built if zoo.built[n].artifacts[0].status is Status.ACCEPTED]

    assert len(accepted) >= 100


def test_everything_accepted_computes_its_golden_outputs_on_the_device(deployed):
    failed = {
        name: each["because"] for name, each in deployed.items() if each["status"] != "succeeded"
    }

    assert failed == {}
    assert len(deployed) >= 100
    assert all(each["smoke"]["cases"] >= 1 for each in deployed.values())
