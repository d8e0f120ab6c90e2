"""What a kind of device offers: architecture, runtimes, accelerators, memory, and where it keeps releases."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from orchestrator.values import Mib, Name, Value


class Kind(StrEnum):
    """The family of boards a profile belongs to."""

    RASPBERRY_PI = "raspberry-pi"
    JETSON = "jetson"
    PHONE = "phone"
    X86 = "x86"
    OTHER = "other"


class Runtime(StrEnum):
    """A program on the device that can run a model."""

    LITERT = "litert"
    TFLITE_RUNTIME = "tflite-runtime"
    ONNXRUNTIME = "onnxruntime"
    OPENVINO = "openvino"


class Tried(StrEnum):
    """How far a profile has been tried by this project; shown wherever profiles are."""

    LISTED = "listed"
    EMULATED = "emulated"
    HARDWARE = "hardware"


class Profile(Value):
    """What every device of one kind offers, until the device itself is asked."""

    name: Name
    kind: Kind
    board: str = ""
    arch: str
    ram_mib: Mib
    runtimes: Annotated[tuple[Runtime, ...], Field(min_length=1)]
    accelerators: tuple[str, ...] = ()
    storage_root: str = "~/.fleet"
    python: str = "python3"
    port: Annotated[int, Field(ge=1, le=65535)] = 22
    tried: Tried = Tried.LISTED
