"""A whole arm64 machine: what namespaces cannot fake, because it is the kernel's, the disk's, the clock's."""

import datetime
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest
from foreign_site import FLEET, Site, emulated

from orchestrator.lab.breakage import Breakage
from orchestrator.lab.errors import CannotBreak

DEVICE = "pi-01"
MODEL = "digits-tflite"
PLACES = ("{model}", "{inputs}", "{outputs}")
RELEASE = f"readlink .fleet/{MODEL}/current"
RUNNING = f"sha256sum .fleet/{MODEL}/current/model.tflite"


@pytest.fixture(scope="module")
def machine(
    tmp_path_factory: pytest.TempPathFactory, catalog: Site, missing: Callable[..., NoReturn]
) -> Iterator[Site]:
    """A site with such a machine beside another device, and the catalog."""
    with emulated(tmp_path_factory.mktemp("vm"), ("aarch64", "aarch64-vm"), "vm", missing) as made:
        made.take(catalog)
        yield made


@pytest.fixture(scope="module", autouse=True)
def takes_s(machine: Site) -> float:
    """How long the first deployment took, which every test finds there."""
    began = time.monotonic()
    (done,) = machine.data("deploy", "-t", DEVICE, "--yes")
    assert done["status"] == "succeeded"
    return time.monotonic() - began


@pytest.fixture
def mended(machine: Site) -> Iterator[Site]:
    """The same, in order again afterwards."""
    yield machine
    machine.lab.mend(DEVICE)


def test_its_kernel_its_device_tree_and_its_disk_are_its_own(machine):
    said = machine.on(DEVICE, "uname -rm; tr '\\0' '\\n' </proc/device-tree/model; stat -fc %T /")
    kernel, model, disk = said.splitlines()

    assert kernel.endswith("-cloud-arm64 aarch64")
    assert model == "Raspberry Pi 4 Model B Rev 1.4"
    assert disk == "ext2/ext3"
    (row,) = machine.data("facts", "--target", DEVICE, "--refresh")
    facts = row["facts"]
    assert (facts["board"], facts["arch"]) == (model, "aarch64")
    assert facts["emulated"] == "qemu-system cortex-a72"
    assert {each["name"] for each in facts["runtimes"]} == {"litert", "onnxruntime"}
    assert 150 < facts["ram_mib"] <= 256


def test_a_release_was_proved_on_it_and_its_audit_matches(machine):
    assert machine.on(DEVICE, RELEASE).startswith("releases/1.0+tflite-as-is")
    assert [row["finding"] for row in machine.data("audit", "-t", DEVICE)] == ["match"]


@contextmanager
def bare(machine: Site, *command: str) -> Iterator[None]:
    """The machine as one that runs models by a program of its own, and has no other runtime."""
    profile = "profiles: {bare-pi: {kind: raspberry-pi, arch: aarch64, ram_mib: 4096, runtimes: [native]}}"
    runner = f"runner: {{command: {json.dumps(command)}, formats: [tflite]}}"
    own, listed = (machine.inventory / f"devices{name}.yaml" for name in ("", ".lab"))
    texts = own.read_text(), listed.read_text()
    try:
        own.write_text(f"{texts[0]}{profile}\n")
        meant = texts[1].replace("profile: raspberry-pi-4", f"profile: bare-pi\n    {runner}")
        listed.write_text(meant)
        yield
    finally:
        own.write_text(texts[0])
        listed.write_text(texts[1])


def test_a_program_for_another_processor_is_an_exec_format_error(machine):
    """Not a stand-in: this machine's own `true`, refused by the kernel of the other."""
    program = Path(shutil.which("true") or "").read_bytes()
    machine.on(DEVICE, "cat >run; chmod +x run", program)
    machine.offer("2.0")

    with bare(machine, "/home/pi/run", *PLACES):
        (done,) = machine.data("deploy", "-t", DEVICE, "--yes", expected=4)

    assert done["status"] == "failed-unchanged"
    assert done["because"].startswith("the runner cannot be started: ")
    assert "Exec format error" in done["because"]


HOARD = b"""import mmap, sys
if "--child" in sys.orig_argv or sys.argv[0].endswith("hoard.py"):
    shared = mmap.mmap(-1, 220 << 20)
    for at in range(0, 220 << 20, 4096):
        shared[at] = 1
"""
"""Shared pages: no limit of a process counts them."""


def test_a_runtime_that_wants_all_memory_is_killed_in_its_control_group_alone(machine):
    """By smoke.py and by the script that has a program run; sessions there may make such groups."""
    place = ".local/lib/python3.11/site-packages"
    machine.on(DEVICE, f"mkdir -p {place}; tee hoard.py >{place}/usercustomize.py", HOARD)
    machine.offer("2.0")

    (imported,) = machine.data("deploy", "-t", DEVICE, "--yes", expected=4)
    machine.on(DEVICE, f"rm {place}/usercustomize.py")
    with bare(machine, "python3", "/home/pi/hoard.py", *PLACES):
        (program,) = machine.data("deploy", "-t", DEVICE, "--yes", expected=4)

    for done in (imported, program):
        assert done["status"] == "failed-unchanged"
        assert done["because"].startswith("the kernel killed the runtime: ")
    console = machine.lab.places.log(DEVICE).read_text()
    assert console.count("Memory cgroup out of memory: Killed process") == 2
    assert (
        machine.on(DEVICE, "ls -d /sys/fs/cgroup/user/fleet-* 2>/dev/null || echo none") == "none"
    )


def test_a_clock_ten_years_behind_changes_nothing(mended):
    mended.lab.break_device(DEVICE, Breakage.WRONG_CLOCK)
    there = datetime.date.fromisoformat(mended.on(DEVICE, "date +%F"))
    mended.offer("2.0")

    (done,) = mended.data("deploy", "-t", DEVICE, "--yes")

    assert 3650 < (datetime.date.today() - there).days < 3750
    assert done["status"] == "succeeded"
    assert [row["finding"] for row in mended.data("audit", "-t", DEVICE)] == ["match"]
    mended.run("rollback", "-t", DEVICE, "--yes")
    assert mended.on(DEVICE, RELEASE).startswith("releases/1.0+")


def test_a_power_cut_right_after_the_answer_leaves_the_release_that_was_answered_for(mended):
    mended.offer("2.0")
    (done,) = mended.data("deploy", "-t", DEVICE, "--yes")
    assert done["status"] == "succeeded"

    mended.lab.break_device(DEVICE, Breakage.POWER_CUT)
    mended.lab.mend(DEVICE)

    assert mended.on(DEVICE, RELEASE).startswith("releases/2.0+")
    assert [row["finding"] for row in mended.data("audit", "-t", DEVICE)] == ["match"]


@pytest.mark.parametrize("share", [0.4, 0.8])
def test_a_power_cut_in_between_leaves_a_whole_release_and_the_next_visit_converges(
    mended, takes_s, share
):
    """Cut after a share of the time that all of it takes; what the kernel had not written is lost."""
    before = mended.on(DEVICE, RUNNING)
    mended.offer(f"3.{share}", like="1.0" if share < 0.5 else "2.0")

    words = [FLEET, "deploy", "-t", DEVICE, "--yes", "--site", str(mended.folder)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as deploying:
        time.sleep(takes_s * share)
        mended.lab.break_device(DEVICE, Breakage.POWER_CUT)
        deploying.communicate(timeout=300)
    mended.lab.mend(DEVICE)

    found = mended.on(DEVICE, RUNNING)
    (done,) = mended.data("deploy", "-t", DEVICE, "--yes")
    assert done["status"] in ("succeeded", "already-current")
    assert found in (before, mended.on(DEVICE, RUNNING))
    assert mended.on(DEVICE, RELEASE).startswith(f"releases/3.{share}+")
    assert [row["finding"] for row in mended.data("audit", "-t", DEVICE)] == ["match"]


def test_what_lies_in_its_disk_cannot_be_broken_from_outside(machine):
    with pytest.raises(CannotBreak, match="a disk of its own"):
        machine.lab.break_device(DEVICE, Breakage.TAMPERED)
