"""What a new lab is made of, decided before anything is started."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from orchestrator.lab.adbd import adbd
from orchestrator.lab.addresses import MOST, Block
from orchestrator.lab.errors import LabError
from orchestrator.lab.foreign import Foreign, Vm, foreign
from orchestrator.lab.kinds import mix
from orchestrator.lab.runtime import DevicePython
from orchestrator.lab.spec import DeviceSpec, Places, Spec, Storage, Tier
from orchestrator.lab.sshd import find_sshd
from orchestrator.lab.userland import Program, found, userland
from orchestrator.lab.vmimage import vm


@dataclass(frozen=True, slots=True)
class Making:
    """What a new lab is made of; `userlands` has one for each device."""

    sshd: str
    tier: str
    userlands: tuple[str, ...]
    storage: Storage
    programs: tuple[Program, ...]
    shared: Path | None
    foreigners: tuple[Foreign, ...]
    adbd: str
    vm: Vm | None

    def devices(self, block: Block) -> tuple[DeviceSpec, ...]:
        """Every device with its kind, userland and address."""
        named = zip(mix(len(self.userlands)), self.userlands, strict=True)
        return tuple(
            DeviceSpec(
                name, userland(land).profile or profile, block.address(index), land, self.storage
            )
            for index, ((name, profile), land) in enumerate(named)
        )

    def spec(
        self, places: Places, key: str, python: DevicePython, devices: tuple[DeviceSpec, ...]
    ) -> Spec:
        """What the supervisor is asked for."""
        return Spec(
            lab=str(places.lab),
            sshd=self.sshd,
            wanted=self.tier,
            authorized_key=key,
            python=python,
            devices=devices,
            programs=self.programs,
            shared=str(self.shared or ""),
            foreigners=self.foreigners,
            adbd=self.adbd,
            vm=self.vm,
        )


def checked(devices: int, tier: str | None) -> str:
    """The wanted tier's name, or nothing for any."""
    if not 1 <= devices <= MOST:
        raise LabError(f"cannot make {devices} devices", hint=f"ask for 1 to {MOST}")
    if tier and tier not in tuple(Tier):
        raise LabError(f"no tier named {tier!r}", hint=f"one of: {', '.join(Tier)}")
    return tier or ""


def planned(
    tier: str,
    userlands: tuple[str, ...],
    storage: Storage,
    shared: Path | None,
    tell: Callable[[str], None],
) -> Making:
    """What this machine has, and what is fetched for it, to make such a lab.

    Raises:
        SshdMissing, UserlandMissing, DebianMissing, WheelsMissing: something is not to be had.
    """
    sshd, programs = find_sshd(), found(userlands)
    lands = [userland(name) for name in dict.fromkeys(userlands)]
    others = tuple(foreign(land.name, tell) for land in lands if land.arch and not land.whole)
    phones = any(land.server == "adbd" for land in lands)
    machines = any(land.whole for land in lands)
    return Making(
        sshd=sshd,
        tier=tier,
        userlands=userlands,
        storage=storage,
        programs=programs,
        shared=shared,
        foreigners=others,
        adbd=adbd(tell) if phones else "",
        vm=vm(foreign("aarch64", tell), tell) if machines else None,
    )
