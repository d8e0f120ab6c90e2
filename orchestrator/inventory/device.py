"""One device: how to reach it, what kind it is, and what its owner says about it."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from orchestrator.inventory.facts import DeclaredFacts
from orchestrator.values import Labels, Name, Value

Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9_\[:][A-Za-z0-9._:%\[\]-]*$")]
"""An address or user name: no blanks, no quotes, nothing a shell or ssh option could be made of."""

Port = Annotated[int, Field(ge=1, le=65535)]

StorageRoot = Annotated[str, Field(pattern=r"^(~/|/)[A-Za-z0-9._/@+-]+$")]
"""A folder on the device; may begin with ``~/``."""


class Link(StrEnum):
    """What a device's line is worth: `auto` finds out how fast it is."""

    AUTO = "auto"
    METERED = "metered"
    FAST = "fast"


class Device(Value):
    """A device as the inventory describes it, what its file and its profile say already filled in.

    Paths are relative to the site; `storage_root` is on the device and may begin with ``~/``.
    `via` names the device through which this one is reached: a gateway, or jump host. A
    `build_host` has tools that compile models for others, and gets none itself.
    """

    name: Name
    address: Word
    profile: Name
    port: Port = 22
    user: Word
    identity_file: str | None = None
    known_hosts: str | None = None
    groups: tuple[Name, ...] = ()
    labels: Labels = ()
    facts: DeclaredFacts = DeclaredFacts()
    python: str = "python3"
    storage_root: StorageRoot = "~/.fleet"
    via: Name | None = None
    link: Link = Link.AUTO
    build_host: bool = False
    emulated: bool = False


class Group(Value):
    """A named set of devices: those that name it, and those of the groups it contains."""

    name: Name
    description: str = ""
    children: tuple[Name, ...] = ()
