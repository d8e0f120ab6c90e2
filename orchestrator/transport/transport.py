"""The one seam between the house and its devices: run a command, stream bytes into a command."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self, TypeAlias

from orchestrator.errors import FleetError, Owner

Buffer: TypeAlias = bytes | memoryview
"""Bytes, or a view of some that nobody changes."""


class Source(Protocol):
    """Where a stream comes from: an open binary file is one."""

    def read(self, size: int, /) -> Buffer:
        """At most `size` bytes, none at the end and only there."""
        ...


@dataclass(frozen=True, slots=True)
class Completed:
    """A command that ended. `status` is its exit status, or None if it was killed by a signal."""

    status: int | None
    stdout: bytes
    stderr: bytes


class DeviceUnreachable(FleetError):
    """The line is at fault: no route, no answer, or it went away in the middle.

    `absent` says that nobody was there at all, so that trying again at once is in vain.
    """

    path: tuple[str, ...] = ("TRANSPORT", "UNREACHABLE")
    owner = Owner.NETWORK

    def __init__(self, device: str, because: str, *, hint: str = "", absent: bool = False) -> None:
        self.device, self.because, self.absent = device, because, absent
        super().__init__(
            f"{device}: {because}",
            hint=hint or f"is it switched on? then: fleet facts --target {device} --refresh",
        )


class HostKeyUnknown(DeviceUnreachable):
    """The device's host key is not pinned, so nobody vouches for who answers."""

    path = ("TRANSPORT", "HOST_KEY", "UNKNOWN")
    owner = Owner.OPERATOR


class HostKeyChanged(DeviceUnreachable):
    """Another host key than the pinned one: a new installation, or somebody in between."""

    path = ("TRANSPORT", "HOST_KEY", "CHANGED")
    owner = Owner.OPERATOR


class LoginRefused(DeviceUnreachable):
    """The device answered and did not let us in."""

    path = ("TRANSPORT", "LOGIN")
    owner = Owner.OPERATOR


class Transport(Protocol):
    """One open session with one device.

    Raises `DeviceUnreachable` (or one of its kinds) for whatever is the line's fault, and nothing
    else: a command that ends badly is a `Completed`, not an exception. `argv` is quoted in one
    place and reaches the command word for word. A command that outlasts `timeout_s` is given up
    and raises `DeviceUnreachable`; that it has ended on the device is not promised then.
    """

    def run(self, argv: Sequence[str], *, timeout_s: float) -> Completed:
        """Run a command with an empty standard input."""
        ...

    def stream(
        self,
        source: Source,
        argv: Sequence[str],
        *,
        timeout_s: float,
        sent: Callable[[int], None] = lambda count: None,
    ) -> Completed:
        """Run a command with `source` as its standard input; `sent` hears of every piece.

        A command that ends before it has read everything is no error of the line.
        """
        ...

    def close(self) -> None:
        """End the session; doing it twice is fine."""
        ...

    def __enter__(self) -> "Transport": ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class Session(ABC):
    """What the sessions of every transport do alike: both ways to run a command come down to one."""

    def run(self, argv: Sequence[str], *, timeout_s: float) -> Completed:
        """Run a command with an empty standard input."""
        return self._exec(argv, None, timeout_s, lambda count: None)

    def stream(
        self,
        source: Source,
        argv: Sequence[str],
        *,
        timeout_s: float,
        sent: Callable[[int], None] = lambda count: None,
    ) -> Completed:
        """Run a command with `source` as its standard input."""
        return self._exec(argv, source, timeout_s, sent)

    @abstractmethod
    def close(self) -> None:
        """End the session."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @abstractmethod
    def _exec(
        self,
        argv: Sequence[str],
        source: Source | None,
        timeout_s: float,
        sent: Callable[[int], None],
    ) -> Completed: ...
