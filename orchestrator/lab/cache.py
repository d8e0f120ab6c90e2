"""What takes long to fetch and never changes: kept for this user, made in full or not at all."""

import fcntl
import os
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path


def kept(
    name: str, recipe: object, make: Callable[[Path], None], tell: Callable[[str], None]
) -> Path:
    """The folder made by `make` for that name and recipe, now or earlier.

    It lies below ``$XDG_CACHE_HOME/fleet/lab`` (``~/.cache/fleet/lab``); whoever wants it while
    another makes it waits. What `make` raises is raised, and nothing is kept. `tell` hears of what
    takes long.
    """
    place = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fleet" / "lab"
    folder = place / f"{name}-{sha256(repr(recipe).encode()).hexdigest()[:12]}"
    if folder.is_dir():
        return folder
    place.mkdir(parents=True, exist_ok=True)
    with (place / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.is_dir():
            return folder
        tell(f"fetching {name}; that is done once")
        beside = place / f"{folder.name}.new"
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir()
        make(beside)
        beside.rename(folder)
    return folder
