"""The reaching half of a site: the devices out there, and the sessions with them."""

import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from random import uniform
from time import sleep
from typing import TYPE_CHECKING, TypeVar

from orchestrator.errors import BadTarget, FleetError
from orchestrator.inventory.device import Device
from orchestrator.inventory.facts import Facts
from orchestrator.inventory.profile import TransportKind
from orchestrator.rollout.observation import Unobserved
from orchestrator.site import Site

if TYPE_CHECKING:
    from orchestrator.deploy.hands import Hands, Scripts
    from orchestrator.transport.lines import Lines
    from orchestrator.transport.login import Address
    from orchestrator.transport.transport import Transport
    from orchestrator.trust.hostkeys import HostKey

T = TypeVar("T")
_PATIENCE_S = (0.5, 1.5)
"""How long to wait, more or less, when a device's server has too many unfinished logins."""


class Field:
    """Every device of one site, within reach. Heavy parts are imported when used."""

    def __init__(self, site: Site, facts: Callable[[], Mapping[str, Facts]]) -> None:
        self.site, self.settings = site, site.settings
        self._facts = facts
        self._lines: Lines | None = None
        self._opening = threading.Lock()
        self._users = 0

    def __enter__(self) -> "Field":
        """Keep sessions open between what is done inside, such as looking and deploying."""
        self._users += 1
        return self

    def __exit__(self, *error: object) -> None:
        self._users -= 1
        if self._users == 0 and self._lines is not None:
            self._lines.close()
            self._lines = None

    def connect(self, device: Device) -> "Transport":
        """A session with a device, through its gateway if it has one; a crowd is waited for."""
        from orchestrator.transport.greeting import Crowded

        for patience_s in _PATIENCE_S:
            try:
                return self._session(device)
            except Crowded:
                sleep(patience_s * uniform(0.5, 1.5))  # not all of those it turned away at once
        return self._session(device)

    def _session(self, device: Device) -> "Transport":
        from orchestrator.transport.greeting import looked_again
        from orchestrator.transport.lines import Lines
        from orchestrator.transport.transport import DeviceUnreachable

        if device.transport is TransportKind.ADB:
            from orchestrator.transport.adb import AdbTransport

            return AdbTransport(device.name, device.adb_serial)
        try:
            if not self._users:
                return Lines(self._way, most_idle=0).take(device.name)
            with self._opening:
                lines = self._lines = self._lines or Lines(self._way)
            return lines.take(device.name)
        except DeviceUnreachable as error:
            met = self._met.get(device.name)
            raise looked_again(error, device.address, device.port, met) from error

    def _way(self, name: str) -> "tuple[Address, str | None]":
        device = self.site.device(name)
        return self.address(device), device.via

    def address(self, device: Device) -> "Address":
        """Where a device listens and who vouches for it."""
        from orchestrator.transport.login import Address

        site = self.settings.site
        return Address(
            device=device.name,
            host=device.address,
            port=device.port,
            user=device.user,
            identity=site / Path(device.identity_file).expanduser()
            if device.identity_file
            else None,
            known_hosts=(self.known_hosts(device),),
        )

    def known_hosts(self, device: Device) -> Path:
        """The file that pins a device's host key."""
        return self.settings.site / (device.known_hosts or self.settings.inventory / "known_hosts")

    def host_key(self, device: Device) -> "HostKey":
        """The host key a device shows right now; trusted by nobody yet.

        Raises:
            BadTarget: it is reached over adb.
        """
        if device.transport is not TransportKind.SSH:
            raise BadTarget(
                f"{device.name} is reached over adb, where nothing can be pinned",
                hint="see docs/devices.md: what adb protects, and what it does not",
            )
        from orchestrator.transport.login import shown_host_key
        from orchestrator.trust.hostkeys import HostKey

        return HostKey(*shown_host_key(self.address(device)))

    def visit(
        self,
        devices: Iterable[Device],
        deed: "Callable[[Hands], T]",
        watch: Callable[[Device], None],
    ) -> "dict[str, T | Unobserved]":
        """Do one thing on every device, many at once; who cannot be asked is a value."""
        from orchestrator.deploy.hands import Hands

        def visit(device: Device) -> "T | Unobserved":
            try:
                with self.connect(device) as transport:
                    return deed(Hands(transport, device, self.scripts))
            except FleetError as error:
                return Unobserved(
                    device=device.name, code=error.code, because=error.message, hint=error.hint
                )
            finally:
                watch(device)

        each, at_once = list(devices), max(1, self.settings.count("at_once"))
        with self, ThreadPoolExecutor(max_workers=at_once) as pool:
            return {d.name: seen for d, seen in zip(each, pool.map(visit, each), strict=True)}

    @cached_property
    def scripts(self) -> "Scripts":
        """What runs on devices, by content."""
        from orchestrator.deploy.hands import Scripts

        shell = ("device.sh", "facts.sh", "run.sh", "bundle.sh")
        python = (
            "runtimes.py",
            "smoke.py",
            "measure.py",
            "accelerators.py",
            "relay.py",
            "bundle.py",
        )
        names = (*shell, *python)
        return Scripts(tuple((name, self.site.template(f"device/{name}")) for name in names))

    @cached_property
    def _met(self) -> Mapping[str, str]:
        """When devices were last logged in to, as far as the ledger knows."""
        facts = self._facts()
        return {name: f"{each.observed_at:%Y-%m-%d %H:%M}" for name, each in facts.items()}
