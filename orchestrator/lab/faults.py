"""Breakages that need more than a device's files: its power, storage, clock, sshd and line."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.lab.breakage import SAYS, Breakage, Files
from orchestrator.lab.errors import CannotBreak
from orchestrator.lab.spec import DEVICE_UID, DEVICE_USER, Places, Sort, Storage, Tier
from orchestrator.lab.tree import put
from orchestrator.lab.userland import USERLANDS

QUIRKS: Mapping[Breakage, str] = {
    Breakage.CROWDED: "MaxStartups 1:100:1\nLoginGraceTime 60\n",
    Breakage.NOISY: "Banner /etc/issue.net\n",
}
"""Lines of sshd_config, instead of those of the same option."""
BANNER = "*** emulated device: this banner is a lab fixture ***\n"
_PROFILES = (".bashrc", ".profile", ".ssh/rc")
_PRINTS = (
    "# lab fixture: a login file that prints\necho 'welcome to an emulated device' $((6 * 7))\n"
)
_LITTLE_MIB = 32
"""Enough for a server, a session and a shell; not for an inference runtime."""
_FAKETIME = "*/faketime/libfaketime.so.1"
_BEHIND_D = 3700
"""Ten years and a bit: a board without a clock of its own, before it has asked anybody."""
_OF_MACHINES = (
    Breakage.OFFLINE,
    Breakage.POWER_CUT,
    Breakage.REBOOT,
    Breakage.FROZEN,
    Breakage.WRONG_CLOCK,
)
"""What whole machines can be given, besides bad lines: their files lie in their own disks."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What a breakage may take hold of. `tell` asks the supervisor for something."""

    files: Files
    places: Places
    tier: Tier
    userland: str
    storage: Storage
    root: Callable[[], Path]
    tell: Callable[..., Any]
    boot: Callable[[], None]


def require(name: str, userland: str, how: Breakage) -> None:
    """Refuse what a whole machine cannot be given.

    Raises:
        CannotBreak: it is one, and that is beyond reach from outside.
    """
    if USERLANDS[userland].whole and not (how.weather or how in _OF_MACHINES):
        raise CannotBreak(
            f"{name!r} is a whole machine: its files lie in a disk of its own",
            hint=f"one of: {', '.join(_OF_MACHINES)}, link-…; {how} needs another userland",
        )


def inflict(bench: Bench, how: Breakage) -> str:
    """Break a device in a way that needs more than its files; one sentence on what was done.

    Raises:
        CannotBreak: this device cannot be broken like that; the hint says which can.
    """
    if bench.tier is Tier.PLAIN:
        raise CannotBreak(
            f"{bench.files.name!r} has no namespaces of its own (tier 'plain')",
            hint=f"{how} needs the tier 'namespaces': fleet lab up --tier namespaces",
        )
    if how.weather:
        bench.tell("link", weather=how.weather)
    else:
        _DEEDS[how](bench)
    if how is not Breakage.REBOOT and how is not Breakage.POWER_CUT:
        sign = bench.files.sign(how)
        sign.parent.mkdir(exist_ok=True)
        sign.touch()
    return f"{bench.files.name}: {SAYS[how]}"


def undo(bench: Bench, broken: tuple[Breakage, ...]) -> tuple[str, ...]:
    """Undo what `inflict` did, as far as a boot does not; what was undone, in words."""
    done = []
    for how in broken:
        if not bench.files.sign(how).exists():
            continue
        if how.weather:
            bench.tell("unlink")
            done.append("set the line right")
        elif how is Breakage.FROZEN:
            bench.tell("thaw")
            done.append("let it go on")
        elif how is Breakage.READ_ONLY:
            bench.tell("remount", read_only=False)
            done.append("made /home writable")
        elif how is Breakage.QUOTA:
            bench.tell("quota", used_up=False)
            done.append("raised its quota")
        elif how is Breakage.LITTLE_MEMORY:
            bench.tell("relieve")
            done.append("gave it memory")
        elif how is Breakage.NO_INODES:
            bench.tell("inodes", most=bench.storage.inodes)
            done.append("gave it inodes")
        elif how in (Breakage.DEAD_STORAGE, Breakage.WRONG_CLOCK, *QUIRKS):
            bench.places.quirks(bench.files.name).unlink(missing_ok=True)
            if how is Breakage.NOISY:
                _silence(bench)
            bench.tell("stop")
            done.append("took the fault away")
        bench.files.sign(how).unlink(missing_ok=True)
    return tuple(done)


def _cut(bench: Bench) -> None:
    if not USERLANDS[bench.userland].whole:
        _needs_ext4(bench, Breakage.POWER_CUT)
    bench.tell("cut")


def _reboot(bench: Bench) -> None:
    bench.tell("stop")
    bench.boot()


def _die(bench: Bench) -> None:
    _needs_ext4(bench, Breakage.DEAD_STORAGE)
    bench.tell("die")


def _seal(bench: Bench) -> None:
    bench.tell("remount", read_only=True)


def _no_inodes(bench: Bench) -> None:
    if bench.storage.sort is not Sort.TMPFS:
        raise CannotBreak(
            f"{bench.files.name!r} keeps /home on {bench.storage.sort}",
            hint="no-inodes needs tmpfs: fleet lab up --storage tmpfs",
        )
    space = os.statvfs(bench.files.home)
    bench.tell("inodes", most=space.f_files - space.f_ffree)


def _quota(bench: Bench) -> None:
    if bench.storage.sort is not Sort.BTRFS:
        raise CannotBreak(
            f"{bench.files.name!r} keeps /home on {bench.storage.sort}",
            hint="quota needs btrfs: fleet lab down, then fleet lab up --storage btrfs:64 (root)",
        )
    bench.tell("quota", used_up=True)


def _little_memory(bench: Bench) -> None:
    if os.geteuid() != 0:
        raise CannotBreak(
            f"{bench.files.name!r}: control groups are for root here",
            hint="start the lab as root, or break it in another way",
        )
    bench.tell("memory", mib=_LITTLE_MIB)


def _freeze(bench: Bench) -> None:
    bench.tell("freeze")


def _wrong_clock(bench: Bench) -> None:
    """A kernel of its own is told; elsewhere every program of every session loads libfaketime."""
    if USERLANDS[bench.userland].whole:
        _quirk(bench, Breakage.WRONG_CLOCK, str(-_BEHIND_D * 86400))
        return
    name, found = bench.files.name, sorted(Path("/usr/lib").glob(_FAKETIME))
    if not found:
        raise CannotBreak(
            "libfaketime is not on this machine", hint="install it: apt-get install faketime"
        )
    shown = bench.root() / str(found[0]).lstrip("/")
    if USERLANDS[bench.userland].tools == "busybox" or not shown.exists():
        raise CannotBreak(
            f"{name!r}: libfaketime cannot be loaded into programs of {bench.userland!r}",
            hint="wrong-clock needs another userland: fleet lab up --userland dash",
        )
    config = (bench.root() / "etc/ssh/sshd_config").read_text().splitlines()
    (env,) = [line for line in config if line.startswith("SetEnv ")]
    _quirk(bench, Breakage.WRONG_CLOCK, f"{env} LD_PRELOAD={found[0]} FAKETIME=-{_BEHIND_D}d\n")


def _quirk(bench: Bench, how: Breakage, lines: str) -> None:
    if USERLANDS[bench.userland].server != "sshd":
        raise CannotBreak(
            f"{bench.files.name!r} runs no OpenSSH", hint=f"{how} needs OpenSSH: --userland dash"
        )
    quirks = bench.places.quirks(bench.files.name)
    quirks.parent.mkdir(exist_ok=True)
    quirks.write_text(lines)
    _reboot(bench)


def _noisy(bench: Bench) -> None:
    _quirk(bench, Breakage.NOISY, QUIRKS[Breakage.NOISY])
    put(bench.root(), {"etc/issue.net": BANNER.encode()})
    for name in _PROFILES:
        file = bench.files.home / DEVICE_USER / name
        put(file.parent, {file.name: _PRINTS.encode()})
        os.chown(file, *_owner(bench))
        os.chown(file.parent, *_owner(bench))


def _silence(bench: Bench) -> None:
    for name in _PROFILES:
        (bench.files.home / DEVICE_USER / name).unlink(missing_ok=True)


def _owner(bench: Bench) -> tuple[int, int]:
    owner = (bench.files.home / DEVICE_USER).stat()
    return owner.st_uid or DEVICE_UID, owner.st_gid or DEVICE_UID


def _needs_ext4(bench: Bench, how: Breakage) -> None:
    if bench.storage.sort is not Sort.EXT4:
        raise CannotBreak(
            f"{bench.files.name!r} keeps /home on {bench.storage.sort}, which has no power to lose",
            hint=f"{how} needs an image: fleet lab down, then fleet lab up --storage ext4:24 (root)",
        )


_DEEDS: Mapping[Breakage, Callable[[Bench], None]] = {
    Breakage.POWER_CUT: _cut,
    Breakage.REBOOT: _reboot,
    Breakage.DEAD_STORAGE: _die,
    Breakage.READ_ONLY: _seal,
    Breakage.NO_INODES: _no_inodes,
    Breakage.QUOTA: _quota,
    Breakage.LITTLE_MEMORY: _little_memory,
    Breakage.FROZEN: _freeze,
    Breakage.WRONG_CLOCK: _wrong_clock,
    Breakage.CROWDED: lambda bench: _quirk(bench, Breakage.CROWDED, QUIRKS[Breakage.CROWDED]),
    Breakage.NOISY: _noisy,
}
