"""ONNX → TFLite through onnx2tf, which needs a newer Python and other versions of everything.

So it lives in an environment of its own, below the site, and is only ever run as a process.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from orchestrator.build import lifeline
from orchestrator.errors import FleetError, Owner

VERSION = "2.6.9"
PYTHONS = ("3.12", "3.13")
MISSING = (
    "ONNX → TFLite needs onnx2tf in an environment of its own: run fleet toolchain install onnx2tf"
)

_INSTALL_S = 1800.0
_CONVERT_S = 840.0
_MARK = "onnx2tf.version"


class CannotInstall(FleetError):
    """The environment for onnx2tf could not be made."""

    path = ("BUILD", "TOOLCHAIN", "INSTALL")
    owner = Owner.CONTROLLER


class Onnx2tfFailed(Exception):
    """onnx2tf did not produce a float32 model; the log has its own words."""


def installed(folder: Path) -> str | None:
    """The version in an environment that was installed completely, or None."""
    try:
        version = (folder / _MARK).read_text().strip()
    except FileNotFoundError:
        return None
    return version if python_of(folder).exists() else None


def python_of(folder: Path) -> Path:
    """The environment's interpreter."""
    return folder / "bin" / "python"


def install(folder: Path, watch: Callable[[str], None]) -> None:
    """Make the environment beside, then put it into place; `watch` is told each step.

    Raises:
        CannotInstall: no uv, no suitable Python, or the packages are not to be had.
    """
    uv = _uv()
    if folder.exists():
        shutil.rmtree(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        for python in _pythons():
            watch(f"making an environment with Python {python}")
            made = _ran([*uv, "venv", "--quiet", "--clear", "--python", python, str(folder)])
            if made.returncode == 0:
                break
        else:
            raise CannotInstall(
                f"onnx2tf needs Python 3.12 or newer, and none was found: {_last(made.stderr)}",
                hint="install one, for example: uv python install 3.12",
            )
        watch(f"installing onnx2tf {VERSION} (about 700 MB)")
        into = str(python_of(folder))
        got = _ran([*uv, "pip", "install", "--quiet", "--python", into, f"onnx2tf=={VERSION}"])
        if got.returncode != 0:
            raise CannotInstall(
                f"onnx2tf {VERSION} could not be installed: {_last(got.stderr)}",
                hint="see whether the package index can be reached, then run this again",
            )
        (folder / _MARK).write_text(VERSION + "\n")
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def convert(python: Path, model: Path, inputs: tuple[str, ...], out: Path) -> None:
    """A float32 ``.tflite`` with the inputs' layout kept, next to nothing else.

    Works on a copy, because onnx2tf rewrites the file it is given.

    Raises:
        Onnx2tfFailed: it ended badly, or wrote no float32 model.
    """
    with tempfile.TemporaryDirectory(dir=out.parent, prefix="onnx2tf-") as scratch:
        copy, folder = Path(scratch, "model.onnx"), Path(scratch, "out")
        shutil.copyfile(model, copy)
        tied = [str(python), "-P", lifeline.__file__, str(os.getpid()), "onnx2tf"]
        options = ["-i", str(copy), "-o", str(folder), "-b", "1", "-kat", *inputs]
        ended = subprocess.run(
            [*tied, *options],
            cwd=scratch,
            stdin=subprocess.DEVNULL,
            timeout=_CONVERT_S,
            check=False,
        )
        found = sorted(folder.glob("*_float32.tflite"))
        if ended.returncode != 0 or not found:
            raise Onnx2tfFailed(f"onnx2tf {VERSION} ended with {ended.returncode} and no model")
        shutil.copyfile(found[0], out)


def _pythons() -> list[str]:
    """What to try: pyenv's interpreters, which uv sees only when switched on; then uv's own."""
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    found = [
        str(path)
        for version in PYTHONS
        for path in sorted(root.glob(f"versions/{version}*/bin/python{version}"))
    ]
    return [*found, *PYTHONS]


def _uv() -> list[str]:
    if found := shutil.which("uv"):
        return [found]
    if importlib.util.find_spec("uv") is not None:
        return [sys.executable, "-m", "uv"]
    raise CannotInstall(
        "uv is needed to make an environment with another Python",
        hint="pip install uv, then run this again",
    )


def _ran(argv: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(argv, capture_output=True, text=True, timeout=_INSTALL_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise CannotInstall(f"{argv[0]} took longer than {_INSTALL_S:.0f} s") from error


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no reason given"
