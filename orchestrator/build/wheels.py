"""Wheels for other machines: pip resolves and fetches for a device's Python; nothing is installed."""

import importlib.util
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from orchestrator.artifact.bundle import Bundle, Target, Wheel, without_numpy
from orchestrator.errors import FleetError, Owner
from orchestrator.inventory.profile import Runtime

_FETCH_S = 900.0


class NoWheels(FleetError):
    """The index has nothing that a device's Python takes."""

    path = ("BOOTSTRAP", "WHEELS", "NONE")
    owner = Owner.DEVICE


class CannotFetch(FleetError):
    """The index cannot be asked, or gives other bytes than were pinned."""

    path = ("BOOTSTRAP", "WHEELS", "FETCH")
    owner = Owner.CONTROLLER


def fetch(runtime: Runtime, project: str, target: Target, folder: Path) -> Bundle:
    """Choose the newest wheels that a device takes, and keep them in a folder.

    The device's own numpy stays if the runtime is content with it.

    Raises:
        NoWheels: there are none for it.
        CannotFetch: the index cannot be asked.
    """
    for numpy in dict.fromkeys((target.numpy, "")):
        with tempfile.TemporaryDirectory(dir=_made(folder), prefix=".new-") as scratch:
            words = [project, *([f"numpy=={numpy}"] if numpy else [])]
            done = _pip(target, Path(scratch), words)
            if done.returncode == 0:
                files = sorted(Path(scratch).glob("*.whl"))
                wheels = tuple(_wheel(file) for file in files)
                for file in files:
                    file.replace(folder / file.name)
                kept = without_numpy(wheels) if numpy else wheels
                return Bundle(
                    runtime=runtime,
                    python=target.python,
                    arch=target.arch,
                    numpy=numpy,
                    wheels=kept,
                )
    raise _failed(project, target, done.stderr)


def fetch_again(bundle: Bundle, target: Target, folder: Path) -> None:
    """Make sure that the folder holds every wheel of a bundle, byte for byte.

    Raises:
        CannotFetch: one is missing, and the index has it no more or has other bytes.
    """
    missing = [wheel for wheel in bundle.wheels if not _is_there(wheel, folder)]
    if not missing:
        return
    with tempfile.TemporaryDirectory(dir=_made(folder), prefix=".new-") as scratch:
        pinned = Path(scratch, "pinned.txt")
        lines = (f"{w.project}=={w.version} --hash=sha256:{w.sha256}\n" for w in missing)
        pinned.write_text("".join(lines))
        done = _pip(target, Path(scratch), ["--no-deps", "--require-hashes", "-r", str(pinned)])
        for wheel in missing:
            if done.returncode or not _is_there(wheel, Path(scratch)):
                raise CannotFetch(
                    f"{wheel.file} cannot be fetched as it was pinned: {_last(done.stderr)}",
                    hint="see whether the package index can be reached; runtimes.lock pins it",
                )
            Path(scratch, wheel.file).replace(folder / wheel.file)


def _pip(target: Target, into: Path, words: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    abi = "cp" + target.python.replace(".", "")
    platforms = [word for tag in target.platforms for word in ("--platform", tag)]
    argv = [
        *_pip_command(),
        *("download", "--quiet", "--disable-pip-version-check", "--only-binary=:all:"),
        *("--implementation", "cp", "--python-version", target.python),
        *("--abi", abi, "--abi", "abi3", "--abi", "none", *platforms),
        *("--dest", str(into), *words),
    ]
    try:
        return subprocess.run(argv, capture_output=True, text=True, timeout=_FETCH_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise CannotFetch(
            f"the package index gave no wheels within {_FETCH_S:.0f} s",
            hint="see whether it can be reached, then run this again",
        ) from error


def _pip_command() -> list[str]:
    """This environment's pip, or the one that uv gets."""
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    if importlib.util.find_spec("uv") is not None:
        return [sys.executable, "-m", "uv", "tool", "run", "--quiet", "pip"]
    if found := shutil.which("uv"):
        return [found, "tool", "run", "--quiet", "pip"]
    raise CannotFetch("wheels are fetched by pip, and there is none", hint="pip install pip, or uv")


def _failed(project: str, target: Target, said: str) -> FleetError:
    if "No matching distribution" in said or "Could not find a version" in said:
        return NoWheels(
            f"no wheels of {project} for {target}",
            hint="install another Python on it, or a package of its system; or name a runner: "
            "see docs/site.md",
        )
    return CannotFetch(
        f"wheels of {project} for {target} cannot be fetched: {_last(said)}",
        hint="see whether the package index can be reached, then run this again",
    )


def _wheel(file: Path) -> Wheel:
    with zipfile.ZipFile(file) as archive:
        unpacked = sum(entry.file_size for entry in archive.infolist())
    return Wheel(
        file=file.name,
        sha256=_digest(file),
        size_bytes=file.stat().st_size,
        unpacked_bytes=unpacked,
    )


def _is_there(wheel: Wheel, folder: Path) -> bool:
    file = folder / wheel.file
    return file.is_file() and _digest(file) == wheel.sha256


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        found = sha256()
        while piece := opened.read(1 << 20):
            found.update(piece)
    return found.hexdigest()


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")] or lines
    return errors[-1] if errors else "no reason given"
