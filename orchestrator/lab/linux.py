"""The few Linux calls that Python does not offer: namespaces, mounts, and dying with a parent."""

import ctypes
import fcntl
import os
import signal
import socket
import struct
from enum import IntFlag
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_MNT_DETACH = 2
_SIOCSIFFLAGS = 0x8914
_IFF_UP_AND_RUNNING = 0x1 | 0x40


class Namespace(IntFlag):
    """Kinds of namespace, with the numbers of clone(2)."""

    MOUNT = 0x0002_0000
    UTS = 0x0400_0000
    IPC = 0x0800_0000
    USER = 0x1000_0000
    PID = 0x2000_0000
    NET = 0x4000_0000


class Mount(IntFlag):
    """Flags of mount(2) that the lab uses."""

    RDONLY = 1
    NOSUID = 2
    NODEV = 4
    NOEXEC = 8
    REMOUNT = 32
    BIND = 4096
    REC = 0x4000
    PRIVATE = 0x4_0000


def unshare(kinds: Namespace) -> None:
    """Move the calling process into new namespaces; `PID` takes effect for its next child."""
    names = ", ".join(str(kind.name).lower() for kind in kinds)
    _check(_libc.unshare(int(kinds)), f"new namespaces ({names})")


def mount(
    source: str | Path, target: str | Path, kind: str = "", flags: int = 0, options: str = ""
) -> None:
    """mount(2): an empty `kind` or `options` is passed as NULL."""
    done = _libc.mount(
        os.fsencode(source),
        os.fsencode(target),
        kind.encode() or None,
        ctypes.c_ulong(int(flags)),
        options.encode() or None,
    )
    _check(done, f"mount {kind or 'bind'} on {target}")


def bind(source: str | Path, target: str | Path, *, read_only: bool = False) -> None:
    """Show `source` (with what is mounted below it) at `target`, which must exist.

    `read_only` holds for `source` itself, not for file systems mounted below it.
    """
    mount(source, target, flags=Mount.BIND | Mount.REC)
    if read_only:
        seal(target)


def seal(target: str | Path) -> None:
    """Make one mount read-only, keeping the flags a user namespace is not allowed to drop."""
    kept = os.statvfs(target).f_flag & (Mount.NOSUID | Mount.NODEV | Mount.NOEXEC)
    mount("none", target, flags=Mount.BIND | Mount.REMOUNT | Mount.RDONLY | Mount.NOSUID | kept)


def keep_mounts_private() -> None:
    """Stop mounts made from here on from showing up in any other mount namespace."""
    mount("none", "/", flags=Mount.REC | Mount.PRIVATE)


def pivot_into(root: Path) -> None:
    """Make `root` (a mount) the root directory and let go of the old one."""
    os.chdir(root)
    _check(_libc.pivot_root(b".", b"."), f"pivot_root {root}")
    _check(_libc.umount2(b".", _MNT_DETACH), "umount the old root")
    os.chdir("/")


def let_go(target: Path) -> None:
    """Unmount in this mount namespace alone, if it is mounted here; whoever uses it goes on."""
    if target.is_mount():
        _check(_libc.umount2(os.fsencode(target), _MNT_DETACH), f"umount {target}")


def set_hostname(name: str) -> None:
    """Name the machine, inside its own UTS namespace."""
    _check(_libc.sethostname(name.encode(), len(name.encode())), f"sethostname {name}")


def raise_loopback() -> None:
    """Switch on the loopback interface of this network namespace, which begins without any."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        fcntl.ioctl(line, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _IFF_UP_AND_RUNNING))


def map_self(inside: int, user: int, group: int) -> None:
    """Map one user and one group of the parent namespace: all that a plain user may do.

    Both are called `inside` in the new namespace.
    """
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{inside} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{inside} {group} 1")


def map_all(pid: int) -> None:
    """Map users and groups 0 to 65535 of this namespace, unchanged, for process `pid`."""
    Path(f"/proc/{pid}/uid_map").write_text("0 0 65536")
    Path(f"/proc/{pid}/gid_map").write_text("0 0 65536")


def die_with(parent: int, sign: signal.Signals = signal.SIGKILL) -> None:
    """Receive `sign` when the parent ends; end at once if it already has.

    Must be repeated after a change of user, which clears it.
    """
    _check(_libc.prctl(_PR_SET_PDEATHSIG, int(sign), 0, 0, 0), "prctl PDEATHSIG")
    if os.getppid() != parent:
        os._exit(0)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends."""
    _check(_libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl CHILD_SUBREAPER")


def children(pid: int) -> tuple[int, ...]:
    """The process ids of a process's children; none if it has ended."""
    found: list[int] = []
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            found.extend(int(child) for child in (task / "children").read_text().split())
    except OSError:
        return tuple(found)
    return tuple(found)


def born(pid: int) -> int:
    """When a process started, in clock ticks since boot; 0 if there is none (or only a zombie).

    With the process id, it tells a process from a later one that was given the same number.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    state, *rest = stat.rpartition(")")[2].split()
    return 0 if state in "ZX" else int(rest[18])


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what} refused: {os.strerror(number)}")
