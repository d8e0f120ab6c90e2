"""How a file goes to a device: from where on, and as itself, compressed, or as what has changed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from orchestrator.artifact.manifest import Manifest
from orchestrator.deploy.delta import SHELL_MOST, Delta
from orchestrator.deploy.economy import Offer, Way, cheapest, worth_asking
from orchestrator.deploy.errand import Errand
from orchestrator.deploy.goods import codecs
from orchestrator.rollout.drift import FileSeen

_MOST_BASES = 3


@dataclass(frozen=True, slots=True)
class There:
    """What a device holds when a step begins.

    `staged` are the files of the release itself, whole or not; `releases` the others, by model and
    name; `unpacks` says what it can decompress; `gateway` is the address from which we come to it.
    """

    staged: Mapping[str, FileSeen]
    releases: tuple[tuple[str, str], ...] = ()
    unpacks: frozenset[str] = frozenset()
    gateway: str = ""


@dataclass(frozen=True, slots=True)
class Base:
    """Another version of a file on the device: where it lies, what it is, and what has changed."""

    place: str
    sha256: str
    delta: Delta


@dataclass(frozen=True, slots=True)
class Choice:
    """How a file goes: by which way, from which byte on, and what that needs."""

    way: Way = Way.WHOLE
    offset: int = 0
    codec: str = ""
    base: Base | None = None

    @property
    def clever(self) -> bool:
        """Whether sending the file whole is something else, and may go well where this does not."""
        return self.way is not Way.WHOLE or self.offset > 0


def places(errand: Errand, there: There) -> dict[str, str]:
    """Where on the device, below its storage root, the bytes of a digest should lie already."""
    return {
        file.sha256: _place(model, release, file.path)
        for model, release, manifest in _others(errand, there)
        for file in manifest.files
    }


def chosen(errand: Errand, there: There, name: str, seen: FileSeen | None) -> Choice:
    """The way that costs least for one missing file of a release.

    Args:
        seen: what is staged of it.
    """
    whole = next((file for file in errand.manifest.files if file.path == name), None)
    if whole is None:
        return Choice()
    offset = 0
    if seen is not None and 0 < seen.size_bytes < whole.size_bytes:
        begins = errand.goods.begins(whole.sha256, seen.size_bytes, seen.sha256)
        offset = seen.size_bytes if begins else 0
    left, rate = whole.size_bytes - offset, _rate(errand)
    if not worth_asking(left, errand.link, rate):
        return Choice(offset=offset)
    base, codec = _base(errand, there, name, whole.sha256), codec_of(there)
    offers = [Offer(Way.DELTA, base.delta.size)] if base else []
    if codec:
        packs = "gzip" if codec == "python" else codec
        ratio = errand.goods.ratio(packs, whole.sha256)
        offers.append(Offer(Way.SQUEEZED, int(left * ratio)))
    match cheapest(left, offers, errand.link, rate):
        case Way.DELTA:
            return Choice(Way.DELTA, base=base)
        case Way.SQUEEZED:
            return Choice(Way.SQUEEZED, offset, codec)
        case Way.WHOLE:
            return Choice(offset=offset)


def _rate(errand: Errand) -> float | None:
    """What the line carries, as measured or as it is allowed to."""
    rates = [bucket.bytes_per_s for bucket in errand.buckets]
    return min([*rates, *([errand.bytes_per_s] if errand.bytes_per_s else [])], default=None)


def _others(errand: Errand, there: There) -> Iterator[tuple[str, str, Manifest]]:
    """The known releases on the device but the one that is to come, those of its own model first."""
    own = (errand.step.model, errand.step.release)
    ordered = sorted(
        there.releases, key=lambda each: (each[0] != own[0], each[1] != errand.step.was)
    )
    for each in ordered:
        if each != own and (manifest := errand.known.get(each)) is not None:
            yield *each, manifest


def _base(errand: Errand, there: There, name: str, sha256: str) -> Base | None:
    """The other version of a file, on the device and here, from which the least has changed."""
    most = None if "python" in there.unpacks else SHELL_MOST
    found: list[Base] = []
    for model, release, manifest in _others(errand, there):
        old = next((file.sha256 for file in manifest.files if file.path == name), None)
        if old is None or any(base.sha256 == old for base in found):
            continue
        made = errand.goods.delta(old, sha256)
        if made is not None and (most is None or made.pieces <= most):
            found.append(Base(_place(model, release, name), old, made))
        if len(found) == _MOST_BASES:
            break
    return min(found, key=lambda base: base.delta.size, default=None)


def codec_of(there: There) -> str:
    """What both sides can compress with, as the device's script calls it; empty for none."""
    for codec in codecs():
        if codec in there.unpacks:
            return codec
    return "python" if "python" in there.unpacks else ""


def _place(model: str, release: str, name: str) -> str:
    return f"{model}/releases/{release}/{name}"
