"""A controller's name on the leases of devices, and whether another of the same site still lives."""

import fcntl
import os
import secrets
import socket
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

_KEPT_S = 86_400
"""Longer than any lease: after that nobody asks about a dead controller."""


class Claim:
    """A file that stays locked as long as this controller lives; the system unlocks it after any death.

    Its name is the owner of leases on devices. The file outlives the controller, so that the next
    one of the same site can tell a dead owner from one of another site.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.owner = f"{socket.gethostname()[:32]}.{os.getpid()}.{secrets.token_hex(4)}"

    def __enter__(self) -> "Claim":
        self.folder.mkdir(parents=True, exist_ok=True)
        self._file = (self.folder / self.owner).open("w")
        fcntl.flock(self._file, fcntl.LOCK_EX)
        for other in self.folder.iterdir():
            with suppress(FileNotFoundError):  # another controller tidies up, too
                if other.stat().st_mtime < time.time() - _KEPT_S and self.gone(other.name):
                    other.unlink()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def gone(self, owner: str) -> bool:
        """Whether `owner` was a controller of this site and is no more."""
        file = self.folder / owner
        if not owner or "/" in owner or not file.is_file():
            return False
        with file.open("r+") as held:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
        return True
