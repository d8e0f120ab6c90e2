"""What `Lab.up` asks of the supervisor, and what it hears back: values that cross as JSON."""

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from orchestrator.lab.errors import LabError
from orchestrator.lab.foreign import Foreign, Vm
from orchestrator.lab.runtime import DevicePython
from orchestrator.lab.userland import Program, userland

PORT = 2222
DEVICE_USER = "pi"
DEVICE_UID = 1000
HOST = "host"
"""The packages' folder of devices with this machine's own Python."""
HOME_MIB = 96
"""Size of the file system that holds a device's /home, unless asked for otherwise."""


class Tier(StrEnum):
    """How devices are made."""

    NAMESPACES = "namespaces"
    PLAIN = "plain"


class Sort(StrEnum):
    """What a device's /home lies on."""

    TMPFS = "tmpfs"
    EXT4 = "ext4"
    BTRFS = "btrfs"


@dataclass(frozen=True, slots=True)
class Storage:
    """The file system of a device's /home; `inodes` 0 is as many as it makes by itself."""

    sort: Sort = Sort.TMPFS
    mib: int = HOME_MIB
    inodes: int = 0


ORDINARY = Storage()
"""What devices get unless somebody asks for something else."""


def storage_named(text: str) -> Storage:
    """``ext4:24`` → an ext4 image of 24 MiB.

    Raises:
        LabError: it is no sort of storage, with a number of MiB from 4 to 4096 or without.
    """
    sort, _, mib = text.partition(":")
    size = int(mib) if mib.isdigit() else HOME_MIB
    if sort not in tuple(Sort) or not 4 <= size <= 4096 or (mib and not mib.isdigit()):
        raise LabError(
            f"no storage {text!r}", hint="say tmpfs, tmpfs:96, ext4:24 or btrfs:64 (MiB)"
        )
    return Storage(Sort(sort), size)


@dataclass(frozen=True, slots=True)
class DeviceSpec:
    """One device to boot."""

    name: str
    profile: str
    address: str
    userland: str = "host"
    storage: Storage = ORDINARY

    @property
    def port(self) -> int:
        """Where its server listens."""
        return userland(self.userland).port

    @property
    def whole(self) -> bool:
        """A machine with a kernel of its own."""
        return userland(self.userland).whole


@dataclass(frozen=True, slots=True)
class Spec:
    """A whole lab to boot. `wanted` is a tier's name, or empty for the best one that works."""

    lab: str
    sshd: str
    wanted: str
    authorized_key: str
    python: DevicePython
    devices: tuple[DeviceSpec, ...]
    programs: tuple[Program, ...] = ()
    shared: str = ""
    """A folder of this machine that every device sees at /opt/fleet-lab/shared; empty for none."""
    foreigners: tuple[Foreign, ...] = ()
    """What devices of other architectures are made of."""
    adbd: str = ""
    """The folder with adbd and what it loads; empty if no device has it for a server."""
    vm: Vm | None = None
    """What whole machines are made of, if there are any."""

    def program(self, name: str) -> Program:
        """A program of this machine that some userland needs, which must be there."""
        return next(program for program in self.programs if program.name == name)

    def device(self, name: str) -> DeviceSpec:
        """The device of that name, which must be there."""
        return next(device for device in self.devices if device.name == name)

    def foreign(self, userland: str) -> Foreign | None:
        """What devices of a userland of another architecture are made of."""
        return next((each for each in self.foreigners if each.userland == userland), None)

    def pythons(self) -> dict[str, DevicePython]:
        """The interpreters that devices have, each by the name of its packages' folder."""
        others = {each.userland: each.python for each in self.foreigners}
        return {HOST: self.python, **others}

    def text(self) -> str:
        """This value as JSON."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def read(cls, text: str) -> "Spec":
        """The value that `text` wrote."""
        data: dict[str, Any] = json.loads(text)
        python = _python(**data.pop("python"))
        foreigners = tuple(
            Foreign(python=_python(**one.pop("python")), **one) for one in data.pop("foreigners")
        )
        devices = tuple(_device(**device) for device in data.pop("devices"))
        programs = tuple(_program(**program) for program in data.pop("programs"))
        whole = data.pop("vm")
        vm = Vm(**whole) if whole else None
        return cls(
            python=python,
            foreigners=foreigners,
            devices=devices,
            programs=programs,
            vm=vm,
            **data,
        )


def _device(storage: dict[str, Any], **device: str) -> DeviceSpec:
    sort = Sort(storage.pop("sort"))
    return DeviceSpec(**device, storage=Storage(sort, **storage))


def _python(packages: list[list[str]], lacks: list[str], **python: str) -> DevicePython:
    pairs = tuple((entry, path) for entry, path in packages)
    return DevicePython(**python, packages=pairs, lacks=tuple(lacks))


def _program(libraries: list[str], applets: list[str], **program: str) -> Program:
    return Program(**program, libraries=tuple(libraries), applets=tuple(applets))


@dataclass(frozen=True, slots=True)
class Ready:
    """The supervisor's one answer after booting. `error` is empty when all went well."""

    pid: int
    tier: str
    user: str
    why: str
    error: str = ""

    def text(self) -> str:
        """This value as one line of JSON."""
        return json.dumps(asdict(self)) + "\n"

    @classmethod
    def read(cls, text: str) -> "Ready":
        """The value that `text` wrote."""
        return cls(**json.loads(text))


@dataclass(frozen=True, slots=True)
class Places:
    """Where things lie below a lab's directory (``<site>/.fleet/lab``)."""

    lab: Path

    @property
    def key(self) -> Path:
        """The private key that opens every device."""
        return self.lab / "id_ed25519"

    @property
    def known_hosts(self) -> Path:
        """Every device's host key, as OpenSSH writes them."""
        return self.lab / "known_hosts"

    @property
    def state(self) -> Path:
        """What is up, as JSON."""
        return self.lab / "state.json"

    @property
    def spec(self) -> Path:
        """What the supervisor was asked for."""
        return self.lab / "spec.json"

    @property
    def socket(self) -> Path:
        """Where the supervisor listens."""
        return self.lab / "control.sock"

    @property
    def runtime(self) -> Path:
        """The packages that devices' Pythons see, in a folder for each of `Spec.pythons`."""
        return self.lab / "runtime"

    @property
    def devices(self) -> Path:
        """Mount points, and in the plain tier the devices' files."""
        return self.lab / "devices"

    @property
    def marks(self) -> Path:
        """What was tampered with, so that it can be undone."""
        return self.lab / "marks"

    def host_key(self, device: str) -> Path:
        """A device's own key; kept when the lab goes down, so that its identity lasts."""
        return self.lab / "hostkeys" / device

    def quirks(self, device: str) -> Path:
        """Lines for a device's sshd_config that somebody asked for, until it is mended."""
        return self.lab / "quirks" / device

    def log(self, name: str) -> Path:
        """What a device's sshd said."""
        return self.lab / "logs" / f"{name}.log"

    def root(self, device: str) -> Path:
        """A device's root directory: a mount point, or in the plain tier the files themselves."""
        return self.devices / device / "root"

    def home(self, device: str, tier: str) -> Path:
        """What the device calls /home, as the supervisor sees it."""
        if tier == Tier.PLAIN:
            return self.root(device) / "home"
        return self.devices / device / "home"
