"""What one look at a device costs the device: `observe` under its shells, on this machine's processor.

A Raspberry Pi's files and commands stand around the script, as the lab makes them. What counts is
processor time (user and system, of everything that was started); the wall clock shows how busy
this machine was. Nothing here is a figure of a Pi: `room` says how many times slower than this
machine's a core may be before the target is missed.
"""

import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from orchestrator.lab.kinds import KINDS, commands, fixtures
from orchestrator.lab.tree import put
from orchestrator.site import templates

ROUNDS = 30
TARGET_MS = 300
SHELLS = {"dash, GNU tools": "dash", "BusyBox": "busybox", "mksh, toybox": "mksh"}
ONLY = {"busybox": "busybox", "mksh": "toybox"}


def main() -> None:
    """Measure every shell with Python and without, and Python alone; print a table and one line."""
    place = Path(tempfile.mkdtemp(prefix="facts-"))
    kind = KINDS["raspberry-pi-4"]
    put(place / "root", fixtures(kind, "benchmark"))
    rows = []
    for name, shell in SHELLS.items():
        if found := shutil.which(shell):
            path = tools(place / shell, found, ONLY.get(shell, ""))
            put(path, {n: text for n, text in commands(kind).items() if n != "uname"}, mode=0o755)
            for python in ("python3", "none"):
                rows.append((name, python, *cost(place, path, python)))
    base = spent([sys.executable, "-c", "pass"], dict(os.environ))
    print("| device | Python asked | processor ms | wall ms | processes |\n|---|---|---|---|---|")
    for name, python, cpu, wall, started in rows:
        print(
            f"| {name} | {'yes' if python != 'none' else 'no'} | {cpu:.0f} | {wall:.0f} | {started} |"
        )
    worst = max(cpu for _, _, cpu, _, _ in rows)
    print(f"\nPython alone: {base[0]:.0f} ms of the processor")
    said = {
        "worst_cpu_ms": round(worst),
        "target_ms": TARGET_MS,
        "room": round(TARGET_MS / worst, 1),
    }
    print(json.dumps(said))
    shutil.rmtree(place)


def tools(folder: Path, shell: str, only: str) -> Path:
    """A folder of commands with that shell as `sh`; nothing but one program's applets if `only`."""
    folder.mkdir()
    for name in (
        "cat",
        "date",
        "df",
        "echo",
        "grep",
        "head",
        "nproc",
        "od",
        "printf",
        "tail",
        "uname",
    ):
        found = shutil.which(only or name)
        (folder / name).symlink_to(str(found))
    (folder / "xargs").symlink_to(str(shutil.which(only or "xargs")))
    (folder / "sh").symlink_to(shell)
    if getconf := shutil.which("getconf") if not only else None:
        (folder / "getconf").symlink_to(getconf)
    (folder / "python3").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (folder / "python3").chmod(0o755)
    return folder


def cost(place: Path, path: Path, python: str) -> tuple[float, float, int]:
    """Medians in milliseconds of the processor and of the wall clock, and processes started."""
    script = str(templates() / "device" / "device.sh")
    command = [str(path / "sh"), script, str(place / "fleet"), "observe", python]
    around = {"PATH": str(path), "HOME": str(place), "FLEET_LAB_ROOT": str(place / "root")}
    return (*spent(command, around), processes(command, around))


def spent(command: list[str], around: dict[str, str]) -> tuple[float, float]:
    """The medians over `ROUNDS` runs."""
    cpu, wall = [], []
    for _ in range(ROUNDS):
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(command, env=around, capture_output=True, check=True)
        wall.append((time.perf_counter() - began) * 1e3)
        now = resource.getrusage(resource.RUSAGE_CHILDREN)
        used = now.ru_utime + now.ru_stime - before.ru_utime - before.ru_stime
        cpu.append(used * 1e3)
    return statistics.median(cpu), statistics.median(wall)


def processes(command: list[str], around: dict[str, str]) -> int:
    """How many it starts: the last number given out in a namespace of its own; 0 where that is denied."""
    inside = '"$@" >/dev/null 2>&1; /bin/sh -c "echo \\$\\$"'
    words = ["unshare", "--user", "--pid", "--fork", "/bin/sh", "-c", inside, "sh", *command]
    done = subprocess.run(words, env={**around, "PATH": around["PATH"] + ":/usr/bin:/bin"},
                          capture_output=True, text=True, check=False)  # fmt: skip
    return int(done.stdout) - 2 if done.returncode == 0 else 0


if __name__ == "__main__":
    main()
