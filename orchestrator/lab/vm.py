"""Whole machines: an arm64 board with a kernel, a device tree, a disk and a clock of its own, by QEMU.

What devices in namespaces share with this machine is their own here: their power can be cut, their
clock can be wrong, their kernel refuses programs of another architecture. No KVM is needed.
"""

import io
import os
import signal
import subprocess
import tarfile
import time
from pathlib import Path

from orchestrator.lab import linux
from orchestrator.lab.boot import Running, let_go_except
from orchestrator.lab.foreign import Vm
from orchestrator.lab.spec import DeviceSpec, Places, Spec
from orchestrator.lab.vmimage import IDENTITY_BYTES, SNAPSHOT, command


def attach(spec: Spec, device: DeviceSpec) -> None:
    """Give a machine its disk, with the snapshot, unless it has one already."""
    disk = _disk(spec, device)
    if not disk.exists():
        source = Path(_made_of(spec).folder, "disk.qcow2")
        argv = ["cp", "--sparse=always", "--reflink=auto", str(source), str(disk)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode != 0:
            raise OSError(f"no disk for {device.name}: {done.stderr.strip()}")


def start(spec: Spec, device: DeviceSpec) -> Running:
    """Switch a machine on: from the snapshot, or if it was on before, from its disk."""
    places, disk = Places(Path(spec.lab)), _disk(spec, device)
    identity, was_on = disk.with_name("identity.img"), disk.with_name("identity.img").exists()
    identity.write_bytes(_identity(spec, device, places))
    forward = f"user,id=net,restrict=on,hostfwd=tcp:{device.address}:{device.port}-:22"
    argv = [*command(_made_of(spec), disk, identity), "-netdev", forward, "-serial", "stdio"]
    argv += ["-monitor", "none", *([] if was_on else ["-loadvm", SNAPSHOT])]
    parent, child = os.getpid(), os.fork()
    if child:
        return Running(child, child)
    try:
        _become(argv, places.log(device.name), parent)
    finally:
        os._exit(97)


def _become(argv: list[str], log: Path, parent: int) -> None:
    said = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    nothing = os.open("/dev/null", os.O_RDONLY)
    for source, target in ((nothing, 0), (said, 1), (said, 2)):
        os.dup2(source, target)
    let_go_except(())
    signal.set_wakeup_fd(-1)
    for caught in (signal.SIGTERM, signal.SIGCHLD, signal.SIGPIPE):
        signal.signal(caught, signal.SIG_DFL)
    os.setsid()
    linux.die_with(parent)
    os.execv(argv[0], argv)


def _identity(spec: Spec, device: DeviceSpec, places: Places) -> bytes:
    """A tar of what makes a machine this device: its keys, its name, and what time it believes it is."""
    behind = places.quirks(device.name)
    seconds = int(time.time()) + (int(behind.read_text()) if behind.is_file() else 0)
    files = {
        "host_key": places.host_key(device.name).read_bytes(),
        "authorized_keys": f"{spec.authorized_key}\n".encode(),
        "name": f"{device.name}\n".encode(),
        "clock": f"{seconds}\n".encode(),
    }
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o600 if name == "host_key" else 0o644
            tar.addfile(entry, io.BytesIO(content))
    return written.getvalue().ljust(IDENTITY_BYTES, b"\0")


def _disk(spec: Spec, device: DeviceSpec) -> Path:
    return Places(Path(spec.lab)).devices / device.name / "disk.qcow2"


def _made_of(spec: Spec) -> Vm:
    assert spec.vm is not None
    return spec.vm
