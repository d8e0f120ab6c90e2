"""Android's adbd as a device's server: Debian's build of it, in a network of its own.

adbd listens on every address there is, and asks nobody for a key. So it sees a loopback interface
of its own and nothing else; the device's first process carries one address of this machine to it.
"""

import os
import signal
import socket
import struct
from collections.abc import Callable
from typing import NoReturn

from orchestrator.lab import linux
from orchestrator.lab.debian import Debian, by_loader, machine, system
from orchestrator.lab.link import Relay
from orchestrator.lab.linux import Namespace

HOME = "apex/com.android.adbd"
"""Where Android keeps it, too: with its own libraries, below the device's root."""
ENVIRONMENT = {"ADBD_PORT": "5601", "PATH": "/opt/fleet-lab/bin:/usr/bin:/bin"}
"""What it needs, and its commands inherit. Clients take 5555 and others near it for emulators."""

_SUITE = "trixie"
_THERE = ("127.0.0.1", int(ENVIRONMENT["ADBD_PORT"]))
_PROGRAM = "usr/lib/android-sdk/platform-tools/adbd"


def adbd(tell: Callable[[str], None]) -> str:
    """The folder with adbd and what it loads, fetched once.

    Raises:
        DebianMissing: it cannot be fetched here.
    """
    return str(system(Debian(_SUITE, machine(), ("adbd",)), tell) / "root")


def command(tree: str) -> list[str]:
    """How a device starts it: by the loader and with the libraries that it came with."""
    return by_loader(tree, _PROGRAM, f"/{HOME}", "android")


def hello() -> bytes:
    """A client's first packet, to which every adbd answers: CONNECT of adb's protocol.md."""
    said = b"host::features=shell_v2\0"
    words = (0x4E58_4E43, 0x0100_0001, 1 << 18, len(said), sum(said))
    return struct.pack("<6I", *words, words[0] ^ 0xFFFF_FFFF) + said


def move_out(address: tuple[str, int]) -> socket.socket:
    """Give this process a network of its own; a socket that still listens in the one before."""
    front = socket.create_server(address, backlog=64)
    linux.unshare(Namespace.NET)
    linux.raise_loopback()
    return front


def carry(front: socket.socket, program: int) -> NoReturn:
    """As a device's first process: bring what comes to adbd, and bury who has died, until it does."""

    def over() -> bool:
        try:
            while dead := os.waitpid(-1, os.WNOHANG)[0]:
                if dead == program:
                    return True
        except ChildProcessError:
            return True
        return False

    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Relay({"adbd": (front, _THERE)}).run(over)
    os._exit(0)
