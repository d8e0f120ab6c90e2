"""YAML texts → Inventory: every device, group and profile by name, cross-references checked."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from orchestrator.errors import nearest
from orchestrator.inventory.device import (
    Device,
    Group,
    Link,
    Port,
    StorageRoot,
    Word,
)
from orchestrator.inventory.profile import Profile, TransportKind
from orchestrator.values import Name, Value
from orchestrator.yamltext import Document

T = TypeVar("T")
N = TypeVar("N", Profile, Group)
_OFFERED = ("transport", "port", "python", "storage_root", "runner", "proof")
"""What a device has from its profile unless it says otherwise."""


class Defaults(Value):
    """What every device of one file has unless it says otherwise; a device's own words win."""

    transport: TransportKind | None = None
    user: Word | None = None
    port: Port | None = None
    identity_file: str | None = None
    known_hosts: str | None = None
    python: str | None = None
    storage_root: StorageRoot | None = None
    via: Name | None = None
    link: Link | None = None


@dataclass(frozen=True, slots=True)
class Inventory:
    """Everything that exists. Mappings are in natural order of their names."""

    devices: Mapping[str, Device] = field(default_factory=dict)
    groups: Mapping[str, Group] = field(default_factory=dict)
    profiles: Mapping[str, Profile] = field(default_factory=dict)

    def profile_of(self, device: Device) -> Profile:
        """The profile a device names; reading the inventory has made sure that it exists."""
        return self.profiles[device.profile]

    def members(self, group: str) -> frozenset[str]:
        """The names of the devices in a group, those of its children included."""
        wanted = {group}
        queue = [group]
        while queue:
            for child in self.groups[queue.pop()].children:
                if child not in wanted:
                    wanted.add(child)
                    queue.append(child)
        return frozenset(d.name for d in self.devices.values() if wanted.intersection(d.groups))


def natural(name: str) -> tuple[tuple[int, int | str], ...]:
    """A sorting key under which ``pi-2`` comes before ``pi-10``."""
    parts = re.split(r"(\d+)", name)
    return tuple((0, int(p)) if p.isdigit() else (1, p) for p in parts if p)


def read_inventory(texts: Iterable[tuple[str, str]]) -> Inventory:
    """Merge inventory files, given as (file name, text), into one checked Inventory.

    Raises:
        BadInput: a syntax error, an unknown key, a name given twice, an unknown profile or
            group, or a cycle of groups; with file and line.
    """
    documents = [Document(text, file) for file, text in texts]
    for document in documents:
        document.only("defaults", "profiles", "groups", "devices")
    profiles = _named(documents, "profiles", Profile)
    groups = _named(documents, "groups", Group)
    _refuse_names_of_two_things(documents, groups)
    devices = _devices(documents, profiles, groups)
    _refuse_bad_children(documents, groups)
    _refuse_bad_ways(documents, devices)
    return Inventory(devices, groups, profiles)


def _named(documents: Iterable[Document], section: str, kind: type[N]) -> dict[str, N]:
    found: dict[str, N] = {}
    first: dict[str, str] = {}
    for document in documents:
        for name in document.section(section):
            path = (section, name)
            _refuse_twice(document, path, first)
            found[name] = document.into(kind, path, name=name)
    return _in_order(found)


def _devices(
    documents: Iterable[Document], profiles: Mapping[str, Profile], groups: Mapping[str, Group]
) -> dict[str, Device]:
    found: dict[str, Device] = {}
    first: dict[str, str] = {}
    for document in documents:
        defaults = document.into(Defaults, ("defaults",)).model_dump(exclude_none=True)
        for name in document.section("devices"):
            path = ("devices", name)
            _refuse_twice(document, path, first)
            profile = _profile(document, path, profiles)
            offered = {key: getattr(profile, key) for key in _OFFERED}
            device = document.into(Device, path, **{**offered, **defaults, "name": name})
            for index, group in enumerate(device.groups):
                if group not in groups:
                    raise document.refuse(
                        f"device {name!r} is in unknown group {group!r}{nearest(group, groups)}",
                        (*path, "groups", index),
                        hint=f"add it under 'groups:', or use one of: {', '.join(groups)}",
                    )
            found[name] = device
    return _in_order(found)


def _profile(document: Document, path: tuple[str, str], profiles: Mapping[str, Profile]) -> Profile:
    name = document.at((*path, "profile"))
    if name is None:
        raise document.refuse(
            f"device {path[1]!r} names no profile", path, hint="add a line profile: …"
        )
    if not isinstance(name, str) or name not in profiles:
        raise document.refuse(
            f"device {path[1]!r} has unknown profile {name!r}{nearest(str(name), profiles)}",
            (*path, "profile"),
            hint=f"known profiles: {', '.join(profiles)}",
        )
    return profiles[name]


def _refuse_names_of_two_things(documents: Iterable[Document], groups: Mapping[str, Group]) -> None:
    """A target must mean one thing: ``all``, a group, or a device."""
    for document in documents:
        for section in ("groups", "devices"):
            if "all" in document.section(section):
                raise document.refuse(
                    "'all' already means every device", (section, "all"), hint="rename it"
                )
        for name in document.section("devices"):
            if name in groups:
                raise document.refuse(
                    f"device {name!r} has the name of a group",
                    ("devices", name),
                    hint="rename one of them: a target could mean either",
                )


def _refuse_twice(document: Document, path: tuple[str, str], first: dict[str, str]) -> None:
    where = f"{document.file}:{document.line(path)}"
    if path[1] in first:
        raise document.refuse(
            f"{path[0].removesuffix('s')} {path[1]!r} is already defined in {first[path[1]]}",
            path,
            hint="rename or remove one of them",
        )
    first[path[1]] = where


def _refuse_bad_children(documents: Iterable[Document], groups: Mapping[str, Group]) -> None:
    for document in documents:
        for name in document.section("groups"):
            for child in groups[name].children:
                if child not in groups:
                    raise document.refuse(
                        f"group {name!r} contains unknown group {child!r}{nearest(child, groups)}",
                        ("groups", name, "children"),
                    )
            if cycle := _cycle_from(name, groups):
                raise document.refuse(
                    f"groups contain each other: {' > '.join(cycle)}",
                    ("groups", name, "children"),
                    hint="remove one of these from its parent's children",
                )


def _refuse_bad_ways(documents: Iterable[Document], devices: Mapping[str, Device]) -> None:
    """Whoever is reached through another one must come to one that is reached directly."""
    for document in documents:
        for name in document.section("devices"):
            way = [name]
            while (via := devices[way[-1]].via) is not None:
                where = ("devices", name, "via")
                if via not in devices:
                    raise document.refuse(
                        f"device {name!r} is reached via unknown {via!r}{nearest(via, devices)}",
                        where,
                        hint="a gateway is a device, too: describe it under 'devices:'",
                    )
                if devices[via].transport is not TransportKind.SSH:
                    raise document.refuse(
                        f"gateway {via!r} is reached over adb, which carries no further",
                        where,
                        hint="name a gateway with an SSH server",
                    )
                if via in way:
                    raise document.refuse(
                        f"gateways lead to each other: {' > '.join([*way, via])}",
                        where,
                        hint="remove one of these",
                    )
                way.append(via)


def _cycle_from(start: str, groups: Mapping[str, Group]) -> tuple[str, ...]:
    """The way from a group back to itself, or nothing."""
    stack: list[tuple[str, ...]] = [(start,)]
    seen: set[str] = set()
    while stack:
        way = stack.pop()
        for child in groups[way[-1]].children if way[-1] in groups else ():
            if child == start:
                return (*way, start)
            if child not in seen:
                seen.add(child)
                stack.append((*way, child))
    return ()


def _in_order(found: Mapping[str, T]) -> dict[str, T]:
    return {name: found[name] for name in sorted(found, key=natural)}
