"""The process that owns a lab's devices: ``python -m orchestrator.lab.supervisor SPEC``.

Single-threaded on purpose: devices die with the thread that forked them. Its mounts live in a
namespace of its own, so that nothing is left when it ends, however it ends.
"""

import json
import os
import select
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from orchestrator.lab import linux, memory, plain, storage, tree, vm
from orchestrator.lab.addresses import detour
from orchestrator.lab.boot import Booting, Running, boot, let_go_except
from orchestrator.lab.control import listen, receive
from orchestrator.lab.link import Link, Relay, Weather
from orchestrator.lab.root import server
from orchestrator.lab.spec import DeviceSpec, Places, Ready, Spec, Tier
from orchestrator.lab.tier import Chosen, choose, enter

_AFTER = 20_000
"""Bytes that a link carries well before it strikes."""


class Supervisor:
    """The devices of one lab and what can be asked about them."""

    def __init__(self, spec: Spec, chosen: Chosen) -> None:
        self.spec, self.chosen = spec, chosen
        self.places = Places(Path(spec.lab))
        self.running: dict[str, Running] = {}
        self.relays: dict[str, int] = {}
        self.dead: set[str] = set()

    def boot_all(self) -> None:
        """Prepare what devices share, then start them side by side."""
        if self.chosen.tier is Tier.PLAIN:
            tree.link_runtime(self.places, self.spec.python)
        else:
            enter(as_root=self.chosen.as_root)
            tree.mount_runtimes(self.places, self.spec)
            for device in self.spec.devices:
                self._attach(device)
        booting = [(device.name, self._begin(device)) for device in self.spec.devices]
        for name, started in booting:
            self.running[name] = started.finish() if isinstance(started, Booting) else started

    def start(self, name: str) -> None:
        """Boot a device that is off; its /home is what it was, or what reached its image."""
        if name not in self.running:
            if self.chosen.tier is Tier.NAMESPACES:
                self._attach(self.spec.device(name))
            started = self._begin(self.spec.device(name))
            self.running[name] = started.finish() if isinstance(started, Booting) else started

    def stop(self, name: str) -> None:
        """Switch a device off, as if its power were cut."""
        device = self.running.pop(name, None)
        if device is None:
            return
        sign = signal.SIGTERM if self.chosen.tier is Tier.PLAIN else signal.SIGKILL
        with suppress(ProcessLookupError):
            os.kill(device.first, sign)
        with suppress(ChildProcessError):
            os.waitpid(device.holder, 0)
        memory.release(name, None)

    def cut(self, name: str) -> None:
        """Switch a device off and lose all that its file system had not written yet."""
        if self.spec.device(name).whole:
            self.stop(name)
            return
        storage.die(self.places, self.spec.device(name))
        self.stop(name)
        storage.detach(self.places, self.spec.device(name))

    def freeze(self, name: str) -> None:
        """Stop every process of a device where it is; `mend` or `stop` ends that."""
        self._signal(name, signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        """Let a frozen device go on."""
        self._signal(name, signal.SIGCONT)

    def relieve(self, name: str) -> None:
        """Let a device have as much memory as there is."""
        memory.release(name, self.running[name].first if name in self.running else None)

    def _signal(self, name: str, sign: signal.Signals) -> None:
        first = self.running[name].first
        left = [first]
        while left:
            pid = left.pop()
            with suppress(ProcessLookupError):
                os.kill(pid, sign)
            left.extend(linux.children(pid))

    def link(self, device: DeviceSpec, weather: Weather) -> None:
        """Put a relay before a device, in a process of its own."""
        self.unlink(device.name)
        ready, wrote = os.pipe()
        parent = os.getpid()
        child = os.fork()
        if child == 0:
            run_relay((device.address, device.port), weather, parent, wrote)
        os.close(wrote)
        with os.fdopen(ready, "rb") as pipe:
            if error := pipe.read().decode():
                os.waitpid(child, 0)
                raise OSError(error)
        self.relays[device.name] = child

    def unlink(self, name: str) -> None:
        """Take a device's relay away."""
        if (child := self.relays.pop(name, None)) is not None:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(child, 0)

    def die(self, name: str) -> None:
        """Let a device's file system fail from now on, whatever is asked of it."""
        storage.die(self.places, self.spec.device(name))
        self.dead.add(name)

    def _attach(self, device: DeviceSpec) -> None:
        """Give a device that is off its storage, again if a cut or a dead one was there."""
        if device.whole:
            vm.attach(self.spec, device)
            return
        if device.name in self.dead:
            storage.detach(self.places, device)
            self.dead.discard(device.name)
        if not storage.is_attached(self.places, device):
            storage.attach(self.places, device, as_root=self.chosen.as_root)

    def stop_all(self) -> None:
        """Switch every device off."""
        for name in tuple(self.running):
            self.stop(name)

    def reap(self) -> None:
        """Forget the devices that ended by themselves."""
        for name, device in tuple(self.running.items()):
            with suppress(ChildProcessError):
                if os.waitpid(device.holder, os.WNOHANG)[0] == 0:
                    continue
            del self.running[name]

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Carry out one request."""
        self.reap()
        name = str(request.get("device", ""))
        try:
            self._carry_out(request, self.spec.device(name) if name else None)
        except (OSError, KeyError, StopIteration) as error:
            return {"error": str(error) or type(error).__name__}
        return {"running": {name: device.first for name, device in self.running.items()}}

    def _carry_out(self, request: dict[str, Any], device: DeviceSpec | None) -> None:
        deeds: dict[str, Callable[[str], None]] = {
            "start": self.start,
            "stop": self.stop,
            "cut": self.cut,
            "die": self.die,
            "freeze": self.freeze,
            "thaw": self.thaw,
            "relieve": self.relieve,
            "unlink": self.unlink,
        }
        match request:
            case {"do": "list"}:
                pass
            case {"do": "down"}:
                self.stop_all()
            case {"do": str(do)} if device and do in deeds:
                deeds[do](device.name)
            case {"do": "remount", "read_only": bool(sealed)} if device:
                storage.remount(self.places, device, read_only=sealed)
            case {"do": "inodes", "most": int(most)} if device:
                storage.limit_inodes(self.places, device, most)
            case {"do": "quota", "used_up": bool(used_up)} if device:
                storage.limit_bytes(self.places, device, used_up=used_up)
            case {"do": "memory", "mib": int(mib)} if device:
                memory.limit(device.name, self.running[device.name].first, mib)
            case {"do": "link", "weather": str(weather)} if device:
                self.link(device, Weather(weather))
            case _:
                raise KeyError(f"unknown request {request!r}")

    def _begin(self, device: DeviceSpec) -> Booting | Running:
        if device.whole:
            return vm.start(self.spec, device)
        if self.chosen.tier is Tier.PLAIN:
            plain.build(self.spec, device, self.places)
            config = self.places.root(device.name) / "etc/ssh/sshd_config"
            return plain.start(self.spec, device, [self.spec.sshd, "-D", "-e", "-f", str(config)])
        argv = server(device, self.spec)
        return boot(self.spec, device, argv, as_root=self.chosen.as_root)


def run_relay(address: tuple[str, int], weather: Weather, parent: int, ready: int) -> NoReturn:
    """The relay of one device, until its parent ends; an empty answer at `ready` says it listens."""
    try:
        let_go_except((ready,))
        signal.set_wakeup_fd(-1)
        for caught in (signal.SIGTERM, signal.SIGCHLD):
            signal.signal(caught, signal.SIG_DFL)
        linux.die_with(parent)
        relay = Relay({"it": ((detour(address[0]), address[1]), address)})
        relay.set("it", Link(weather, after_bytes=0 if weather is Weather.BLACK_HOLE else _AFTER))
        os.close(ready)
        relay.run()
    except BaseException as error:  # noqa: BLE001 - a forked child must never return from here
        with suppress(OSError):
            os.write(ready, f"{error}".encode())
    os._exit(97)


def serve(supervisor: Supervisor, listener: socket.socket) -> None:
    """Answer requests until one says ``down`` or a TERM comes."""
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    for caught in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(caught, lambda *_: None)
    while True:
        ready, _, _ = select.select([listener.fileno(), woken], [], [])
        if woken in ready:
            if signal.SIGTERM in os.read(woken, 512):
                supervisor.stop_all()
                return
            supervisor.reap()
        if listener.fileno() in ready and _answered(supervisor, listener) == "down":
            return


def _answered(supervisor: Supervisor, listener: socket.socket) -> str:
    """Answer one caller; what was asked. A caller that goes silent or away is let go."""
    line, _ = listener.accept()
    asked = ""
    with line, suppress(OSError, ValueError):
        line.settimeout(2.0)
        request = json.loads(receive(line))
        asked = str(request.get("do", ""))
        line.sendall(json.dumps(supervisor.answer(request)).encode() + b"\n")
    return asked


def main(spec_path: str) -> None:
    """Boot the lab of a spec file, say `Ready` on standard output, and serve.

    The process that was started returns at once; a child in a session of its own stays.
    """
    if os.fork():
        os._exit(0)
    os.setsid()
    os.umask(0o022)
    spec = Spec.read(Path(spec_path).read_text())
    chosen = choose(spec)
    if not isinstance(chosen, Chosen):
        _say(Ready(os.getpid(), "", "", chosen.why, "no way of making devices works here"))
        return
    supervisor = Supervisor(spec, chosen)
    listener = listen(supervisor.places.socket)
    try:
        supervisor.boot_all()
    except OSError as error:
        _say(Ready(os.getpid(), chosen.tier, chosen.user, chosen.why, str(error)))
        supervisor.stop_all()
        return
    _say(Ready(os.getpid(), chosen.tier, chosen.user, chosen.why))
    serve(supervisor, listener)


def _say(ready: Ready) -> None:
    """Write the answer and let go of the pipe, so that the reader sees its end."""
    os.write(1, ready.text().encode())
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.close(nothing)


if __name__ == "__main__":
    main(*sys.argv[1:])
