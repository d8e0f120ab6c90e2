"""Whole deployments by fleet's own Python API: plan, send, prove, switch, confirm, and back again.

    python rollout.py TARGET.json AT_ONCE SIZE_BYTES

Everything is real but the smoke test, which a script of the device answers at once: what a model
takes to load is not a property of the delivery. Prints one line of JSON for each step, with the
number of commands that ran on devices: each is a round trip after the connection's own.
"""

import json
import os
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestrator.app import Fleet
from orchestrator.artifact.golden import GoldenSet, Tolerance
from orchestrator.artifact.lock import Lock, LockedArtifact, LockedModel, Status
from orchestrator.build.store import Store
from orchestrator.catalog.assignment import Figures
from orchestrator.catalog.model import Preprocessing
from orchestrator.catalog.variant import Format
from orchestrator.transport.ssh import SshTransport
from orchestrator.transport.transport import Completed
from orchestrator.values import sha256

_PYTHON = """#!/bin/sh
case "$*" in
*runtimes.py*) echo '{"python": "3.11.2", "bits": 64, "onnxruntime": "1.20.1"}' ;;
*smoke.py*) echo '{"passed": true, "runtime": "onnxruntime", "cases": 1, "p50_ms": 1.0}' ;;
*) exec python3 "$@" ;;
esac
"""
BLOCK = 4096


class Site:
    """A site with one model whose versions are bytes that nobody loads."""

    def __init__(self, target: dict[str, Any], at_once: int) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="rollout-"))
        self.inventory = self.folder / "inventory" / "main"
        self.target = target
        self.inventory.mkdir(parents=True)
        (self.folder / "playbooks").mkdir()
        settings = f'inventory = "inventory/main"\nplaybook = "all"\nat_once = {at_once}\n'
        (self.folder / "fleet.toml").write_text(settings)
        waves = f"name: all\nwaves: [{{name: all, size: all}}]\nat_once: {at_once}\n"
        (self.folder / "playbooks" / "all.yaml").write_text(waves)
        stub = Path(target["homes"]) / "python"
        stub.write_text(_PYTHON)
        stub.chmod(0o755)
        self.python = str(stub)
        self.describe("fast")

    def describe(self, link: str) -> None:
        """Write the inventory."""
        target = self.target
        profile = {"kind": "other", "arch": "x86_64", "ram_mib": 1024, "runtimes": ["onnxruntime"]}
        listing = {
            "defaults": {
                "user": target["user"],
                "port": target["port"],
                "identity_file": target["key"],
                "known_hosts": target["known_hosts"],
                "python": self.python,
                "link": link,
            },
            "profiles": {"bench": profile},
            "devices": {
                f"d{n}": {"address": host, "profile": "bench"}
                for n, host in enumerate(target["hosts"])
            },
        }
        (self.inventory / "devices.yaml").write_text(json.dumps(listing))

    def offer(self, version: str, data: bytes) -> None:
        """Put a version into the catalog, the lock and the store."""
        store = Store(self.folder / ".fleet" / "store")
        golden = b"golden " + version.encode()
        artifact = LockedArtifact(
            variant="onnx-float32",
            key=sha256(version.encode()),
            status=Status.ACCEPTED,
            format=Format.ONNX,
            sha256=store.add(data),
            size_bytes=len(data),
            figures=Figures(size_bytes=len(data), accuracy=1.0, p50_ms=1.0, samples=1),
            golden=GoldenSet(
                sha256=store.add(golden),
                size_bytes=len(golden),
                cases=1,
                tolerances=(Tolerance(output="y", max_abs_diff=1e-4),),
            ),
        )
        locked = LockedModel(
            name="model",
            version=version,
            source=sha256(data),
            preprocessing=Preprocessing(),
            artifacts=(artifact,),
        )
        entry = {"source": "model.onnx", "version": version, "variants": ["onnx-float32"]}
        (self.inventory / "models.yaml").write_text(json.dumps({"models": {"model": entry}}))
        Fleet(self.folder).site.write_lock(Lock(models=(locked,)))


def changed(data: bytes, one_in: int) -> bytes:
    """The same bytes with one block in so many changed."""
    new = bytearray(data)
    for at in range(0, len(new), one_in * BLOCK):
        new[at : at + BLOCK] = os.urandom(len(new[at : at + BLOCK]))
    return bytes(new)


class Commands:
    """Counts the commands that are run on devices from now on."""

    def __init__(self) -> None:
        self.count, self._lock, execute = 0, threading.Lock(), SshTransport._exec

        def counted(session: SshTransport, *args: Any) -> Completed:
            with self._lock:
                self.count += 1
            return execute(session, *args)

        SshTransport._exec = counted  # type: ignore[method-assign]


COMMANDS = Commands()


def timed(step: str, deed: Callable[[], tuple[int, int]]) -> None:
    """Do something and say how long it took; `deed` returns devices that went well and bytes sent."""
    cpu, commands, began = _cpu_s(), COMMANDS.count, time.perf_counter()
    good, sent = deed()
    said = {
        "step": step,
        "wall_s": time.perf_counter() - began,
        "cpu_s": _cpu_s() - cpu,
        "good": good,
        "bytes_sent": sent,
        "commands": COMMANDS.count - commands,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    print(json.dumps(said), flush=True)


def _cpu_s() -> float:
    mine = resource.getrusage(resource.RUSAGE_SELF)
    return mine.ru_utime + mine.ru_stime


def deployed(site: Site) -> tuple[int, int]:
    """As `fleet deploy` does it: look, plan, carry out, over one connection to each device."""
    with Fleet(site.folder) as fleet:
        plan = fleet.plan("all", fleet.site.playbook("all"))
        report = fleet.execute(plan)
    good = sum(o.status in ("succeeded", "already-current") for o in report.outcomes)
    return good, sum(o.bytes_sent for o in report.outcomes)


def rolled_back(site: Site) -> tuple[int, int]:
    """As `fleet rollback` does it."""
    with Fleet(site.folder) as fleet:
        plan = fleet.rollback_plan("all", fleet.site.playbook("all"))
        report = fleet.execute(plan)
    good = sum(o.status == "succeeded" for o in report.outcomes)
    return good, sum(o.bytes_sent for o in report.outcomes)


def asked(site: Site) -> tuple[int, int]:
    """As `fleet facts --refresh` does it."""
    fleet = Fleet(site.folder)
    seen = fleet.observe(fleet.select("all"))
    return sum(o.kind == "observed" for o in seen.values()), 0


def audited(site: Site) -> tuple[int, int]:
    """As `fleet audit` does it."""
    return sum(drift.finding == "match" for drift in Fleet(site.folder).audit("all")), 0


def main() -> None:
    """All steps, one after the other."""
    target = json.loads(Path(sys.argv[1]).read_text())
    site = Site(target, int(sys.argv[2]))
    first = os.urandom(int(sys.argv[3]))
    site.offer("1.0", first)
    timed("first contact", lambda: asked(site))
    timed("first deployment", lambda: deployed(site))
    timed("the same again", lambda: deployed(site))
    timed("facts", lambda: asked(site))
    timed("audit", lambda: audited(site))
    site.offer("2.0", changed(first, 20))
    timed("5 % changed, fast line", lambda: deployed(site))
    timed("rollback", lambda: rolled_back(site))
    site.describe("metered")
    site.offer("3.0", changed(first, 20))
    timed("5 % changed, metered line", lambda: deployed(site))


if __name__ == "__main__":
    main()
