"""Worker processes: at most so many at once, each with a deadline, a log and an end."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

import orchestrator
from orchestrator.build.jobs import RESULT, AnyJob, Failed, Result
from orchestrator.values import canonical

Job = AnyJob

RAM_PER_WORKER_BYTES = 1_500_000_000
"""What a TensorFlow conversion takes at its peak, for models of the size that go onto devices."""


class Stopped(Exception):
    """The build was given up; whoever waits for a worker need not go on."""


def workers_here() -> int:
    """How many workers fit on this machine: cores, or RAM / 1.5 GB where that is less."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        ram_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        ram_bytes = RAM_PER_WORKER_BYTES
    return max(1, min(cores or 1, ram_bytes // RAM_PER_WORKER_BYTES))


class Workers:
    """Runs jobs in processes of their own. `run` may be called from many threads.

    Files of jobs lie in one scratch folder that `close` removes. To give up: `stop`, join, `close`.
    """

    def __init__(self, work: Path, count: int, deadline_s: float) -> None:
        self._logs, self._site = work / "logs", work.parent.parent
        self._logs.mkdir(parents=True, exist_ok=True)
        _remove_orphans(work)
        self._scratch = Path(tempfile.mkdtemp(dir=work, prefix=f"scratch-{os.getpid()}-"))
        self._slots = threading.BoundedSemaphore(count)
        self._deadline_s = deadline_s
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._stopped = False

    def run(self, name: str, job_for: Callable[[Path], Job]) -> tuple[Result, Path]:
        """Do one job: `job_for` is given where its output has to lie. Returns result and output.

        A crash, a deadline passed and an exception are all results.

        Raises:
            Stopped: the build was given up.
        """
        with self._slots:
            folder = Path(tempfile.mkdtemp(dir=self._scratch, prefix=f"{name}-"))
            out = folder / "out"
            (folder / "job.json").write_bytes(canonical(job_for(out)))
            return self._result(name, folder), out

    def stop(self) -> None:
        """Kill what runs; later jobs are refused."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                _kill(process)

    def close(self) -> None:
        """Remove the scratch folder, once nobody waits for a worker any more."""
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _result(self, name: str, folder: Path) -> Result:
        log = self._logs / f"{name}.log"
        with log.open("wb") as output:
            process = self._started(folder, output.fileno())
            try:
                status = process.wait(self._deadline_s)
            except subprocess.TimeoutExpired:
                because = f"took longer than {self._deadline_s:g} s ({self._seen(log)})"
                return Failed(because=because, lasting=False)
            finally:
                _kill(process)
                with self._lock:
                    self._running.discard(process)
        if self._stopped:
            raise Stopped
        return self._read(folder / "result.json", status, log)

    def _read(self, file: Path, status: int, log: Path) -> Result:
        """The result; an exit status other than 0 counts even where one was written."""
        if status != 0:
            because = f"the worker {_ended(status)}: {_last_line(log)} ({self._seen(log)})"
            return Failed(because=because, lasting=False)
        try:
            result = RESULT.validate_json(file.read_bytes())
        except (OSError, ValidationError):
            because = f"the worker left no result: {_last_line(log)} ({self._seen(log)})"
            return Failed(because=because, lasting=False)
        if isinstance(result, Failed):
            return Failed(because=f"{result.because} ({self._seen(log)})", lasting=result.lasting)
        return result

    def _started(self, folder: Path, output: int) -> subprocess.Popen[bytes]:
        files = [str(folder / "job.json"), str(folder / "result.json")]
        with self._lock:
            if self._stopped:
                raise Stopped
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "orchestrator.build.worker", *files, str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=_environment(folder),
                cwd=folder,
                start_new_session=True,
            )
            self._running.add(process)
            return process

    def _seen(self, log: Path) -> str:
        return f"log: {log.relative_to(self._site)}"


def _remove_orphans(work: Path) -> None:
    """Remove the scratch of builds that were killed before they could."""
    for folder in work.glob("scratch-*-*"):
        owner = folder.name.split("-")[1]
        if owner.isdigit() and not Path("/proc", owner).exists() and Path("/proc/self").exists():
            shutil.rmtree(folder, ignore_errors=True)


def _environment(scratch: Path) -> dict[str, str]:
    """The caller's environment, quiet, without a GPU, with temporary files in the scratch.

    Quiet to the makers of libraries as well, some of which report what is done with them.
    """
    package = Path(orchestrator.__file__).parent.parent
    paths = [str(package), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "CUDA_VISIBLE_DEVICES": "-1",
        "KERAS_BACKEND": "tensorflow",
        "ORT_DISABLE_TELEMETRY": "1",
        "TMPDIR": str(scratch),
    }


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a worker and everything it started: they share a session of their own."""
    if process.poll() is None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()


def _ended(status: int) -> str:
    if status >= 0:
        return f"ended with status {status}"
    return f"died of {signal.Signals(-status).name}"


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()
    said = [line.strip() for line in lines if line.strip()]
    return said[-1][:300] if said else "it said nothing"
