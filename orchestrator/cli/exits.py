"""Exit codes: stable, few, documented in docs/exit-codes.md."""

from enum import IntEnum


class Exit(IntEnum):
    """What the shell is told."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    DEFERRED = 3
    HALTED = 4
    DRIFT = 5
    LOCKED = 6
    INTERRUPTED = 130
