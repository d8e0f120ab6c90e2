"""What runs where, what was done, and the way back."""

import json
import shutil

import pytest


@pytest.fixture
def twice(site):
    """Version 1.0 and then 2.0 on two devices; the site, and both releases."""
    return site, *site.had("1.0", "2.0", on=["pi-01", "pi-02"])


def test_an_audit_finds_what_fleet_did_not_do(twice, break_device):
    site, _old, new = twice
    site.deploy("pi-03 | phone-01 | jetson-01")
    by_hand = site.place("pi-02") / "releases"
    shutil.copytree(by_hand / new, by_hand / "by-hand")
    (site.place("pi-02") / "current").unlink()
    (site.place("pi-02") / "current").symlink_to("releases/by-hand")
    break_device("pi-03", "tampered")
    (site.place("phone-01") / "current").unlink()
    break_device("jetson-01", "offline")

    done = site.run("audit", "-t", "all", "-o", "json")

    assert done.code == 5
    assert {row["device"]: row["finding"] for row in done.data} == {
        "jetson-01": "unreachable",
        "jetson-02": "empty",
        "pi-01": "match",
        "pi-02": "unknown",
        "pi-03": "drift",
        "phone-01": "missing",
    }


def test_an_audit_of_a_device_that_is_off_is_not_a_drift(twice, break_device):
    site, *_ = twice
    break_device("pi-02", "offline")

    done = site.run("audit", "-t", "pi-01 | pi-02")

    assert done.code == 3
    assert "1 match, 1 unreachable." in done.said


def test_an_audit_as_csv_has_a_line_for_each_device(twice):
    site, _, new = twice

    done = site.run("audit", "-t", "pi-01 | pi-02", "-o", "csv")

    lines = done.out.splitlines()
    assert done.code == 0
    assert lines[0].startswith("device,model,finding,found")
    assert [line.split(",")[:4] for line in lines[1:]] == [
        ["pi-01", "scale", "match", new],
        ["pi-02", "scale", "match", new],
    ]


def test_a_rollback_sends_nothing_and_goes_to_the_previous_release(twice):
    site, old, new = twice

    done = site.rollback("pi-01")

    assert done.code == 0
    assert (done.outcome["status"], done.outcome["bytes_sent"]) == ("succeeded", 0)
    assert site.running("pi-01", "pi-02") == [old, new]
    assert site.linked("pi-01", "previous") == new
    assert site.fleet.ledger.history("pi-01")[0].intent == "rollback"


def test_a_rollback_goes_to_any_version_that_is_named(twice):
    site, old, _ = twice
    site.offer("3.0")
    site.deploy("pi-01")

    done = site.rollback("pi-01", "--to", "1.0")

    assert done.code == 0
    assert site.running("pi-01") == [old]


def test_a_device_with_nothing_to_go_back_to_is_refused_with_the_reason(site):
    (release,) = site.had("1.0", on=["pi-01"])

    done = site.rollback("pi-01 | pi-02")

    assert done.code == 1
    assert done.statuses == {"pi-01": "refused", "pi-02": "refused"}
    assert "there is no previous release" in done.data["outcomes"][0]["because"]
    assert site.running("pi-01") == [release]


def test_a_failed_deployment_does_not_cost_the_way_back(twice, break_device):
    site, old, _new = twice
    site.offer("3.0")
    break_device("pi-01", "wrong-output")
    site.deploy("pi-01")
    site.lab.mend("pi-01")

    done = site.rollback("pi-01")

    assert done.outcome["status"] == "succeeded"
    assert site.running("pi-01") == [old]


def test_a_tampered_release_is_left_by_a_rollback_and_repaired_by_the_next_deployment(
    twice, break_device
):
    site, _old, new = twice
    break_device("pi-01", "tampered")
    assert site.findings("pi-01") == {"pi-01": "drift"}

    back = site.rollback("pi-01")
    again = site.deploy("pi-01")

    assert back.outcome["bytes_sent"] == 0
    assert again.outcome["status"] == "succeeded"
    assert again.outcome["bytes_sent"] > 0
    assert site.running("pi-01") == [new]
    assert site.findings("pi-01") == {"pi-01": "match"}


def test_an_audit_that_finds_drift_names_commands_that_mend_it(twice, break_device):
    site, *_ = twice
    break_device("pi-01", "tampered")

    done = site.run("audit", "-t", "pi-01")

    assert "fleet deploy --target pi-01 --repair" in done.said


def test_a_damaged_release_is_repaired_in_place_although_there_is_nothing_to_go_back_to(
    site, break_device
):
    release = site.offer("1.0")
    site.deploy("pi-01")
    break_device("pi-01", "tampered")

    done = site.run("deploy", "-t", "pi-01", "--repair", "--yes", "-o", "json")

    outcome = json.loads(done.out)["data"]["outcomes"][0]
    assert outcome["status"] == "succeeded"
    assert outcome["because"].startswith("repair: ")
    assert site.running("pi-01") == [release]
    assert site.findings("pi-01") == {"pi-01": "match"}
    assert [path.name for path in (site.place("pi-01") / "releases").iterdir()] == [release]


def test_a_repair_of_a_sound_device_changes_nothing(twice):
    site, _old, new = twice

    done = site.run("deploy", "-t", "pi-01", "--repair", "--yes", "-o", "json")

    assert json.loads(done.out)["data"]["outcomes"][0]["status"] == "already-current"
    assert site.running("pi-01") == [new]


def test_naming_a_release_again_proves_nothing_new(twice):
    site, *_ = twice
    before = site.run("audit", "-t", "pi-01", "-o", "json").out
    site.deploy("pi-01")

    after = site.run("audit", "-t", "pi-01", "-o", "json").out

    since = [json.loads(said)["data"][0]["since"] for said in (before, after)]
    assert since[0] == since[1]


def test_only_as_many_releases_are_kept_as_the_playbook_says(twice):
    site, old, _new = twice
    for version in ("3.0", "4.0"):
        newest = site.offer(version)
        site.deploy("pi-01")

    kept = {path.name for path in (site.place("pi-01") / "releases").iterdir()}

    assert len(kept) == 3
    assert old not in kept
    assert newest in kept


def test_history_tells_every_outcome_and_proves_that_none_was_changed(twice):
    site, *_ = twice

    done = site.run("history", "--verify")

    assert done.code == 0
    assert done.said.count("succeeded") == 4
    assert "the chain of 4 entries holds" in done.said
