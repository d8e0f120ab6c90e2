"""What was declared of a device against what it said: contradictions, and what is none."""

from typing import Any

import pytest
from examples import CHECKOUT, device, facts, profile

from orchestrator.inventory.contradiction import contradictions
from orchestrator.inventory.facts import DeclaredFacts
from orchestrator.inventory.inventory import read_inventory
from orchestrator.inventory.profile import Runtime, Tried
from orchestrator.inventory.software import Libc

LITERT = Runtime.LITERT
SHIPPED = CHECKOUT / "orchestrator" / "inventory" / "profiles.yaml"
PROFILES = read_inventory([(SHIPPED.name, SHIPPED.read_text(encoding="utf-8"))]).profiles


def words(declared: dict[str, Any], offers: dict[str, Any], said: dict[str, Any]) -> list[str]:
    own = device("pi-1", facts=DeclaredFacts(**declared))
    found = contradictions(own, profile(LITERT, **offers), facts(LITERT, **said))
    return [each.words for each in found]


@pytest.mark.parametrize(
    ("declared", "offers", "said", "complaint"),
    [
        ({}, {}, {"arch": "armv7l"}, "arch: profile pi says aarch64, the device armv7l"),
        (
            {},
            {},
            {"userland_bits": 32},
            "arch: profile pi says aarch64, the device armv7l (32-bit userland)",
        ),
        (
            {"arch": "x86_64"},
            {},
            {},
            "arch: the inventory says x86_64, the device aarch64",
        ),
        (
            {},
            {"board": "Raspberry Pi 4"},
            {"board": "Raspberry Pi 3 Model B Rev 1.2"},
            "board: profile pi says Raspberry Pi 4, the device Raspberry Pi 3 Model B Rev 1.2",
        ),
        ({}, {}, {"ram_mib": 1848}, "ram_mib: profile pi says 4096, the device 1848"),
        (
            {"ram_mib": 8192},
            {},
            {"ram_mib": 3793},
            "ram_mib: the inventory says 8192, the device 3793",
        ),
        (
            {"ram_mib": 1024},
            {},
            {"ram_mib": 3793},
            "ram_mib: the inventory says 1024, the device 3793",
        ),
        ({"cores": 4}, {}, {"cores": 2}, "cores: the inventory says 4, the device 2"),
        (
            {},
            {"accelerators": ("edgetpu",)},
            {},
            "accelerators: profile pi says edgetpu, the device none",
        ),
        (
            {"accelerators": ()},
            {"accelerators": ("cuda",)},
            {"accelerators": ("cuda", "edgetpu")},
            "accelerators: the inventory says none, the device cuda, edgetpu",
        ),
        ({}, {}, {"libc": Libc.MUSL}, "libc: profile pi says glibc, the device musl"),
        (
            {},
            {"prefix": "/data/data/com.termux/files/usr"},
            {"prefix": "/opt"},
            "prefix: profile pi says /data/data/com.termux/files/usr, the device /opt",
        ),
        ({}, {}, {"runtimes": ()}, "runtimes: profile pi says litert, the device none"),
        ({}, {}, {"emulated": "x86"}, "emulated: the inventory says real, the device emulated"),
    ],
)
def test_what_a_device_denies_is_said_with_who_declared_it(declared, offers, said, complaint):
    assert words(declared, offers, said) == [complaint]


@pytest.mark.parametrize(
    ("declared", "offers", "said"),
    [
        ({}, {}, {}),
        ({}, {"board": "Raspberry Pi 4"}, {"board": "Raspberry Pi 4 Model B Rev 1.4"}),
        ({}, {"board": "Raspberry Pi 4"}, {"board": ""}),
        ({"board": "Compute Module 4"}, {"board": "Raspberry Pi 4"}, {"board": "Compute Module 4"}),
        ({}, {}, {"ram_mib": 3793}),  # the GPU and the kernel have the rest of 4096
        ({}, {}, {"ram_mib": 7900}),  # profiles name the least that is sold
        ({"ram_mib": 4096}, {"ram_mib": 8192}, {"ram_mib": 3793}),
        ({}, {}, {"ram_mib": 0}),
        ({}, {}, {"libc": None}),
        ({}, {"accelerators": ("cuda",)}, {"accelerators": ("cuda",)}),
    ],
)
def test_what_is_as_declared_or_was_not_answered_contradicts_nothing(declared, offers, said):
    assert words(declared, offers, said) == []


def test_a_lab_device_that_is_declared_emulated_contradicts_nothing():
    own = device("pi-1", emulated=True)

    assert contradictions(own, profile(LITERT), facts(LITERT, emulated="x86")) == ()


# --- shipped profiles -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "called"),
    [
        ("raspberry-pi-zero-2", "Raspberry Pi Zero 2 W Rev 1.0"),
        ("raspberry-pi-3", "Raspberry Pi 3 Model B Rev 1.2"),
        ("raspberry-pi-3", "Raspberry Pi 3 Model B Plus Rev 1.3"),
        ("raspberry-pi-4", "Raspberry Pi 4 Model B Rev 1.5"),
        ("raspberry-pi-5", "Raspberry Pi 5 Model B Rev 1.0"),
        ("coral-dev-board", "Freescale i.MX8MQ Phanbell"),
        ("jetson-nano", "NVIDIA Jetson Nano Developer Kit"),
        ("jetson-xavier-nx", "NVIDIA Jetson Xavier NX Developer Kit"),
        ("jetson-orin-nano", "NVIDIA Orin Nano Developer Kit"),
        ("jetson-orin-nano", "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super"),
        ("jetson-agx-orin", "NVIDIA Jetson AGX Orin Developer Kit"),
        ("jetson-agx-orin", "Jetson AGX Orin Developer Kit"),
    ],
)
def test_every_board_is_known_by_its_own_name_and_by_no_profile_of_another_board(name, called):
    said = facts(LITERT, board=called)

    taken = {
        each.name
        for each in PROFILES.values()
        if each.board and not any(c.key == "board" for c in contradictions(device("d"), each, said))
    }

    any_pi = {"raspberry-pi-coral-usb"} if called.startswith("Raspberry") else set()
    assert taken == {name} | any_pi


def test_profiles_are_shipped_for_phones_and_boxes_too():
    assert {"android-termux", "postmarketos-phone", "linux-phone", "x86-box"} <= set(PROFILES)
    termux = PROFILES["android-termux"]
    assert (termux.port, termux.libc, termux.prefix) == (
        8022,
        Libc.BIONIC,
        "/data/data/com.termux/files/usr",
    )
    assert PROFILES["postmarketos-phone"].libc is Libc.MUSL


def test_nothing_shipped_claims_to_have_run_on_hardware():
    assert Tried.HARDWARE not in {each.tried for each in PROFILES.values()}
    assert all(each.description for each in PROFILES.values())
