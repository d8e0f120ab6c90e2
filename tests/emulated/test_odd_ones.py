"""Userlands that trip deployments up: 32 bits, 32 bits under a kernel of 64, and a library too few."""

from collections.abc import Callable, Iterator
from typing import NoReturn

import pytest
from conftest import Site, emulated

MINIMAL, ARMV7, ON_AARCH64 = "jetson-01", "pi-01", "pi-02"
USERLANDS = ("aarch64-minimal", "armv7", "armv7-on-aarch64", "aarch64")
"""In the order of the devices' names; the last one is there for its name alone."""


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
