"""Which devices a lab holds and what each says it is: own values in the formats real boards use.

Formats were observed on public issue reports of real boards; no file of anybody's is copied.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Family(StrEnum):
    """What a device's name begins with; its group is ``<family>-group``."""

    JETSON = "jetson"
    PI = "pi"
    PHONE = "phone"


SHARES = {Family.JETSON: 4, Family.PI: 5, Family.PHONE: 3}
"""Out of every twelve devices."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One sort of board: what its files and commands answer."""

    profile: str
    family: Family
    model: str
    compatible: tuple[str, ...]
    part: str
    features: str
    memory_kib: int
    temperature_mc: int
    zone: str
    os_release: tuple[tuple[str, str], ...]
    properties: tuple[tuple[str, str], ...] = ()
    """What Android's ``getprop`` says."""


_ARM_V8 = "fp asimd evtstrm crc32 cpuid"
_ARM_V82 = "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm dcpop"
_DEBIAN = (
    ("PRETTY_NAME", "Debian GNU/Linux 12 (bookworm)"),
    ("NAME", "Debian GNU/Linux"),
    ("VERSION_ID", "12"),
    ("VERSION_CODENAME", "bookworm"),
    ("ID", "debian"),
)
_UBUNTU = (
    ("PRETTY_NAME", "Ubuntu 22.04.5 LTS"),
    ("NAME", "Ubuntu"),
    ("VERSION_ID", "22.04"),
    ("VERSION_CODENAME", "jammy"),
    ("ID", "ubuntu"),
    ("ID_LIKE", "debian"),
)
_MOBIAN = (
    ("PRETTY_NAME", "Mobian GNU/Linux 12 (bookworm)"),
    ("NAME", "Mobian"),
    ("VERSION_ID", "12"),
    ("VERSION_CODENAME", "bookworm"),
    ("ID", "mobian"),
    ("ID_LIKE", "debian"),
)

_PIXEL = (
    ("ro.build.version.release", "14"),
    ("ro.build.version.sdk", "34"),
    ("ro.product.cpu.abi", "arm64-v8a"),
    ("ro.product.manufacturer", "Google"),
    ("ro.product.model", "Pixel 6"),
    ("ro.soc.model", "Tensor"),
)

KINDS = {
    kind.profile: kind
    for kind in (
        Kind(
            "jetson-orin-nano",
            Family.JETSON,
            "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super",
            ("nvidia,p3768-0000+p3767-0005-super", "nvidia,tegra234"),
            "0xd42",
            _ARM_V82 + " lrcpc dcpop asimddp uscat ilrcpc flagm paca pacg",
            7_802_700,
            47_812,
            "cpu-thermal",
            _UBUNTU,
        ),
        Kind(
            "raspberry-pi-4",
            Family.PI,
            "Raspberry Pi 4 Model B Rev 1.4",
            ("raspberrypi,4-model-b", "brcm,bcm2711"),
            "0xd08",
            _ARM_V8,
            3_884_300,
            48_199,
            "cpu-thermal",
            _DEBIAN,
        ),
        Kind(
            "raspberry-pi-5",
            Family.PI,
            "Raspberry Pi 5 Model B Rev 1.0",
            ("raspberrypi,5-model-b", "brcm,bcm2712"),
            "0xd0b",
            _ARM_V82 + " lrcpc asimddp",
            8_244_900,
            51_350,
            "cpu-thermal",
            _DEBIAN,
        ),
        Kind(
            "linux-phone",
            Family.PHONE,
            "OnePlus 6",
            ("oneplus,enchilada", "qcom,sdm845"),
            "0x803",
            _ARM_V82,
            5_741_800,
            36_700,
            "cpu0-thermal",
            _MOBIAN,
        ),
        Kind(
            "android-termux",
            Family.PHONE,
            "",
            (),
            "0xd44",
            _ARM_V82,
            7_812_300,
            34_100,
            "battery",
            (),
            _PIXEL,
        ),
    )
}
"""Every kind by its profile's name."""


def mix(count: int) -> tuple[tuple[str, str], ...]:
    """(name, profile) of `count` devices, shared out by `SHARES` (largest remainder)."""
    total = sum(SHARES.values())
    whole = {family: count * share // total for family, share in SHARES.items()}
    by_rest = sorted(SHARES, key=lambda family: -(count * SHARES[family] % total))
    for family in by_rest[: count - sum(whole.values())]:
        whole[family] += 1
    return tuple(
        (f"{family}-{number:02d}", _profile(family, number))
        for family in Family
        for number in range(1, whole[family] + 1)
    )


def _profile(family: Family, number: int) -> str:
    if family is Family.PI:
        return ("raspberry-pi-4", "raspberry-pi-5")[(number - 1) % 2]
    return {Family.JETSON: "jetson-orin-nano", Family.PHONE: "linux-phone"}[family]


def fixtures(kind: Kind, tier: str, cpu: str) -> dict[str, bytes]:
    """What stands in a device's file system because of its kind: path below its root → content.

    `cpu` says what really runs its programs.
    """
    cores = os.cpu_count() or 1
    everyone = f"0-{cores - 1}\n" if cores > 1 else "0\n"
    base, zone = "sys/firmware/devicetree/base", "sys/class/thermal/thermal_zone0"
    texts = {
        "proc/cpuinfo": _cpuinfo(kind, cores),
        "proc/meminfo": _meminfo(kind.memory_kib),
        f"{zone}/temp": f"{kind.temperature_mc}\n",
        f"{zone}/type": kind.zone + "\n",
        "etc/fleet-lab.json": json.dumps(
            {
                "emulated": True,
                "kind": kind.profile,
                "cpu": cpu,
                "tier": tier,
            }
        )
        + "\n",
    }
    if kind.os_release:
        lines = (f'{key}="{text}"\n' for key, text in kind.os_release)
        texts["etc/os-release"] = "".join(lines)
    if kind.model:
        texts[f"{base}/model"] = kind.model + "\0"
        texts[f"{base}/compatible"] = "".join(name + "\0" for name in kind.compatible)
    for which in ("possible", "present", "online"):
        texts[f"sys/devices/system/cpu/{which}"] = everyone
    if kind.family is Family.JETSON:
        texts["etc/nv_tegra_release"] = _TEGRA
    return {path: text.encode() for path, text in texts.items()}


def commands(kind: Kind, kernel: str = "") -> dict[str, bytes]:
    """The fixture commands of a kind: name → script.

    Args:
        kernel: the machine type that ``uname`` is to say; the kernel's own word if empty.
    """
    scripts = {"uname": _UNAME.replace("MACHINE", kernel)} if kernel else {}
    if kind.family is Family.PI:
        scripts["vcgencmd"] = _VCGENCMD
    if kind.family is Family.JETSON:
        scripts["nvpmodel"] = _NVPMODEL
    if kind.properties:
        said = "".join(f"[{key}]: [{text}]\n" for key, text in kind.properties)
        scripts["getprop"] = _GETPROP.replace("SAID\n", said)
    return {name: script.encode() for name, script in scripts.items()}


def _cpuinfo(kind: Kind, cores: int) -> str:
    maker = "0x51" if kind.part == "0x803" else "0x41"
    one = (
        "BogoMIPS\t: 108.00\n"
        f"Features\t: {kind.features}\n"
        f"CPU implementer\t: {maker}\n"
        "CPU architecture: 8\n"
        "CPU variant\t: 0x0\n"
        f"CPU part\t: {kind.part}\n"
        "CPU revision\t: 3\n"
    )
    text = "".join(f"processor\t: {core}\n{one}\n" for core in range(cores))
    if kind.family is not Family.PI:
        return text
    revision = {"raspberry-pi-4": "c03114", "raspberry-pi-5": "d04170"}[kind.profile]
    return f"{text}Revision\t: {revision}\nSerial\t\t: 10000000fee71ab0\nModel\t\t: {kind.model}\n"


def _meminfo(total_kib: int) -> str:
    rows: Sequence[tuple[str, int]] = (
        ("MemTotal", total_kib),
        ("MemFree", total_kib * 62 // 100),
        ("MemAvailable", total_kib * 84 // 100),
        ("Buffers", total_kib // 64),
        ("Cached", total_kib // 5),
        ("SwapCached", 0),
        ("SwapTotal", 0),
        ("SwapFree", 0),
    )
    return "".join(f"{name + ':':<16}{kib:>8} kB\n" for name, kib in rows)


_TEGRA = (
    "# R36 (release), REVISION: 4.3, GCID: 30000001, BOARD: generic, EABI: aarch64, "
    "DATE: Wed Jan  8 01:49:37 UTC 2025\n"
    "# KERNEL_VARIANT: oot\n"
    "TARGET_USERSPACE_LIB_DIR=nvidia\n"
    "TARGET_USERSPACE_LIB_DIR_PATH=usr/lib/aarch64-linux-gnu/nvidia\n"
)

_UNAME = """#!/bin/sh
# Lab fixture, not the board's own: says MACHINE where the host's machine type would stand.
case "$*" in
-m) echo MACHINE ;;
*) /bin/uname "$@" | sed "s/$(/bin/uname -m)/MACHINE/g" ;;
esac
"""

_VCGENCMD = """#!/bin/sh
# Lab fixture, not the board's own: answers like a Raspberry Pi's vcgencmd.
zone="${FLEET_LAB_ROOT:-}/sys/class/thermal/thermal_zone0/temp"
case "${1:-}" in
get_throttled) echo throttled=0x0 ;;
measure_temp) read -r mc <"$zone"; echo "temp=$((mc / 1000)).$((mc % 1000 / 100))'C" ;;
*) echo 'error=1 error_msg="Command not registered"'; exit 255 ;;
esac
"""

_GETPROP = """#!/bin/sh
# Lab fixture, not the phone's own: answers like Android's getprop without a word.
cat <<'END'
SAID
END
"""

_NVPMODEL = """#!/bin/sh
# Lab fixture, not the board's own: answers like a Jetson's nvpmodel -q.
case "${1:-}" in
-q) printf 'NV Power Mode: 15W\\n0\\n' ;;
*) echo 'lab fixture: only -q is answered' >&2; exit 1 ;;
esac
"""
