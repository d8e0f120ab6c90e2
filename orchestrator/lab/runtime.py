"""The Python a device gets: the controller's interpreter with the inference runtimes alone."""

import os
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

RUNTIMES = {
    "ai-edge-litert": "ai_edge_litert.interpreter",
    "onnxruntime": "onnxruntime",
    "openvino": "openvino",
}
"""Distribution → the module a device imports."""

_ALWAYS = "numpy"


@dataclass(frozen=True, slots=True)
class DevicePython:
    """An interpreter and the packages that go with it.

    `packages` are (path below ``site-packages``, where it lies on this machine).
    """

    prefix: str
    executable: str
    version: str
    packages: tuple[tuple[str, str], ...]
    lacks: tuple[str, ...]

    @property
    def site_packages(self) -> str:
        """Where packages go, below the device's /opt/fleet-lab."""
        return f"lib/python{self.version}/site-packages"

    @property
    def pyvenv_cfg(self) -> str:
        """What makes /opt/fleet-lab a virtual environment, so that ``python3 -I`` works too."""
        home = Path(self.executable).parent
        return f"home = {home}\ninclude-system-site-packages = false\nversion = {self.version}\n"


def device_python() -> DevicePython:
    """The running interpreter and every installed runtime, found through package metadata."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    wanted: dict[str, metadata.Distribution] = {}
    lacks = tuple(name for name in RUNTIMES if not _collect(name, wanted))
    _collect(_ALWAYS, wanted)
    packages = {entry: path for found in wanted.values() for entry, path in _entries(found)}
    return DevicePython(
        prefix=sys.base_prefix,
        executable=str(Path(sys.base_prefix, "bin", f"python{version}")),
        version=version,
        packages=tuple(sorted(packages.items())),
        lacks=lacks,
    )


def compiling(python: DevicePython) -> subprocess.Popen[bytes] | None:
    """Start byte-compiling what devices import, unless that was done before or may not be.

    Devices see the packages read-only: without this each of them would compile them again in
    every process. What it costs is a few files in ``__pycache__``, once.
    """
    modules = [module for name, module in RUNTIMES.items() if name not in python.lacks]
    tops = {module.partition(".")[0] for module in modules}
    packages = [Path(path) for entry, path in python.packages if entry in tops]
    done = all((package / "__pycache__").is_dir() for package in packages)
    if done or not all(os.access(package, os.W_OK) for package in packages):
        return None
    code = "import " + ", ".join(modules)
    env = {key: text for key, text in os.environ.items() if not key.startswith("PYTHON")}
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _collect(name: str, into: dict[str, metadata.Distribution]) -> bool:
    """Add a distribution and what it requires (extras left out); False if it is not installed."""
    key = name.lower().replace("_", "-").replace(".", "-")
    if key in into:
        return True
    try:
        found = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    into[key] = found
    for requirement in found.requires or ():
        bare, _, marker = requirement.partition(";")
        if "extra" not in marker:
            _collect(_project(bare), into)
    return True


def _project(requirement: str) -> str:
    """The name at the front of a requirement such as ``numpy>=1.23``."""
    end = next(
        (at for at, char in enumerate(requirement) if not (char.isalnum() or char in "-_.")),
        len(requirement),
    )
    return requirement[:end]


def _entries(found: metadata.Distribution) -> set[tuple[str, str]]:
    """Top-level files and packages; of a namespace package only the distribution's own part."""
    entries: set[tuple[str, str]] = set()
    for file in found.files or ():
        parts = file.parts
        if parts[0] in ("..", "__pycache__") or parts[0].endswith(".pth"):
            continue
        root = Path(str(found.locate_file("")))
        depth = 1
        while _is_namespace(root.joinpath(*parts[:depth])) and depth < len(parts):
            depth += 1
        entries.add(("/".join(parts[:depth]), str(root.joinpath(*parts[:depth]))))
    return {(entry, path) for entry, path in entries if Path(path).exists()}


def _is_namespace(path: Path) -> bool:
    """Whether a directory may be shared between distributions: no module of its own in it."""
    if not path.is_dir() or path.suffix in (".dist-info", ".libs"):
        return False
    return not any(child.is_file() for child in path.iterdir())
