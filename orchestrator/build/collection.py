"""What the store holds that nobody needs any more: found first, then removed."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from orchestrator.build.cache import Cache
from orchestrator.build.store import Store

YOUNG_S = 3600.0
"""Files younger than this stay: a build that is still going on may be about to name them."""


@dataclass(frozen=True, slots=True)
class Garbage:
    """Files that can go, with what they take; `kept` files stay.

    `records` are cached steps that no build has asked for in a while; the bytes only they named
    are among `files`.
    """

    files: tuple[Path, ...]
    records: tuple[Path, ...]
    bytes: int
    kept: int
    kept_bytes: int


def garbage(
    store: Store, cache: Cache, needed: Iterable[str], *, unused_s: float, now: float | None = None
) -> Garbage:
    """What can be removed.

    Args:
        needed: digests that the lock and the ledger name.
        unused_s: how long no build has asked for a cached step before it can go.
        now: seconds since the epoch; default: the clock.
    """
    now = time.time() if now is None else now
    keep = set(needed)
    records = []
    for file, digests in cache.records():
        if keep.issuperset(digests) or now - file.stat().st_mtime < unused_s:
            keep |= digests
        else:
            records.append(file)
    files, kept, size, kept_bytes = [], 0, 0, 0
    for file in sorted(path for path in store.folder.glob("??/*") if path.is_file()):
        status = file.stat()
        if file.name in keep or now - status.st_mtime < YOUNG_S:
            kept, kept_bytes = kept + 1, kept_bytes + status.st_size
        else:
            files.append(file)
            size += status.st_size
    return Garbage(tuple(files), tuple(records), size, kept, kept_bytes)


def remove(found: Garbage) -> None:
    """Remove it: records first, so that none ever names bytes that are gone."""
    for file in (*found.records, *found.files):
        file.unlink(missing_ok=True)


def collected(state: Path, needed: Iterable[str], *, unused_days: float, dry_run: bool) -> Garbage:
    """Find the garbage of a site's state folder, and remove it unless it is a dry run."""
    store = Store(state / "store")
    cache = Cache(state / "build" / "cache", store)
    found = garbage(store, cache, needed, unused_s=unused_days * 86_400)
    if not dry_run:
        remove(found)
    return found
