"""models.yaml: what may be written there, and what is said about what may not."""

import pytest

from orchestrator.catalog.model import Model, read_models
from orchestrator.catalog.variant import BUILDABLE, DEFAULT, Format, Precision
from orchestrator.errors import BadInput

HEAD = "models:\n  fashion:\n    source: models/f.keras\n    version: 1.0.0\n"


def read(lines: str = "") -> Model:
    return read_models(HEAD + lines, "models.yaml")["fashion"]


def refusal(lines: str) -> tuple[str, str]:
    """Message and hint of the refusal of some lines, the first of which is line 5."""
    with pytest.raises(BadInput) as caught:
        read(lines)
    return caught.value.message, caught.value.hint


def test_a_model_that_names_no_variant_has_every_one_that_can_be_built():
    assert {v.name: v.recipe for v in read().variants} == {n: BUILDABLE[n] for n in DEFAULT}


def test_variants_may_be_a_list_of_names():
    variants = read("    variants: [onnx-int8, tflite-float16]\n").variants

    assert [(v.name, v.format, v.precision) for v in variants] == [
        ("onnx-int8", Format.ONNX, Precision.INT8),
        ("tflite-float16", Format.TFLITE, Precision.FLOAT16),
    ]


def test_variants_may_be_a_mapping_of_names_to_what_differs():
    variants = read(
        "    variants:\n      onnx-int8: {archs: [aarch64], needs_mib: 512}\n      tflite-int8:\n"
    ).variants

    assert [(v.name, v.archs, v.needs_mib) for v in variants] == [
        ("onnx-int8", ("aarch64",), 512),
        ("tflite-int8", (), 0),
    ]


@pytest.mark.parametrize(
    ("lines", "line"),
    [
        ("    variants: [tflite-int]\n", 5),
        ("    variants:\n      - onnx-int8\n      - tflite-int\n", 7),
        ("    variants:\n      onnx-int8: {}\n      tflite-int: {}\n", 7),
    ],
)
def test_an_unknown_variant_is_refused_where_it_stands_with_the_nearest_known_one(lines, line):
    message, hint = refusal(lines)

    expected = "no variant named 'tflite-int'; did you mean 'tflite-int8'?"
    assert message == f"models.yaml:{line}: {expected}"
    assert hint == f"known variants: {', '.join(BUILDABLE)}"


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("    variants: [3]\n", "5: no variant named 3"),
        (
            "    variants:\n      - tflite-int8\n      - {onnx-int8: {}, onnx-float32: {}}\n",
            "7: no variant named {'onnx-int8': {}, 'onnx-float32': {}}",
        ),
        ("    variants: tflite-int8\n", "5: 'variants' should be a list of names"),
        ("    variants:\n", "5: 'variants' should be a list of names"),
        ("    variants: []\n", "5: 'variants' is (): tuple should have at least 1 item"),
        (
            "    variants:\n      onnx-int8: {}\n      tflite-int8: fast\n",
            "7: 'tflite-int8' is 'fast': should be a mapping",
        ),
        (
            "    variants:\n      tflite-int8:\n        arch: [x]\n",
            "7: unknown key 'arch'; did you mean 'archs'?",
        ),
        (
            "    variants:\n      onnx-int8:\n      tflite-int8:\n        needs_mib: much\n",
            "8: 'needs_mib' is 'much': should be a valid integer",
        ),
        (
            "    variants:\n      tflite-int8:\n        precision: float32\n",
            "7: 'precision' of 'tflite-int8' cannot be changed",
        ),
        ("    name: other\n", "5: unknown key 'name': the name is what stands before the colon"),
        ("    limit: {}\n", "5: unknown key 'limit'; did you mean 'limits'?"),
        ("    limits: {max_p50: 3}\n", "5: unknown key 'max_p50'; did you mean 'max_p50_ms'?"),
        ("    limits: {max_p50_ms: 0}\n", "5: 'max_p50_ms' is 0: should be greater than 0"),
        ("    golden: {cases: 65}\n", "5: 'cases' is 65: should be less than or equal to 64"),
        (
            "    labels: ../secret\n",
            "5: 'labels' is '../secret': should be below the folder of models.yaml",
        ),
        ("    sha256: abc\n", "5: 'sha256' is 'abc': string should match pattern"),
    ],
)
def test_what_cannot_be_meant_is_refused_where_it_stands(lines, said):
    message, _ = refusal(lines)

    assert message.startswith(f"models.yaml:{said}")


def test_a_version_that_yaml_takes_for_a_number_is_to_be_put_in_quotes():
    with pytest.raises(BadInput) as caught:
        read_models("models:\n  m:\n    source: a\n    version: 1.0\n", "models.yaml")

    assert caught.value.message == "models.yaml:4: 'version' is 1.0: should be a valid string"
    assert caught.value.hint == "put the value in quotes"


@pytest.mark.parametrize("path", ["..", "a/../../b", "/etc/passwd", "-x", "a b", ""])
def test_a_model_s_files_lie_below_its_catalog(path):
    assert refusal(f"    labels: {path!r}\n")[0].startswith(
        f"models.yaml:5: 'labels' is {path!r}: "
    )


def test_dots_that_lead_nowhere_are_fine():
    assert read("    labels: a..b/.c/d...\n").labels == "a..b/.c/d..."


def test_a_model_without_a_version_is_told_so():
    with pytest.raises(BadInput) as caught:
        read_models("models:\n  m:\n    source: a\n", "models.yaml")

    assert caught.value.message == "models.yaml:2: 'version' is missing in 'models.m'"


@pytest.mark.parametrize(
    "preprocessing",
    [
        "{}",
        "{scale: 0.5}",
        "{mean: [0.5]}",
        "{mean: [0.1, 0.2, 0.3], std: [1, 2, 3]}",
        "{mean: [0.1, 0.2, 0.3]}",
        "{mean: [0.1], std: [1, 2, 3]}",
    ],
)
def test_mean_and_std_are_one_number_or_one_for_each_channel(preprocessing):
    assert read(f"    preprocessing: {preprocessing}\n").preprocessing.mean


@pytest.mark.parametrize(
    ("preprocessing", "said"),
    [
        ("{mean: 0.5}", "'mean' is 0.5: should be a valid tuple"),
        ("{mean: []}", "'mean' is []: tuple should have at least 1 item"),
        ("{std: []}", "'std' is []: tuple should have at least 1 item"),
        ("{std: [0]}", "'std' is 0: should be greater than 0"),
        ("{std: [1, -1]}", "'std' is -1: should be greater than 0"),
        ("{mean: [.nan]}", "'mean' is nan: should be a finite number"),
        ("{scale: .inf}", "'scale' is inf: should be a finite number"),
        ("{mean: [1, 2, 3], std: [1, 2]}", "'std' has 2 numbers, and 'mean' has 3"),
    ],
)
def test_preprocessing_that_could_not_be_computed_is_refused(preprocessing, said):
    message, _ = refusal(f"    preprocessing: {preprocessing}\n")

    assert message.startswith(f"models.yaml:5: {said}")


@pytest.mark.parametrize(
    "variants", ["[tflite-int8, onnx-float32]", "{tflite-int8: {needs_mib: 9}}"]
)
def test_a_model_survives_its_own_file(variants):
    text = f'models: {{m: {{source: a.keras, version: "1", variants: {variants}}}}}'
    model = read_models(text, "models.yaml")["m"]

    assert Model.model_validate_json(model.model_dump_json()) == model
