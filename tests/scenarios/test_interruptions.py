"""Controllers that are interrupted, killed, or not alone: devices serve, and the next run converges."""

import os
import signal
import subprocess
import time

import pytest

DEPLOY = """
plan = fleet.plan("pi-01", fleet.site.playbook(sys.argv[1]))
def watch(progress):
    if progress.phase == sys.argv[2]:
        os.kill(os.getpid(), 9)
fleet.execute(plan, watch=watch)
"""
SLOW = """
import time
plan = fleet.plan("pi-01", fleet.site.playbook("all"))
def watch(progress):
    if progress.phase == "smoke test":
        print("at work", flush=True)
        time.sleep(float(sys.argv[1]))
report = fleet.execute(plan, watch=watch)
print(report.outcomes[0].status.value)
"""
PHASES = ("connect", "prepare", "send", "smoke test", "activate", "confirm")


@pytest.mark.parametrize("phase", PHASES)
def test_a_controller_killed_in_any_phase_is_made_good_by_the_next_run(site, script, phase):
    (old,) = site.had("1.0", on=["pi-01"])
    new = site.offer("2.0")

    killed = script(DEPLOY, "all", phase)
    killed.communicate(timeout=60)
    between = site.running("pi-01")
    again = site.deploy("pi-01")

    assert killed.returncode == -signal.SIGKILL
    assert between == [new if phase == "confirm" else old]
    assert again.outcome["status"] == "succeeded"
    assert site.running("pi-01") == [new]
    assert site.linked("pi-01", "previous") == old
    assert site.leftovers("pi-01") == []
    assert site.fleet.ledger.verify() == 2
    assert [run.verdict for run in site.fleet.ledger.runs()] == ["done", "interrupted", "done"]


@pytest.mark.parametrize("after_s", [0.9, 1.5, 2.1])
def test_a_controller_killed_at_any_time_is_made_good_by_the_next_run(site, after_s):
    new = site.offer("2.0", size=2_000_000)

    killed = subprocess.Popen(site.argv("deploy", "-t", "pi-group", "--yes"), **QUIET)
    time.sleep(after_s)
    killed.kill()
    killed.wait()
    site.running("pi-01", "pi-02", "pi-03")
    again = site.deploy("pi-group")

    assert again.code == 0
    assert site.running("pi-01", "pi-02", "pi-03") == [new] * 3
    assert site.leftovers("pi-01") == []
    assert site.fleet.ledger.verify() >= 3


def test_a_switch_that_nobody_confirms_goes_back_by_itself(site, script):
    old, middle = site.had("1.0", "2.0", on=["pi-01"])
    site.offer("3.0")
    script(DEPLOY, "hasty", "confirm").communicate(timeout=60)
    assert site.running("pi-01") != [middle]

    _until(lambda: site.linked("pi-01") == middle, 15)

    assert site.running("pi-01") == [middle]
    assert site.linked("pi-01", "previous") == old
    assert not (site.place("pi-01") / "pending").exists()
    assert site.findings("pi-01") == {"pi-01": "match"}
    assert site.deploy("pi-01").code == 0


def test_a_first_switch_that_nobody_confirms_goes_back_to_nothing(site, script):
    script(DEPLOY, "hasty", "confirm").communicate(timeout=60)

    _until(lambda: site.linked("pi-01") is None, 15)

    assert site.deploy("pi-01").code == 0


def test_an_interrupted_rollout_says_so_and_the_same_command_goes_on(site):
    release = site.offer("1.0", size=1_000_000)
    site.playbook("slowly", "  - {name: one, size: 1}\n  - {name: rest, size: all}")
    rollout = subprocess.Popen(
        site.argv("deploy", "-t", "edge", "--yes", "-p", "slowly"), text=True, **PIPES
    )
    _until(lambda: (site.place("jetson-01") / "staging").exists(), 20)

    rollout.send_signal(signal.SIGINT)
    _, said = rollout.communicate(timeout=60)
    running = site.running(*EDGE)
    again = site.deploy("edge")

    assert rollout.returncode == 130
    assert "run the same command to go on" in said
    assert "Traceback" not in said
    assert running[1:] == [None] * 5
    assert site.fleet.ledger.runs()[1].verdict == "interrupted"
    assert again.code == 0
    assert site.running(*EDGE) == [release] * 6


def test_two_controllers_on_one_device_do_not_disturb_each_other(site, script):
    release = site.offer("1.0")
    first = script(SLOW, "3")
    assert first.stdout.readline() == "at work\n"

    second = site.deploy("pi-01")
    said, _ = first.communicate(timeout=60)

    assert second.code == 6
    assert second.outcome["status"] == "deferred"
    assert second.outcome["code"] == "DEPLOY > LEASE > HELD"
    assert "another controller (" in second.outcome["because"]
    assert said == "succeeded\n"
    assert site.running("pi-01") == [release]
    assert site.leftovers("pi-01") == []


def test_a_lease_of_another_site_is_respected_until_it_ends(site):
    release = site.offer("1.0")
    lock = site.place("pi-01") / "lock"
    lock.mkdir(parents=True)
    _hand_over(site, "pi-01")
    (lock / "owner").write_text(f"elsewhere.7.abc {int(time.time()) + 600}\n")

    held = site.deploy("pi-01")
    (lock / "owner").write_text(f"elsewhere.7.abc {int(time.time()) - 1}\n")
    over = site.deploy("pi-01")

    assert (held.code, over.code) == (6, 0)
    assert site.running("pi-01") == [release]
    assert site.leftovers("pi-01") == []


def test_a_lease_without_an_owner_is_taken_over(site):
    (site.place("pi-01") / "lock").mkdir(parents=True)
    _hand_over(site, "pi-01")

    done = site.deploy("pi-01")

    assert done.code == 0
    assert site.leftovers("pi-01") == []


EDGE = ("jetson-01", "jetson-02", "pi-01", "pi-02", "pi-03", "phone-01")
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "stdin": subprocess.DEVNULL}
PIPES = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}


def _hand_over(site, device: str) -> None:
    """Let the device's user own what the test has made in its home."""

    home = site.home(device)
    owner = home.stat()
    for path in [home / ".fleet", *(home / ".fleet").rglob("*")]:
        os.chown(path, owner.st_uid, owner.st_gid)


def _until(true, at_most_s: float) -> None:
    end = time.monotonic() + at_most_s
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)
