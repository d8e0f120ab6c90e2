"""What an audit finds: what should run against what does, file by file."""

from typing import Any

import pytest
from examples import NOON, device, digest_of, lock, locked, manifest, unobserved

from orchestrator.artifact.manifest import MANIFEST, Manifest
from orchestrator.rollout.drift import Drift, Expected, FileSeen, Finding, Hashed, compare, drifts
from orchestrator.values import by_first

V1, V2 = manifest("1.0.0"), manifest("2.0.0")
KNOWN = {each.release: each for each in (V1, V2)}


def seen(release: Manifest, **changed: str | None) -> Hashed:
    """A device whose current release has every file as it was, but for those named."""
    digests: dict[str, str | None] = {file.path: file.sha256 for file in release.files}
    digests[MANIFEST] = release.sha256
    for path, content in changed.items():
        digests[path.replace("_", ".")] = content
    files = tuple(
        FileSeen(path=path, sha256=digest, size_bytes=1)
        for path, digest in digests.items()
        if digest is not None
    )
    return Hashed(model="fashion", current=release.release, files=files)


NOTHING = Hashed(model="fashion", current=None)


def test_a_release_with_every_byte_as_it_was_proved_matches():
    assert compare(V1, seen(V1), KNOWN) == (
        Finding.MATCH,
        "every file has the digest it was proved with",
    )


def test_a_changed_file_drifts_and_is_named_with_both_digests():
    finding, because = compare(V1, seen(V1, model_tflite=digest_of("other")), KNOWN)

    was = V1.model_file.sha256[:12]
    assert finding is Finding.DRIFT
    assert because == f"model.tflite is {digest_of('other')[:12]}…, and was proved as {was}…"


def test_a_changed_manifest_drifts():
    finding, because = compare(V1, seen(V1, manifest_json=digest_of("other")), KNOWN)

    assert finding is Finding.DRIFT
    assert because.startswith("manifest.json is ")


def test_files_that_are_missing_and_files_that_do_not_belong_are_all_named():
    finding, because = compare(
        V1, seen(V1, golden_npz=None, labels_txt=None, extra_bin=digest_of("x")), KNOWN
    )

    assert finding is Finding.DRIFT
    assert because == (
        "golden.npz is missing; labels.txt is missing; extra.bin does not belong there"
    )


def test_another_release_than_the_ledger_put_there_drifts():
    assert compare(V1, seen(V2), KNOWN) == (
        Finding.DRIFT,
        f"runs {V2.release}, and the ledger last put {V1.release} there",
    )


def test_a_known_release_the_ledger_never_put_there_drifts():
    assert compare(None, seen(V2), KNOWN) == (
        Finding.DRIFT,
        f"runs {V2.release}, and the ledger last put nothing there",
    )


def test_a_release_nobody_knows_is_unknown():
    finding, because = compare(V1, seen(V2), {V1.release: V1})

    assert finding is Finding.UNKNOWN
    assert because == f"release {V2.release} was never deployed from this ledger"


def test_a_release_that_is_gone_is_missing():
    assert compare(V1, NOTHING, KNOWN)[0] is Finding.MISSING


def test_a_device_that_has_nothing_and_should_have_nothing_is_empty():
    assert compare(None, NOTHING, {})[0] is Finding.EMPTY


@pytest.mark.parametrize("finding", Finding)
def test_only_what_fleet_did_not_do_is_drift(finding):
    wrong = (Finding.DRIFT, Finding.MISSING, Finding.UNKNOWN)

    assert finding.drifted is (finding in wrong)


# --- a whole device ---------------------------------------------------------------------------


def audited(*there: Hashed, models: tuple[str, ...] = ("fashion",), **more: Any) -> list[Drift]:
    expected = {"fashion": Expected(manifest=V1, since=NOON)}
    known = {"fashion": {each.release: each for each in (V1, V2)}}
    given: dict[str, Any] = {
        "device": device("a", emulated=True),
        "models": models,
        "seen": there,
        "expected": expected,
        "known": known,
        "lock": lock(locked(version="1.0.0")),
    }
    return list(drifts(**{**given, **more}))


def test_a_finding_says_what_was_expected_what_is_there_and_since_when_it_is_known():
    (found,) = audited(seen(V1))

    assert found == Drift(
        device="a",
        model="fashion",
        finding=Finding.MATCH,
        expected=V1.release,
        found=V1.release,
        because="every file has the digest it was proved with",
        since=NOON,
        emulated=True,
    )


def test_a_device_that_runs_what_it_should_may_still_be_behind_the_lock():
    (found,) = audited(seen(V1), lock=lock(locked(version="2.0.0")))

    assert (found.finding, found.behind_lock) == (Finding.MATCH, True)


def test_a_model_the_lock_does_not_know_is_not_behind_it():
    (found,) = audited(seen(V1), lock=lock(locked(name="other", version="9")))

    assert not found.behind_lock


def test_every_model_that_is_there_or_should_be_or_could_be_has_one_finding():
    stranger = Hashed(model="stranger", current="x")

    found = audited(stranger, models=("another", "fashion"))

    assert [(each.model, each.finding) for each in found] == [
        ("another", Finding.EMPTY),
        ("fashion", Finding.MISSING),
        ("stranger", Finding.UNKNOWN),
    ]


def test_what_other_devices_should_run_is_none_of_this_one_s():
    by_device = by_first({("b", "fashion"): Expected(manifest=V1, since=NOON)})

    assert [one.finding for one in audited(models=(), expected=by_device["b"])] == [Finding.MISSING]
    assert audited(models=(), expected=by_device.get("a", {})) == []


def test_a_release_of_one_model_is_not_known_for_another():
    misplaced = Hashed(model="other", current=V1.release, files=seen(V1).files)

    found = {each.model: each.finding for each in audited(misplaced)}

    assert found == {"other": Finding.UNKNOWN, "fashion": Finding.MISSING}


def test_a_device_that_does_not_answer_is_neither_right_nor_wrong():
    (found,) = audited(seen=unobserved("a"))

    assert found.finding is Finding.UNREACHABLE
    assert found.because == "TRANSPORT > UNREACHABLE: no route"
    assert (found.expected, found.found) == (V1.release, None)
