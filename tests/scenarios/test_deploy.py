"""A version goes to a group, once, as planned, and nowhere else."""

import json
from collections.abc import Mapping

PIS = ("pi-01", "pi-02", "pi-03")


def test_a_group_gets_a_version_and_a_second_deployment_sends_nothing(site):
    release = site.offer("1.0")

    first = site.deploy("pi-group")
    second = site.deploy("pi-group")

    assert first.code == second.code == 0
    assert first.statuses == dict.fromkeys(PIS, "succeeded")
    assert second.statuses == dict.fromkeys(PIS, "already-current")
    assert sum(o["bytes_sent"] for o in second.data["outcomes"]) == 0
    assert site.running(*PIS, "phone-01") == [release] * 3 + [None]
    assert [site.leftovers(name) for name in PIS] == [[], [], []]


def test_every_outcome_in_the_envelope_says_what_was_measured(site):
    done = site.deploy("pi-01")

    envelope = json.loads(done.out)
    assert envelope["schema"] == "fleet/v1/outcomes"
    assert done.outcome["smoke"]["passed"] is True
    assert done.outcome["smoke"]["p50_ms"] > 0
    assert done.outcome["bytes_sent"] > 0
    assert done.outcome["was"] is None


def test_equal_facts_give_equal_plans_under_any_hash_seed(site, tmp_path):
    files = [tmp_path / "one.json", tmp_path / "two.json"]

    for seed, file in zip("17", files, strict=True):
        done = site.start("plan", "-t", "pi-group", "--out", str(file), PYTHONHASHSEED=seed)
        assert done.code == 0

    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_plan_changes_nothing(site):
    done = site.run("plan", "-t", "edge")

    assert done.code == 0
    assert "6 to switch" in done.said
    assert site.running("pi-01", "jetson-01") == [None, None]
    assert not site.place("pi-01").exists()


def test_a_saved_plan_is_carried_out_as_it_was_reviewed(site, tmp_path):
    file = tmp_path / "plan.json"
    reviewed = site.run("plan", "-t", "pi-group", "--out", str(file), "-o", "json")

    done = site.run("deploy", "--plan", str(file), "--yes", "-o", "json")

    assert done.statuses == dict.fromkeys(PIS, "succeeded")
    run = site.fleet.ledger.runs()[0]
    assert run.plan == reviewed.data["id"]


def test_a_saved_plan_is_refused_for_the_devices_that_have_changed_since(site, tmp_path):
    old, file = site.offer("1.0"), tmp_path / "plan.json"
    site.run("plan", "-t", "pi-01 | pi-02", "--out", str(file))
    new = site.offer("2.0")
    site.deploy("pi-01")

    done = site.run("deploy", "--plan", str(file), "--yes", "-o", "json")

    assert done.code == 1
    assert done.statuses == {"pi-01": "refused", "pi-02": "succeeded"}
    assert site.running("pi-01", "pi-02") == [new, old]


def test_a_plan_that_somebody_changed_by_hand_is_not_carried_out(site, tmp_path):
    file = tmp_path / "plan.json"
    file.write_text('{"format": 1}\n')

    done = site.run("deploy", "--plan", str(file), "--yes")

    assert done.code == 2
    assert "not a plan" in done.said
    assert "next:" in done.said


def test_a_device_that_is_off_is_deferred_and_the_others_go_on(site, break_device):
    break_device("pi-02", "offline")

    done = site.deploy("pi-group")

    assert done.code == 3
    assert done.statuses == {"pi-01": "succeeded", "pi-02": "deferred", "pi-03": "succeeded"}
    assert _of(done, "pi-02")["code"] == "TRANSPORT > UNREACHABLE"


def test_a_canary_that_computes_something_else_halts_the_rollout(site, break_device):
    (old,) = site.had("1.0", on=PIS)
    site.offer("2.0")
    break_device("pi-01", "wrong-output")

    done = site.deploy("pi-group", "-p", "canary")

    assert done.code == 4
    assert done.statuses == {"pi-01": "failed-unchanged", "pi-02": "aborted", "pi-03": "aborted"}
    assert _of(done, "pi-01")["code"] == "DEPLOY > SMOKE > FAILED"
    assert "output 'y' of golden case 0 is off by 0.2" in _of(done, "pi-01")["because"]
    assert site.running(*PIS) == [old] * 3
    assert [site.leftovers(name) for name in PIS] == [[], [], []]
    assert site.fleet.ledger.runs()[0].verdict == "halted"
    assert "wave 'canary' failed (pi-01)" in site.fleet.ledger.runs()[0].because


def test_a_version_over_its_latency_limit_is_not_activated(site):
    (old,) = site.had("1.0", on=["pi-01"])
    site.offer("2.0", max_p50_ms=0.000001)

    done = site.deploy("pi-group", "-p", "canary")

    assert done.code == 4
    assert "ms for one inference (p50), and may take 1e-06" in _of(done, "pi-01")["because"]
    assert site.running(*PIS) == [old, None, None]


def test_emulated_devices_are_called_so_wherever_they_are_shown(site):
    deployed = site.run("deploy", "-t", "pi-01", "--yes")
    looks = [
        site.run("facts", "-t", "pi-01"),
        site.run("inventory", "list"),
        site.run("audit", "-t", "pi-01"),
        site.run("plan", "-t", "pi-01"),
        site.run("explain", "pi-01"),
    ]

    assert ["EMULATED" in done.said for done in (deployed, *looks)] == [True] * 6


def test_devices_are_selected_by_what_they_said_of_themselves(site):
    site.run("facts", "--refresh", "-t", "pi-group")

    done = site.run("plan", "-t", "ram_mib>=5000", "-o", "json")

    assert [step["device"] for step in done.data["steps"]] == ["pi-02"]


def test_devices_are_selected_by_what_their_processors_can_compute(site):
    site.run("facts", "--refresh", "-t", "pi-group")

    done = site.run("plan", "-t", "instructions=dotprod", "-o", "json")

    assert [step["device"] for step in done.data["steps"]] == ["pi-02"]


def test_what_a_device_denies_stands_beside_its_facts_and_fails_the_inventory_s_check(site):
    site.describe("pi-01", facts={"cores": 999, "arch": "riscv64"})

    asked = site.run("facts", "--refresh", "-t", "pi-01", "-o", "json")
    looks = [site.run("facts", "-t", "pi-01"), site.run("inventory", "show", "pi-01")]
    checked = site.run("inventory", "check")

    (row,) = asked.data
    assert [each["key"] for each in row["contradictions"]] == ["arch", "cores"]
    assert row["facts"]["observed_at"]
    for look in looks:
        assert "arch: the inventory says riscv64, the device aarch64" in look.said
    assert "age" in looks[1].said
    assert checked.code == 5
    assert "pi-01: cores: the inventory says 999" in checked.said


def test_an_inventory_whose_devices_deny_nothing_is_in_order(site):
    site.run("facts", "--refresh", "-t", "pi-01")

    checked = site.run("inventory", "check", "-o", "json")

    assert (checked.code, checked.data["contradictions"]) == (0, {})


def test_profiles_are_listed_with_how_far_they_were_tried(site):
    listed = site.run("inventory", "profiles", "-o", "json")

    tried = {each["name"]: each["tried"] for each in listed.data}
    assert tried["raspberry-pi-4"] == "emulated"
    assert tried["coral-dev-board"] == "listed"
    assert {each["name"]: each["devices"] for each in listed.data}["bench"] == 6


def _of(done, device: str) -> Mapping[str, object]:
    return next(o for o in done.data["outcomes"] if o["device"] == device)
