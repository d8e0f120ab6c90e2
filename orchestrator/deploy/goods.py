"""The bytes of a run: read once, shared by all its devices; compared and compressed once for all."""

import hashlib
import threading
import zlib
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any, TypeVar

from orchestrator.deploy.cargo import Pieces
from orchestrator.deploy.delta import Delta, delta
from orchestrator.errors import FleetError
from orchestrator.transport.transport import Buffer

T = TypeVar("T")
_PIECE = 1 << 20


class Goods:
    """Everything that is made from the store's bytes, made once whoever asks first.

    `opened` gives the bytes of a digest, checked against it; asked once for each.
    """

    def __init__(self, opened: Callable[[str], Buffer]) -> None:
        self._opened = opened
        self._lock = threading.Lock()
        self._made: dict[Hashable, Future[Any]] = {}

    def view(self, digest: str) -> memoryview:
        """The bytes behind a digest."""
        return self._once(("view", digest), lambda: memoryview(self._opened(digest)))

    def begins(self, digest: str, size: int, sha256: str) -> bool:
        """Whether the first `size` bytes of a file have that SHA-256."""
        if size > len(view := self.view(digest)):
            return False
        made = self._once(("begins", digest, size), lambda: hashlib.sha256(view[:size]).hexdigest())
        return made == sha256

    def delta(self, old: str, new: str) -> Delta | None:
        """What leads from one file to another; None where the old bytes are no longer here."""

        def make() -> Delta | None:
            try:
                return delta(self.view(old), self.view(new))
            except FleetError:
                return None

        return self._once(("delta", old, new), make)

    def ratio(self, codec: str, digest: str) -> float:
        """What compressing leaves of a file, measured on a piece from its middle."""

        def make() -> float:
            view = self.view(digest)
            middle = max(0, (len(view) - _PIECE) // 2)
            piece = view[middle : middle + _PIECE]
            return len(_squeezed(codec, Pieces([piece]))) / max(1, len(piece))

        return self._once(("ratio", codec, digest), make)

    def squeezed(self, codec: str, key: Hashable, source: Callable[[], Pieces]) -> bytes:
        """A stream compressed for ``zstd -d`` or ``gunzip``; `key` says which stream it is."""
        return self._once(("squeezed", codec, key), lambda: _squeezed(codec, source()))

    def _once(self, key: Hashable, make: Callable[[], T]) -> T:
        with self._lock:
            found = self._made.get(key)
            if found is None:
                mine = self._made[key] = Future()
        if found is not None:
            return found.result()  # type: ignore[no-any-return]
        try:
            mine.set_result(made := make())
        except BaseException as error:
            with self._lock:
                del self._made[key]  # the next one may have more luck
            mine.set_exception(error)
            raise
        return made


def codecs() -> tuple[str, ...]:
    """What this controller can compress for, best first."""
    try:
        import zstandard  # noqa: F401
    except ImportError:
        return ("gzip",)
    return ("zstd", "gzip")


def _squeezed(codec: str, source: Pieces) -> bytes:
    if codec == "zstd":
        import zstandard

        press: Any = zstandard.ZstdCompressor(level=9).compressobj()
    else:
        press = zlib.compressobj(6, zlib.DEFLATED, 31)
    made = []
    while piece := source.read(_PIECE):
        made.append(press.compress(piece))
    return b"".join([*made, press.flush()])
