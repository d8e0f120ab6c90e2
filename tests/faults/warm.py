"""Python with its imports behind it, for the devices of one lab: ``python warm.py FOLDER LAB``.

Five hundred smoke tests spend most of their time importing. This process imports once and forks
for each of them; the fork enters the device's root as the device's user and runs the smoke.py that
lies there, with the real runtime, on the files that lie there. It ends with its parent.
"""

import contextlib
import ctypes
import io
import os
import runpy
import signal
import sys
import time
from pathlib import Path

USER = 1000


def main(folder: Path, lab: Path) -> None:
    import numpy  # noqa: F401
    import onnxruntime

    from orchestrator.lab.control import ask

    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # die with the parent
    onnxruntime.get_available_providers()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    handle = os.open(folder / "in", os.O_RDWR)
    left = b""
    while True:
        left += os.read(handle, 65536)
        *lines, left = left.split(b"\n")
        for line in lines:
            if os.fork() == 0:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                name, answer, *argv = line.decode().split(" ")
                running = ask(lab / "control.sock", {"do": "list"})["running"]
                os._exit(serve(running.get(name), name, folder / "out" / Path(answer).name, argv))


def opened(answer: Path) -> "io.FileIO":
    """The way back to who asks; whoever was killed meanwhile does not listen any more."""
    for _ in range(500):
        with contextlib.suppress(OSError):
            handle = os.open(answer, os.O_WRONLY | os.O_NONBLOCK)
            os.set_blocking(handle, True)
            return io.FileIO(handle, "w")
        time.sleep(0.01)
    os._exit(0)


def serve(first: int | None, name: str, answer: Path, argv: list[str]) -> int:
    out = opened(answer)
    text, status = io.StringIO(), 1
    try:
        os.environ.update(FLEET_WARM_NAME=name, HOME="/home/pi")
        os.chroot(f"/proc/{first}/root")
        os.chdir("/home/pi")
        os.setgid(USER)
        os.setuid(USER)
        sys.executable = "/opt/fleet-lab/shared/python3"
        sys.argv = argv
        sys.path += map(str, Path("/opt/fleet-lab/lib").glob("python*/site-packages"))
        with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
            runpy.run_path(argv[0], run_name="__main__")
        status = 0
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 1
    except BaseException as error:  # noqa: BLE001 - a forked child must answer, whatever happens
        text.write(f"{type(error).__name__}: {error}\n")
    with contextlib.suppress(OSError):  # whoever asked was killed
        out.write(f"{status}\n{text.getvalue()}".encode())
        out.close()
    return 0


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
