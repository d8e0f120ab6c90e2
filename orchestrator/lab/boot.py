"""Boot one device in namespaces of its own, with a private root and a real sshd as its process 1.

Forks, so it runs in the single-threaded supervisor only: a device lives as long as the thread
that forked it.
"""

import os
import select
import signal
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NoReturn

from orchestrator.lab import linux
from orchestrator.lab.adbd import ENVIRONMENT, carry, move_out
from orchestrator.lab.foreign import register
from orchestrator.lab.linux import Mount, Namespace
from orchestrator.lab.root import build_root
from orchestrator.lab.spec import DEVICE_UID, DeviceSpec, Places, Sort, Spec, Tier
from orchestrator.lab.tree import OWN, proc_fixtures, put
from orchestrator.lab.userland import USERLANDS

_ALL = Namespace.USER | Namespace.MOUNT | Namespace.UTS | Namespace.IPC | Namespace.PID


@dataclass(frozen=True, slots=True)
class Running:
    """A started device: the process that holds it, and its first process (as seen from here)."""

    holder: int
    first: int


@dataclass(frozen=True, slots=True)
class Booting:
    """A device whose root is being built; `errors` ends empty when its sshd is executed."""

    holder: int
    errors: int
    first: int

    def finish(self) -> Running:
        """Wait for the root to stand.

        Raises:
            OSError: what went wrong inside.
        """
        with os.fdopen(self.errors, "rb") as pipe:
            message = pipe.read()
        if message:
            with suppress(ChildProcessError):
                os.waitpid(self.holder, 0)
            raise OSError(message.decode(errors="replace"))
        return Running(self.holder, self.first)


def boot(spec: Spec, device: DeviceSpec, argv: list[str], *, as_root: bool) -> Booting:
    """Start a device running `argv`; the caller is in the lab's own mount namespace.

    With `as_root` the device maps users 0 to 65535, otherwise only the caller, who is 0 to begin
    with and the device's user once its root stands.
    """
    told_read, told_write = os.pipe()
    mapped_read, mapped_write = os.pipe()
    errors_read, errors_write = os.pipe()
    parent = os.getpid()
    holder = os.fork()
    if holder == 0:
        keep = (told_write, mapped_read, errors_write)
        others = _images_of_others(spec, device)
        inside = partial(_first, spec, device, argv, as_root=as_root)
        _hold(keep, parent, others, inside, as_root=as_root)
    for fd in (told_write, mapped_read, errors_write):
        os.close(fd)
    if os.read(told_read, 1) and as_root:
        linux.map_all(holder)
    os.close(mapped_write)
    first = os.read(told_read, 4)
    os.close(told_read)
    return Booting(holder, errors_read, struct.unpack("i", first)[0] if first else 0)


def _images_of_others(spec: Spec, device: DeviceSpec) -> tuple[Path, ...]:
    places = Places(Path(spec.lab))
    return tuple(
        places.devices / other.name / "home"
        for other in spec.devices
        if other.storage.sort is Sort.EXT4 and other.name != device.name
    )


def _hold(
    fds: tuple[int, int, int],
    parent: int,
    others: tuple[Path, ...],
    inside: Callable[[], None],
    *,
    as_root: bool,
) -> NoReturn:
    """Enter new namespaces, fork the device's first process there, and end when it does.

    The file systems of `others` are left behind: a log file that stays open would hold on to them,
    and none of them could be cut from its power.
    """
    told, mapped, errors = fds
    try:
        let_go_except(fds)
        signal.set_wakeup_fd(-1)
        for caught in (signal.SIGTERM, signal.SIGCHLD, signal.SIGPIPE):
            signal.signal(caught, signal.SIG_DFL)
        linux.die_with(parent)
        os.setsid()
        if others:
            linux.unshare(Namespace.MOUNT)
            for home in others:
                linux.let_go(home)
        linux.unshare(_ALL)
        if not as_root:
            linux.map_self(0, 0, 0)
        os.write(told, b"x")
        os.read(mapped, 1)
        linux.die_with(parent)
        first = os.fork()
        if first == 0:
            _report(errors, inside)
        os.write(told, struct.pack("i", first))
        let_go_except(())
        _, status = os.waitpid(first, 0)
        os._exit(os.waitstatus_to_exitcode(status) & 255)
    except BaseException as error:  # noqa: BLE001 - a forked child must never return from here
        with suppress(OSError):
            os.write(errors, f"{error}".encode())
        os._exit(97)


def _report(errors: int, inside: Callable[[], None]) -> NoReturn:
    """Run what becomes the device's first process; write why it could not be executed."""
    try:
        # Process 1 of a PID namespace sees a parent outside of it as 0, dead or alive. But a dead
        # supervisor reads no errors any more, and its pipes close before its children are told.
        linux.die_with(0)
        if _unread(errors):
            os._exit(0)
        inside()
    except BaseException as error:  # noqa: BLE001 - as above
        with suppress(OSError):
            os.write(errors, f"{error}".encode())
    os._exit(98)


def _first(spec: Spec, device: DeviceSpec, argv: list[str], *, as_root: bool) -> None:
    """Build the root, move into it and become `argv`."""
    places = Places(Path(spec.lab))
    log = os.open(places.log(device.name), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    linux.keep_mounts_private()
    root = places.root(device.name)
    linux.mount("tmpfs", root, "tmpfs", options="mode=755,size=32m")
    build_root(root, spec, device, places)
    _kernel(root)
    env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}
    if found := spec.foreign(device.userland):
        register(found, root / "proc")
        env |= found.environment
    for path, content in proc_fixtures(spec, device, Tier.NAMESPACES).items():
        put(root / OWN, {path: content})
        linux.bind(root / OWN / path, root / path)
    phone = USERLANDS[device.userland].server == "adbd"
    front = move_out((device.address, device.port)) if phone else None
    if phone:
        env |= ENVIRONMENT
    linux.set_hostname(device.name)
    linux.pivot_into(root)
    if not as_root:
        linux.unshare(Namespace.USER)
        linux.map_self(DEVICE_UID, 0, 0)
        linux.die_with(0)
    nothing = os.open("/dev/null", os.O_RDONLY)
    for source_fd, target_fd in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source_fd, target_fd)
    if front:
        _behind(front, as_root=as_root)
    os.execve(argv[0], argv, env)


def _behind(front: socket.socket, *, as_root: bool) -> None:
    """Go on as the device's user in a child; this process stays before it, and carries."""
    if child := os.fork():
        let_go_except((front.fileno(),))
        carry(front, child)
    if as_root:
        os.setgroups([])
        os.setgid(DEVICE_UID)
        os.setuid(DEVICE_UID)


def _kernel(root: Path) -> None:
    """/proc of the own PID namespace, a small /dev, and a /run that holds sshd's chroot."""
    guarded = Mount.NOSUID | Mount.NODEV | Mount.NOEXEC
    linux.mount("proc", root / "proc", "proc", guarded)
    dev = root / "dev"
    linux.mount("tmpfs", dev, "tmpfs", Mount.NOSUID, "mode=755,size=64k")
    for name in ("null", "zero", "full", "random", "urandom", "tty"):
        (dev / name).touch()
        linux.bind(Path("/dev", name), dev / name)
    for name in ("pts", "shm"):
        (dev / name).mkdir()
    linux.mount(
        "devpts", dev / "pts", "devpts", Mount.NOSUID | Mount.NOEXEC, "newinstance,ptmxmode=0666"
    )
    linux.mount("tmpfs", dev / "shm", "tmpfs", Mount.NOSUID | Mount.NODEV, "mode=1777,size=16m")
    (dev / "ptmx").symlink_to("pts/ptmx")
    for name, target in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
        (dev / name).symlink_to(f"/proc/self/fd{target}")


def _unread(pipe: int) -> bool:
    watch = select.poll()
    watch.register(pipe, 0)
    return any(event & select.POLLERR for _, event in watch.poll(0))


def let_go_except(keep: tuple[int, ...]) -> None:
    """Close all descriptors above standard error but those, and say nothing on standard output.

    A forked child must hold nobody's pipe or socket open.
    """
    os.dup2(2, 1)
    low = 3
    for fd in sorted(keep):
        os.closerange(low, fd)
        low = fd + 1
    os.closerange(low, 4096)
