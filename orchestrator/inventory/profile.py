"""What a kind of device offers: architecture, runtimes, accelerators, memory, and where it keeps releases."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from orchestrator.inventory.runner import Proof, Runner
from orchestrator.inventory.software import Libc
from orchestrator.values import Mib, Name, Value


class Kind(StrEnum):
    """The family of boards a profile belongs to."""

    RASPBERRY_PI = "raspberry-pi"
    JETSON = "jetson"
    CORAL = "coral"
    PHONE = "phone"
    X86 = "x86"
    OTHER = "other"


class Runtime(StrEnum):
    """A program on the device that can run a model."""

    LITERT = "litert"
    TFLITE_RUNTIME = "tflite-runtime"
    ONNXRUNTIME = "onnxruntime"
    OPENVINO = "openvino"
    NATIVE = "native"
    BENCHMARK_MODEL = "benchmark_model"


class TransportKind(StrEnum):
    """By what a device is reached."""

    SSH = "ssh"
    ADB = "adb"


class Tried(StrEnum):
    """How far a profile has been tried by this project; each includes those before it."""

    LISTED = "listed"
    BUILT = "built"
    EMULATED = "emulated"
    HARDWARE = "hardware"

    @property
    def means(self) -> str:
        """In words, for tables and pages."""
        return _MEANS[self]


_MEANS = {
    Tried.LISTED: "described here; what it answers is read in tests, from recordings",
    Tried.BUILT: "every kind of artifact for its runtimes is built, measured and proved by the tests here",
    Tried.EMULATED: "a lab device stands for it, with real sshd and runtimes on another processor",
    Tried.HARDWARE: "deployed to a real one",
}


class Profile(Value):
    """What every device of one kind offers, until the device itself is asked.

    `board` are words in the name that the board gives itself. `libc` decides which wheels
    can be installed, `prefix` is where programs are that are in /usr elsewhere. `runner` is the site's
    own program for devices without a runtime, `proof` what a smoke test must show at least.
    """

    name: Name
    kind: Kind
    description: str = ""
    board: str = ""
    arch: str
    ram_mib: Mib
    runtimes: Annotated[tuple[Runtime, ...], Field(min_length=1)]
    accelerators: tuple[str, ...] = ()
    libc: Libc = Libc.GLIBC
    prefix: str = ""
    storage_root: str = "~/.fleet"
    python: str = "python3"
    runner: Runner | None = None
    proof: Proof = Proof.COMPARED
    transport: TransportKind = TransportKind.SSH
    port: Annotated[int, Field(ge=1, le=65535)] = 22
    tried: Tried = Tried.LISTED
