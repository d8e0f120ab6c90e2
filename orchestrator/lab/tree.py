"""A device's files: what both tiers share, and the shared packages of its Python."""

import shutil
from pathlib import Path

from orchestrator.lab import linux
from orchestrator.lab.kinds import KINDS, commands, fixtures
from orchestrator.lab.runtime import DevicePython
from orchestrator.lab.spec import DeviceSpec, Places, Spec
from orchestrator.lab.userland import USERLANDS

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
    kind = KINDS[device.profile]
    files = fixtures(kind, tier)
    put(root, {path: text for path, text in files.items() if not path.startswith("proc/")})
    put(root / OWN / "bin", commands(kind), mode=0o755)
    (root / OWN / "pyvenv.cfg").write_text(spec.python.pyvenv_cfg)
    for name in ("python3", "python") if USERLANDS[device.userland].python else ():
        link = root / OWN / "bin" / name
        link.unlink(missing_ok=True)
        link.symlink_to(spec.python.executable)
    put(root, {"etc/ssh/authorized_keys": f"{spec.authorized_key}\n".encode()})


def proc_fixtures(device: DeviceSpec, tier: str) -> dict[str, bytes]:
    """The files that stand in /proc: name → content."""
    files = fixtures(KINDS[device.profile], tier)
    return {path: text for path, text in files.items() if path.startswith("proc/")}


def mount_runtime(places: Places, python: DevicePython) -> None:
    """Gather the packages, read-only, in a tree that every device binds (own mount namespace)."""
    runtime = places.runtime
    linux.mount("tmpfs", runtime, "tmpfs", options="mode=755,size=4m")
    site = _site(runtime, python)
    for entry, source in python.packages:
        target = site / entry
        if Path(source).is_dir():
            target.mkdir(parents=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.touch()
        linux.bind(source, target, read_only=True)
    linux.seal(runtime)


def link_runtime(places: Places, python: DevicePython) -> None:
    """Gather the packages as symbolic links."""
    shutil.rmtree(places.runtime, ignore_errors=True)
    site = _site(places.runtime, python)
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
