"""A device's files: what both tiers share, and the shared packages of its Python."""

import platform
import shutil
from pathlib import Path

from orchestrator.lab import linux
from orchestrator.lab.kinds import KINDS, commands, fixtures
from orchestrator.lab.runtime import DevicePython
from orchestrator.lab.spec import HOST, DeviceSpec, Places, Spec
from orchestrator.lab.userland import TERMUX, USERLANDS

OWN = "opt/fleet-lab"
"""The fixtures' directory on a device; also a virtual environment."""

_FAULT = Path(__file__).with_name("device") / "fleet_lab_fault.py"

_PTH = (
    "import os; os.path.exists(os.path.expanduser('~/.fleet-lab/wrong-output')) "
    "and __import__('fleet_lab_fault').install()\n"
)


def put(root: Path, files: dict[str, bytes], *, mode: int = 0o644) -> None:
    """Write files below `root`, with their directories."""
    for path, content in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        target.chmod(mode)


def furnish(root: Path, spec: Spec, device: DeviceSpec, tier: str) -> None:
    """Write everything of a device that does not depend on how it is booted, except /proc."""
    foreign = spec.foreign(device.userland)
    python = foreign.python if foreign else spec.python
    files = _fixtures(spec, device, tier)
    put(root, {path: text for path, text in files.items() if not path.startswith("proc/")})
    (root / OWN / "bin").mkdir(parents=True, exist_ok=True)
    kernel = USERLANDS[device.userland].kernel or ("" if foreign else "aarch64")
    scripts = commands(KINDS[device.profile], kernel)
    if USERLANDS[device.userland].prefix == TERMUX:  # there is no other shell that could be named
        scripts = {name: b"#!/system" + text.removeprefix(b"#!") for name, text in scripts.items()}
    put(root / OWN / "bin", scripts, mode=0o755)
    (root / OWN / "pyvenv.cfg").write_text(python.pyvenv_cfg)
    for name in ("python3", "python") if USERLANDS[device.userland].python else ():
        link = root / OWN / "bin" / name
        link.unlink(missing_ok=True)
        link.symlink_to(python.executable)
    put(root, {"etc/ssh/authorized_keys": f"{spec.authorized_key}\n".encode()})


def proc_fixtures(spec: Spec, device: DeviceSpec, tier: str) -> dict[str, bytes]:
    """The files that stand in /proc: name → content."""
    files = _fixtures(spec, device, tier)
    return {path: text for path, text in files.items() if path.startswith("proc/")}


def _fixtures(spec: Spec, device: DeviceSpec, tier: str) -> dict[str, bytes]:
    foreign = spec.foreign(device.userland)
    cpu = f"qemu-user {foreign.machine.cpu}" if foreign else f"host {platform.machine()}"
    return fixtures(KINDS[device.profile], tier, cpu)


def mount_runtimes(places: Places, spec: Spec) -> None:
    """Gather the packages, read-only, in trees that devices bind (own mount namespace)."""
    linux.mount("tmpfs", places.runtime, "tmpfs", options="mode=755,size=8m")
    for name, python in spec.pythons().items():
        site = _site(places.runtime / name, python)
        for entry, source in python.packages:
            target = site / entry
            if Path(source).is_dir():
                target.mkdir(parents=True)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.touch()
            linux.bind(source, target, read_only=True)
    linux.seal(places.runtime)


def link_runtime(places: Places, python: DevicePython) -> None:
    """Gather the packages of this machine's own Python as symbolic links."""
    shutil.rmtree(places.runtime, ignore_errors=True)
    site = _site(places.runtime / HOST, python)
    for entry, source in python.packages:
        target = site / entry
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(source)


def _site(runtime: Path, python: DevicePython) -> Path:
    site = runtime / python.site_packages
    site.mkdir(parents=True)
    shutil.copy(_FAULT, site)
    (site / "fleet_lab_fault.pth").write_text(_PTH)
    return site
