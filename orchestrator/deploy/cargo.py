"""Streams made of pieces that are shared, not copied: a tar of some files, or the rest of one."""

import tarfile
from collections.abc import Iterable, Sequence

from orchestrator.transport.transport import Buffer

_BLOCK = tarfile.BLOCKSIZE


class Pieces:
    """A `Source` over buffers; reading gives views of them and copies nothing."""

    def __init__(self, pieces: Iterable[Buffer]) -> None:
        self._left = [memoryview(piece) for piece in pieces if len(piece)]
        self.size = sum(map(len, self._left))
        self._left.reverse()

    def read(self, size: int = -1, /) -> Buffer:
        """A view of at most `size` bytes; everything that is left, in one, if `size` is negative."""
        if size < 0:
            whole = b"".join(reversed(self._left))
            self._left.clear()
            return whole
        if not self._left:
            return b""
        piece = self._left.pop()
        if len(piece) > size:
            self._left.append(piece[size:])
            piece = piece[:size]
        return piece


def packed(files: Sequence[tuple[str, Buffer]]) -> Pieces:
    """Files as a tar stream: equal files give equal bytes; nothing but names and contents."""
    pieces: list[Buffer] = []
    for name, data in files:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = len(data), 0o600
        pieces += [entry.tobuf(tarfile.USTAR_FORMAT), data, bytes(-len(data) % _BLOCK)]
    return Pieces([*pieces, bytes(2 * _BLOCK)])
