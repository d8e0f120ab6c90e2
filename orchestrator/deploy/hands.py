"""The verbs of device.sh over one session: argv out, key=value lines back, refusals as errors."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.deploy.cargo import packed
from orchestrator.errors import FleetError, Owner
from orchestrator.inventory.device import Device
from orchestrator.transport.transport import Source, Transport
from orchestrator.values import sha256

_MISSING = 90
_START = (
    'r=$1; case $r in "~/"*) r=$HOME/${r#"~/"};; esac; f=$r/bin/$2/device.sh; '
    f'[ -f "$f" ] || exit {_MISSING}; s=$1; shift 2; exec sh "$f" "$s" "$@"'
)
_INSTALL = (
    'r=$1; case $r in "~/"*) r=$HOME/${r#"~/"};; esac; umask 077; '
    "d=$r/bin/$2; n=$r/bin/.new.$$; "
    'mkdir -p "$n" && tar -x -f - -C "$n" && cat >/dev/null && '
    '{ sync "$n"/* "$n" 2>/dev/null || sync; } && '
    '{ [ -f "$d/device.sh" ] || { rm -rf "$d"; mv "$n" "$d"; }; }; s=$?; '
    'rm -rf "$n" "$d/${n##*/}"; '
    'find "$r/bin" -mindepth 1 -maxdepth 1 -mtime +7 ! -name "$2" -exec rm -rf {} + 2>/dev/null; '
    "exit $s"
)
"""Beside, then renamed. Scripts of other versions stay for a week: a switch that reverts by itself,
or another controller, may still need them."""
_BEGIN, _END = "=fleet 1=", "=end="


class DeviceRefused(FleetError):
    """The device's own script would not do something, and says why."""

    owner = Owner.DEVICE

    def __init__(self, device: str, word: str, because: str, holder: str = "") -> None:
        self.device, self.word, self.because, self.holder = device, word, because, holder
        where, hint = _REFUSALS.get(word, (("DEPLOY", word.upper().replace("-", "_")), ""))
        self.path = where
        super().__init__(f"{device}: {because}", hint=hint.format(device=device))


_REFUSALS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "disk-space": (
        ("DEPLOY", "PREFLIGHT", "DISK_SPACE"),
        "free some space on {device}, or keep fewer releases: keep_releases in the playbook",
    ),
    "inodes": (("DEPLOY", "PREFLIGHT", "INODES"), "remove small files on {device}"),
    "unwritable": (
        ("DEPLOY", "PREFLIGHT", "UNWRITABLE"),
        "check storage_root, its owner, and whether the disk is full or read-only on {device}",
    ),
    "disk-full": (
        ("DEPLOY", "STORAGE", "FULL"),
        "free some space on {device}, then run the same command again",
    ),
    "no-inodes": (
        ("DEPLOY", "STORAGE", "INODES"),
        "remove small files on {device}: it has space, but no inodes",
    ),
    "quota": (("DEPLOY", "STORAGE", "QUOTA"), "raise the quota of fleet's user on {device}"),
    "read-only": (
        ("DEPLOY", "STORAGE", "READ_ONLY"),
        "see dmesg on {device}: after errors the kernel makes a file system read-only; repair it",
    ),
    "storage-dead": (
        ("DEPLOY", "STORAGE", "DEAD"),
        "the storage of {device} fails: replace its SD card or disk; it serves what it has in memory",
    ),
    "killed": (
        ("DEPLOY", "KILLED"),
        "give {device} more memory, or look who kills: ssh in, then dmesg | tail",
    ),
    "locked": (("DEPLOY", "LEASE", "HELD"), "wait for the other controller to finish"),
    "lease-lost": (("DEPLOY", "LEASE", "LOST"), "run the same command again"),
    "transfer": (("DEPLOY", "TRANSFER", "WRITE"), "check the disk of {device}"),
    "runtime": (
        ("BOOTSTRAP", "RUNTIME", "BROKEN"),
        "nothing was changed; see what is missing on {device}: ssh in, and import it by hand",
    ),
    "no-python": (
        ("DEPLOY", "SMOKE", "NO_PYTHON"),
        "install Python on {device}, or name it: python: /path in the inventory",
    ),
    "no-release": (("DEPLOY", "RELEASE", "MISSING"), "deploy it first: fleet deploy"),
    "changed": (("DEPLOY", "SWITCH", "CHANGED"), "make a new plan: fleet plan --target {device}"),
    "reverted": (("DEPLOY", "SWITCH", "REVERTED"), "run the same command again"),
}


class BadAnswer(FleetError):
    """What came back is not an answer of our script: cut short, or not ours at all."""

    path = ("DEPLOY", "ANSWER")
    owner = Owner.DEVICE


@dataclass(frozen=True, slots=True)
class Scripts:
    """Our own files for devices, named by their content."""

    files: tuple[tuple[str, bytes], ...]

    @property
    def name(self) -> str:
        """The folder they live in on a device: 12 digits of their digest."""
        return sha256(b"".join(name.encode() + b"\0" + data for name, data in self.files))[:12]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a verb said, in order; keys may repeat."""

    lines: tuple[tuple[str, str], ...]

    def one(self, key: str) -> str:
        """The last value of a key, or an empty string."""
        return next((value for k, value in reversed(self.lines) if k == key), "")

    def all(self, key: str) -> tuple[str, ...]:
        """Every value of a key, in order."""
        return tuple(value for k, value in self.lines if k == key)


class Hands:
    """Our script on one device. Every call is one round trip and may be repeated.

    Raises `DeviceUnreachable` for the line, `DeviceRefused` for the device, `BadAnswer` for
    neither making sense.
    """

    def __init__(self, transport: Transport, device: Device, scripts: Scripts) -> None:
        self.transport, self.device, self.scripts = transport, device, scripts

    def call(self, verb: str, *args: str, timeout_s: float = 60.0) -> Answer:
        """Run one verb; the script is put there first if the device does not have it yet."""
        argv = self._argv(verb, args)
        done = self.transport.run(argv, timeout_s=timeout_s)
        if done.status == _MISSING:
            self._install()
            done = self.transport.run(argv, timeout_s=timeout_s)
        return self._answer(verb, done.status, done.stdout, done.stderr)

    def send(
        self,
        source: Source,
        verb: str,
        *args: str,
        timeout_s: float,
        sent: Callable[[int], None],
    ) -> Answer:
        """Stream bytes into a verb; the script is there, or the verb before would have brought it."""
        argv = self._argv(verb, args)
        done = self.transport.stream(source, argv, timeout_s=timeout_s, sent=sent)
        return self._answer(verb, done.status, done.stdout, done.stderr)

    def take(self, verb: str, *args: str, timeout_s: float) -> bytes:
        """Run a verb that puts bytes behind its answer; the script is there already."""
        done = self.transport.run(self._argv(verb, args), timeout_s=timeout_s)
        self._answer(verb, done.status, done.stdout, done.stderr)
        _, _, rest = done.stdout.partition(_BEGIN.encode())
        return rest.partition(f"{_END}\n".encode())[2]

    def _argv(self, verb: str, args: Sequence[str]) -> list[str]:
        start = ["sh", "-c", _START, "fleet", self.device.storage_root, self.scripts.name]
        return [*start, verb, *args]

    def _install(self) -> None:
        argv = ["sh", "-c", _INSTALL, "fleet", self.device.storage_root, self.scripts.name]
        done = self.transport.stream(packed(self.scripts.files), argv, timeout_s=60.0)
        if done.status != 0:
            why = _last_line(done.stderr) or f"exit status {done.status}"
            raise DeviceRefused(
                self.device.name,
                _named(done.stderr.decode("utf-8", "replace")),
                f"cannot write {self.device.storage_root}: {why}",
            )

    def _answer(self, verb: str, status: int | None, out: bytes, err: bytes) -> Answer:
        _, begun, rest = out.decode("utf-8", "replace").partition(_BEGIN)
        lines = rest.splitlines()[1:]
        if status is None:
            raise DeviceRefused(self.device.name, "killed", self._killed(verb))
        if not begun or _END not in lines:
            why = _last_line(err) or "nothing on its error output"
            if (word := _named(why)) != "unwritable":
                raise DeviceRefused(self.device.name, word, f"{verb!r} could not run: {why}")
            raise BadAnswer(
                f"{self.device.name}: no whole answer to {verb!r} (exit status {status}): {why}",
                hint=f"try it by hand: {self.device.by_hand}",
            )
        ours = lines[: lines.index(_END)]
        answer = Answer(tuple((k, v) for k, eq, v in (line.partition("=") for line in ours) if eq))
        if word := answer.one("refused"):
            because, holder = answer.one("because"), answer.one("owner")
            raise DeviceRefused(self.device.name, word, because, holder)
        return answer

    def _killed(self, verb: str) -> str:
        """Look again at a device on which a command was killed: did its memory run out?"""
        ask = ["sh", "-c", "grep '^oom_kill ' /proc/vmstat"]
        said = self.transport.run(ask, timeout_s=10.0).stdout.decode("utf-8", "replace").split()
        count = said[1] if len(said) == 2 else "0"
        oom = f"its kernel has killed {count} processes for want of memory since it booted"
        return f"{verb!r} was killed by a signal" + (f"; {oom}" if count != "0" else "")


_WRITES = {
    "No space left": "disk-full",
    "Read-only file system": "read-only",
    "uota exceeded": "quota",
    "nput/output error": "storage-dead",
    "I/O error": "storage-dead",
}


def _named(said: str) -> str:
    """The word for a write that failed before our script was there to look itself."""
    return next((word for words, word in _WRITES.items() if words in said), "unwritable")


def _last_line(data: bytes) -> str:
    text = data.decode("utf-8", "replace").strip()
    return text.splitlines()[-1] if text else ""
