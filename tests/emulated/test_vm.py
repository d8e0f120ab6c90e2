"""A whole arm64 machine: what namespaces cannot fake, because it is the kernel's, the disk's, the clock's."""

import datetime
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from foreign_site import FLEET, Site, emulated

from orchestrator.lab.breakage import Breakage
from orchestrator.lab.errors import CannotBreak

DEVICE = "pi-01"
MODEL = "digits-tflite"
RELEASE = f"readlink .fleet/{MODEL}/current"
RUNNING = f"sha256sum .fleet/{MODEL}/current/model.tflite"


@pytest.fixture(scope="module")
def machine(
    tmp_path_factory: pytest.TempPathFactory, catalog: Site, missing: Callable[..., NoReturn]
) -> Iterator[Site]:
    """A site with such a machine beside another device, and the catalog; version 1.0 is on it."""
    with emulated(tmp_path_factory.mktemp("vm"), ("aarch64", "aarch64-vm"), "vm", missing) as made:
        made.take(catalog)
        (done,) = made.data("deploy", "-t", DEVICE, "--yes")
        assert done["status"] == "succeeded"
        yield made


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


def test_a_program_for_another_processor_is_an_exec_format_error(machine):
    """Not a stand-in: this machine's own `true`, refused by the kernel of the other."""
    program = Path(shutil.which("true") or "").read_bytes()
    machine.on(DEVICE, "cat >run; chmod +x run", program)
    listed = machine.inventory / "devices.lab.yaml"
    kept = listed.read_text()
    runner = (
        'runner: {command: [/home/pi/run, "{model}", "{inputs}", "{outputs}"], formats: [tflite]}'
    )
    listed.write_text(kept.replace("    emulated: true", f"    emulated: true\n    {runner}"))
    machine.offer("2.0", needs={"runtimes": ["native"]})

    (done,) = machine.data("deploy", "-t", DEVICE, "--yes", expected=4)

    listed.write_text(kept)
    assert done["status"] == "failed-unchanged"
    assert done["because"].startswith("the runner cannot be started: ")
    assert "Exec format error" in done["because"]


def test_a_clock_ten_years_behind_changes_nothing(mended):
    mended.lab.break_device(DEVICE, Breakage.WRONG_CLOCK)
    year = mended.on(DEVICE, "date +%Y")
    mended.offer("2.0")

    (done,) = mended.data("deploy", "-t", DEVICE, "--yes")

    assert int(year) == datetime.date.today().year - 10
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


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_power_cut_in_between_leaves_a_whole_release_and_the_next_visit_converges(mended, share):
    """Cut after a share of the time that all of it takes; what the kernel had not written is lost."""
    mended.offer(f"3.{share}.0", like="1.0")
    began = time.monotonic()
    mended.run("deploy", "-t", DEVICE, "--yes")
    takes_s = time.monotonic() - began
    before = mended.on(DEVICE, RUNNING)
    mended.offer(f"3.{share}.1", like="2.0")

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
    assert mended.on(DEVICE, RELEASE).startswith(f"releases/3.{share}.1+tflite-int8")
    assert [row["finding"] for row in mended.data("audit", "-t", DEVICE)] == ["match"]


def test_what_lies_in_its_disk_cannot_be_broken_from_outside(machine):
    with pytest.raises(CannotBreak, match="a disk of its own"):
        machine.lab.break_device(DEVICE, Breakage.TAMPERED)
