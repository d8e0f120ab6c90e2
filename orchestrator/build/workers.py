"""Worker processes: as many at once as cores and memory bear, each with a deadline, a log and an end."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

import orchestrator
from orchestrator.build.jobs import RESULT, AnyJob, Convert, Failed, Prune, Result
from orchestrator.values import canonical

Job = AnyJob

TENSORFLOW_BYTES, OTHER_BYTES = 1_500_000_000, 400_000_000
"""What a worker takes at its peak, with TensorFlow and without, for models that go onto devices."""

_WITHOUT_TENSORFLOW = (".onnx", ".tflite")


class Stopped(Exception):
    """The build was given up; whoever waits for a worker need not go on."""


def cores_here() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_here() -> int:
    """Bytes of memory that can be had without swapping; of all memory where that is not told."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return TENSORFLOW_BYTES


def needs_bytes(job: Job) -> int:
    """How much memory to keep free for a job."""
    if (
        isinstance(job, Prune | Convert)
        and Path(job.source).suffix.lower() not in _WITHOUT_TENSORFLOW
    ):
        return TENSORFLOW_BYTES
    return OTHER_BYTES


class Room:
    """How many jobs run at once: at most `jobs`, and no more than fit into `memory_bytes`.

    A job that needs more than there is runs alone.
    """

    def __init__(self, jobs: int, memory_bytes: int) -> None:
        self._jobs, self._bytes = jobs, memory_bytes
        self._running = 0
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, needed: int) -> Iterator[None]:
        """Wait for a place, and give it back afterwards."""
        with self._changed:
            self._changed.wait_for(lambda: self._fits(needed))
            self._running, self._bytes = self._running + 1, self._bytes - needed
        try:
            yield
        finally:
            with self._changed:
                self._running, self._bytes = self._running - 1, self._bytes + needed
                self._changed.notify_all()

    def _fits(self, needed: int) -> bool:
        return self._running == 0 or (self._running < self._jobs and self._bytes >= needed)


class Workers:
    """Runs jobs in processes of their own. `run` may be called from many threads.

    Files of jobs lie in one scratch folder that `close` removes. To give up: `stop`, join, `close`.
    """

    def __init__(self, work: Path, room: Room, deadline_s: float) -> None:
        self._logs, self._site = work / "logs", work.parent.parent
        self._logs.mkdir(parents=True, exist_ok=True)
        _remove_orphans(work)
        self._scratch = Path(tempfile.mkdtemp(dir=work, prefix=f"scratch-{os.getpid()}-"))
        self._room = room
        self.deadline_s = deadline_s
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._stopped = False

    def run(
        self,
        name: str,
        job_for: Callable[[Path], Job],
        begun: Callable[[str], None] = lambda step: None,
    ) -> tuple[Result, Path]:
        """Do one job: `job_for` is given where its output has to lie. Returns result and output.

        A crash, a deadline passed and an exception are all results. `begun` hears of the job's
        step once there is room for it.

        Raises:
            Stopped: the build was given up.
        """
        folder = Path(tempfile.mkdtemp(dir=self._scratch, prefix=f"{name}-"))
        out = folder / "out"
        job = job_for(out)
        (folder / "job.json").write_bytes(canonical(job))
        with self._room.taken(needs_bytes(job)):
            begun(job.step)
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
                status = process.wait(self.deadline_s)
            except subprocess.TimeoutExpired:
                return self._failed(log, f"took longer than {self.deadline_s:g} s")
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
            return self._failed(log, f"the worker {_ended(status)}: {_last_line(log)}")
        try:
            result = RESULT.validate_json(file.read_bytes())
        except (OSError, ValidationError):
            return self._failed(log, f"the worker left no result: {_last_line(log)}")
        if isinstance(result, Failed):
            return self._failed(log, result.because, lasting=result.lasting)
        return result

    def _failed(self, log: Path, because: str, *, lasting: bool = False) -> Failed:
        """A failure that says where its log is."""
        shown = log.relative_to(self._site).as_posix()
        return Failed(because=f"{because} (log: {shown})", lasting=lasting, log=shown)

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
