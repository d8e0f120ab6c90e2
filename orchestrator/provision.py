"""Runtimes for devices: wheels are found once for each kind of device, kept, and brought to all of it."""

import mmap
import os
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from orchestrator.artifact.bundle import (
    Bundle,
    RuntimesLock,
    Target,
    read_runtimes,
    write_runtimes,
)
from orchestrator.catalog.runtime import InPython
from orchestrator.field import Field
from orchestrator.inventory.device import Device
from orchestrator.rollout.observation import Unobserved
from orchestrator.site import Site, read_text

if TYPE_CHECKING:
    from orchestrator.deploy.bootstrap import Bootstrapped
    from orchestrator.transport.transport import Buffer


class Provision:
    """The runtimes that one site brings to its devices. Heavy parts are imported when used."""

    def __init__(self, site: Site, field: Field) -> None:
        self.site, self.field = site, field
        self.file = site.settings.inventory / "runtimes.lock"
        self.wheels = site.settings.state / "wheels"
        self._fetching = threading.Lock()
        self._open: dict[str, Buffer] = {}

    def lock(self) -> RuntimesLock:
        """What is pinned so far."""
        if not self.file.is_file():
            return RuntimesLock()
        return read_runtimes(read_text(self.file), self.site.shown(self.file))

    def bootstrap(
        self,
        devices: Iterable[Device],
        adapter: InPython,
        *,
        remove: bool = False,
        dry_run: bool = False,
        watch: Callable[[Device], None] = lambda device: None,
    ) -> "dict[str, Bootstrapped | Unobserved]":
        """Bring a runtime to devices, or take it away; who cannot have it is a value, with a reason."""
        from orchestrator.deploy import bootstrap
        from orchestrator.deploy.claim import Claim

        def bundle(target: Target) -> Bundle | None:
            return self._bundle(adapter, target, dry_run=dry_run)

        deed = bootstrap.remove if remove else bootstrap.bootstrap
        with Claim(self.site.settings.state / "controllers") as claim:
            order = bootstrap.Order(adapter, claim.owner, claim.gone, bundle, self._opened, dry_run)
            return self.field.visit(devices, lambda hands: deed(hands, order), watch)

    def _bundle(self, adapter: InPython, target: Target, *, dry_run: bool) -> Bundle | None:
        """The pinned wheels for a target; chosen and pinned now where nobody has asked before."""
        from orchestrator.build.wheels import fetch, fetch_again

        with self._fetching:
            found = self.lock().find(adapter.runtime, target)
            if found is None and dry_run:
                return None
            if found is None:
                found = fetch(adapter.runtime, adapter.wheel, target, self.wheels)
                self._write(self.lock().with_one_more(found))
            elif not dry_run:
                fetch_again(found, target, self.wheels)
            for wheel in found.wheels if not dry_run else ():
                if wheel.sha256 not in self._open:
                    with (self.wheels / wheel.file).open("rb") as file:
                        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
                    self._open[wheel.sha256] = memoryview(mapped)
            return found

    def _opened(self, sha256: str) -> "Buffer":
        return self._open[sha256]

    def _write(self, lock: RuntimesLock) -> None:
        beside = self.file.with_name(f".{self.file.name}.{os.getpid()}")
        beside.write_text(write_runtimes(lock))
        beside.replace(self.file)
