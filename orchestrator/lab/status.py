"""What a lab says about itself."""

import json
from collections.abc import Container, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from orchestrator.errors import NotFound
from orchestrator.lab.breakage import Breakage
from orchestrator.lab.spec import PORT, Sort, Storage, Tier
from orchestrator.lab.userland import USERLANDS


@dataclass(frozen=True, slots=True)
class LabDevice:
    """One emulated device. `broken` is what was done to it and not yet mended."""

    name: str
    kind: str
    address: str
    port: int
    alive: bool
    broken: tuple[Breakage, ...] = ()
    userland: str = "host"


@dataclass(frozen=True, slots=True)
class LabStatus:
    """A lab, or with `up` false the reason (`why`) there is none.

    `why` says what was tried for the tier and how it went; `lacks` names the inference runtimes
    that this machine has not installed and devices therefore do not have; `user` logs in.
    """

    up: bool
    tier: Tier | None
    why: str
    devices: tuple[LabDevice, ...] = ()
    lacks: tuple[str, ...] = ()
    user: str = ""


@dataclass(frozen=True, slots=True)
class State:
    """What stands in ``state.json``: enough to find and to tell the supervisor again."""

    pid: int
    born: int
    tier: Tier
    user: str
    why: str
    lacks: tuple[str, ...]
    devices: tuple[tuple[str, str, str], ...]
    """(name, kind, address)"""
    userlands: tuple[str, ...]
    """One for each device."""
    storage: Storage

    def is_such(self, tier: str, userlands: tuple[str, ...], storage: Storage) -> bool:
        """Whether this lab is what somebody wants; an empty `tier` is any."""
        return (self.userlands, self.storage) == (userlands, storage) and tier in ("", self.tier)

    def text(self) -> str:
        """This value as JSON."""
        return json.dumps({**asdict(self), "port": PORT}, indent=1) + "\n"

    @classmethod
    def read(cls, text: str) -> "State":
        """The value that `text` wrote.

        Raises:
            ValueError: it was written by another version.
        """
        data: dict[str, Any] = json.loads(text)
        try:
            del data["port"]
            data["tier"] = Tier(data["tier"])
            data["lacks"] = tuple(data["lacks"])
            data["devices"] = tuple((name, kind, where) for name, kind, where in data["devices"])
            data["userlands"] = tuple(data["userlands"])
            data["storage"] = Storage(Sort(data["storage"].pop("sort")), **data["storage"])
            return cls(**data)
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a lab's state: {error}") from error

    def require(self, name: str) -> tuple[str, str, str]:
        """The device of that name.

        Raises:
            NotFound: there is none.
        """
        for device in self.devices:
            if device[0] == name:
                return device
        raise NotFound("lab device", name, [known for known, _, _ in self.devices])

    def userland(self, name: str) -> str:
        """The userland of a device, which must be there."""
        return self.userlands[[known for known, _, _ in self.devices].index(name)]

    def servers(
        self, names: Container[str] | None = None
    ) -> tuple[tuple[str, tuple[str, int], str], ...]:
        """(name, (address, port), server) of those devices, or of all."""
        return tuple(
            (name, (address, USERLANDS[land].port), USERLANDS[land].server)
            for (name, _, address), land in zip(self.devices, self.userlands, strict=True)
            if names is None or name in names
        )

    def status(
        self, running: Mapping[str, int], broken: Mapping[str, tuple[Breakage, ...]]
    ) -> LabStatus:
        """This lab with those devices running."""
        devices = tuple(
            LabDevice(
                name, kind, where, USERLANDS[land].port, name in running, broken.get(name, ()), land
            )
            for (name, kind, where), land in zip(self.devices, self.userlands, strict=True)
        )
        return LabStatus(True, self.tier, self.why, devices, self.lacks, self.user)
