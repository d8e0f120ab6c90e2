"""What must hold of a device's storage after any fault, judged from a listing alone.

*The device serves a release that passed its golden test, `current` and `previous` are whole, and
nothing is left behind that the next visit does not clean up.* Whoever made the listing looked at
the files themselves; this module does not know how.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from orchestrator.artifact.manifest import MANIFEST

_STAYS = ("current", "previous", "releases", "staging", "journal.ndjson")


@dataclass(frozen=True, slots=True)
class Seen:
    """One model's folder on a device as somebody found it.

    Attributes:
        links: name of a link in it → where it points.
        releases: release → name of each file → SHA-256 of its bytes.
        manifests: release → the bytes of its manifest.
        others: everything else below the folder, as paths.
    """

    links: Mapping[str, str]
    releases: Mapping[str, Mapping[str, str]]
    manifests: Mapping[str, bytes]
    others: tuple[str, ...] = ()

    def linked(self, link: str) -> str | None:
        """The release that `current` or `previous` names."""
        target = self.links.get(link)
        return target.removeprefix("releases/") if target is not None else None


def violations(
    seen: Seen, proved: Collection[str], *, had: Collection[str] = ("current",)
) -> tuple[str, ...]:
    """What is wrong right after a fault, in words; nothing if all is well.

    Args:
        proved: the releases that passed their golden test on this device.
        had: the links that were there before the fault, and must be still.
    """
    return tuple(_at_any_time(seen, proved, had))


def remains(seen: Seen, current: str, previous: str | None, keep: int) -> tuple[str, ...]:
    """What is wrong after the next visit, which must have put everything in order."""
    return tuple(_in_order(seen, current, previous, keep))


def _at_any_time(seen: Seen, proved: Collection[str], had: Collection[str]) -> Iterator[str]:
    for link in ("current", "previous"):
        release = seen.linked(link)
        if release is None:
            if link in had:
                yield f"{link} is gone"
            continue
        if link == "current" and release.removesuffix(".repair") not in proved:
            yield f"current is {release}, which never passed its golden test here"
        if not (seen.links[link]).startswith("releases/"):
            yield f"{link} points outside: {seen.links[link]}"
        yield from (f"{link}: {wrong}" for wrong in damage(seen, release))


def _in_order(seen: Seen, current: str, previous: str | None, keep: int) -> Iterator[str]:
    if seen.linked("current") != current:
        yield f"current is {seen.linked('current')}, not {current}"
    if previous is not None and seen.linked("previous") != previous:
        yield f"previous is {seen.linked('previous')}, not {previous}"
    for release in sorted(seen.releases):
        yield from damage(seen, release)
    if len(seen.releases) > keep:
        yield f"{len(seen.releases)} releases are kept, and should be at most {keep}"
    if other := sorted(set(seen.links) - set(_STAYS)):
        yield f"links are left: {', '.join(other)}"
    if left := [path for path in seen.others if path not in _STAYS]:
        yield f"left behind: {', '.join(sorted(left))}"


def damage(seen: Seen, release: str) -> tuple[str, ...]:
    """How a release differs from what its manifest says, and its manifest from its name."""
    files = seen.releases.get(release)
    manifest = seen.manifests.get(release)
    if files is None or manifest is None:
        return (f"{release} has no {MANIFEST if files is not None else 'folder'}",)
    name = release.removesuffix(".repair")
    if not name.endswith("." + files.get(MANIFEST, "")[:12]):
        return (f"{release}: its manifest is another one",)
    try:
        wanted = {file["path"]: file["sha256"] for file in json.loads(manifest)["files"]}
    except (ValueError, KeyError, TypeError):
        return (f"{release}: its manifest cannot be read",)
    wanted[MANIFEST] = files[MANIFEST]
    wrong = sorted(path for path in {*wanted, *files} if wanted.get(path) != files.get(path))
    return tuple(f"{release}: {path} is not what it should be" for path in wrong)
