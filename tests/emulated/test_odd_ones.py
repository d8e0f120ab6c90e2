"""Userlands that trip deployments up: 32 bits, 32 bits under 64, a library too few, and Termux."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import packaging
import pytest
from foreign_site import Site, emulated

MINIMAL, ARMV7, ON_AARCH64, TERMUX = "jetson-01", "pi-01", "pi-02", "phone-01"
USERLANDS = ("aarch64-minimal", "armv7", "armv7-on-aarch64", "termux")
"""In the order of the devices' names."""


@pytest.fixture(scope="module")
def odd(
    tmp_path_factory: pytest.TempPathFactory, catalog: Site, missing: Callable[..., NoReturn]
) -> Iterator[Site]:
    """A site of such devices, with the catalog."""
    with emulated(tmp_path_factory.mktemp("odd"), USERLANDS, "armv7", missing) as made:
        made.take(catalog)
        yield made


@pytest.fixture(scope="module")
def facts(odd: Site) -> dict[str, dict[str, object]]:
    """What they say of themselves."""
    rows = odd.data("facts", "--target", "all", "--refresh")
    return {row["device"]: row["facts"] for row in rows}


def test_an_armv7_device_runs_programs_of_its_own_architecture(odd, facts):
    header = odd.on(ARMV7, "od -An -tx1 -j4 -N1 /proc/self/exe; od -An -tx1 -j18 -N2 /bin/sh")
    assert header.split() == ["01", "28", "00"]  # ELFCLASS32, EM_ARM of elf(5)

    said = facts[ARMV7]
    assert (said["arch"], said["userland_bits"]) == ("armv7l", 32)
    assert said["emulated"] == "qemu-user cortex-a7"
    assert {each["name"] for each in said["runtimes"]} == {"tflite-runtime"}
    assert "neon" in said["cpu_features"]


def test_a_release_is_proved_on_armv7(odd, facts):
    (done,) = odd.data("deploy", "-t", ARMV7, "--yes")

    assert done["status"] == "succeeded"
    assert done["smoke"]["runtime"].startswith("tflite-runtime 2.14")
    assert [row["finding"] for row in odd.data("audit", "-t", ARMV7)] == ["match"]


def test_a_runtime_that_no_armv7_wheel_exists_of_is_named_as_the_reason(odd, facts):
    told = odd.run("explain", ON_AARCH64, "-o", "json")

    assert "litert is not installed on the device" in told


def test_a_32_bit_system_under_a_64_bit_kernel_counts_as_what_its_programs_are(odd, facts):
    said = facts[ON_AARCH64]
    assert (odd.on(ON_AARCH64, "uname -m"), said["arch"]) == ("aarch64", "aarch64")
    assert said["userland_bits"] == 32

    odd.offer("1.0", needs={"archs": ["aarch64"]})
    told = odd.run("explain", ON_AARCH64, "-o", "json")
    odd.offer("1.0")

    assert "runs on aarch64, and this is armv7l" in told


def test_a_runtime_whose_library_is_missing_is_a_refusal_that_names_it(odd, facts):
    assert {each["name"] for each in facts[MINIMAL]["runtimes"]} >= {"onnxruntime"}

    (done,) = odd.data("deploy", "-t", MINIMAL, "--yes", expected=4)

    assert done["status"] == "failed-unchanged"
    assert "libstdc++.so.6: cannot open shared object file" in done["because"]


def test_a_phone_with_termux_says_so(facts):
    said = facts[TERMUX]

    assert (said["libc"], said["prefix"]) == ("bionic", "/data/data/com.termux/files/usr")
    assert (said["os"], said["board"]) == ("Android 14 (API 34)", "Google Pixel 6")
    assert {each["name"] for each in said["runtimes"]} == {"onnxruntime"}
    assert "termux" in {each["name"] for each in said["software"]}


def test_it_has_nothing_where_other_systems_have_their_programs(odd):
    said = odd.on(TERMUX, "ls -d /usr /bin /tmp 2>/dev/null; echo $PREFIX $TMPDIR; pwd")

    prefix = "/data/data/com.termux/files/usr"
    assert said.split() == [prefix, f"{prefix}/tmp", "/data/data/com.termux/files/home"]


def test_installers_take_no_manylinux_wheel_there(odd):
    """By the library that pip and uv's peers ask: `packaging`, run by the phone's own Python."""
    homes = {TERMUX: "data/data/com.termux/files/home", MINIMAL: "home/pi"}
    ask = (
        "import sys; sys.path.insert(0, 'asked'); from packaging import tags; "
        "print(sum('manylinux' in str(tag) for tag in tags.sys_tags()))"
    )

    counts = {}
    for device, home in homes.items():
        here = odd.lab.root(device) / home / "asked/packaging"
        here.mkdir(parents=True)
        for path in Path(packaging.__file__).parent.glob("*.py"):
            shutil.copy(path, here)
        counts[device] = int(odd.on(device, f'python3 -c "{ask}"'))

    assert counts[TERMUX] == 0
    assert counts[MINIMAL] > 0


def test_what_can_run_is_proved_on_termux_and_what_cannot_is_refused_with_the_reason(odd):
    done = {row["model"]: row for row in odd.data("deploy", "-t", TERMUX, "--yes", expected=1)}

    assert done["digits-onnx"]["status"] == "succeeded"
    assert done["digits-onnx"]["smoke"]["runtime"].startswith("onnxruntime")
    assert done["digits-tflite"]["status"] == "no-variant"
    assert "tflite-runtime is not installed on the device" in done["digits-tflite"]["because"]
    findings = {row["model"]: row["finding"] for row in odd.data("audit", "-t", TERMUX)}
    assert findings["digits-onnx"] == "match"
    assert odd.on(TERMUX, "readlink .fleet/digits-onnx/current").startswith("releases/1.0")
