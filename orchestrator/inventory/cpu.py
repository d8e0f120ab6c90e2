"""/proc/cpuinfo → which cores these are, what they can compute, and what they say of their board."""

import re
from collections.abc import Iterable, Sequence

from orchestrator.values import Value

ARM_CORES = {
    "0x41 0xb76": "arm1176",
    "0x41 0xc07": "cortex-a7",
    "0x41 0xc08": "cortex-a8",
    "0x41 0xc09": "cortex-a9",
    "0x41 0xc0f": "cortex-a15",
    "0x41 0xd03": "cortex-a53",
    "0x41 0xd04": "cortex-a35",
    "0x41 0xd05": "cortex-a55",
    "0x41 0xd07": "cortex-a57",
    "0x41 0xd08": "cortex-a72",
    "0x41 0xd09": "cortex-a73",
    "0x41 0xd0a": "cortex-a75",
    "0x41 0xd0b": "cortex-a76",
    "0x41 0xd0c": "neoverse-n1",
    "0x41 0xd0d": "cortex-a77",
    "0x41 0xd41": "cortex-a78",
    "0x41 0xd42": "cortex-a78ae",
    "0x41 0xd44": "cortex-x1",
    "0x41 0xd46": "cortex-a510",
    "0x41 0xd47": "cortex-a710",
    "0x41 0xd4d": "cortex-a715",
    "0x41 0xd80": "cortex-a520",
    "0x41 0xd81": "cortex-a720",
    "0x41 0xd87": "cortex-a725",
    "0x4e 0x003": "denver2",
    "0x4e 0x004": "carmel",
    "0x51 0x800": "kryo-gold",
    "0x51 0x801": "kryo-silver",
    "0x51 0x802": "kryo-385-gold",
    "0x51 0x803": "kryo-385-silver",
    "0x53 0x001": "exynos-m1",
}
"""Implementer and part → the core's name. Source: Linux, arch/arm64/include/asm/cputype.h."""

_INSTRUCTIONS = {
    "neon": ("neon", "asimd"),
    "fp16": ("asimdhp",),
    "dotprod": ("asimddp",),
    "i8mm": ("i8mm",),
    "sve": ("sve",),
    "avx": ("avx",),
    "avx2": ("avx2",),
    "avx512": ("avx512f",),
    "vnni": ("avx_vnni", "avx512_vnni"),
}
"""What kernels of neural networks are written for → the kernel's words for it (any of them)."""

_PI_SOCS = ("bcm2835", "bcm2836", "bcm2837", "bcm2711", "bcm2712")
"""Bits 12 to 15 of a Raspberry Pi's revision code. Source: Raspberry Pi documentation."""


class Cpu(Value):
    """What a processor says; empty where it does not. `cores` are names, each kind once."""

    cores: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    soc: str = ""
    board: str = ""


def read_cpu(lines: Iterable[str]) -> Cpu:
    """Lines of /proc/cpuinfo, and ``core: IMPLEMENTER PART`` for each kind of core, once."""
    said: dict[str, list[str]] = {}
    for line in lines:
        key, _, value = line.partition(":")
        said.setdefault(key.strip(), []).append(" ".join(value.split()))
    features = said.get("Features", []) + said.get("flags", [])
    named = [_core(each) for each in said.get("core", [])] or said.get("model name", [])
    revision = _last(said, "Revision")
    board = _last(said, "Model")
    return Cpu(
        cores=tuple(dict.fromkeys(named)),
        features=tuple(sorted({word for each in features[:1] for word in each.split()})),
        soc=_pi_soc(revision) if _is_pi(said) else _hardware(_last(said, "Hardware")),
        board=board,
    )


def instructions(features: Sequence[str]) -> tuple[str, ...]:
    """The instruction sets among a kernel's words that make inference fast."""
    return tuple(
        name for name, words in _INSTRUCTIONS.items() if any(word in features for word in words)
    )


def _core(ids: str) -> str:
    return ARM_CORES.get(ids.lower(), ids)


def _last(said: dict[str, list[str]], key: str) -> str:
    return said.get(key, [""])[-1]


def _is_pi(said: dict[str, list[str]]) -> bool:
    """Whether the revision is a Raspberry Pi's code: `Hardware` is BCM… there, or not said."""
    hardware, model = _last(said, "Hardware"), _last(said, "Model")
    return hardware.startswith("BCM2") or model.startswith("Raspberry Pi")


def _pi_soc(revision: str) -> str:
    """A Raspberry Pi's chip; `Hardware` says BCM2835 on all of them since Linux 4.9."""
    if not re.fullmatch(r"[0-9a-fA-F]+", revision):
        return ""
    code = int(revision, 16)
    chip = (code >> 12) & 0xF if code & 1 << 23 else 0  # codes without bit 23 are of the first Pis
    return _PI_SOCS[chip] if chip < len(_PI_SOCS) else ""


def _hardware(said: str) -> str:
    """``Qualcomm Technologies, Inc MSM8952`` → ``msm8952``; vendors end with the chip."""
    words = said.split()
    return words[-1].lower() if words and any(c.isdigit() for c in words[-1]) else ""
