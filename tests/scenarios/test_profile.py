"""Variants are measured on devices beside what runs, and chosen by what was measured."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for `from pair import …`
from pair import PAIR, QUICK, RIGHT, offer_pair

ONE = ("profile", PAIR, "-t", "pi-02", "--seconds", "0.3", "-o", "json")


@pytest.fixture
def pair(site):
    offer_pair(site.folder)
    return site


def files(site, device: str) -> dict[str, bytes]:
    """Everything on a device that fleet put there, but its own scripts."""
    root = site.home(device) / ".fleet"
    found = sorted(p for p in root.rglob("*") if p.relative_to(root).parts[0] != "bin")
    return {
        str(p.relative_to(root)): p.read_bytes() if p.is_file() and not p.is_symlink() else b""
        for p in found
    }


def measured(done) -> dict[str, dict[str, object]]:
    return {each["variant"]: each for each in done.data["measurements"]}


def test_every_variant_is_measured_and_nothing_is_left_behind(pair):
    done = pair.run(*ONE)

    assert done.code == 0, done.said
    found = measured(done)
    assert set(found) == {QUICK, RIGHT}
    for each in found.values():
        assert 0 < each["p50_ms"] <= each["p95_ms"]
        assert each["seconds"] >= 0.3
        assert each["runs"] > 3
        assert each["first_ms"] > 0
        assert each["load_ms"] > 0
        assert each["rss_mib"] > 5
        assert each["samples"] == 100
        assert each["before"]["temperature_c"] == 51.35  # the lab's Pi 5
        assert each["before"]["throttling"] == []
        assert each["runtime"].startswith("onnxruntime 1.")
        assert each["emulated"].startswith("host ")
    assert found[QUICK]["p50_ms"] < found[RIGHT]["p50_ms"]
    assert (found[QUICK]["value"], found[RIGHT]["value"]) == (0.0, 1.0)
    assert files(pair, "pi-02") == {}


def test_the_figures_of_the_device_decide_and_explain_says_where_they_are_from(pair):
    before = pair.run("explain", "pi-02", "-o", "json").data["models"][PAIR]
    pair.run(*ONE)

    after = pair.run("explain", "pi-02", "-o", "json").data["models"][PAIR]

    assert (before["variant"], after["variant"]) == (RIGHT, QUICK)
    today = time.strftime("%Y-%m-%d", time.gmtime())
    assert after["because"].endswith(f"ms on this hardware (fleet profile, {today})")
    assert "the build machine" not in json.dumps(after)
    pair.deploy("pi-02")
    assert QUICK in str((pair.home("pi-02") / ".fleet" / PAIR / "current").readlink())


def test_the_accuracy_of_the_device_decides_where_accuracy_is_the_objective(pair):
    (pair.folder / "playbooks" / "best.yaml").write_text(
        "name: best\nobjective: accuracy\nwaves: [{name: all, size: all}]\n"
    )
    before = pair.run("explain", "pi-02", "-p", "best", "-o", "json").data["models"][PAIR]
    pair.run(*ONE)

    after = pair.run("explain", "pi-02", "-p", "best", "-o", "json").data["models"][PAIR]

    assert (before["variant"], after["variant"]) == (QUICK, RIGHT)
    assert after["because"].startswith(
        "best accuracy: accuracy 1.0000 on this hardware (fleet prof"
    )


def test_what_runs_is_not_touched_and_what_is_there_is_not_sent_again(pair):
    assert pair.deploy("pi-02").code == 0
    before = files(pair, "pi-02")

    done = pair.run(*ONE)

    assert done.code == 0
    sent = {o["release"]: (o["bytes_sent"], o["size_bytes"]) for o in done.data["outcomes"]}
    running = (pair.home("pi-02") / ".fleet" / PAIR / "current").readlink().name
    small = [(n, size) for release, (n, size) in sent.items() if release == running]
    assert small
    assert all(n < size / 10 for n, size in small)
    assert files(pair, "pi-02") == before


def test_one_device_of_each_class_measures_and_nothing_is_measured_by_a_dry_run(pair):
    done = pair.run("profile", PAIR, "--dry-run", "-o", "json")

    assert done.code == 0
    assert sorted({row["device"] for row in done.data}) == [
        "jetson-01",
        "phone-01",
        "pi-01",
        "pi-02",
    ]
    assert len({row["fingerprint"] for row in done.data}) == 4
    assert {row["variant"] for row in done.data} == {QUICK, RIGHT}
    assert {row["power_mode"] for row in done.data if row["device"] == "jetson-01"} == {"15W"}
    assert all(files(pair, row["device"]) == {} for row in done.data)


SLOW_WHEN_SMALL = """
import onnxruntime, os, time
run = onnxruntime.InferenceSession.run
def slower(self, *given):
    time.sleep(0.05 if os.path.getsize(self._model_path) < 1000 else 0)
    return run(self, *given)
onnxruntime.InferenceSession.run = slower
"""


@pytest.fixture
def other_mode(pair):
    """jetson-02 says MAXN, and what such a mode does to small models is played by a sleep."""
    said = pair.lab.root("jetson-02") / "opt/fleet-lab/bin/nvpmodel"
    before = said.read_text()
    said.write_text(before.replace("15W", "MAXN"))
    home = pair.home("jetson-02") / "bin"
    home.mkdir()
    (home / "sitecustomize.py").write_text(SLOW_WHEN_SMALL)
    (home / "python").write_text('#!/bin/sh\nPYTHONPATH=/home/pi/bin exec python3 "$@"\n')
    (home / "python").chmod(0o755)
    pair.describe("jetson-02", python="/home/pi/bin/python")
    yield
    said.write_text(before)


def test_two_devices_of_one_kind_in_different_power_modes_get_what_is_best_in_theirs(
    pair, other_mode
):
    asked = pair.run("profile", PAIR, "--dry-run", "-o", "json").data
    done = pair.run("profile", PAIR, "-t", "jetson-*", "--seconds", "0.3", "-o", "json")

    given = {
        name: pair.run("explain", name, "-o", "json").data["models"][PAIR]["variant"]
        for name in ("jetson-01", "jetson-02")
    }

    modes = {row["device"]: row["power_mode"] for row in asked if row["power_mode"]}
    assert modes == {"jetson-01": "15W", "jetson-02": "MAXN"}
    assert done.code == 0, done.said
    assert given == {"jetson-01": QUICK, "jetson-02": RIGHT}


def test_who_is_offline_is_deferred_unless_another_one_of_its_class_measures(pair, break_device):
    pair.run("facts", "--refresh")
    break_device("jetson-01", "offline")

    done = pair.run("profile", PAIR, "--dry-run", "-o", "json")
    named = pair.run("profile", PAIR, "-t", "jetson-01", "-o", "json")

    assert {row["device"] for row in done.data} == {"jetson-02", "phone-01", "pi-01", "pi-02"}
    assert named.code == 3
    assert named.data["outcomes"][0]["code"] == "TRANSPORT > UNREACHABLE"


def test_a_variant_that_computes_something_else_is_not_measured_and_the_others_are(pair):
    offer_pair(pair.folder, wrong=QUICK)

    done = pair.run(*ONE)

    assert done.code == 1
    assert set(measured(done)) == {RIGHT}
    (failed,) = (o for o in done.data["outcomes"] if o["status"] != "succeeded")
    assert failed["code"] == "PROFILE > FAILED"
    assert "off by 1" in failed["because"]
    assert files(pair, "pi-02") == {}


def test_a_device_on_which_somebody_is_at_work_is_let_alone(pair):
    lease = pair.home("pi-02") / ".fleet" / PAIR / "lock"
    pair.run("facts", "--refresh", "-t", "pi-02")
    lease.mkdir(parents=True)
    for made in (lease.parent, lease):
        made.chmod(0o777)
    (lease / "owner").write_text(f"somebody.1.abc {int(time.time()) + 600}\n")

    done = pair.run(*ONE)

    assert done.code == 6
    assert {o["status"] for o in done.data["outcomes"]} == {"deferred"}
    assert (lease / "owner").is_file()


def test_an_interruption_ends_what_is_measured_and_leaves_the_device_clean(pair):
    argv = pair.argv("profile", PAIR, "-t", "pi-02", "--seconds", "300")
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    busy = pair.home("pi-02") / ".fleet" / PAIR / "lock" / "at"
    _until(lambda: busy.exists() and _measuring(), 60)

    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=40)

    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert files(pair, "pi-02") == {}
    _until(lambda: not _measuring(), 10)


def test_what_was_measured_is_listed_newest_first(pair):
    pair.run(*ONE)

    listed = pair.run("profile", PAIR, "--list", "-o", "json").data
    shown = pair.run("profile", PAIR, "--list")

    assert [each["variant"] for each in listed] == [RIGHT, QUICK]
    assert "EMULATED" in shown.said
    assert "51 → 51" in shown.said


def test_the_front_is_shown_with_the_figures_of_a_device(pair, tmp_path):
    nothing = pair.run("pareto", PAIR, "--on", "pi-02")
    pair.run(*ONE)
    fingerprint = pair.fleet.ledger.facts()["pi-02"].fingerprint
    drawing, page = tmp_path / "front.svg", tmp_path / "front.html"

    by_name = pair.run("pareto", PAIR, "--on", "pi-02", "-o", "json", "--out", str(drawing))
    by_class = pair.run("pareto", PAIR, "--on", fingerprint, "-o", "json", "--out", str(page))

    assert nothing.code == 2
    assert f"fleet profile {PAIR} --target pi-02" in nothing.said
    assert by_name.data == by_class.data
    rows = {row["variant"]: row for row in by_name.data}
    assert rows[QUICK]["p50_ms"] < rows[RIGHT]["p50_ms"]
    assert rows[RIGHT]["value"] == 1.0
    assert {row["front"] for row in rows.values()} == {"●"}
    for drawn in (drawing, page):
        assert "on pi-02" in drawn.read_text() or fingerprint in drawn.read_text()
        assert "build machine, ms" not in drawn.read_text()


def _measuring() -> bool:
    """Whether any process on this machine is a measuring child."""
    for folder in Path("/proc").iterdir():
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0") if folder.name.isdigit() else []
        except OSError:
            continue
        if any(word.endswith(b"measure.py") for word in words) and b"300.0" in words:
            return True
    return False


def _until(true, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)
