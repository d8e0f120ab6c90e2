"""Devices that cannot take a release: each says why, and keeps what it runs."""

import os
from contextlib import suppress
from pathlib import Path

import pytest


def python_that(site, device: str, body: str) -> None:
    """Name a Python of the device's own that runs `body` first."""
    place = site.home(device) / "bin"
    place.mkdir(exist_ok=True)
    (place / "python").write_text(f'#!/bin/sh\n{body}\nexec python3 "$@"\n')
    (place / "python").chmod(0o755)
    site.describe(device, python="/home/pi/bin/python")


def broken_and_mended(site, break_device, how):
    """A newer release on a device that is broken, then mended: it keeps the old one meanwhile."""
    (old,) = site.had("1.0", on=["pi-01"])
    new = site.offer("2.0")
    break_device("pi-01", how)

    broken = site.deploy("pi-01")
    left = site.running("pi-01")
    site.lab.mend("pi-01")
    mended = site.deploy("pi-01")

    assert broken.outcome["status"] == "failed-unchanged"
    assert left == [old]
    assert (mended.code, site.running("pi-01")) == (0, [new])
    return broken.outcome


def test_a_full_disk_is_found_before_anything_is_sent_and_mending_it_is_enough(site, break_device):
    full = broken_and_mended(site, break_device, "full-disk")

    assert full["code"] == "DEPLOY > PREFLIGHT > DISK_SPACE"
    assert "KiB are free" in full["because"]
    assert full["bytes_sent"] == 0


def test_a_storage_root_that_cannot_be_written_is_named(site):
    (old,) = site.had("1.0", on=["pi-01"])
    site.offer("2.0")
    site.place("pi-01").chmod(0o555)

    done = site.deploy("pi-01")
    site.place("pi-01").chmod(0o755)

    assert done.outcome["code"] == "DEPLOY > PREFLIGHT > UNWRITABLE"
    assert "scale/lock" in done.outcome["because"]
    assert site.running("pi-01") == [old]


def test_a_storage_root_nobody_may_make_is_refused_at_once(site):
    site.describe("pi-01", storage_root="/proc/fleet")

    done = site.run("deploy", "-t", "pi-01", "--yes")

    assert done.code == 1
    assert "cannot write /proc/fleet" in done.said
    assert "check storage_root" in done.said


def test_releases_live_where_the_inventory_says(site):
    release = site.offer("1.0")
    site.describe("pi-01", storage_root="/home/pi/elsewhere/models")

    done = site.deploy("pi-01")

    assert done.code == 0
    current = site.home("pi-01") / "elsewhere" / "models" / "scale" / "current"
    assert current.readlink().name == release
    assert not site.place("pi-01").exists()


def test_a_device_without_its_python_gets_nothing_and_says_what_is_missing(site):
    site.describe("pi-01", python="nosuch")

    done = site.deploy("pi-01")

    assert done.code == 1
    assert done.outcome["status"] == "no-variant"
    assert "onnxruntime is not installed" in done.outcome["because"]
    assert site.running("pi-01") == [None]


def test_a_device_whose_runtimes_suit_no_variant_is_told_why_for_each(site):
    site.describe("pi-01", profile="old")

    done = site.deploy("pi-01 | pi-02")

    assert done.code == 1
    assert done.statuses == {"pi-01": "no-variant", "pi-02": "succeeded"}
    why = next(o["because"] for o in done.data["outcomes"] if o["device"] == "pi-01")
    assert "onnx-float32: profile old offers tflite-runtime, not onnxruntime" in why


def test_a_smoke_test_that_outlasts_its_deadline_is_named(site):
    site.offer("1.0", deadline_s=0.05)

    done = site.deploy("pi-01")

    assert done.outcome["status"] == "failed-unchanged"
    assert "did not finish within 0.05 s" in done.outcome["because"]
    assert site.leftovers("pi-01") == []


def child_that(site, device: str, body: str) -> None:
    """Have the child of a device's smoke test do `body` first."""
    folder = site.home(device) / "die"
    folder.mkdir()
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    (folder / "sitecustomize.py").write_text(
        f"import os, signal, sys, time\nif '--child' in sys.orig_argv:\n{lines}"
    )
    python_that(site, device, "export PYTHONPATH=/home/pi/die")


def test_inference_that_is_killed_is_named_with_its_signal(site):
    child_that(site, "pi-01", "os.kill(os.getpid(), 9)")

    done = site.deploy("pi-01")

    assert done.outcome["status"] == "failed-unchanged"
    assert "the runtime was killed by SIGKILL" in done.outcome["because"]


def test_a_model_that_reports_its_own_success_and_leaves_is_not_believed(site):
    child_that(site, "pi-01", """print('{"passed": true}', flush=True)\nos._exit(0)""")

    done = site.deploy("pi-01")
    shown = site.run("history", "--device", "pi-01", "--evidence")

    assert done.outcome["status"] == "failed-unchanged"
    assert "exit status 0 and no report" in done.outcome["because"]
    assert '--- stdout, 17 bytes, its end: {"passed": true}' in shown.said
    assert "numpy" in done.outcome["evidence"]
    assert "onnxruntime" in done.outcome["evidence"]
    assert site.leftovers("pi-01") == []


def test_a_model_that_forks_and_hangs_leaves_no_process_on_the_device(site):
    site.offer("1.0", deadline_s=3)
    hang = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nos.fork()\n"
    child_that(site, "pi-01", hang + "os.write(2, b'x' * 3_000_000)\ntime.sleep(600)")

    done = site.deploy("pi-01")

    assert "did not finish within 3 s" in done.outcome["because"]
    assert "--- stderr, 6000000 bytes" in done.outcome["evidence"]
    assert len(done.outcome["evidence"].encode()) <= 16 * 1024
    part = f"{done.outcome['release']}.part"
    assert [line for line in commands() if "--child" in line and part in line] == []


def commands() -> list[str]:
    """What runs on this machine, and so on every device of the lab."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            found.append(file.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace"))
    return found


def test_a_smoke_test_that_is_killed_itself_is_named_with_its_signal(site):
    python_that(site, "pi-01", 'case "$*" in *runtimes.py*) ;; *) kill -9 $$ ;; esac')

    done = site.deploy("pi-01")

    assert done.outcome["status"] == "failed-unchanged"
    assert "the smoke test was killed by signal 9 and said nothing" in done.outcome["because"]
    assert site.leftovers("pi-01") == []


@pytest.mark.parametrize("left", ["bin/.new/device.sh", "bin/.new.1/device.sh"])
def test_scripts_that_were_half_installed_do_not_matter(site, left):
    release = site.offer("1.0")
    half = site.home("pi-01") / ".fleet" / left
    half.parent.mkdir(parents=True)
    half.write_text("exit 1\n")
    for made in (half, *list(half.parents)[:3]):
        made.chmod(0o777)

    done = site.deploy("pi-01")

    assert done.code == 0
    assert site.running("pi-01") == [release]


def test_a_store_without_the_bytes_is_found_before_any_device_is_touched_and_says_how_to_make_them(
    site,
):
    site.offer("1.0")
    for file in site.store.folder.rglob("*"):
        if file.is_file():
            file.unlink()

    done = site.run("deploy", "-t", "pi-01", "--yes")

    assert done.code == 1
    assert "the store has no bytes for" in done.said
    assert "next: make them again: fleet build" in done.said
    assert not site.place("pi-01").exists()


def test_a_runtime_that_the_kernel_kills_for_want_of_memory_is_named(site, break_device):
    """A control group of 32 MiB: enough for SSH and a shell, not for an inference runtime."""
    if os.geteuid() != 0:
        pytest.skip("NO CONTROL GROUPS WITHOUT ROOT")
    little = broken_and_mended(site, break_device, "little-memory")

    assert little["code"] == "DEPLOY > SMOKE > FAILED"
    assert "memory does not suffice" in little["because"]
