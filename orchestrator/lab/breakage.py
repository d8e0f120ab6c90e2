"""Ways to break a device's files, and back: all through its home as this machine sees it."""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from orchestrator.lab.errors import CannotBreak
from orchestrator.lab.keys import write
from orchestrator.lab.spec import DEVICE_USER, Tier


class Breakage(StrEnum):
    """What can be done to a device."""

    OFFLINE = "offline"
    WRONG_OUTPUT = "wrong-output"
    FULL_DISK = "full-disk"
    TAMPERED = "tampered"
    POWER_CUT = "power-cut"
    REBOOT = "reboot"
    DEAD_STORAGE = "dead-storage"
    READ_ONLY = "read-only"
    NO_INODES = "no-inodes"
    QUOTA = "quota"
    LITTLE_MEMORY = "little-memory"
    FROZEN = "frozen"
    WRONG_CLOCK = "wrong-clock"
    CROWDED = "crowded"
    NOISY = "noisy"
    LINK_STALL = "link-stall"
    LINK_SLOW = "link-slow"
    LINK_LOSSY = "link-lossy"
    LINK_FLAP = "link-flap"
    LINK_BLACK_HOLE = "link-black-hole"
    LINK_FIN = "link-fin"
    LINK_RST = "link-rst"
    LINK_FLIP = "link-flip"
    LINK_TURNED_AWAY = "link-turned-away"

    @property
    def weather(self) -> str:
        """The sort of bad link this is, or nothing."""
        return self.value.removeprefix("link-") if self.value.startswith("link-") else ""


SAYS = {
    Breakage.OFFLINE: "switched off; what it had written is there again when it is mended",
    Breakage.WRONG_OUTPUT: "inference returns wrong numbers",
    Breakage.FULL_DISK: "less than 64 KiB are free",
    Breakage.TAMPERED: "one bit of each running model is flipped",
    Breakage.POWER_CUT: "switched off, and what was not flushed to its ext4 image is lost",
    Breakage.REBOOT: "everything that runs ends, and it boots again at once",
    Breakage.DEAD_STORAGE: "every access to /home fails, as with a dead SD card (ext4)",
    Breakage.READ_ONLY: "/home is read-only, as after file system errors",
    Breakage.NO_INODES: "no file can be made any more (tmpfs)",
    Breakage.QUOTA: "its quota is used up, and there is room all the same (btrfs)",
    Breakage.LITTLE_MEMORY: "all its processes together may have 32 MiB; the kernel kills what wants more",
    Breakage.FROZEN: "every process stands still: it takes connections and says nothing",
    Breakage.WRONG_CLOCK: "its clock stands in 2016",
    Breakage.CROWDED: "its sshd turns all but one unfinished login away (MaxStartups)",
    Breakage.NOISY: "its sshd shows a banner, and its login files print",
    Breakage.LINK_STALL: "the line stands still for ever after 20 kB",
    Breakage.LINK_SLOW: "50 kbit/s each way",
    Breakage.LINK_LOSSY: "30 % of the segments come late, as TCP makes it of loss",
    Breakage.LINK_FLAP: "the line works for two seconds, then does not for one, and so on",
    Breakage.LINK_BLACK_HOLE: "takes connections, and no byte ever comes out",
    Breakage.LINK_FIN: "closes each connection after 20 kB",
    Breakage.LINK_RST: "resets each connection after 20 kB",
    Breakage.LINK_FLIP: "flips one bit of each connection after 20 kB",
    Breakage.LINK_TURNED_AWAY: "closes at once with the words of an OpenSSH that punishes an address",
}
"""What each of them does, for people."""


@dataclass(frozen=True, slots=True)
class Files:
    """Where a device's files lie: `home` is its /home; `mark` remembers what was tampered with.

    `marks` holds signs of everything that its own files do not show.
    """

    name: str
    tier: Tier
    home: Path
    mark: Path
    marks: Path

    @property
    def user(self) -> Path:
        """The device's /home/pi."""
        return self.home / DEVICE_USER

    @property
    def flag(self) -> Path:
        """While it is there, new processes compute something else."""
        return self.user / ".fleet-lab" / "wrong-output"

    def sign(self, how: Breakage) -> Path:
        """While it is there, the device is broken in a way that its own files do not show."""
        return self.marks / f"{self.name}.{how}"

    @property
    def filler(self) -> Path:
        """What a full disk is full of."""
        return self.home / ".fleet-lab-filler"


_LEFT_BYTES = 32 * 1024


def broken(files: Files) -> tuple[Breakage, ...]:
    """What of a device's files is broken now."""
    signs = {
        Breakage.WRONG_OUTPUT: files.flag,
        Breakage.FULL_DISK: files.filler,
        Breakage.TAMPERED: files.mark,
    }
    return tuple(how for how in Breakage if signs.get(how, files.sign(how)).exists())


def fill(files: Files) -> str:
    """Leave less than 64 KiB in the file system that holds the device's home.

    Raises:
        CannotBreak: the device has no file system of its own.
    """
    if files.tier is Tier.PLAIN:
        raise CannotBreak(
            f"{files.name!r} shares this machine's own file system (tier 'plain')",
            hint="full-disk needs the tier 'namespaces': fleet lab down, then "
            "fleet lab up --tier namespaces",
        )
    with files.filler.open("ab") as filler:
        space = os.statvfs(files.home)
        free = space.f_bavail * space.f_frsize
        if free > _LEFT_BYTES:
            end = filler.tell()
            os.posix_fallocate(filler.fileno(), end, free - _LEFT_BYTES)
    return f"filled the file system of /home on {files.name}: less than 64 KiB are left"


def make_wrong(files: Files) -> str:
    """Have inference that starts from now on compute something else."""
    files.flag.parent.mkdir(exist_ok=True)
    files.flag.touch()
    return f"inference that starts on {files.name} from now on returns wrong numbers (+0.2)"


def tamper(files: Files) -> str:
    """Flip one bit in the middle of the largest file of every model's current release.

    Raises:
        CannotBreak: nothing is deployed on the device.
    """
    models = tuple(_current_models(files.user))
    if not models:
        raise CannotBreak(
            f"there is no current release on {files.name!r}", hint="deploy something first"
        )
    notes = _notes(files.mark)
    for model in models:
        path, offset = str(model.relative_to(files.home)), model.stat().st_size // 2
        if (path, offset, _sha256(model)) in notes:
            continue  # a second flip would undo the first
        _flip(model, offset)
        notes.append((path, offset, _sha256(model)))
    files.mark.parent.mkdir(exist_ok=True)
    write(files.mark, json.dumps(notes).encode())
    names = ", ".join(str(model.relative_to(files.user)) for model in models)
    return f"flipped one bit on {files.name} in {names}; size and time are what they were"


def restore(files: Files) -> tuple[str, ...]:
    """Undo whatever was done to a device's files; what was undone, in words."""
    done = []
    if files.filler.exists():
        files.filler.unlink()
        done.append("freed the disk")
    if files.flag.exists():
        files.flag.unlink()
        done.append("set the outputs right")
    if files.mark.exists():
        for path, offset, after in reversed(_notes(files.mark)):
            model = files.home / path
            # A file that was replaced since then must not be touched.
            if model.is_file() and _sha256(model) == after:
                _flip(model, offset)
        files.mark.unlink()
        done.append("flipped the bits back")
    return tuple(done)


def _current_models(user: Path) -> Iterator[Path]:
    """The largest file of each model's current release."""
    for current in sorted(user.glob(".fleet/*/current")):
        if not current.is_symlink():
            continue
        # Only the last part counts: an absolute link means a path on the device, not on this host.
        release = current.parent / "releases" / current.readlink().name
        files = [file for file in release.rglob("*") if file.is_file() and not file.is_symlink()]
        if files and (largest := max(files, key=lambda file: file.stat().st_size)).stat().st_size:
            yield largest


def _flip(file: Path, offset: int) -> None:
    times = file.stat()
    mode = times.st_mode & 0o7777
    file.chmod(mode | 0o200)
    with file.open("r+b") as opened:
        opened.seek(offset)
        byte = opened.read(1)[0]
        opened.seek(offset)
        opened.write(bytes([byte ^ 1]))
    file.chmod(mode)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


def _notes(mark: Path) -> list[tuple[str, int, str]]:
    """(path below /home, offset, digest afterwards) of every flipped bit."""
    if not mark.exists():
        return []
    return [(path, offset, after) for path, offset, after in json.loads(mark.read_text())]


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
