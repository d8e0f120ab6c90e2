"""What was declared of a device against what it said when it was asked."""

from collections.abc import Iterator

from orchestrator.inventory.device import Device
from orchestrator.inventory.facts import Facts
from orchestrator.inventory.profile import Profile
from orchestrator.values import Value

_ROOM = 0.75
"""Firmware, GPU and kernel keep some memory for themselves: a Pi's 4096 MiB are 3793."""


class Contradiction(Value):
    """One thing that cannot be as declared; `by` is the inventory or a profile's name."""

    key: str
    by: str
    declared: str
    found: str

    @property
    def words(self) -> str:
        """In one line, for people."""
        return f"{self.key}: {self.by} says {self.declared}, the device {self.found}"


def contradictions(device: Device, profile: Profile, facts: Facts) -> tuple[Contradiction, ...]:
    """Everything a device denies, the inventory's own words before its profile's.

    What a device did not answer contradicts nothing, and neither does more memory than a profile
    says: profiles name the least that is sold.
    """
    return tuple(
        Contradiction(key=key, by=by, declared=declared, found=found)
        for key, by, declared, found in _differences(device, profile, facts)
    )


def _differences(
    device: Device, profile: Profile, facts: Facts
) -> Iterator[tuple[str, str, str, str]]:
    mine, there = "the inventory", f"profile {profile.name}"
    own = device.facts
    arch, by = (own.arch, mine) if own.arch else (profile.arch, there)
    if facts.arch and arch != facts.userland_arch:
        bits = " (32-bit userland)" if facts.arch != facts.userland_arch else ""
        yield "arch", by, arch, facts.userland_arch + bits
    board, by = (own.board, mine) if own.board else (profile.board, there)
    if board and facts.board and not _named(board, facts.board):
        yield "board", by, board, facts.board
    if facts.ram_mib and own.ram_mib and not _alike(own.ram_mib, facts.ram_mib):
        yield "ram_mib", mine, str(own.ram_mib), str(facts.ram_mib)
    elif facts.ram_mib and not own.ram_mib and facts.ram_mib < profile.ram_mib * _ROOM:
        yield "ram_mib", there, str(profile.ram_mib), str(facts.ram_mib)
    if own.cores is not None and own.cores != facts.cores:
        yield "cores", mine, str(own.cores), str(facts.cores)
    has, by = (own.accelerators, mine) if own.accelerators is not None else (None, there)
    wanted = set(profile.accelerators if has is None else has)
    if wanted != set(facts.accelerators):
        yield "accelerators", by, _words(wanted), _words(set(facts.accelerators))
    if facts.libc and facts.libc != profile.libc:
        yield "libc", there, profile.libc.value, facts.libc.value
    if profile.prefix and facts.prefix and profile.prefix != facts.prefix:
        yield "prefix", there, profile.prefix, facts.prefix
    if not any(facts.version_of(runtime) for runtime in profile.runtimes):
        offers = _words({runtime.value for runtime in profile.runtimes})
        yield "runtimes", there, offers, _words({each.name.value for each in facts.runtimes})
    if device.emulated != bool(facts.emulated):
        said = {True: "emulated", False: "real"}
        yield "emulated", mine, said[device.emulated], said[bool(facts.emulated)]


def _named(board: str, found: str) -> bool:
    """Whether the declared words stand in the board's own name, in order and whole."""
    return f" {board.lower()} " in f" {found.lower()} "


def _alike(declared_mib: int, found_mib: int) -> bool:
    return declared_mib * _ROOM <= found_mib <= declared_mib / _ROOM


def _words(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "none"
