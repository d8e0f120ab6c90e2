"""Starting and ending the supervisor, by one command at a time."""

import fcntl
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from orchestrator.lab.addresses import detour
from orchestrator.lab.errors import BootFailed, LabBusy, LabDown, NoTierWorks
from orchestrator.lab.keys import fresh_key, kept_key, known_hosts, write
from orchestrator.lab.spec import DeviceSpec, Places, Ready, Spec, Tier

BOOT_S = 60.0
STOP_S = 10.0


@contextmanager
def alone(places: Places) -> Iterator[None]:
    """Keep other commands from starting or stopping this lab at the same time.

    Raises:
        LabBusy: another command has been at it for a minute.
    """
    places.lab.mkdir(parents=True, exist_ok=True, mode=0o700)
    places.lab.chmod(0o700)
    last = time.monotonic() + BOOT_S
    with (places.lab / "lock").open("w") as lock:
        while not _locked(lock.fileno()):
            if time.monotonic() > last:
                raise LabBusy(
                    f"another command is starting or stopping the lab in {places.lab}",
                    hint=f"wait for it, or see which one it is: fuser {places.lab / 'lock'}",
                )
            time.sleep(0.02)
        yield


def prepare(places: Places, devices: tuple[DeviceSpec, ...]) -> str:
    """Make directories, known_hosts and a new key that opens every device; its public line."""
    places.log("").parent.mkdir(parents=True, exist_ok=True)
    places.runtime.mkdir()
    hosts = []
    for device in devices:
        for path in (places.root(device.name), places.home(device.name, Tier.NAMESPACES)):
            path.mkdir(parents=True)
        places.log(device.name).unlink(missing_ok=True)
        key = kept_key(places.host_key(device.name))
        hosts += [(place, device.port, key) for place in (device.address, detour(device.address))]
    write(places.known_hosts, known_hosts(hosts).encode())
    return fresh_key(places.key)


def launch(places: Places, spec: Spec, lock: int) -> Ready:
    """Start the supervisor and hear how booting went.

    Args:
        lock: the descriptor that holds the lab's addresses; the supervisor inherits it.

    Raises:
        NoTierWorks: nothing that was tried can make a device.
        BootFailed: a device, or the supervisor itself, did not start.
    """
    write(places.spec, spec.text().encode())
    with places.log("supervisor").open("wb") as log:
        try:
            said = subprocess.run(
                [sys.executable, "-m", "orchestrator.lab.supervisor", str(places.spec)],
                env=_environment(),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                pass_fds=(lock,),
                timeout=BOOT_S,
                check=False,
            ).stdout
        except subprocess.TimeoutExpired as error:
            # Nobody reads its answer any more: the supervisor ends when it tries to give it.
            raise BootFailed(
                f"the devices did not boot within {BOOT_S:.0f} s", hint="try fewer: fleet lab up"
            ) from error
    if not said:
        raise BootFailed(
            f"the supervisor ended: {last_words(places, 'supervisor')}",
            hint=f"see {places.log('supervisor')}",
        )
    ready = Ready.read(said.decode())
    if ready.error and not ready.tier:
        raise NoTierWorks(
            f"{ready.error} ({ready.why})",
            hint="allow user namespaces (sysctl user.max_user_namespaces), or run as root",
        )
    if ready.error:
        raise BootFailed(f"a device did not boot: {ready.error}", hint=f"tier: {ready.why}")
    return ready


def end(pid: int, politely: Callable[[], object]) -> None:
    """End the supervisor: by asking, and if that does not help, by killing it."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        for attempt in (politely, lambda: os.kill(pid, signal.SIGKILL)):
            with suppress(LabDown, ProcessLookupError):
                attempt()
            if select.select([handle], [], [], STOP_S)[0]:
                return
    finally:
        os.close(handle)


def last_words(places: Places, name: str) -> str:
    """The last line of a log."""
    with suppress(OSError):
        if lines := places.log(name).read_text(errors="replace").split("\n"):
            return next((line for line in reversed(lines) if line), "it said nothing")
    return "it said nothing"


def _environment() -> dict[str, str]:
    """This process's environment, in which the supervisor finds this package."""
    package = str(Path(__file__).resolve().parents[2])
    paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def _locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
