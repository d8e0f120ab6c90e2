"""Which programs a device has: a whole system's, another shell, or BusyBox or toybox and nothing else."""

import os
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from orchestrator.lab.errors import LabError, UserlandMissing

_ALSO = ("/usr/sbin", "/usr/local/sbin", "/sbin", "/usr/bin", "/bin")
_PACKAGES = {
    "busybox": "busybox-static",
    "toybox": "toybox",
    "mksh": "mksh",
    "dropbear": "dropbear-bin",
    "dash": "dash",
    "bash": "bash",
    "sshd": "openssh-server",
}
"""Program → the Debian package that brings it."""


_SERVERS = ("sshd", "adbd")
"""What is looked for, or fetched, elsewhere."""


TERMUX = "/data/data/com.termux/files/usr"
"""Where Termux keeps what is in /usr elsewhere."""


@dataclass(frozen=True, slots=True)
class Userland:
    """One set of programs. `tools` is ``host`` for a whole system's, or the one that is all.

    `arch` is Debian's name of another architecture, of which that system is; empty for this machine.
    `without` are packages that it lacks, `kernel` is what ``uname`` says where that is another one.
    `prefix` is where its programs are, `profile` the only kind of device that has it, if there is one.
    """

    name: str
    says: str
    tools: str = "host"
    shell: str = ""
    server: str = "sshd"
    python: bool = True
    arch: str = ""
    without: tuple[str, ...] = ()
    kernel: str = ""
    prefix: str = "/usr"
    port: int = 2222
    profile: str = ""
    whole: bool = False
    """A machine with a kernel of its own, not namespaces of this one."""

    @property
    def programs(self) -> tuple[str, ...]:
        """What must be on this machine to make such a device, apart from sshd and adbd."""
        named = [self.tools, self.shell or self.tools, self.server]
        return tuple(dict.fromkeys(name for name in named if name not in ("host", *_SERVERS)))


USERLANDS = {
    one.name: one
    for one in (
        Userland("host", "this machine's programs"),
        Userland("dash", "this machine's programs, sh is dash", "host", "dash"),
        Userland(
            "bash", "this machine's programs, sh and the login shell are bash", "host", "bash"
        ),
        Userland(
            "busybox",
            "BusyBox alone, Dropbear without sftp-server, and Python",
            tools="busybox",
            server="dropbear",
        ),
        Userland(
            "busybox-bare",
            "BusyBox alone, Dropbear without sftp-server, no Python",
            tools="busybox",
            server="dropbear",
            python=False,
        ),
        Userland("toybox", "toybox and mksh alone, as on Android, and Python", "toybox", "mksh"),
        Userland("toybox-bare", "toybox and mksh alone, no Python", "toybox", "mksh", python=False),
        Userland(
            "adb", "toybox and mksh alone, Python, and adbd for a server", "toybox", "mksh", "adbd"
        ),
        Userland("aarch64", "Debian for arm64, run by an emulator", arch="arm64"),
        Userland(
            "aarch64-minimal",
            "Debian for arm64 without the C++ library that runtimes load",
            arch="arm64",
            without=("libstdc++6",),
        ),
        Userland("armv7", "Debian for armhf, run by an emulator", arch="armhf"),
        Userland(
            "armv7-on-aarch64",
            "Debian for armhf, and a kernel that says aarch64",
            arch="armhf",
            kernel="aarch64",
        ),
        Userland(
            "termux",
            "Debian for arm64 in the shape of Termux on Android",
            arch="arm64",
            prefix=TERMUX,
            port=8022,
            profile="android-termux",
        ),
        Userland(
            "aarch64-vm",
            "a whole arm64 machine: its own kernel, device tree, disk and clock",
            arch="arm64",
            profile="raspberry-pi-4",
            whole=True,
        ),
    )
}


ARCHS = {"aarch64": "aarch64", "armv7": "armv7"}
"""What people call an architecture → the userland of it."""


@dataclass(frozen=True, slots=True)
class Program:
    """A program of this machine that devices get: where it lies, what it loads, what it can be."""

    name: str
    path: str
    libraries: tuple[str, ...] = ()
    applets: tuple[str, ...] = ()


def userland(name: str) -> Userland:
    """The userland of that name.

    Raises:
        LabError: there is none.
    """
    if name not in USERLANDS:
        raise LabError(f"no userland named {name!r}", hint=f"one of: {', '.join(USERLANDS)}")
    return USERLANDS[name]


def of_arch(name: str) -> str:
    """The userland of an architecture.

    Raises:
        LabError: there is none.
    """
    if name not in ARCHS:
        raise LabError(f"no devices of architecture {name!r}", hint=f"one of: {', '.join(ARCHS)}")
    return ARCHS[name]


def found(names: Iterable[str]) -> tuple[Program, ...]:
    """The programs that some userlands need, looked for on this machine.

    Raises:
        UserlandMissing: one is not there; says which package brings it.
    """
    wanted = [(name, program) for name in names for program in userland(name).programs]
    missing = [(name, program) for name, program in wanted if _where(program) is None]
    if missing:
        packages = sorted({_PACKAGES[program] for _, program in missing})
        raise UserlandMissing(missing[0][0], [program for _, program in missing], packages)
    if any(userland(name).tools != "host" for name in names):
        wanted.append(("", "sshd"))
    return tuple(_program(name) for name in dict.fromkeys(program for _, program in wanted))


def _program(name: str) -> Program:
    path = _where(name) or ""
    listed = {"busybox": [path, "--list"], "toybox": [path]}.get(name)
    applets = _said(listed).split() if listed else []
    words = _said(["ldd", path]).split()
    libraries = [word for word in words if word.startswith("/") and Path(word).is_file()]
    return Program(name, path, tuple(libraries), tuple(a for a in applets if a not in ("[", "[[")))


def _where(program: str) -> str | None:
    searched = ":".join([*os.environ.get("PATH", "").split(":"), *_ALSO])
    return shutil.which(program, path=searched)


def _said(argv: list[str]) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
    return done.stdout
