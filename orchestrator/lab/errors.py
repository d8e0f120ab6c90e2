"""What can go wrong with a lab, and the next command for each."""

from orchestrator.errors import FleetError, Owner


class LabError(FleetError):
    """Base of everything a lab refuses or fails to do."""

    path: tuple[str, ...] = ("LAB",)
    owner = Owner.CONTROLLER


class LabDown(LabError):
    """Something was asked of a lab that is not up."""

    path = ("LAB", "DOWN")
    owner = Owner.OPERATOR

    def __init__(self, why: str) -> None:
        super().__init__(why, hint="start one: fleet lab up")


class SshdMissing(LabError):
    """This machine has no OpenSSH server program."""

    path = ("LAB", "SSHD_MISSING")
    owner = Owner.OPERATOR

    def __init__(self, searched: tuple[str, ...]) -> None:
        super().__init__(
            f"no 'sshd' on this machine (searched {', '.join(searched)})",
            hint="install it: apt-get install --no-install-recommends openssh-server",
        )


class NoTierWorks(LabError):
    """No way of making devices works on this machine."""

    path = ("LAB", "TIER")


class BootFailed(LabError):
    """The supervisor or a device did not come up."""

    path = ("LAB", "BOOT")


class AddressesTaken(LabError):
    """No free block of loopback addresses is left."""

    path = ("LAB", "ADDRESSES")
    owner = Owner.OPERATOR


class CannotBreak(LabError):
    """A breakage that this device cannot be given now."""

    path = ("LAB", "BREAK")
    owner = Owner.OPERATOR


class LabBusy(LabError):
    """Another command is starting or stopping the same lab."""

    path = ("LAB", "BUSY")
    owner = Owner.OPERATOR


class UserlandMissing(LabError):
    """This machine lacks programs that a kind of device is made of."""

    path = ("LAB", "USERLAND_MISSING")
    owner = Owner.OPERATOR

    def __init__(self, userland: str, programs: list[str], packages: list[str]) -> None:
        super().__init__(
            f"no {', '.join(dict.fromkeys(programs))} on this machine for userland {userland!r}",
            hint=f"install it: apt-get install --no-install-recommends {' '.join(packages)}",
        )


class StorageRefused(LabError):
    """A file system of the wanted sort cannot be made for devices here."""

    path = ("LAB", "STORAGE")
    owner = Owner.OPERATOR


class DebianMissing(LabError):
    """The programs of another architecture cannot be fetched here."""

    path = ("LAB", "DEBIAN_MISSING")
    owner = Owner.OPERATOR

    def __init__(self, why: str, hint: str = "") -> None:
        super().__init__(
            f"cannot fetch a Debian for emulated devices: {why}",
            hint=hint or "it needs a Debian with apt, whose mirror can be reached: apt-get update",
        )


class WheelsMissing(LabError):
    """The inference runtimes for another architecture cannot be fetched, or do not start."""

    path = ("LAB", "WHEELS_MISSING")
    owner = Owner.OPERATOR

    def __init__(self, machine: str, why: str, hint: str = "") -> None:
        super().__init__(
            f"no inference runtimes for emulated {machine} devices: {why}",
            hint=hint or "can the package index be reached? then run the same command again",
        )
