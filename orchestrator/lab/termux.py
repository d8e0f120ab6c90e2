"""A phone with Termux, in shape: programs below its prefix, and nothing where other systems have theirs.

Debian's programs for arm64 stand for Termux's own: they look for their loader and libraries below
/lib, and their C library is glibc. What tells the difference is answered as a phone does.
"""

from pathlib import Path

from orchestrator.lab import linux
from orchestrator.lab.tree import put
from orchestrator.lab.userland import TERMUX

HOME = "data/data/com.termux/files/home"
"""The user's home, below the device's root."""
PATH = f"{TERMUX}/bin:/system/bin"
ENVIRONMENT = {"PREFIX": TERMUX, "TMPDIR": f"{TERMUX}/tmp", "TERMUX_VERSION": "0.118.0"}
"""What Termux's sessions have."""

_PARTS = ("bin", "sbin", "lib", "libexec", "share")


def build_programs(root: Path, tree: Path, shell: Path) -> None:
    """Fill an empty directory with a phone's programs; `tree` is a Debian, `shell` Android's."""
    prefix = root / TERMUX.lstrip("/")
    for place in (prefix / "tmp", root / HOME, *(root / name for name in ("proc", "sys", "dev"))):
        place.mkdir(parents=True)
    (prefix / "tmp").chmod(0o1777)
    for name in _PARTS:
        if (tree / "usr" / name).is_dir():
            (prefix / name).mkdir()
            linux.bind(tree / "usr" / name, prefix / name, read_only=True)
    (root / "lib").mkdir()
    for pattern in ("ld-linux*", "*-linux-gnu*"):
        for path in (tree / "usr/lib").glob(pattern):
            (root / "lib" / path.name).symlink_to(f"{TERMUX}/lib/{path.name}")
    put(root, {"system/bin/sh": b"", "system/bin/linker64": b""}, mode=0o755)
    linux.bind(shell, root / "system/bin/sh", read_only=True)
    (root / "run/sshd").mkdir(parents=True)
