"""Ties a process to its parent: where the parent dies, however it dies, the process dies too.

Stands alone (standard library only), because toolchains with an interpreter of their own run it
as a script: ``python -P lifeline.py PARENT_PID MODULE ARGUMENT...``.
"""

import ctypes
import os
import runpy
import signal
import sys

_PR_SET_PDEATHSIG = 1


def tie(parent: int) -> None:
    """Have the kernel kill this process when its parent ends; leave at once if it already has.

    On systems without prctl nothing happens, and only an orderly end takes the workers along.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


if __name__ == "__main__":
    tie(int(sys.argv[1]))
    sys.argv = sys.argv[2:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
