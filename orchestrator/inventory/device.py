"""One device: how to reach it, what kind it is, and what its owner says about it."""

from enum import StrEnum
from typing import Annotated, assert_never

from pydantic import Field, model_validator

from orchestrator.inventory.facts import DeclaredFacts
from orchestrator.inventory.profile import TransportKind
from orchestrator.inventory.runner import Proof, Runner
from orchestrator.values import BadPart, Labels, Name, Value

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
    `via` names the device through which this one is reached: a gateway, or jump host. A phone on
    adb has a `serial` (what ``adb devices`` calls it) where it has no address, and no user.
    """

    name: Name
    transport: TransportKind = TransportKind.SSH
    address: Word = ""
    serial: Word = ""
    profile: Name
    port: Port = 22
    user: Word = ""
    identity_file: str | None = None
    known_hosts: str | None = None
    groups: tuple[Name, ...] = ()
    labels: Labels = ()
    facts: DeclaredFacts = DeclaredFacts()
    python: str = "python3"
    runner: Runner | None = None
    proof: Proof = Proof.COMPARED
    storage_root: StorageRoot = "~/.fleet"
    via: Name | None = None
    link: Link = Link.AUTO
    emulated: bool = False

    @model_validator(mode="after")
    def _can_be_reached(self) -> "Device":
        """Raises `BadPart` if what its transport needs is missing, or belongs to another one."""
        match self.transport:
            case TransportKind.SSH:
                for key in ("address", "user"):
                    if not getattr(self, key):
                        raise BadPart(
                            f"{key!r} is missing in 'devices.{self.name}'",
                            hint=f"add a line {key}: …",
                        )
                if self.serial:
                    raise BadPart(
                        "'serial' means nothing over ssh",
                        "serial",
                        hint="add a line transport: adb, or remove this one",
                    )
            case TransportKind.ADB:
                if bool(self.address) == bool(self.serial):
                    raise BadPart(
                        "a device on adb has either an 'address' or a 'serial'",
                        hint="address: and port: on the network; serial: on USB, see adb devices",
                    )
                if self.via:
                    raise BadPart(
                        "adb has no gateways", "via", hint="run fleet where adb reaches the device"
                    )
            case _:
                assert_never(self.transport)
        return self

    @property
    def adb_serial(self) -> str:
        """What adb's server calls it."""
        return self.serial or f"{self.address}:{self.port}"

    @property
    def place(self) -> str:
        """Where it is, in words for people."""
        if self.transport is TransportKind.ADB:
            return f"adb {self.adb_serial}"
        return f"{self.user}@{self.address}:{self.port}"

    @property
    def by_hand(self) -> str:
        """A command by which a person sees whether it answers."""
        if self.transport is TransportKind.ADB:
            return f"adb -s {self.adb_serial} shell true"
        return f"ssh {self.user}@{self.address} -p {self.port} true"


class Group(Value):
    """A named set of devices: those that name it, and those of the groups it contains."""

    name: Name
    description: str = ""
    children: tuple[Name, ...] = ()
