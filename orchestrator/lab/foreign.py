"""Devices of another architecture: a Debian for it, its Python with the runtimes, and an emulator.

Real programs of that architecture, run by QEMU in user mode: what they compute is what a board
computes, how long they take says nothing.
"""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from orchestrator.lab import debian, linux
from orchestrator.lab.cache import kept
from orchestrator.lab.debian import Debian, system
from orchestrator.lab.errors import WheelsMissing
from orchestrator.lab.runtime import DevicePython
from orchestrator.lab.userland import TERMUX, userland

SUITE, _PYTHON = "bookworm", "3.11"
EMULATOR_SUITE = "trixie"
"""QEMU before 8.2 shows this machine's /proc/cpuinfo, on which ONNX Runtime's start breaks."""

_SYSTEM = (
    *("openssh-server", "python3-minimal", f"python{_PYTHON}", "libpython3-stdlib", "libstdc++6"),
    *("base-files", "base-passwd", "bash", "coreutils", "dash", "debianutils", "findutils", "grep"),
    *("gzip", "hostname", "libc-bin", "login", "mawk", "procps", "sed", "tar", "util-linux"),
)
_ALSO = "import importlib.metadata, json, numpy, resource, signal, subprocess"
"""What the device's scripts import besides the runtimes."""


@dataclass(frozen=True, slots=True)
class Machine:
    """An architecture, by the names that others give it."""

    name: str
    debian: str
    emulator: str
    cpu: str
    """What the emulator pretends to be: a Raspberry Pi's, not everything it could do."""
    elf: tuple[int, int]
    """Class and machine in the header of its programs."""
    modules: tuple[str, ...]
    """The runtimes in its requirements file."""
    packages: tuple[str, ...] = ()
    """What its Python needs and no index has as a wheel: Debian's packages, `python3-NAME` each."""


MACHINES = {
    one.debian: one
    for one in (
        Machine(
            name="aarch64",
            debian="arm64",
            emulator="qemu-aarch64",
            cpu="cortex-a72",
            elf=(2, 0xB7),
            modules=("ai_edge_litert.interpreter", "onnxruntime"),
        ),
        Machine(
            name="armv7",
            debian="armhf",
            emulator="qemu-arm",
            cpu="cortex-a7",
            elf=(1, 0x28),
            modules=("tflite_runtime.interpreter",),
            packages=("numpy",),
        ),
    )
}
"""By Debian's name."""


@dataclass(frozen=True, slots=True)
class Foreign:
    """What the devices of one userland are made of: where it lies on this machine."""

    userland: str
    tree: str
    emulator: str
    python: DevicePython
    shell: str = ""
    """Android's shell, where the userland is a phone's."""

    @property
    def machine(self) -> Machine:
        """Its architecture."""
        return MACHINES[userland(self.userland).arch]

    @property
    def environment(self) -> dict[str, str]:
        """What every process of such a device has in its environment."""
        return {"QEMU_CPU": self.machine.cpu}


@dataclass(frozen=True, slots=True)
class Vm:
    """What whole machines are made of, in folders of this machine."""

    folder: str
    """Kernel, initial RAM disk, device tree, and a disk with a snapshot of the machine waiting."""
    qemu: str


def foreign(name: str, tell: Callable[[str], None]) -> Foreign:
    """What devices of that userland are made of, fetched once and kept.

    Args:
        tell: hears of what takes long.

    Raises:
        DebianMissing: programs cannot be fetched here.
        WheelsMissing: the runtimes cannot be.
    """
    land = userland(name)
    machine = MACHINES[land.arch]
    packages = (*_SYSTEM, *(f"python3-{package}" for package in machine.packages))
    whole = system(Debian(SUITE, machine.debian, packages), tell) / "root"
    less = tuple(package for package in packages if package not in land.without)
    tree = system(Debian(SUITE, machine.debian, less), tell) / "root"
    program = f"usr/bin/{machine.emulator}"
    qemu = Debian(EMULATOR_SUITE, debian.machine(), ("qemu-user",), (program,))
    emulator = system(qemu, tell) / "root" / program
    python = _python(machine, whole, emulator, tell)
    if land.prefix != TERMUX:
        return Foreign(name, str(tree), str(emulator), python)
    shell = system(Debian(SUITE, machine.debian, ("mksh",), ("bin/mksh",)), tell) / "root/bin/mksh"
    return Foreign(name, str(tree), str(emulator), _of_termux(python), str(shell))


def _of_termux(python: DevicePython) -> DevicePython:
    """The same below the prefix, with what ``pkg install`` could bring there: no LiteRT."""
    hook = "_manylinux.py"
    packages = (each for each in python.packages if not each[0].startswith("ai_edge_litert"))
    return replace(
        python,
        prefix=TERMUX,
        executable=f"{TERMUX}/bin/python{_PYTHON}",
        packages=((hook, str(Path(__file__).with_name("device") / hook)), *packages),
    )


def register(found: Foreign, proc: Path) -> None:
    """Let this user namespace's kernel run programs of that architecture; nobody else's sees it.

    Args:
        proc: the device's /proc, before its root is entered. Kernels before 6.7 refuse it.
    """
    place = proc / "sys/fs/binfmt_misc"
    linux.mount("binfmt_misc", place, "binfmt_misc")
    kind, machine = found.machine.elf
    header = bytes((*b"\x7fELF", kind, 1, 1, *bytes(9), 2, 0, machine, 0))
    mask = bytes((*b"\xff" * 7, 0, *b"\xff" * 8, 0xFE, 0xFF, 0xFF, 0xFF))
    words = ["", found.machine.emulator, "M", "", _escaped(header), _escaped(mask)]
    (place / "register").write_text(":".join([*words, found.emulator, "PF"]))


def _escaped(data: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in data)


def _python(
    machine: Machine, tree: Path, emulator: Path, tell: Callable[[str], None]
) -> DevicePython:
    file = Path(__file__).with_name("device") / f"{machine.name}.txt"
    recipe = (file.read_text(), tree.parent.name)
    make = partial(_made, machine, file, tree, emulator)
    site = kept(f"runtimes-{machine.debian}", recipe, make, tell)
    found = [path for path in site.iterdir() if path.name[0] not in "._"]
    for package in machine.packages:
        found += (tree / "usr/lib/python3/dist-packages").glob(f"{package}*")
    return DevicePython(
        prefix="/usr",
        executable=f"/usr/bin/python{_PYTHON}",
        version=_PYTHON,
        packages=tuple((path.name, str(path)) for path in sorted(found)),
        lacks=(),
    )


def _made(machine: Machine, file: Path, tree: Path, emulator: Path, site: Path) -> None:
    """Wheels by their hashes, byte-compiled as far as they are imported."""
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
    if uv is None:
        raise WheelsMissing(machine.name, "this machine has no uv", "pip install uv")
    with TemporaryDirectory() as place:
        python = Path(place, f"python{_PYTHON}")
        real = shlex.join([str(emulator), "-L", str(tree), str(tree / "usr/bin" / python.name)])
        python.write_text(f'#!/bin/sh\nQEMU_CPU={machine.cpu} exec {real} "$@"\n')
        python.chmod(0o755)
        options = ["--quiet", "--no-deps", "--only-binary", ":all:", "--require-hashes"]
        where = ["--python", str(python), "--target", str(site)]  # uv asks it what it can load
        _ran(machine, [uv, "pip", "install", *options, *where, "-r", str(file)])
        imports = "; ".join([_ALSO, *(f"import {module}" for module in machine.modules)])
        env = {"PYTHONPATH": str(site), "ORT_DISABLE_TELEMETRY": "1"}
        _ran(machine, [str(python), "-c", imports], env)


def _ran(machine: Machine, argv: list[str], env: dict[str, str] | None = None) -> None:
    done = subprocess.run(
        argv, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600
    )
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()
        raise WheelsMissing(machine.name, said[-1] if said else f"{argv[0]} failed")
