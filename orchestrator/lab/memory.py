"""How much memory all processes of a device may have together: a control group, version 1 or 2."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from orchestrator.lab import linux

_CONTROLLERS = Path("/sys/fs/cgroup")


def limit(name: str, first: int, mib: int) -> None:
    """Let the process tree of `first` have so much; the kernel kills what wants more.

    Raises:
        OSError: this machine's control groups cannot be used.
    """
    parent, most = _parent()
    group = parent / _named(name)
    group.mkdir(exist_ok=True)
    (group / most).write_text(str(mib << 20))
    _move(first, group)


def release(name: str, first: int | None) -> None:
    """Take the limit away, of a device that is off (`first` None) as well."""
    parent, _ = _parent()
    if not (group := parent / _named(name)).exists():
        return
    if first is not None:
        _move(first, parent)
    with suppress(OSError):  # the last of its processes is just ending: the next release removes it
        group.rmdir()


def _named(name: str) -> str:
    return f"fleet-lab.{os.getpid()}.{name}"


def _parent() -> tuple[Path, str]:
    """The control group to make others in, and its file for the limit.

    In version 2 a group with processes of its own cannot have limited ones below it, unless it is
    the first of all.
    """
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            return _CONTROLLERS / "memory" / path.lstrip("/"), "memory.limit_in_bytes"
    return _CONTROLLERS, "memory.max"


def _move(first: int, group: Path) -> None:
    for pid in _tree(first):
        with suppress(ProcessLookupError):
            (group / "cgroup.procs").write_text(str(pid))


def _tree(first: int) -> Iterator[int]:
    yield first
    for child in linux.children(first):
        yield from _tree(child)
