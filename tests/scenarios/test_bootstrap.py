"""A runtime for devices that have none: fetched here, sent, unpacked by their own Python, and gone again.

The devices' Python is this machine's own without any package, over real SSH; the wheels are real.
"""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from scale import offer_tflite

from orchestrator.app import Fleet
from orchestrator.lab.errors import NoTierWorks, SshdMissing
from orchestrator.lab.lab import Lab
from orchestrator.lab.runtime import device_python
from orchestrator.lab.spec import Sort, Storage
from orchestrator.selftest.scratch import scratch

ONE, OTHER = "pi-01", "phone-01"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Devices with room for a runtime; the wheels of LiteRT become 130 MiB."""
    folder = tmp_path_factory.mktemp("roomy")
    lab = Lab(folder, folder / "inventory")
    try:
        lab.up(3, tier="namespaces", storage=Storage(Sort.TMPFS, 512))
    except (SshdMissing, NoTierWorks) as error:
        pytest.skip(f"NO LAB ON THIS MACHINE: {error}; {error.hint}")
    yield lab
    lab.down()


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What was fetched for one test is there for the next."""
    return tmp_path_factory.mktemp("wheels")


@pytest.fixture
def site(site, wheels):
    """Devices whose Python has no package at all, and a TFLite model that is meant for them."""
    python = device_python().executable
    for device in (ONE, OTHER):
        site.describe(device, python=python, profile="raspberry-pi-4")
    (site.folder / ".fleet").mkdir(exist_ok=True)
    (site.folder / ".fleet" / "wheels").symlink_to(wheels)
    offer_tflite(site.folder, "1.0")
    return site


def brought(site, target: str, *words: str) -> list[dict]:
    done = site.run("bootstrap", target, "--runtime", "litert", "-o", "json", *words)
    if any(row["code"].startswith("BOOTSTRAP > WHEELS > FETCH") for row in done.data):
        pytest.skip(f"NO PACKAGE INDEX IN REACH: {done.said}")
    return done.data


def folders(site, device: str) -> list[str]:
    return sorted(path.name for path in (site.home(device) / ".fleet" / "runtimes").glob("*"))


def test_a_runtime_comes_runs_a_model_and_goes_again(site):
    lock = site.inventory / "runtimes.lock"
    before = site.deploy(ONE)
    (dry,) = brought(site, ONE, "--dry-run")
    nothing = (lock.exists(), folders(site, ONE))

    (first,) = brought(site, ONE)
    pinned = lock.read_text()
    (again,) = brought(site, ONE)
    done = site.deploy(ONE)
    (other,) = brought(site, OTHER)
    same = folders(site, ONE) == folders(site, OTHER)
    (would,) = brought(site, ONE, "--remove", "--dry-run")
    (gone,) = brought(site, ONE, "--remove")
    (none,) = brought(site, ONE, "--remove")
    after = site.deploy(ONE)

    assert "litert" in before.outcome["because"]
    assert "not installed" in before.outcome["because"]
    assert (dry["status"], *nothing) == ("would-install", False, [])
    assert first["status"] == "installed", first
    assert first["bytes_sent"] > first["size_bytes"] > 10_000_000
    assert (again["status"], again["bytes_sent"]) == ("already-there", 0)
    assert done.outcome["status"] == "succeeded", done.said
    assert done.outcome["smoke"]["runtime"] == f"litert {first['version']}"
    assert (other["status"], same, lock.read_text()) == ("installed", True, pinned)
    assert "numpy" in pinned
    assert (would["status"], gone["status"], none["status"]) == (
        "would-remove",
        "removed",
        "not-there",
    )
    assert "not installed" in after.outcome["because"]
    assert not (site.home(ONE) / ".fleet" / "runtimes").exists()


def test_a_self_test_is_proved_with_what_was_brought(site, tmp_path):
    brought(site, ONE)

    with scratch(site.fleet, site.fleet.device(ONE), tmp_path / "scratch") as made:
        seen = Fleet(made.folder).observe([made.device])[ONE]

    assert [runtime.name for runtime in seen.facts.runtimes] == ["litert"]
    assert [path.name for path in (site.home(ONE) / ".fleet").glob(".selftest*")] == []
    assert folders(site, ONE)[0].startswith("litert-")


def test_a_bootstrap_that_is_killed_leaves_nothing_seen_and_the_next_one_finishes(site):
    brought(site, OTHER)
    part = site.home(ONE) / ".fleet" / "runtimes"
    words = site.argv("bootstrap", ONE, "--runtime", "litert")
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list(part.glob(".part-*/*.whl")) and time.monotonic() < deadline:
        time.sleep(0.005)

    process.send_signal(signal.SIGKILL)
    process.wait()
    seen = [name for name in folders(site, ONE) if name.startswith("litert")]
    (again,) = brought(site, ONE)

    assert seen == []
    assert again["status"] == "installed", again
    assert sorted(path.name for path in part.iterdir()) == folders(site, OTHER)
    assert site.deploy(ONE).outcome["status"] == "succeeded"


def test_what_cannot_be_imported_is_never_seen(site):
    die = site.home(ONE) / "die"
    die.mkdir()
    (die / "sitecustomize.py").write_text(
        "import sys\nif 'ai_edge_litert.interpreter' in sys.orig_argv:\n"
        "    sys.exit('ImportError: libstdc++.so.6: cannot open shared object file')\n"
    )
    place = site.home(ONE) / "bin"
    place.mkdir(exist_ok=True)
    python = device_python().executable
    (place / "python").write_text(
        f'#!/bin/sh\nexport PYTHONPATH=/home/pi/die\nexec {python} "$@"\n'
    )
    (place / "python").chmod(0o755)
    site.describe(ONE, python="/home/pi/bin/python")

    (row,) = brought(site, ONE)

    assert (row["status"], row["code"]) == ("failed", "BOOTSTRAP > RUNTIME > BROKEN")
    assert "libstdc++.so.6: cannot open" in row["because"]
    assert [name for name in folders(site, ONE) if name.startswith("litert")] == []


def test_a_device_without_room_is_sent_nothing(site, break_device):
    brought(site, OTHER)
    site.run("facts", "-t", ONE, "--refresh")
    break_device(ONE, "full-disk")

    (row,) = brought(site, ONE)

    assert row["code"] == "DEPLOY > PREFLIGHT > DISK_SPACE", row
    assert "KiB are free" in row["because"]


def test_a_device_with_a_runtime_of_its_own_keeps_it(site):
    site.describe(ONE, python="python3")

    (row,) = brought(site, ONE)

    assert (row["status"], row["because"]) == ("already-there", "the device has its own")
    assert row["bytes_sent"] == 0


def test_bytes_that_are_not_those_that_were_pinned_are_never_sent(site):
    brought(site, OTHER)
    lock = site.inventory / "runtimes.lock"
    plain = json.loads(lock.read_text())
    for wheel in plain["bundles"][0]["wheels"]:
        if wheel["file"].startswith("flatbuffers"):
            wheel["sha256"] = "0" * 64
    lock.write_text(json.dumps(plain))

    done = site.run("bootstrap", ONE, "--runtime", "litert", "-o", "json")

    (row,) = done.data
    assert (done.code, row["code"]) == (1, "BOOTSTRAP > WHEELS > FETCH")
    assert "flatbuffers" in row["because"]
    assert folders(site, ONE) == []


def test_this_python_is_the_one_that_devices_have():
    """Otherwise what is installed above would be another kind of wheel than what is tested."""
    assert device_python().version == f"{sys.version_info.major}.{sys.version_info.minor}"
