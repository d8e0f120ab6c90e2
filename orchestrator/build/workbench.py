"""A scratch folder, here or on a device, in which tools run under a deadline; nothing of it stays."""

import io
import shlex
import subprocess
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.errors import FleetError, Owner
from orchestrator.transport.transport import Completed, Transport

_SLOWEST_BYTES_PER_S = 16_384
_PATIENCE_S = 60.0
_NO_ROOM = 90
_MISSING = 127
_SCRIPT = (
    'r=$1; s=$2; shift 2; case $r in "~/"*) r=$HOME/${r#"~/"};; esac; umask 077; '
    f'mkdir -p "$r" || exit {_NO_ROOM}; '
    "find \"$r\" -maxdepth 1 -name 'work.*' -mtime +0 -exec rm -rf {} + 2>/dev/null; "
    f'd=$(mktemp -d "$r/work.XXXXXX") || exit {_NO_ROOM}; '
    "trap 'cd /; rm -rf \"$d\"; rmdir \"$r\" 2>/dev/null' EXIT; trap 'exit 91' HUP INT TERM PIPE; "
    f'cd "$d" && tar -x -f - && cat >/dev/null || exit {_NO_ROOM}; : >begun; '
    "PATH=$PATH:/usr/src/tensorrt/bin; "
    "if command -v setsid >/dev/null 2>&1; then setsid sh steps </dev/null >/dev/null 2>&1 & "
    "else sh steps </dev/null >/dev/null 2>&1 & fi; p=$!; "
    "(while [ $s -gt 0 ]; do sleep 1; s=$((s - 1)); kill -0 $p 2>/dev/null || exit 0; done; "
    ': >late; kill -9 "-$p" 2>/dev/null || kill -9 $p) </dev/null >/dev/null 2>&1 & w=$!; '
    "wait $p 2>/dev/null; kill $w 2>/dev/null; "
    'for f; do shift; [ ! -e "$f" ] || set -- "$@" "$f"; done; '
    'tar -c -f - begun "$@"'
)
"""What was left by a power cut is removed by whoever comes a day later. The steps are a process
group of their own, so that all of it ends at the deadline, also where the line is lost meanwhile."""


class WorkbenchFailed(FleetError):
    """The scratch folder could not be made, filled or brought back."""

    path = ("BUILD", "WORKBENCH")
    owner = Owner.DEVICE


@dataclass(frozen=True, slots=True)
class Step:
    """A command and the name of its log. The step after it runs only if it ends well."""

    name: str
    argv: tuple[str, ...]

    @property
    def log(self) -> str:
        """The file that holds what it said."""
        return f"{self.name}.log"


@dataclass(frozen=True, slots=True)
class Task:
    """Files to send by name, commands to run among them, and the files to bring back if there."""

    files: Mapping[str, bytes]
    steps: tuple[Step, ...]
    bring: tuple[str, ...]
    deadline_s: float


@dataclass(frozen=True, slots=True)
class Ended:
    """What was brought back. `late`: the deadline ended it; `failed` names the step that did not go well."""

    files: Mapping[str, bytes]
    late: bool = False
    failed: str = ""
    status: int = 0

    @property
    def missing(self) -> bool:
        """Whether the failed step's program is not there."""
        return self.status == _MISSING

    def text(self, name: str) -> str:
        """A log as text; empty where it was not brought."""
        return self.files.get(name, b"").decode("utf-8", "replace")


Bench = Callable[[Task], Ended]
"""Carries out a task somewhere.

Raises `WorkbenchFailed`, and on a device `DeviceUnreachable`.
"""


def here(root: str) -> Bench:
    """This machine, below a folder."""

    def send(data: bytes, argv: Sequence[str], timeout_s: float) -> Completed:
        done = subprocess.run(argv, input=data, capture_output=True, timeout=timeout_s, check=False)
        return Completed(done.returncode, done.stdout, done.stderr)

    return lambda task: _ended(task, root, "this machine", send)


def there(transport: Transport, root: str, name: str) -> Bench:
    """A device, below a folder that may begin with ``~/``."""

    def send(data: bytes, argv: Sequence[str], timeout_s: float) -> Completed:
        return transport.stream(io.BytesIO(data), argv, timeout_s=timeout_s)

    return lambda task: _ended(task, root, name, send)


def _ended(
    task: Task, root: str, where: str, send: Callable[[bytes, Sequence[str], float], Completed]
) -> Ended:
    data = _packed({**task.files, "steps": _steps(task.steps)})
    brought = ("late", "failed", *(step.log for step in task.steps), *task.bring)
    argv = ["sh", "-c", _SCRIPT, "fleet", root, str(max(1, round(task.deadline_s))), *brought]
    carrying_s = _PATIENCE_S + len(data) / _SLOWEST_BYTES_PER_S
    done = send(data, argv, task.deadline_s + 2 * carrying_s)
    if done.status != 0:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        why = said[-1] if said else f"exit status {done.status}"
        raise WorkbenchFailed(
            f"{where}: no scratch folder below {root}: {why}",
            hint=f"is there space, and may fleet write there? it sent {len(data)} bytes",
        )
    files = _unpacked(done.stdout)
    failed, _, status = files.pop("failed", b"").decode().strip().partition(" ")
    return Ended(files, "late" in files, failed, int(status) if status.isdigit() else 0)


def _steps(steps: Sequence[Step]) -> bytes:
    lines = (
        f"{shlex.join(step.argv)} >{step.log} 2>&1 || {{ echo {step.name} $? >failed; exit 1; }}"
        for step in steps
    )
    return "".join(f"{line}\n" for line in lines).encode()


def _packed(files: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def _unpacked(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {each.name: file.read() for each in tar if (file := tar.extractfile(each))}
