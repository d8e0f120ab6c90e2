"""fleet.lock and the release manifest: what was built, by digest."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from examples import artifact, digest_of, lock, locked, manifest

from orchestrator.artifact.lock import Lock, LockedFile, Status, read_lock, write_lock
from orchestrator.artifact.manifest import MANIFEST
from orchestrator.catalog.model import Limits, Preprocessing
from orchestrator.catalog.variant import Format
from orchestrator.errors import BadInput
from orchestrator.settings import load
from orchestrator.site import Site
from orchestrator.values import canonical, sha256

# --- the lock ---------------------------------------------------------------------------------


def test_a_lock_survives_its_file():
    whole = lock(
        locked(artifact("tflite-int8"), artifact("onnx-int8", status=Status.REJECTED)),
        locked(artifact("onnx-float32"), name="other", labels=None),
    )

    assert read_lock(write_lock(whole), "fleet.lock") == whole
    assert write_lock(read_lock(write_lock(whole), "fleet.lock")) == write_lock(whole)


def test_a_lock_ends_its_last_line_and_sorts_its_keys_so_that_a_diff_reads_well():
    text = write_lock(lock())

    assert text.endswith("}\n")
    assert text == json.dumps(json.loads(text), sort_keys=True, indent=1) + "\n"


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("", "its start"),
        ("{", "its start"),
        ("[]", "its start"),
        ("<<<<<<< HEAD\n{}", "its start"),
        ('{"models": 3}', "models"),
        ('{"models": [{"name": "x"}]}', "models.0.version"),
        ('{"modles": []}', "modles"),
    ],
)
def test_a_damaged_lock_says_where_and_that_the_builder_writes_it(text, where):
    with pytest.raises(BadInput) as caught:
        read_lock(text, "fleet.lock")

    assert caught.value.message.startswith(f"fleet.lock: damaged lock at {where}: ")
    assert caught.value.hint.endswith("run fleet build again")


def test_a_lock_whose_digest_was_cut_is_refused():
    text = write_lock(lock()).replace(digest_of("tflite-int8"), digest_of("tflite-int8")[:-1])

    with pytest.raises(BadInput, match=r"damaged lock at models\.0\.artifacts\.0\.sha256"):
        read_lock(text, "fleet.lock")


def test_a_lock_of_a_newer_fleet_is_refused_and_not_called_damaged():
    text = '{"format": 2, "models": [{"whatever": 1}], "signature": "x"}'

    with pytest.raises(BadInput) as caught:
        read_lock(text, "fleet.lock")

    expected = "fleet.lock: written by another fleet: format 2, and this one reads 1"
    assert (caught.value.message, caught.value.hint) == (expected, "upgrade fleet")


def test_a_model_that_is_built_again_keeps_the_variants_that_were_not():
    before = lock(locked(artifact("onnx-int8"), artifact("tflite-int8")))
    again = artifact("tflite-int8", "other bytes")

    after = before.merged(locked(again)).find("fashion")

    assert after is not None
    assert after.artifacts == (artifact("onnx-int8"), again)


@pytest.mark.parametrize(
    "other",
    [
        {"version": "2.0.0"},
        {"source": digest_of("another source")},
        {"preprocessing": Preprocessing(scale=0.5)},
    ],
)
def test_what_was_made_of_something_else_does_not_stay_in_the_lock(other):
    before = lock(locked(artifact("onnx-int8")))

    after = before.merged(locked(artifact("tflite-int8"), **other)).find("fashion")

    assert after is not None
    assert [each.variant for each in after.artifacts] == ["tflite-int8"]


def test_models_and_variants_stand_in_order_of_their_names_however_they_came():
    one = locked(artifact("tflite-int8"), artifact("onnx-int8"), name="b")
    other = locked(name="a")

    assert Lock().merged(one).merged(other) == Lock().merged(other).merged(one)
    assert [model.name for model in Lock().merged(one).merged(other).models] == ["a", "b"]


def test_merging_the_same_model_twice_changes_nothing():
    once = Lock().merged(locked())

    assert once.merged(locked()) == once


# --- on disk ----------------------------------------------------------------------------------


@pytest.fixture
def site(tmp_path: Path) -> Site:
    (tmp_path / "fleet.toml").write_text('inventory = "."\n')
    return Site(load(tmp_path, {}))


def test_a_site_where_nothing_was_built_has_an_empty_lock(site):
    assert site.lock() == Lock()


def test_a_lock_is_replaced_at_once_and_nothing_is_left_beside_it(site):
    site.write_lock(lock())
    site.write_lock(lock(locked(name="zebra")))

    assert site.lock() == lock(locked(name="zebra"))
    assert [file.name for file in site.lock_file.parent.iterdir() if "lock" in file.name] == [
        "fleet.lock"
    ]


def test_an_equal_lock_is_left_alone(site):
    site.write_lock(lock())
    before = site.lock_file.stat()

    site.write_lock(lock())

    after = site.lock_file.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_files_are_utf_8_whatever_the_machine_s_language(tmp_path):
    (tmp_path / "fleet.toml").write_text('inventory = "."  # café\n', encoding="utf-8")
    (tmp_path / "devices.yaml").write_text(
        "profiles: {p: {kind: other, board: Café, arch: x, ram_mib: 1, runtimes: [litert]}}\n",
        encoding="utf-8",
    )
    program = (
        "import sys; from pathlib import Path\n"
        "from orchestrator.settings import load; from orchestrator.site import Site\n"
        "from orchestrator.artifact.lock import Lock\n"
        "from orchestrator.trust.hostkeys import HostKey, pin, pinned\n"
        "folder = Path(sys.argv[1]); site = Site(load(folder)); site.write_lock(Lock())\n"
        "site.write_lock(Lock()); site.lock(); pin(folder / 'k', 'h', HostKey('a', 'b'))\n"
        "pinned(folder / 'k', 'h'); sys.stdout.buffer.write(site.inventory.profiles['p'].board.encode())"
    )
    strict = ["-X", "warn_default_encoding", "-W", "error::EncodingWarning"]

    done = subprocess.run(
        [sys.executable, *strict, "-c", program, str(tmp_path)], capture_output=True, timeout=60
    )

    assert done.stdout.decode() == "Café", done.stderr.decode()


# --- the release ------------------------------------------------------------------------------


def test_the_name_of_a_release_is_the_same_everywhere_and_for_ever():
    made = manifest("1.0.0", "tflite-int8")

    assert made.release == "1.0.0+tflite-int8.d81b40203740"
    assert made.sha256 == sha256(made.data)


def test_a_release_is_named_after_everything_in_it():
    labels = LockedFile(sha256=digest_of("other labels"), size_bytes=90)
    other_golden = artifact("tflite-int8").golden.model_copy(update={"sha256": digest_of("x")})
    looser = artifact("tflite-int8").golden.model_copy(update={"tolerances": ()})
    unlike = [
        locked(),
        locked(artifact("tflite-int8", "other bytes")),
        locked(artifact("tflite-int8", size_bytes=1001)),
        locked(artifact("tflite-int8", golden=other_golden)),
        locked(artifact("tflite-int8", golden=looser)),
        locked(labels=labels),
        locked(labels=None),
        locked(preprocessing=Preprocessing(scale=0.5)),
        locked(limits=Limits(max_p50_ms=1)),
        locked(version="1.0.1"),
        locked(name="fashion2"),
    ]

    names = {model.manifest("tflite-int8").release for model in unlike}

    assert len(names) == len(unlike)


def test_what_was_measured_does_not_name_a_release():
    slower = artifact("tflite-int8", figures=None, because="measured on a Tuesday")

    assert locked(slower).manifest("tflite-int8") == locked().manifest("tflite-int8")


def test_a_release_holds_its_model_its_labels_its_preprocessing_and_its_golden_cases():
    made = locked().manifest("tflite-int8")

    paths = [file.path for file in made.files]
    assert paths == ["golden.npz", "labels.txt", "model.tflite", "preprocessing.json"]
    assert made.model_file.sha256 == digest_of("tflite-int8")
    assert made.size_bytes == sum(file.size_bytes for file in made.files) + len(made.data)


def test_an_onnx_release_has_an_onnx_model():
    made = locked(artifact("onnx-int8"), labels=None).manifest("onnx-int8")

    assert made.runs_as is Format.ONNX
    assert [file.path for file in made.files] == ["golden.npz", "model.onnx", "preprocessing.json"]


def test_a_manifest_writes_the_files_it_implies_and_no_others():
    made = locked(preprocessing=Preprocessing(scale=0.5)).manifest("tflite-int8")

    assert made.written(MANIFEST) == made.data
    assert made.written("model.tflite") is None
    written = made.written("preprocessing.json")
    listed = next(file for file in made.files if file.path == "preprocessing.json")
    assert written == b'{"mean":[0.0],"scale":0.5,"std":[1.0]}\n'
    assert (sha256(written), len(written)) == (listed.sha256, listed.size_bytes)


def test_a_manifest_read_back_names_the_same_release():
    made = manifest()

    again = type(made).model_validate_json(made.data)

    assert (again, again.release) == (made, made.release)


@pytest.mark.parametrize("variant", ["onnx-int8", "tflite-float32"])
def test_a_variant_without_accepted_bytes_has_no_release(variant):
    model = locked(artifact("onnx-int8", sha256=None, golden=None, status=Status.FAILED))

    with pytest.raises(ValueError, match=f"no accepted artifact for {variant}"):
        model.manifest(variant)


# --- one form for equal values ----------------------------------------------------------------


def test_equal_values_have_equal_bytes():
    assert canonical({"b": 1, "a": [1.0, "ä"]}) == '{"a":[1.0,"ä"],"b":1}\n'.encode()


def test_what_is_not_a_number_has_no_bytes():
    with pytest.raises(ValueError, match="Out of range float"):
        canonical({"a": float("nan")})
