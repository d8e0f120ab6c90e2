"""Every failure a person can act on: what, where, what was expected, and the next command.

An error knows its path (``DEPLOY > TRANSFER > DISK_SPACE``) and its owner; whether it is worth
trying again follows from the owner. Only `cli` turns one into text and an exit code.
"""

import difflib
from collections.abc import Iterable
from enum import StrEnum
from typing import ClassVar


class Owner(StrEnum):
    """Who can do something about a failure."""

    OPERATOR = "operator"
    ARTIFACT = "artifact"
    DEVICE = "device"
    NETWORK = "network"
    CONTROLLER = "controller"


class FleetError(Exception):
    """Base of all expected failures; anything else that escapes is a bug."""

    path: tuple[str, ...] = ()
    owner: ClassVar[Owner] = Owner.OPERATOR

    def __init__(self, message: str, *, hint: str = "") -> None:
        self.message, self.hint = message, hint
        super().__init__(message)

    @property
    def code(self) -> str:
        """The stable name of this kind of failure, such as ``DEPLOY > TRANSFER > DISK_SPACE``."""
        return " > ".join(self.path)

    @property
    def transient(self) -> bool:
        """Whether the same call may go well a little later without anybody doing anything."""
        return self.owner is Owner.NETWORK


def nearest(word: str, known: Iterable[str]) -> str:
    """``; did you mean 'x'?`` for the closest known word, or nothing."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""


class BadInput(FleetError):
    """A file a person wrote says something that cannot be meant."""

    path = ("INPUT", "FILE")

    def __init__(
        self, message: str, *, file: str = "", line: int | None = None, hint: str = ""
    ) -> None:
        self.file, self.line = file, line
        where = f"{file}:{line}: " if file and line else f"{file}: " if file else ""
        super().__init__(where + message, hint=hint)


class NotFound(FleetError):
    """A name on the command line that nothing carries."""

    path = ("INPUT", "NAME")

    def __init__(self, kind: str, name: str, known: Iterable[str], *, hint: str = "") -> None:
        self.kind, self.name, self.known = kind, name, tuple(known)
        named = f" named {name!r}{nearest(name, self.known)}" if name else " yet"
        super().__init__(
            f"no {kind}{named}",
            hint=hint
            or (f"known: {_few(self.known)}" if self.known else f"there is no {kind} yet"),
        )


class BadTarget(FleetError):
    """A target expression that does not parse, or that selects no device."""

    path = ("INPUT", "TARGET")


def _few(names: tuple[str, ...], most: int = 8) -> str:
    shown = ", ".join(sorted(names)[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")
