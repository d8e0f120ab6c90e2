"""The checker itself: it sees what is wrong in a listing, and nothing in one that is right."""

import json

import pytest
from examples import digest_of

from orchestrator.selftest.invariant import Seen, remains, violations
from orchestrator.values import sha256


def release(version: str) -> tuple[str, dict[str, str], bytes]:
    files = {"model.onnx": digest_of(version), "golden.npz": digest_of("golden")}
    listed = [{"path": path, "sha256": digest} for path, digest in files.items()]
    manifest = json.dumps({"files": listed, "version": version}).encode()
    name = f"{version}+onnx-float32.{sha256(manifest)[:12]}"
    return name, {**files, "manifest.json": sha256(manifest)}, manifest


OLD, NEW = release("1.0"), release("2.0")


def seen(current: str, previous: str, *releases, others=()) -> Seen:
    links = {"current": f"releases/{current}", "previous": f"releases/{previous}"}
    return Seen(
        links,
        {name: files for name, files, _ in releases},
        {name: manifest for name, _, manifest in releases},
        others,
    )


def test_a_device_in_order_has_nothing_wrong():
    fine = seen(NEW[0], OLD[0], NEW, OLD, others=("releases", "staging", "journal.ndjson"))

    assert violations(fine, {NEW[0]}, had=("current", "previous")) == ()
    assert remains(fine, NEW[0], OLD[0], 2) == ()


@pytest.mark.parametrize("path", ["model.onnx", "golden.npz", "manifest.json"])
@pytest.mark.parametrize("link", ["current", "previous"])
def test_one_file_that_is_another_is_seen_behind_either_link(path, link):
    name, files, manifest = NEW
    hurt = (name, {**files, path: digest_of("another")}, manifest)
    whole = seen(name, OLD[0], hurt, OLD) if link == "current" else seen(OLD[0], name, hurt, OLD)

    (wrong,) = violations(whole, {NEW[0], OLD[0]})

    assert wrong.startswith(f"{link}: {name}")


def test_a_missing_file_a_missing_folder_and_a_missing_link_are_seen():
    name, files, manifest = NEW
    short = (name, {p: d for p, d in files.items() if p != "golden.npz"}, manifest)

    assert "golden.npz" in violations(seen(name, OLD[0], short, OLD), {name})[0]
    assert "has no folder" in violations(seen(name, OLD[0], OLD), {name})[0]
    assert violations(Seen({}, {}, {}), {name}) == ("current is gone",)


def test_a_release_that_never_passed_its_golden_test_must_not_run():
    (wrong,) = violations(seen(NEW[0], OLD[0], NEW, OLD), {OLD[0]})

    assert "never passed" in wrong


@pytest.mark.parametrize("left", ["lock", "pending", "staging/x.part", ".try", "journal.new"])
def test_whatever_is_left_behind_after_a_visit_is_seen(left):
    (wrong,) = remains(seen(NEW[0], OLD[0], NEW, OLD, others=(left,)), NEW[0], OLD[0], 2)

    assert wrong == f"left behind: {left}"


def test_the_wrong_release_and_too_many_of_them_are_seen():
    other = release("3.0")
    wrong = remains(seen(OLD[0], NEW[0], NEW, OLD, other), NEW[0], OLD[0], 2)

    assert len(wrong) == 3
