"""Which software a device has besides the runtimes: its C library, NVIDIA's and the NPUs' own."""

import re
from collections.abc import Iterable, Sequence
from enum import StrEnum

from orchestrator.values import Value


class Libc(StrEnum):
    """The C library programs are linked against. Manylinux wheels need glibc."""

    GLIBC = "glibc"
    MUSL = "musl"
    BIONIC = "bionic"


class Software(Value):
    """A piece of software and what it calls its version."""

    name: str
    version: str


_JETPACKS = {
    "32.1": "4.2",
    "32.2": "4.2.1",
    "32.3.1": "4.3",
    "32.4.3": "4.4",
    "32.4.4": "4.4.1",
    "32.5": "4.5",
    "32.5.1": "4.5.1",
    "32.6.1": "4.6",
    "32.7.1": "4.6.1",
    "32.7.2": "4.6.2",
    "32.7.3": "4.6.3",
    "32.7.4": "4.6.4",
    "32.7.5": "4.6.5",
    "32.7.6": "4.6.6",
    "35.1.0": "5.0.2",
    "35.2.1": "5.1",
    "35.3.1": "5.1.1",
    "35.4.1": "5.1.2",
    "35.5.0": "5.1.3",
    "35.6.0": "5.1.4",
    "35.6.1": "5.1.5",
    "35.6.2": "5.1.5",
    "36.3.0": "6.0",
    "36.4.0": "6.1",
    "36.4.3": "6.2",
    "36.4.4": "6.2.1",
    "38.2.0": "7.0",
}
"""Jetson Linux → the JetPack that brought it, where no package says. Source: NVIDIA's archive."""


def libc(lines: Sequence[str]) -> tuple[Libc | None, str]:
    """Which C library, and its version where it is said.

    Args:
        lines: ``glibc 2.36`` of getconf, the banner of ``ldd --version`` (musl's has two lines:
            ``musl libc (aarch64)`` and ``Version 1.2.4``), or a dynamic linker's file name.
    """
    text = "\n".join(lines)
    if any(line.startswith("linker") for line in lines):
        return Libc.BIONIC, ""
    if "musl" in text:
        version = re.search(r"^Version ([0-9.]+)", text, re.MULTILINE)
        return Libc.MUSL, version[1] if version else ""
    if found := re.search(r"(?:glibc|GLIBC|GNU libc)\D*([0-9]+\.[0-9]+)", text):
        return Libc.GLIBC, found[1]
    return None, ""


def l4t(line: str) -> str | None:
    """``# R36 (release), REVISION: 4.3, …`` → ``36.4.3``."""
    found = re.search(r"# R(\d+) \(release\), REVISION: ([\d.]+)", line)
    return f"{found[1]}.{found[2]}" if found else None


def read_software(
    packages: Iterable[str],
    libraries: Iterable[str],
    cuda: str,
    hailo: Iterable[str],
    rknn: str,
    jetson: str | None,
) -> tuple[Software, ...]:
    """Everything with a version, in order of its name.

    Args:
        packages: ``name version`` as dpkg-query writes them.
        libraries: file names of shared libraries, with their version.
        cuda: the line with the version in CUDA's version.json or version.txt.
        hailo: lines of ``hailortcli fw-control identify``.
        rknn: what Rockchip's library calls itself.
        jetson: the version of Jetson Linux.
    """
    found: dict[str, str] = {}
    if jetson in _JETPACKS:
        found["jetpack"] = _JETPACKS[jetson]
    for name in libraries:
        if each := re.match(r"lib(nvinfer|edgetpu)\.so\.([0-9.]+)$", name):
            found["tensorrt" if each[1] == "nvinfer" else "libedgetpu"] = each[2]
    for line in packages:
        words = line.split()
        if len(words) == 2 and (known := _PACKAGES.get(words[0].partition(":")[0])):
            found[known] = words[1].partition("+")[0]
    if each := re.search(r'([0-9]+\.[0-9.]+)"?\s*,?$', cuda):
        found["cuda"] = each[1]
    for line in hailo:
        if each := re.match(r"Firmware Version: ([0-9.]+)", line):
            found["hailo-firmware"] = each[1]
    if each := re.search(r"librknnrt version: ([0-9.]+)", rknn):
        found["librknnrt"] = each[1]
    return tuple(Software(name=name, version=version) for name, version in sorted(found.items()))


_PACKAGES = {
    "nvidia-jetpack": "jetpack",
    "libedgetpu1-std": "libedgetpu",
    "libedgetpu1-max": "libedgetpu",
    "hailort": "hailort",
}
