"""What differs between two versions of a file, in pieces that any POSIX shell can put together."""

from dataclasses import dataclass

BLOCK = 4096
SHELL_MOST = 128
"""How many pieces a shell joins in reasonable time: it starts two programs for each."""


@dataclass(frozen=True, slots=True)
class Delta:
    """A recipe for a new file: pieces of the old one and of `literal` by turns.

    A line of `ops` says ``old|lit FIRST COUNT``: copy COUNT bytes, the first one being number
    FIRST counted from 1, as ``tail -c +FIRST`` counts.
    """

    ops: bytes
    literal: bytes

    @property
    def size(self) -> int:
        """Bytes to send."""
        return len(self.ops) + len(self.literal)

    @property
    def pieces(self) -> int:
        """How many pieces there are to join."""
        return self.ops.count(b"\n")


def delta(old: memoryview, new: memoryview) -> Delta:
    """Compare block by block at the same place, and at the same distance from the end.

    The latter finds everything behind bytes that were put in or taken out at one place.
    """
    shift = len(new) - len(old)
    ops: list[list[int]] = []  # where in the old file, or -1; where in the new one; how many bytes
    for at in range(0, len(new), BLOCK):
        block = new[at : at + BLOCK]
        if block == old[at : at + len(block)]:
            place = at
        elif shift and at >= shift and block == old[at - shift : at - shift + len(block)]:
            place = at - shift
        else:
            place = -1
        _add(ops, place, at, len(block))
    return _written(ops, new)


def _add(ops: list[list[int]], place: int, at: int, count: int) -> None:
    """Add a piece, or lengthen the last one if it goes on there."""
    if ops:
        last = ops[-1]
        goes_on = place == last[0] + last[2] if last[0] >= 0 else place < 0
        if goes_on and (place < 0) == (last[0] < 0):
            last[2] += count
            return
    ops.append([place, at, count])


def _written(ops: list[list[int]], new: memoryview) -> Delta:
    lines, literal = [], bytearray()
    for place, at, count in ops:
        if place >= 0:
            lines.append(f"old {place + 1} {count}\n")
        else:
            lines.append(f"lit {len(literal) + 1} {count}\n")
            literal += new[at : at + count]
    return Delta("".join(lines).encode(), bytes(literal))
