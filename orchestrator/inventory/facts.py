"""What a device said when it was asked, with the time; and what its owner declared beforehand."""

from datetime import datetime

from pydantic import Field

from orchestrator.inventory.condition import Temperature, throttling
from orchestrator.inventory.cpu import instructions
from orchestrator.inventory.profile import Runtime
from orchestrator.inventory.software import Libc, Software
from orchestrator.values import Mib, Value, digest

_BESIDE = ("numpy", "tensorflow", "termux")
"""Software that no model of fleet's is run by."""


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
    """One device's answers at one time. Absent answers are None or empty, never guessed.

    `cpu` names each kind of core once; `providers` are ONNX Runtime's execution providers;
    `temperature_c` is that of the hottest zone; `throttled` is what a Raspberry Pi's firmware says.
    """

    observed_at: datetime
    arch: str
    userland_bits: int = Field(
        default=64, description="32 on a 32-bit userland, whatever uname says"
    )
    cores: int = 1
    cpu: tuple[str, ...] = ()
    cpu_features: tuple[str, ...] = ()
    ram_mib: Mib = 0
    ram_free_mib: Mib = 0
    disk_mib: Mib = 0
    disk_free_mib: Mib = 0
    inodes_free: int | None = None
    storage: str = Field(default="", description="the file system releases lie on, as df names it")
    os: str = ""
    kernel: str = ""
    libc: Libc | None = None
    libc_version: str = ""
    prefix: str = Field(default="", description="where Termux keeps what is /usr elsewhere")
    board: str = ""
    soc: str = ""
    l4t: str | None = None
    power_mode: str | None = None
    throttled: str | None = None
    temperature_c: float | None = None
    temperatures: tuple[Temperature, ...] = ()
    accelerators: tuple[str, ...] = ()
    python: str | None = None
    runtimes: tuple[InstalledRuntime, ...] = ()
    providers: tuple[str, ...] = ()
    software: tuple[Software, ...] = ()
    clock_skew_s: float = 0.0
    emulated: str | None = Field(default=None, description="what a lab device really runs on")

    @property
    def fingerprint(self) -> str:
        """What makes measurements comparable, as 16 hex digits.

        Board, processor, power mode, accelerators, and the versions of what computes.
        """
        same = (
            self.board,
            self.arch,
            self.userland_bits,
            self.cores,
            self.cpu_features,
            self.power_mode,
            self.accelerators,
            self.runtimes,
            self.providers,
            tuple(each for each in self.software if each.name not in _BESIDE),
            self.emulated,
        )
        return digest(same)[:16]

    @property
    def instructions(self) -> tuple[str, ...]:
        """What makes inference fast on this processor: ``neon``, ``fp16``, ``dotprod``, ``i8mm`` …"""
        return instructions(self.cpu_features)

    @property
    def userland_arch(self) -> str:
        """What programs are compiled for: ``armv7l`` on a 32-bit userland of an ARMv8 processor."""
        return "armv7l" if self.arch == "aarch64" and self.userland_bits == 32 else self.arch

    @property
    def throttling(self) -> tuple[str, ...]:
        """What slows a Raspberry Pi down right now."""
        return throttling(self.throttled)

    def version_of(self, runtime: Runtime) -> str | None:
        """The installed version of a runtime, or None where it is not installed.

        TensorRT's is that of its library. An Edge TPU's is that of its driver's library, where the
        accelerator itself and a TFLite interpreter to load it into are there as well.
        """
        if runtime is Runtime.TENSORRT:
            return self.software_version("tensorrt")
        if runtime is Runtime.EDGETPU:
            return None if self.lacks(runtime) else self.software_version("libedgetpu")
        return next((r.version for r in self.runtimes if r.name is runtime), None)

    def software_version(self, name: str) -> str | None:
        """The version of a piece of software, or None where it is not there."""
        return next((each.version for each in self.software if each.name == name), None)

    def lacks(self, runtime: Runtime) -> str:
        """What of a runtime of several parts is not there; empty for those of one part."""
        if runtime is Runtime.TENSORRT and self.software_version("tensorrt") is None:
            return f"{runtime.value} is not installed"
        if runtime is not Runtime.EDGETPU:
            return ""
        if "edgetpu" not in self.accelerators:
            return "no Edge TPU is on its buses"
        if self.software_version("libedgetpu") is None:
            return "libedgetpu is not installed on the device"
        able = (Runtime.LITERT, Runtime.TFLITE_RUNTIME)
        if not any(each.name in able for each in self.runtimes):
            return "an Edge TPU needs litert or tflite-runtime, and neither is installed"
        return ""
