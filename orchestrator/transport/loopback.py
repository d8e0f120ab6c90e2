"""This machine as a device: commands run here, below a folder of their own. For tests and benches."""

import os
import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, BinaryIO

from orchestrator.transport.transport import Completed, DeviceUnreachable

_PIECE = 1 << 16


class LoopbackTransport:
    """A `Transport` without a line: ``$HOME`` is a folder, everything else is this machine's."""

    def __init__(self, device: str, home: Path) -> None:
        self.device, self.home = device, home
        self._open = True

    def run(self, argv: Sequence[str], *, timeout_s: float) -> Completed:
        """Run a command with an empty standard input."""
        return self._exec(argv, None, timeout_s, lambda count: None)

    def stream(
        self,
        source: BinaryIO,
        argv: Sequence[str],
        *,
        timeout_s: float,
        sent: Callable[[int], None] = lambda count: None,
    ) -> Completed:
        """Run a command with `source` as its standard input."""
        return self._exec(argv, source, timeout_s, sent)

    def close(self) -> None:
        """End the session."""
        self._open = False

    def __enter__(self) -> "LoopbackTransport":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _exec(
        self,
        argv: Sequence[str],
        source: BinaryIO | None,
        timeout_s: float,
        sent: Callable[[int], None],
    ) -> Completed:
        if not self._open:
            raise DeviceUnreachable(self.device, "the session is closed")
        try:
            process = subprocess.Popen(
                list(argv),
                stdin=subprocess.PIPE if source else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=self.home,
                env={**os.environ, "HOME": str(self.home)},
            )
        except OSError as error:  # as a shell answers: 127 not found, 126 not executable
            status = 127 if isinstance(error, FileNotFoundError) else 126
            return Completed(status, b"", f"{argv[0]}: {error.strerror}\n".encode())
        stdin, process.stdin = process.stdin, None  # the feeder's, not communicate's
        feeder = threading.Thread(target=_feed, args=(stdin, source, sent), daemon=True)
        feeder.start()
        try:
            out, err = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired as error:
            process.kill()
            process.wait()
            raise DeviceUnreachable(
                self.device, f"no answer to {argv[0]!r} within {timeout_s:g} s"
            ) from error
        feeder.join(timeout=1.0)
        return Completed(process.returncode if process.returncode >= 0 else None, out, err)


def _feed(stdin: IO[bytes] | None, source: BinaryIO | None, sent: Callable[[int], None]) -> None:
    if source is None or stdin is None:
        return
    try:
        while piece := source.read(_PIECE):
            stdin.write(piece)
            stdin.flush()
            sent(len(piece))
        stdin.close()
    except BrokenPipeError:
        return  # the command has read enough; its exit status says what it thought of it
