"""What a device should run against what it does run: match, drift, missing, unknown, unreachable."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum

from orchestrator.artifact.lock import Lock
from orchestrator.artifact.manifest import MANIFEST, Manifest
from orchestrator.inventory.device import Device
from orchestrator.rollout.observation import Unobserved
from orchestrator.values import Value


class Finding(StrEnum):
    """What an audit can say about one model on one device."""

    MATCH = "match"
    EMPTY = "empty"
    DRIFT = "drift"
    MISSING = "missing"
    UNKNOWN = "unknown"
    UNREACHABLE = "unreachable"

    @property
    def drifted(self) -> bool:
        """Whether the device runs, or lacks, something that was not put or taken by fleet."""
        return self in (Finding.DRIFT, Finding.MISSING, Finding.UNKNOWN)


class FileSeen(Value):
    """A file of the current release as the device hashed it."""

    path: str
    sha256: str
    size_bytes: int


class Drift(Value):
    """One model on one device: what the ledger expects, what is there, and what that means.

    `since` is when the ledger last proved this device; the age of what is known about it.
    """

    device: str
    model: str
    finding: Finding
    expected: str | None = None
    found: str | None = None
    because: str = ""
    behind_lock: bool = False
    since: datetime | None = None
    emulated: bool = False


class Expected(Value):
    """The release the ledger last saw proved on a device, and when."""

    manifest: Manifest
    since: datetime


class Hashed(Value):
    """The current release of a model on a device, every file hashed there just now."""

    model: str
    current: str | None
    files: tuple[FileSeen, ...] = ()


def drifts(
    device: Device,
    models: Sequence[str],
    seen: Sequence[Hashed] | Unobserved,
    expected: Mapping[str, Expected],
    known: Mapping[str, Mapping[str, Manifest]],
    lock: Lock,
) -> tuple[Drift, ...]:
    """One finding for each model that is on a device, should be there, or could be.

    Args:
        models: the models of the catalog that are meant for the device.
        expected: what was last proved on it, by model; known: manifests by model and by name.
    """
    there = {} if isinstance(seen, Unobserved) else {hashed.model: hashed for hashed in seen}
    found = []
    for model in sorted({*there, *expected, *models}):
        last, releases = expected.get(model), known.get(model, {})
        now = there.get(model, Hashed(model=model, current=None))
        if isinstance(seen, Unobserved):
            finding, because = Finding.UNREACHABLE, f"{seen.code}: {seen.because}"
        else:
            finding, because = compare(last.manifest if last else None, now, releases)
        found.append(
            Drift(
                device=device.name,
                model=model,
                finding=finding,
                expected=last.manifest.release if last else None,
                found=now.current,
                because=because,
                behind_lock=_behind(releases.get(now.current or ""), lock),
                since=last.since if last else None,
                emulated=device.emulated,
            )
        )
    return tuple(found)


def _behind(running: Manifest | None, lock: Lock) -> bool:
    locked = lock.find(running.model) if running else None
    return bool(running and locked and running.version != locked.version)


def compare(
    expected: Manifest | None, seen: Hashed, known: Mapping[str, Manifest]
) -> tuple[Finding, str]:
    """What the current release of a model on a device amounts to, and why.

    Args:
        expected: what the ledger last put there, or None if it never did.
        known: every release the ledger has a manifest of, by name.
    """
    found = seen.current
    if found is None:
        if expected is None:
            return Finding.EMPTY, "nothing was deployed, and nothing is there"
        return Finding.MISSING, "no current release on the device"
    if found not in known:
        return Finding.UNKNOWN, f"release {found} was never deployed from this ledger"
    if wrong := damage(known[found], seen.files):
        return Finding.DRIFT, "; ".join(wrong)
    if expected is None or found != expected.release:
        was = expected.release if expected else "nothing"
        return Finding.DRIFT, f"runs {found}, and the ledger last put {was} there"
    return Finding.MATCH, "every file has the digest it was proved with"


def damage(manifest: Manifest, files: Sequence[FileSeen]) -> list[str]:
    """What is wrong with the files of a release, in words; nothing where all are as proved."""
    seen = {file.path: file for file in files}
    wanted: dict[str, str] = {file.path: file.sha256 for file in manifest.files}
    wanted[MANIFEST] = manifest.sha256
    wrong = []
    for path, digest in sorted(wanted.items()):
        if path not in seen:
            wrong.append(f"{path} is missing")
        elif seen[path].sha256 != digest:
            wrong.append(f"{path} is {seen[path].sha256[:12]}…, and was proved as {digest[:12]}…")
    wrong += [f"{path} does not belong there" for path in sorted(seen.keys() - wanted.keys())]
    return wrong
