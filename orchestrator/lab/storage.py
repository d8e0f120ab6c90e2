"""The file system of a device's /home: made, put in, cut from power, made read-only, taken out.

Runs in the supervisor, inside the lab's own mount namespace: what it mounts ends with it.
"""

import fcntl
import os
import shutil
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from orchestrator.lab import linux
from orchestrator.lab.linux import Mount
from orchestrator.lab.spec import DEVICE_UID, DeviceSpec, Places, Sort, Storage

_SHUTDOWN = 0x8004_587D
"""EXT4_IOC_SHUTDOWN: the file system stops at once, as when its power goes."""
_NO_LOG_FLUSH = 2
"""Not even what is in the journal's memory is written."""

_RELEASE_S = 5.0


def attach(places: Places, device: DeviceSpec, *, as_root: bool) -> None:
    """Mount a device's /home, made anew unless it has an image already.

    Raises:
        OSError: it cannot be made here.
    """
    home = places.devices / device.name / "home"
    if device.storage.sort is Sort.TMPFS:
        linux.mount("tmpfs", home, "tmpfs", options=_tmpfs_options(device.storage))
    else:
        if not as_root:
            raise OSError("an image as storage needs root: fleet lab up --storage tmpfs")
        image = places.devices / device.name / "home.img"
        if not image.exists():
            _MAKERS[device.storage.sort](image, device.storage)
        _ran("mount", "-t", device.storage.sort, "-o", _OPTIONS[device.storage.sort], image, home)
    user = home / "pi"
    if not user.exists():
        user.mkdir()
        if as_root:
            shutil.chown(user, DEVICE_UID, DEVICE_UID)


def die(places: Places, device: DeviceSpec) -> None:
    """Stop a device's file system without flushing anything: every access fails from now on."""
    handle = os.open(places.devices / device.name / "home", os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.ioctl(handle, _SHUTDOWN, _NO_LOG_FLUSH.to_bytes(4, "little"))
    finally:
        os.close(handle)


def detach(places: Places, device: DeviceSpec) -> None:
    """Take out the file system of a device that is off; an image keeps what reached it.

    The device's own view of it ends a little after its processes: an image that is still in use
    would be mounted again as the dead file system it was.
    """
    _ran("umount", str(places.devices / device.name / "home"))
    image = places.devices / device.name / "home.img"
    last = time.monotonic() + _RELEASE_S
    while _in_use(image):
        if time.monotonic() > last:
            raise OSError(f"{image} is still in use")
        time.sleep(0.002)


def is_attached(places: Places, device: DeviceSpec) -> bool:
    """Whether something is mounted where a device's /home goes."""
    return (places.devices / device.name / "home").is_mount()


def remount(places: Places, device: DeviceSpec, *, read_only: bool) -> None:
    """Make a device's /home read-only, as kernels do after errors, or writable again."""
    flags = Mount.REMOUNT | (Mount.RDONLY if read_only else 0)
    home = places.devices / device.name / "home"
    kind = str(device.storage.sort)
    options = _tmpfs_options(device.storage) if device.storage.sort is Sort.TMPFS else ""
    linux.mount("none", home, kind, flags, options)


def limit_inodes(places: Places, device: DeviceSpec, most: int) -> None:
    """Let a device's tmpfs hold that many files and folders; 0 for as many as it likes."""
    home = places.devices / device.name / "home"
    options = f"size={device.storage.mib}m,nr_inodes={most}"
    linux.mount("none", home, "tmpfs", int(Mount.REMOUNT), options)


def limit_bytes(places: Places, device: DeviceSpec, *, used_up: bool) -> None:
    """Have a device's quota used up, with room in its file system all the same (btrfs)."""
    home = places.devices / device.name / "home"
    if used_up:
        _ran("btrfs", "quota", "enable", home)
        _ran("btrfs", "qgroup", "limit", "1", home)
    else:
        _ran("btrfs", "quota", "disable", home)


def _in_use(image: Path) -> bool:
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        with suppress(OSError):  # let go of just now
            if backing.read_text().strip() == str(image):
                return True
    return False


def _tmpfs_options(storage: Storage) -> str:
    inodes = f",nr_inodes={storage.inodes}" if storage.inodes else ""
    return f"mode=755,size={storage.mib}m{inodes}"


def _make_ext4(image: Path, storage: Storage) -> None:
    _make_file(image, storage)
    inodes = ("-N", str(storage.inodes)) if storage.inodes else ()
    journal = ("-J", "size=1", "-E", "lazy_itable_init=0,lazy_journal_init=0")
    _ran("mke2fs", "-q", "-F", "-t", "ext4", "-b", "1024", "-m", "0", *journal, *inodes, image)


def _make_btrfs(image: Path, storage: Storage) -> None:
    _make_file(image, storage)
    _ran("mkfs.btrfs", "-q", "--mixed", "-m", "single", "-d", "single", image)


def _make_file(image: Path, storage: Storage) -> None:
    with image.open("wb") as file:
        file.truncate(storage.mib << 20)


_MAKERS = {Sort.EXT4: _make_ext4, Sort.BTRFS: _make_btrfs}
_OPTIONS = {Sort.EXT4: "loop,errors=continue", Sort.BTRFS: "loop"}


def _ran(*argv: str | Path) -> None:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    except FileNotFoundError as error:
        raise OSError(f"no {argv[0]} on this machine") from error
    if done.returncode != 0:
        raise OSError(f"{argv[0]}: {done.stderr.strip() or done.returncode}")
