"""This machine as a device: commands run here, below a folder of their own. For tests and benches."""

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from orchestrator.transport.transport import Completed, DeviceUnreachable, Session, Source

_PIECE = 1 << 16


class LoopbackTransport(Session):
    """A `Transport` without a line: ``$HOME`` is a folder, everything else is this machine's."""

    def __init__(self, device: str, home: Path) -> None:
        self.device, self.home = device, home
        self._open = True

    def close(self) -> None:
        """End the session."""
        self._open = False

    def _exec(
        self,
        argv: Sequence[str],
        source: Source | None,
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
                start_new_session=True,
            )
        except OSError as error:  # as a shell answers: 127 not found, 126 not executable
            status = 127 if isinstance(error, FileNotFoundError) else 126
            return Completed(status, b"", f"{argv[0]}: {error.strerror}\n".encode())
        with process:
            feeder = _Feeder(process, source, sent)
            try:
                out, err = process.communicate(timeout=timeout_s)
            except subprocess.TimeoutExpired as error:
                _kill(process)
                raise DeviceUnreachable(
                    self.device, f"no answer to {argv[0]!r} within {timeout_s:g} s"
                ) from error
            finally:
                feeder.join(timeout=1.0)
            if feeder.raised is not None:
                raise feeder.raised
        return Completed(process.returncode if process.returncode >= 0 else None, out, err)


class _Feeder(threading.Thread):
    """Writes the input while the outputs are read; what a listener raises ends the command."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        source: Source | None,
        sent: Callable[[int], None],
    ) -> None:
        super().__init__(daemon=True)
        self.raised: Exception | None = None
        self._process, self._source, self._sent = process, source, sent
        self._stdin, process.stdin = process.stdin, None  # ours, not communicate's
        self.start()

    def run(self) -> None:
        """Write everything, or until the command has read enough."""
        if self._stdin is None or self._source is None:
            return
        try:
            while piece := self._source.read(_PIECE):
                self._stdin.write(piece)
                self._stdin.flush()
                self._sent(len(piece))
        except BrokenPipeError:
            pass  # the command has read enough; its exit status says what it thought of it
        except Exception as error:  # noqa: BLE001 - raised again by whoever waits
            self.raised = error
            _kill(self._process)
        finally:
            with suppress(BrokenPipeError):
                self._stdin.close()


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a command and whatever it has started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
