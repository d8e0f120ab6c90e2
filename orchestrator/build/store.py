"""A content-addressed store on disk: bytes in, digest out; what is there is never changed."""

import hashlib
import mmap
import os
import tempfile
from pathlib import Path

from orchestrator.errors import FleetError, Owner
from orchestrator.values import sha256


class NotInStore(FleetError):
    """The lock names bytes that this site's store does not hold."""

    path = ("BUILD", "STORE", "MISSING")
    owner = Owner.CONTROLLER

    def __init__(self, digest: str) -> None:
        self.digest = digest
        super().__init__(
            f"the store has no bytes for {digest[:12]}…",
            hint="make them again: fleet build (equal inputs give equal bytes)",
        )


class Store:
    """Files named by the SHA-256 of their bytes, below one folder.

    Writing is atomic: beside first, flushed, then renamed; equal bytes are stored once.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, digest: str) -> Path:
        """Where the bytes of a digest lie, or would lie."""
        return self.folder / digest[:2] / digest

    def __contains__(self, digest: str) -> bool:
        return self.path(digest).is_file()

    def add(self, data: bytes) -> str:
        """Keep some bytes; returns their digest."""
        digest = sha256(data)
        try:
            os.utime(self.path(digest))  # young again: garbage collection leaves it alone
        except FileNotFoundError:
            target = self.path(digest)
            target.parent.mkdir(parents=True, exist_ok=True)
            handle, beside = tempfile.mkstemp(dir=target.parent, prefix=".part-")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                Path(beside).replace(target)
            except BaseException:
                Path(beside).unlink(missing_ok=True)
                raise
        return digest

    def add_file(self, source: Path) -> str:
        """Keep the bytes of a file; returns their digest."""
        return self.add(source.read_bytes())

    def read(self, digest: str) -> bytes:
        """The bytes of a digest, checked against it.

        Raises:
            NotInStore: they are not there, or are no longer what their name says.
        """
        try:
            data = self.path(digest).read_bytes()
        except FileNotFoundError as error:
            raise NotInStore(digest) from error
        if sha256(data) != digest:
            raise NotInStore(digest)
        return data

    def mapped(self, digest: str) -> bytes | memoryview:
        """The bytes of a digest as a view of the file itself, checked once; many may share it.

        Raises:
            NotInStore: they are not there, or are no longer what their name says.
        """
        path = self.path(digest)
        try:
            with path.open("rb") as file:
                if os.fstat(file.fileno()).st_size == 0:
                    return self.read(digest)
                view = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        except FileNotFoundError as error:
            raise NotInStore(digest) from error
        if hashlib.sha256(view).hexdigest() != digest:
            raise NotInStore(digest)
        return view


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
