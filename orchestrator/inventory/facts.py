"""What a device said when it was asked, with the time; and what its owner declared beforehand."""

from datetime import datetime

from pydantic import Field

from orchestrator.inventory.profile import Runtime
from orchestrator.values import Mib, Value, digest


class InstalledRuntime(Value):
    """A runtime found on a device; `version` is what it calls itself."""

    name: Runtime
    version: str


class DeclaredFacts(Value):
    """Facts an inventory claims about one device, standing until the device is asked."""

    arch: str | None = None
    ram_mib: Mib | None = None
    cores: int | None = None
    board: str | None = None
    accelerators: tuple[str, ...] | None = None


class Facts(Value):
    """One device's answers at one time. Absent answers are None or empty, never guessed."""

    observed_at: datetime
    arch: str
    userland_bits: int = Field(
        default=64, description="32 on a 32-bit userland, whatever uname says"
    )
    cores: int = 1
    cpu_features: tuple[str, ...] = ()
    ram_mib: Mib = 0
    ram_free_mib: Mib = 0
    disk_free_mib: Mib = 0
    inodes_free: int | None = None
    os: str = ""
    kernel: str = ""
    board: str = ""
    l4t: str | None = None
    power_mode: str | None = None
    throttled: str | None = None
    temperature_c: float | None = None
    accelerators: tuple[str, ...] = ()
    python: str | None = None
    runtimes: tuple[InstalledRuntime, ...] = ()
    clock_skew_s: float = 0.0
    emulated: str | None = Field(default=None, description="what a lab device really runs on")

    @property
    def fingerprint(self) -> str:
        """What makes measurements comparable: board, CPU, power mode and runtimes, as 16 hex digits."""
        same = (
            self.board,
            self.arch,
            self.userland_bits,
            self.cores,
            self.cpu_features,
            self.power_mode,
            self.accelerators,
            self.runtimes,
            self.emulated,
        )
        return digest(same)[:16]

    def version_of(self, runtime: Runtime) -> str | None:
        """The installed version of a runtime, or None where it is not installed."""
        return next((r.version for r in self.runtimes if r.name is runtime), None)
