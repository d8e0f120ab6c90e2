"""fleet selftest against a device that has a model of its own, which stays as it is."""

import hashlib


def digests(folder) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


def test_a_device_passes_its_selftest_and_its_models_and_files_stay_as_they_were(site):
    (release,) = site.had("1.0", on=["pi-01"])
    before = digests(site.place("pi-01"))

    done = site.run("selftest", "pi-01", "-o", "json")

    assert {row["check"]: row["because"] for row in done.data if row["result"] != "ok"} == {}
    assert done.code == 0
    assert len(done.data) == 13
    assert digests(site.place("pi-01")) == before
    assert site.linked("pi-01") == release
    assert [path.name for path in (site.home("pi-01") / ".fleet").glob(".selftest*")] == []


def test_a_device_that_cannot_prove_anything_is_refused_with_the_reason(site):
    site.describe("pi-01", python="nosuch")

    done = site.run("selftest", "pi-01")

    assert done.code == 1
    assert "pi-01 has no runtime that could prove a release" in done.said
    assert "SELFTEST > NO_RUNTIME" in done.said


def test_a_device_that_is_off_is_told_from_one_that_fails(site, break_device):
    break_device("pi-01", "offline")

    done = site.run("selftest", "pi-01")

    assert done.code == 3
    assert "SELFTEST > UNREACHABLE" in done.said


def test_a_script_that_leaves_a_lease_behind_fails_the_selftest(site):
    """The checker can fail: with a script whose confirmation forgets to give the lease back."""
    from orchestrator.site import templates

    own = site.folder / "templates/device/device.sh"
    own.parent.mkdir(parents=True)
    text = (templates() / "device/device.sh").read_text()
    forgetful = text.replace('    keep_only "$2"\n    leave "$1"\n', '    keep_only "$2"\n')
    assert forgetful != text
    own.write_text(forgetful)

    done = site.run("selftest", "pi-01", "-o", "json")

    assert done.code == 1
    assert any("left behind: lock" in row["because"] for row in done.data)
