"""A runtime as wheels, pinned by digest, and which devices it suits; the site's runtimes.lock."""

import json
import re
from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationError

from orchestrator.errors import BadInput
from orchestrator.inventory.profile import Runtime
from orchestrator.values import Name, Sha256, Value, canonical, digest

Glibc = tuple[int, int]
"""A version of the GNU C library, such as (2, 36)."""

_LEGACY = {"manylinux1": (2, 5), "manylinux2010": (2, 12), "manylinux2014": (2, 17)}


def _is_file(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]*\.whl", name):
        raise ValueError("should be the file name of a wheel")
    return name


class Wheel(Value):
    """One file of an index: what it is called, what it is, and how much it becomes."""

    file: Annotated[str, AfterValidator(_is_file)]
    sha256: Sha256
    size_bytes: int
    unpacked_bytes: int

    @property
    def project(self) -> str:
        """Whose it is, as its file name spells it."""
        return self.file.split("-")[0]

    @property
    def version(self) -> str:
        """Which version it is."""
        return self.file.split("-")[1]

    @property
    def glibc(self) -> Glibc:
        """The oldest C library it runs on; (0, 0) where it holds no machine code."""
        tags = self.file.removesuffix(".whl").rsplit("-", 1)[1].split(".")
        return min(map(_glibc, tags))


class Target(Value):
    """What a device's Python takes; `numpy` is the version it has of its own, or empty."""

    python: Annotated[str, Field(pattern=r"^3\.[0-9]+$")]
    arch: Name
    glibc: Glibc
    numpy: str = ""

    @property
    def platforms(self) -> tuple[str, ...]:
        """Every platform tag it takes, newest first. Source: PEP 600, PEP 599, PEP 571, PEP 513."""
        major, newest = self.glibc
        oldest = 5 if self.arch in ("x86_64", "i686") else 17
        modern = [f"manylinux_{major}_{n}_{self.arch}" for n in range(newest, oldest - 1, -1)]
        legacy = [f"{tag}_{self.arch}" for tag, least in _LEGACY.items() if least[1] >= oldest]
        return (*modern, *reversed(legacy))

    def __str__(self) -> str:
        return f"Python {self.python} on {self.arch} with glibc {self.glibc[0]}.{self.glibc[1]}"


class Bundle(Value):
    """A runtime and everything it needs. `numpy` is what it leaves to the device, or empty."""

    runtime: Runtime
    python: str
    arch: Name
    numpy: str = ""
    wheels: Annotated[tuple[Wheel, ...], Field(min_length=1)]

    @property
    def glibc(self) -> Glibc:
        """The oldest C library that all of it runs on."""
        return max(wheel.glibc for wheel in self.wheels)

    @property
    def size_bytes(self) -> int:
        """Bytes of all wheels."""
        return sum(wheel.size_bytes for wheel in self.wheels)

    def version(self, project: str) -> str:
        """The version of one of its projects, by the name an index has for it."""
        spelled = project.replace("-", "_")
        return next((w.version for w in self.wheels if w.project == spelled), "unknown")

    def name(self, project: str) -> str:
        """The folder it becomes on a device: equal names mean equal bytes."""
        return f"{self.runtime.value}-{self.version(project)}.{digest(self)[:8]}"

    def suits(self, runtime: Runtime, target: Target) -> bool:
        """Whether a device takes it as it is."""
        same = (self.runtime, self.python, self.arch) == (runtime, target.python, target.arch)
        return same and self.glibc <= target.glibc and self.numpy in ("", target.numpy)


class RuntimesLock(Value):
    """Which bytes stand for a runtime; written by `fleet bootstrap`, so that devices get the same."""

    format: Literal[1] = 1
    bundles: tuple[Bundle, ...] = ()

    def find(self, runtime: Runtime, target: Target) -> Bundle | None:
        """The bundle for a device; one that leaves the device its own numpy comes first."""
        suiting = [bundle for bundle in self.bundles if bundle.suits(runtime, target)]
        return max(suiting, key=lambda bundle: bool(bundle.numpy), default=None)

    def with_one_more(self, bundle: Bundle) -> "RuntimesLock":
        """The same lock and a bundle, in a fixed order."""
        return RuntimesLock(bundles=tuple(sorted({*self.bundles, bundle}, key=canonical)))


def read_runtimes(text: str, file: str) -> RuntimesLock:
    """runtimes.lock → RuntimesLock.

    Raises:
        BadInput: it is damaged, or written by another fleet.
    """
    try:
        return RuntimesLock.model_validate_json(text)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        raise BadInput(
            f"damaged at {'.'.join(map(str, problem['loc'])) or 'its start'}: {problem['msg']}",
            file=file,
            hint="it is written by fleet bootstrap and never by hand; restore it, or remove it",
        ) from error


def write_runtimes(lock: RuntimesLock) -> str:
    """RuntimesLock → its text, which reads well in a diff."""
    return json.dumps(json.loads(canonical(lock)), sort_keys=True, indent=1) + "\n"


def without_numpy(wheels: Iterable[Wheel]) -> tuple[Wheel, ...]:
    """What a device needs that has numpy."""
    return tuple(wheel for wheel in wheels if wheel.project != "numpy")


def _glibc(tag: str) -> Glibc:
    if found := re.match(r"manylinux_(\d+)_(\d+)_", tag):
        return int(found[1]), int(found[2])
    return _LEGACY.get(tag.partition("_")[0], (0, 0))
