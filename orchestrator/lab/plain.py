"""Boot a device without namespaces: an sshd of the same user over a directory of its own.

A weak imitation: sessions run with that user's own rights on this machine's own file system.
"""

import os
import select
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from orchestrator.lab import linux
from orchestrator.lab.boot import Running, let_go_except
from orchestrator.lab.spec import HOST, DeviceSpec, Places, Spec, Tier
from orchestrator.lab.sshd import SESSION, plain_config
from orchestrator.lab.tree import OWN, furnish, proc_fixtures, put


def build(spec: Spec, device: DeviceSpec, places: Places) -> None:
    """Write a device's directory, keeping what its home holds."""
    if os.geteuid() == 0:
        # A root sshd insists on this directory; it is the one thing a lab leaves outside its own.
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    root = places.root(device.name)
    (root / "home" / "pi").mkdir(parents=True, exist_ok=True)
    furnish(root, spec, device, Tier.PLAIN)
    put(root, proc_fixtures(spec, device, Tier.PLAIN))
    put(root / OWN, {"session": SESSION}, mode=0o755)
    library = root / OWN / "lib"
    if not library.is_symlink():
        library.symlink_to(places.runtime / HOST / "lib")
    config = plain_config(device.address, root, places.host_key(device.name))
    put(root, {"etc/ssh/sshd_config": config.encode()})


def start(spec: Spec, device: DeviceSpec, argv: list[str]) -> Running:
    """Start a device running `argv` under a holder that ends all of it when the supervisor ends."""
    log = Places(Path(spec.lab)).log(device.name)
    parent = os.getpid()
    holder = os.fork()
    if holder:
        return Running(holder, holder)
    try:
        _hold(parent, argv, log)
    except BaseException as error:  # noqa: BLE001 - a forked child must never return from here
        with suppress(OSError):
            log.write_text(f"{error}\n")
    os._exit(97)


def _hold(parent: int, argv: list[str], log: Path) -> NoReturn:
    """Run `argv`; when it ends, or a TERM comes, kill every descendant, then end.

    Sessions outlive their sshd, and programs may leave their session: so the holder adopts them.
    """
    let_go_except(())
    signal.set_wakeup_fd(-1)
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    for caught in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(caught, lambda *_: None)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    linux.adopt_orphans()
    os.setsid()
    linux.die_with(parent, signal.SIGTERM)
    sshd = os.fork()
    if sshd == 0:
        _become(argv, log)
    while True:
        select.select([woken], [], [])
        if signal.SIGTERM in os.read(woken, 64) or sshd in _reaped():
            _kill_descendants()
            os._exit(0)


def _become(argv: list[str], log: Path) -> NoReturn:
    try:
        signal.set_wakeup_fd(-1)
        for caught in (signal.SIGTERM, signal.SIGCHLD, signal.SIGPIPE):
            signal.signal(caught, signal.SIG_DFL)
        nothing = os.open("/dev/null", os.O_RDONLY)
        said = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        for source, target in ((nothing, 0), (said, 1), (said, 2)):
            os.dup2(source, target)
        os.execv(argv[0], argv)
    finally:
        os._exit(98)


def _reaped() -> set[int]:
    """The children that have ended, waited for."""
    ended: set[int] = set()
    with suppress(ChildProcessError):
        while (pid := os.waitpid(-1, os.WNOHANG)[0]) != 0:
            ended.add(pid)
    return ended


def _kill_descendants() -> None:
    """Kill children until there are none: orphans of the killed become children in their turn."""
    while children := linux.children(os.getpid()):
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        _reaped()
        time.sleep(0.001)
