"""A fleet on this machine: start it, look at it, break it, mend it, stop it."""

import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

from orchestrator.lab import breakage, faults, linux
from orchestrator.lab.addresses import await_banners, detour, take_block
from orchestrator.lab.breakage import Breakage, Files
from orchestrator.lab.control import ask
from orchestrator.lab.errors import BootFailed, CannotBreak, LabDown
from orchestrator.lab.keys import write
from orchestrator.lab.launch import BOOT_S, STOP_S, alone, end, last_words, launch, prepare
from orchestrator.lab.listing import listing, remove_listing, write_listing
from orchestrator.lab.making import Making, checked, planned
from orchestrator.lab.runtime import compiling, device_python
from orchestrator.lab.spec import ORDINARY, Places, Storage, Tier
from orchestrator.lab.status import LabStatus, State
from orchestrator.lab.userland import USERLANDS


def _quiet(_name: str) -> None:
    """Nobody wants to know which device has booted."""


class Lab:
    """The lab of one site: its state lies in ``<site>/.fleet/lab``, its processes are its own."""

    def __init__(self, site: Path, inventory: Path) -> None:
        self.site, self.inventory = site.absolute(), inventory.absolute()
        self.places = Places(self.site / ".fleet" / "lab")

    def up(
        self,
        devices: int = 12,
        *,
        tier: str | None = None,
        userlands: Sequence[str] = ("host",),
        storage: Storage = ORDINARY,
        shared: Path | None = None,
        on_boot: Callable[[str], None] = _quiet,
        on_fetch: Callable[[str], None] = _quiet,
    ) -> LabStatus:
        """Start `devices` devices, unless a lab of the same sort is up already.

        Args:
            devices: 1 to 2500.
            tier: ``namespaces`` or ``plain``; the best one that works if None.
            userlands: names of `USERLANDS`; devices get them in turn.
            storage: what each device's /home lies on.
            shared: a folder of this machine that devices see at /opt/fleet-lab/shared.
            on_boot: called with a device's name as soon as its SSH server answers.
            on_fetch: called with a sentence before something is fetched for the first time.

        Raises:
            SshdMissing: this machine has no sshd.
            UserlandMissing: this machine lacks the programs of a userland.
            DebianMissing, WheelsMissing: those of another architecture cannot be fetched.
            NoTierWorks: nothing that was tried can make a device.
            AddressesTaken: other labs or servers hold all loopback addresses.
            BootFailed: a device did not come up.
        """
        wanted = checked(devices, tier)
        lands = tuple(userlands[index % len(userlands)] for index in range(devices))
        with alone(self.places):
            state = self._alive()
            if state and state.is_such(wanted, lands, storage):
                self._list()
                return self.status()
            making = planned(wanted, lands, storage, shared, on_fetch)
            self._down()
            return self._start(making, on_boot)

    def down(self) -> None:
        """Stop every device and remove the inventory file; nothing happens if no lab is up.

        Devices' host keys and logs are kept, so that a device is the same one next time.
        """
        if self.places.lab.is_dir():
            with alone(self.places):
                self._down()
        remove_listing(self.inventory)

    def status(self) -> LabStatus:
        """What is up, looked at now."""
        state = self._read()
        if state is None:
            return LabStatus(False, None, "no lab is up here")
        if linux.born(state.pid) != state.born:
            return LabStatus(False, None, f"the lab's supervisor (pid {state.pid}) has ended")
        try:
            running = self._running()
        except LabDown as down:
            return LabStatus(False, None, down.message)
        signs = {name: breakage.broken(self._files(state, name)) for name, _, _ in state.devices}
        return state.status(
            running,
            {
                name: (() if name in running else (Breakage.OFFLINE,)) + files
                for name, files in signs.items()
            },
        )

    def break_device(self, name: str, how: Breakage) -> str:
        """Break a device; one sentence on what was done.

        Raises:
            NotFound: no such device.
            LabDown: no lab is up.
            CannotBreak: the device cannot be broken like that now; the hint says what to do.
        """
        state = self._up()
        files = self._files(state, name)
        faults.require(name, state.userland(name), how)
        match how:
            case Breakage.OFFLINE:
                self._command("stop", name)
                return f"cut the power of {name}"
            case Breakage.FULL_DISK:
                return breakage.fill(files)
            case Breakage.WRONG_OUTPUT:
                return breakage.make_wrong(files)
            case Breakage.TAMPERED:
                return breakage.tamper(files)
            case _:
                done = faults.inflict(self._bench(name, files), how)
                self._list()
                return done

    def mend(self, name: str) -> str:
        """Undo everything `break_device` did to a device; one sentence on what was done.

        Raises:
            NotFound: no such device.
            LabDown: no lab is up.
            BootFailed: the device was off and did not come up again.
        """
        state = self._up()
        files = self._files(state, name)
        done = list(faults.undo(self._bench(name, files), breakage.broken(files)))
        self._list()
        if name not in self._running():
            self._boot(name)
            done.append("booted it again with its files")
        done += breakage.restore(files)
        return f"mended {name}: {', '.join(done)}" if done else f"nothing was broken on {name}"

    def root(self, name: str) -> Path:
        """Where this machine sees a running device's root directory, writable.

        The path changes with every boot of the device. Links in it that begin with ``/`` mean
        the device's root.

        Raises:
            NotFound: no such device.
            LabDown: no lab is up.
            CannotBreak: the device is off, and so has no root; its hint says how to boot it.
        """
        state = self._up()
        state.require(name)
        running = self._running()
        if name not in running:
            raise CannotBreak(f"{name!r} is off", hint=f"boot it: fleet lab mend {name}")
        if USERLANDS[state.userland(name)].whole:
            raise CannotBreak(f"{name!r} keeps its files in a disk of its own", hint="use ssh")
        if state.tier is Tier.PLAIN:
            return self.places.root(name)
        return Path(f"/proc/{running[name]}/root")

    def _boot(self, name: str) -> None:
        """Switch a device on that is off, and wait for its server."""
        state = self._up()
        self._command("start", name)
        await_banners(
            state.servers({name}),
            _quiet,
            timeout_s=BOOT_S,
            given_up=lambda: self._fallen(state, {name}),
        )

    def _bench(self, name: str, files: Files) -> faults.Bench:
        state = self._up()
        return faults.Bench(
            files=files,
            places=self.places,
            tier=state.tier,
            userland=state.userland(name),
            storage=state.storage,
            root=lambda: self.root(name),
            tell=partial(self._command, name=name),
            boot=lambda: self._boot(name),
        )

    def _list(self) -> None:
        """Write the inventory file; a device on a bad line is reached through its relay."""
        state = self._up()
        bad = {name for name, _, _ in state.devices if self._bad_line(state, name)}
        where = {name: detour(address) for name, _, address in state.devices if name in bad}
        write_listing(self.inventory, listing(state, where))

    def _bad_line(self, state: State, name: str) -> bool:
        files = self._files(state, name)
        return any(how.weather and files.sign(how).exists() for how in Breakage)

    def _start(self, making: Making, on_boot: Callable[[str], None]) -> LabStatus:
        """Boot a lab where none is."""
        python = device_python()
        with ExitStack() as stack:
            if compiler := compiling(python):
                stack.callback(compiler.wait, timeout=120)
            block = take_block(len(making.userlands))
            stack.callback(block.lock.close)
            devices = making.devices(block)
            key = prepare(self.places, devices)
            spec = making.spec(self.places, key, python, devices)
            ready = launch(self.places, spec, block.lock.fileno())
            born = linux.born(ready.pid)
            state = State(
                pid=ready.pid,
                born=born,
                tier=Tier(ready.tier),
                user=ready.user,
                why=ready.why,
                lacks=python.lacks,
                devices=tuple((one.name, one.profile, one.address) for one in devices),
                userlands=making.userlands,
                storage=making.storage,
            )
            write(self.places.state, state.text().encode())
            self._greet(state, on_boot)
        write_listing(self.inventory, listing(state))
        return self.status()

    def _greet(self, state: State, on_boot: Callable[[str], None]) -> None:
        """Wait for every device; a lab of which one does not answer is taken down again."""
        try:
            await_banners(
                state.servers(),
                on_boot,
                timeout_s=BOOT_S,
                given_up=lambda: self._fallen(state, {name for name, _, _ in state.devices}),
            )
        except BaseException:  # an interrupt, too, must not leave half a lab
            self._down()
            raise

    def _fallen(self, state: State, names: set[str]) -> str:
        """Why those devices cannot all come up any more; nothing as long as they can."""
        if linux.born(state.pid) != state.born:
            return "the supervisor has ended"
        gone = sorted(names - set(self._running()))
        return f"{gone[0]} ended: {last_words(self.places, gone[0])}" if gone else ""

    def _down(self) -> None:
        """Stop what is up and remove what belongs to it; the caller is alone."""
        state = self._read()
        if state and linux.born(state.pid) == state.born:
            end(state.pid, self._ask_down)
        elif state is None and self.places.socket.exists():
            # Somebody was stopped in the middle of `up`.
            with suppress(LabDown):
                self._ask_down()
        quirks = self.places.quirks("any").parent
        for path in (self.places.devices, self.places.runtime, self.places.marks, quirks):
            shutil.rmtree(path, ignore_errors=True)
        for path in (self.places.state, self.places.spec, self.places.socket):
            path.unlink(missing_ok=True)
        remove_listing(self.inventory)

    def _ask_down(self) -> None:
        ask(self.places.socket, {"do": "down"}, timeout_s=STOP_S)

    def _read(self) -> State | None:
        try:
            return State.read(self.places.state.read_text())
        except (FileNotFoundError, ValueError):
            return None

    def _alive(self) -> State | None:
        """The lab that is up, if one is."""
        state = self._read()
        return state if state and linux.born(state.pid) == state.born else None

    def _up(self) -> State:
        state = self._alive()
        if state is None:
            raise LabDown(self.status().why)
        return state

    def _files(self, state: State, name: str) -> Files:
        """Where a device's files are, whether it is on or off."""
        state.require(name)
        home = self.places.home(name, state.tier)
        if state.tier is not Tier.PLAIN:
            home = Path(f"/proc/{state.pid}/root", *home.parts[1:])
        marks = self.places.marks
        return Files(name, state.tier, home, marks / f"{name}.json", marks)

    def _running(self) -> dict[str, int]:
        answer: dict[str, int] = ask(self.places.socket, {"do": "list"})["running"]
        return answer

    def _command(self, do: str, name: str, **more: object) -> None:
        answer = ask(self.places.socket, {"do": do, "device": name, **more}, timeout_s=BOOT_S)
        if "error" in answer:
            raise BootFailed(f"could not {do} {name!r}: {answer['error']}", hint="see .fleet/lab")
