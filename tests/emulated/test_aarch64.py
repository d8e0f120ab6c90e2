"""Real programs, Python and runtimes of aarch64 under QEMU: what they compute, never how fast."""

import json
from pathlib import Path

from orchestrator.lab.breakage import Breakage
from orchestrator.lab.debian import PACKAGES
from orchestrator.lab.spec import Spec

BOTH = ("jetson-01", "pi-01")


def test_an_emulated_device_runs_programs_of_its_own_architecture(site):
    assert site.on("pi-01", "command -v uname; uname -m") == "/usr/bin/uname\naarch64"

    header = site.on("pi-01", "od -An -tx1 -j18 -N2 /proc/self/exe; od -An -tx1 -j18 -N2 /bin/sh")
    assert header.split() == ["b7", "00"] * 2  # EM_AARCH64 of elf(5)
    said = site.on(
        "pi-01", "python3 -c 'import platform, sys; print(platform.machine(), sys.path)'"
    )
    assert said.startswith("aarch64 ")


def test_it_says_what_it_is_and_what_runs_it(site):
    rows = site.data("facts", "--target", "all", "--refresh")

    facts = {row["device"]: row["facts"] for row in rows}
    assert set(facts) == set(BOTH)
    for said in facts.values():
        assert (said["arch"], said["userland_bits"]) == ("aarch64", 64)
        assert said["emulated"] == "qemu-user cortex-a72"
        assert {each["name"] for each in said["runtimes"]} == {"litert", "onnxruntime"}


def test_nothing_is_registered_with_this_machines_own_kernel(site):
    place = Path("/proc/sys/fs/binfmt_misc")

    assert site.on("pi-01", "ls /proc/sys/fs/binfmt_misc").split() == [
        "qemu-aarch64",
        "register",
        "status",
    ]
    entries = sorted(place.glob("qemu-aarch64")) if place.is_dir() else []
    assert not any("fleet/lab" in entry.read_text() for entry in entries)


def test_every_package_of_its_system_is_on_record(site):
    spec = Spec.read(site.lab.places.spec.read_text())
    lines = (Path(spec.foreigners[0].tree).parent / PACKAGES).read_text().splitlines()

    recorded = {line.split()[0]: line.split()[1:] for line in lines}

    assert {"openssh-server", "python3.11", "coreutils", "libstdc++6"} <= set(recorded)
    assert all(len(digest) == 64 for _, digest in recorded.values())


def test_releases_are_proved_audited_and_rolled_back_on_aarch64(built):
    first = {row["device"]: row for row in built.data("deploy", "-t", "all", "--yes")}
    assert {name: row["status"] for name, row in first.items()} == dict.fromkeys(BOTH, "succeeded")
    assert {row["smoke"]["runtime"].split()[0] for row in first.values()} == {
        "litert",
        "onnxruntime",
    }

    built.offer("2.0")
    second = built.data("deploy", "-t", "all", "--yes")
    assert {row["status"] for row in second} == {"succeeded"}
    assert {row["finding"] for row in built.data("audit", "-t", "all")} == {"match"}
    running = built.on("pi-01", "readlink .fleet/digits-tflite/current")
    assert "2.0+tflite-int8" in running

    built.run("rollback", "-t", "pi-01", "--yes")
    assert "1.0+tflite-as-is" in built.on("pi-01", "readlink .fleet/digits-tflite/current")
    assert "2.0+onnx-int8" in built.on("jetson-01", "readlink .fleet/digits-onnx/current")

    built.lab.break_device("pi-01", Breakage.TAMPERED)
    found = [row["finding"] for row in built.data("audit", "-t", "pi-01", expected=5)]
    built.lab.mend("pi-01")
    assert "drift" in found


def test_what_is_measured_on_an_emulated_device_says_so_and_is_judged_on_its_samples(built):
    """How right it is, on aarch64; how fast is written down, and marked, and believed of nobody else."""
    words = ("profile", "digits-tflite", "-t", "pi-01", "--seconds", "0.5", "--samples", "20")
    told = json.loads(built.run(*words, "-o", "json"))["data"]

    (found,) = told["measurements"]
    assert found["emulated"] == "qemu-user cortex-a72"
    assert found["runtime"].startswith("litert ")
    assert found["samples"] == 20
    assert found["value"] > 0.8
    assert found["p50_ms"] > 0


def test_a_runtime_that_computes_something_else_is_refused_there_too(built):
    before = built.on("pi-01", "readlink .fleet/digits-tflite/current")
    built.lab.break_device("pi-01", Breakage.WRONG_OUTPUT)

    done = built.data("deploy", "-t", "pi-01", "--yes", expected=4)

    built.lab.mend("pi-01")
    assert [row["status"] for row in done] == ["failed-unchanged"]
    assert built.on("pi-01", "readlink .fleet/digits-tflite/current") == before
