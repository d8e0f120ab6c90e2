"""What whole arm64 machines are made of: a kernel, a device tree, and a disk with a snapshot on it.

Everything is Debian's, fetched and unpacked; QEMU boots it once, until it waits to be somebody.
"""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

from orchestrator.lab.cache import kept
from orchestrator.lab.debian import PACKAGES, Debian, by_loader, machine, system
from orchestrator.lab.errors import DebianMissing
from orchestrator.lab.foreign import EMULATOR_SUITE, SUITE, Foreign, Vm
from orchestrator.lab.kinds import KINDS
from orchestrator.lab.spec import DEVICE_UID, DEVICE_USER
from orchestrator.lab.sshd import machine_config
from orchestrator.lab.tree import OWN, put

PROFILE = "raspberry-pi-4"
"""What such a machine says it is: to its kernel, too."""

_CPU, _MIB = "cortex-a72", 256
_DISK_MIB = 1536
SNAPSHOT = "waiting"
IDENTITY_BYTES = 65536
_FIRST_BOOT_S = 120.0
_SCRIPTS = Path(__file__).with_name("device")
_DRIVERS = ("virtio_mmio", "virtio_blk", "virtio_net")
_PASSWD = f"""root:x:0:0:root:/root:/bin/sh
sshd:x:100:65534::/run/sshd:/usr/sbin/nologin
{DEVICE_USER}:x:{DEVICE_UID}:{DEVICE_UID}:emulated device:/home/{DEVICE_USER}:/bin/bash
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
"""
_GROUP = f"root:x:0:\n{DEVICE_USER}:x:{DEVICE_UID}:\nnogroup:x:65534:\n"
_OS_RELEASE = "".join(f'{key}="{text}"\n' for key, text in KINDS[PROFILE].os_release)


def command(vm: Vm, disk: Path, identity: Path) -> list[str]:
    """QEMU with what every start of such a machine must have alike, for the snapshot's sake."""
    here = Path(vm.folder)
    drives = {
        "disk": f"file={_plain(disk)},format=qcow2,cache=writeback",
        "identity": f"file={_plain(identity)},format=raw,readonly=on",
    }
    words = [*_board(vm.qemu), "-display", "none", "-no-reboot"]
    words += ["-kernel", str(here / "vmlinuz"), "-initrd", str(here / "initrd")]
    words += ["-dtb", str(here / "board.dtb"), "-append", "console=ttyAMA0 quiet panic=-1"]
    for name, options in drives.items():
        words += ["-drive", f"if=none,id={name},{options}"]
        words += ["-device", f"virtio-blk-device,drive={name},serial={name}"]
    return [*words, "-device", "virtio-net-device,netdev=net"]


def vm(device: Foreign, tell: Callable[[str], None]) -> Vm:
    """What whole machines are made of, fetched and booted once, and kept.

    Args:
        device: the programs and the Python of its disk.

    Raises:
        DebianMissing: it cannot be fetched here, or does not boot.
    """
    packages = ("qemu-system-arm", "qemu-utils", "device-tree-compiler")
    qemu = system(Debian(EMULATOR_SUITE, machine(), packages), tell)
    linux_ = ("linux-image-cloud-arm64", "busybox-static")
    kernel = system(Debian(SUITE, "arm64", linux_), tell)
    listed = tuple((folder / PACKAGES).read_text() for folder in (qemu, kernel))
    scripts = tuple(path.read_text() for path in sorted(_SCRIPTS.glob("vm-*.sh")))
    recipe = (listed, scripts, device.tree, device.python.packages, _CPU, _MIB, _DISK_MIB)
    make = partial(_made, device, str(qemu / "root"), kernel / "root")
    return Vm(str(kept("vm-arm64", recipe, make, tell)), str(qemu / "root"))


def _made(device: Foreign, qemu: str, kernel: Path, folder: Path) -> None:
    """Everything in an empty folder, the snapshot last."""
    (image,) = kernel.glob("boot/vmlinuz-*")
    shutil.copy(image, folder / "vmlinuz")
    (folder / "initrd").write_bytes(_cpio(_initial(kernel)))
    _board_tree(qemu, folder / "board.dtb")
    raw, staging = folder / "disk.img", folder / "root"
    _furnish(staging, device, kernel)
    with raw.open("wb") as file:
        file.truncate(_DISK_MIB << 20)
    _ran(["mke2fs", "-q", "-F", "-t", "ext4", "-m", "0", "-d", str(staging), str(raw)])
    shutil.rmtree(staging)
    disk = folder / "disk.qcow2"
    convert = ["convert", "-O", "qcow2", str(raw), str(disk)]
    _ran([*by_loader(qemu, "usr/bin/qemu-img", qemu), *convert])
    raw.unlink()
    _take_snapshot(Vm(str(folder), qemu), disk)


def _board(qemu: str) -> list[str]:
    program = by_loader(qemu, "usr/bin/qemu-system-aarch64", qemu)
    return [*program, "-nodefaults", "-M", "virt", "-cpu", _CPU, "-smp", "1", "-m", str(_MIB)]


def _board_tree(qemu: str, file: Path) -> None:
    """QEMU's own device tree with the board's names in it."""
    kind = KINDS[PROFILE]
    _ran([*_board(qemu), "-M", f"dumpdtb={_plain(file)}"])
    for name, texts in (("model", (kind.model,)), ("compatible", kind.compatible)):
        put_ = by_loader(qemu, "usr/bin/fdtput", qemu)
        _ran([*put_, "-t", "s", str(file), "/", name, *texts])


def _initial(kernel: Path) -> Iterator[tuple[str, int, bytes]]:
    """The initial RAM disk: (path, mode, content) of BusyBox, a script, and drivers in order."""
    for path in ("bin", "dev", "sys", "modules", "root"):
        yield path, 0o40755, b""
    yield "init", 0o100755, (_SCRIPTS / "vm-initrd.sh").read_bytes()
    yield "bin/busybox", 0o100755, (kernel / "usr/bin/busybox").read_bytes()
    (modules,) = kernel.glob("usr/lib/modules/*")
    files = {file.stem.replace("-", "_"): file for file in modules.rglob("*.ko")}
    order = list(dict.fromkeys(each for name in _DRIVERS for each in _with_needs(name, files)))
    for name in order:
        yield f"modules/{name}.ko", 0o100644, files[name].read_bytes()
    yield "modules/order", 0o100644, "".join(f"{name}.ko\n" for name in order).encode()


def _with_needs(name: str, files: dict[str, Path]) -> Iterator[str]:
    """A driver behind all that it needs; what is no file is built into the kernel."""
    if name in files:
        found = re.search(rb"\0depends=([^\0]*)\0", files[name].read_bytes())
        for need in found[1].decode().split(",") if found else ():
            yield from _with_needs(need.replace("-", "_"), files)
        yield name


def _cpio(entries: Iterator[tuple[str, int, bytes]]) -> bytes:
    """An archive in the kernel's format (newc of its initramfs-buffer-format)."""
    written = bytearray()
    for number, (path, mode, content) in enumerate([*entries, ("TRAILER!!!", 0, b"")], 1):
        name = path.encode() + b"\0"
        words = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name), 0)
        written += b"070701" + b"".join(b"%08X" % word for word in words) + name
        written += bytes(-len(written) % 4)
        written += content
        written += bytes(-len(written) % 4)
    return bytes(written)


def _furnish(root: Path, device: Foreign, kernel: Path) -> None:
    """The disk's files: a Debian, its Python with the runtimes, and a user."""
    shutil.copytree(device.tree, root, symlinks=True)
    shutil.copy(kernel / "usr/bin/busybox", root / "usr/bin/busybox")
    site = root / "usr/lib/python3/dist-packages"
    for entry, source in device.python.packages:
        if Path(source).is_dir():
            shutil.copytree(source, site / entry, symlinks=True, dirs_exist_ok=True)
        else:
            shutil.copy(source, site / entry)
    for path in ("proc", "sys", "dev", "run", "tmp", "root", f"home/{DEVICE_USER}"):
        (root / path).mkdir(parents=True, exist_ok=True)
    about = f'{{"emulated": true, "kind": "{PROFILE}", "cpu": "qemu-system {_CPU}", "tier": "vm"}}'
    texts = {
        "etc/passwd": _PASSWD,
        "etc/group": _GROUP,
        "etc/shadow": f"root:*:19000::::::\nsshd:*:19000::::::\n{DEVICE_USER}:*:19000::::::\n",
        "etc/os-release": _OS_RELEASE,
        "etc/fleet-lab.json": f"{about}\n",
        "etc/ssh/sshd_config": machine_config("/run/identity"),
    }
    put(root, {path: text.encode() for path, text in texts.items()})
    put(root, {"sbin/vm-init.sh": (_SCRIPTS / "vm-init.sh").read_bytes()}, mode=0o755)
    (root / OWN).mkdir(parents=True)


def _take_snapshot(vm: Vm, disk: Path) -> None:
    """Boot once, and keep the machine as it waits to be somebody."""
    identity, console = disk.with_name("identity.img"), disk.with_name("console.log")
    identity.write_bytes(bytes(IDENTITY_BYTES))
    argv = [*command(vm, disk, identity), "-netdev", "user,id=net,restrict=on"]
    argv += ["-serial", f"file:{_plain(console)}", "-monitor", "stdio"]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT) as machine_:
        try:
            _await(console, machine_)
            said, _ = machine_.communicate(f"savevm {SNAPSHOT}\nquit\n".encode(), timeout=60)
        except BaseException:
            machine_.kill()
            raise
    if machine_.returncode != 0 or b"Error" in said:
        raise DebianMissing(f"no snapshot of an arm64 machine: {said.decode(errors='replace')}")
    identity.unlink()
    console.unlink()


def _await(console: Path, machine_: subprocess.Popen[bytes]) -> None:
    end, said = time.monotonic() + _FIRST_BOOT_S, ""
    while "waiting" not in said:
        if machine_.poll() is not None or time.monotonic() > end:
            lines = said.strip().splitlines()
            why = lines[-1] if lines else "it says nothing"
            raise DebianMissing(f"an emulated arm64 machine does not boot: {why}")
        time.sleep(0.05)
        with suppress(FileNotFoundError):
            said = console.read_text(errors="replace")


def _plain(path: Path) -> str:
    """A path as a value among QEMU's options."""
    return str(path).replace(",", ",,")


def _ran(argv: list[str]) -> None:
    env = {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}  # mke2fs is there
    try:
        done = subprocess.run(
            argv, env=env, capture_output=True, text=True, timeout=300, check=False
        )
    except FileNotFoundError as error:
        hint = "apt-get install e2fsprogs" if argv[0] == "mke2fs" else ""
        raise DebianMissing(f"this machine has no {argv[0]}", hint=hint) from error
    if done.returncode != 0:
        raise DebianMissing(f"{Path(argv[0]).name}: {done.stderr.strip() or done.returncode}")
