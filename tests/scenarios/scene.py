"""A site on the shared lab: what people write and type there, and what is seen of its devices."""

import hashlib
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scale import MODEL, offer
from typer.testing import CliRunner

from orchestrator.app import Fleet
from orchestrator.build.store import Store
from orchestrator.cli.main import app
from orchestrator.lab.lab import Lab
from orchestrator.values import sha256

ROOT = Path(__file__).parents[2]
FLEET = str(Path(sys.executable).with_name("fleet"))
NAMES = ("jetson-01", "jetson-02", "pi-01", "pi-02", "pi-03", "phone-01")
_PLAYBOOK = """name: {name}
waves:
{waves}
at_once: 6
keep_releases: 3
confirm_within_s: {confirm_s}
"""
ONE = "  - {name: all, size: all, max_failed: 0}"
CANARY = "  - {name: canary, size: 1, max_failed: 0}\n  - {name: rest, size: all, max_failed: 0}"


@dataclass(frozen=True)
class Ran:
    """A `fleet` command that has ended."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        """Everything a person saw, without line breaks that only a narrow screen makes."""
        return " ".join((self.out + " " + self.err).split())

    @property
    def data(self) -> object:
        """The data of a JSON envelope."""
        return json.loads(self.out)["data"]

    @property
    def statuses(self) -> dict[str, str]:
        """Device → status, of a deployment or a rollback."""
        return {o["device"]: o["status"] for o in self.data["outcomes"]}

    @property
    def outcome(self) -> dict[str, object]:
        """The only outcome of a deployment or a rollback."""
        (only,) = self.data["outcomes"]
        return only


@dataclass
class Site:
    """A site of its own on the shared lab, and what can be seen of its devices from outside."""

    folder: Path
    lab: Lab
    addresses: Mapping[str, tuple[str, int]]
    user: str
    kept: Path
    overrides: dict[str, dict[str, object]] = field(default_factory=dict)

    # --- what people write -----------------------------------------------------------------

    @property
    def inventory(self) -> Path:
        return self.folder / "inventory" / "main"

    @property
    def store(self) -> Store:
        return Store(self.folder / ".fleet" / "store")

    def describe(self, device: str = "", **words: object) -> None:
        """Write devices.yaml; what is said of a device stays said."""
        if device:
            self.overrides.setdefault(device, {}).update(words)
        place = self.lab.places.lab
        listing = {
            "defaults": {
                "user": self.user,
                "identity_file": str(place / "id_ed25519"),
                "known_hosts": str(place / "known_hosts"),
            },
            "profiles": {
                "bench": {
                    "kind": "other",
                    "arch": "aarch64",
                    "ram_mib": 4096,
                    "runtimes": ["onnxruntime"],
                },
                "old": {
                    "kind": "other",
                    "arch": "aarch64",
                    "ram_mib": 512,
                    "runtimes": ["tflite-runtime"],
                },
            },
            "groups": {"edge": {}, "pi-group": {}},
            "devices": {
                name: {
                    "address": address,
                    "port": port,
                    "profile": "bench",
                    "groups": ["edge", *(["pi-group"] if name.startswith("pi") else [])],
                    "emulated": True,
                    **self.overrides.get(name, {}),
                }
                for name, (address, port) in self.addresses.items()
            },
        }
        (self.inventory / "devices.yaml").write_text(json.dumps(listing, indent=1))

    def playbook(self, name: str, waves: str, *, confirm_s: int = 60) -> None:
        text = _PLAYBOOK.format(name=name, waves=waves, confirm_s=confirm_s)
        (self.folder / "playbooks" / f"{name}.yaml").write_text(text)

    def offer(self, version: str, **more: object) -> str:
        """Put a version into the catalog and the lock, as a build would; its release."""
        return offer(self.folder, version, **more)

    # --- what people do --------------------------------------------------------------------

    def argv(self, *words: str) -> list[str]:
        return [FLEET, *words, "--site", str(self.folder)]

    def run(self, *words: str) -> Ran:
        """A command as a person types it, without the second that Python takes to start."""
        done = CliRunner().invoke(app, [*words, "--site", str(self.folder)])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Ran(done.exit_code, done.stdout, done.stderr)

    def start(self, *words: str, **environment: str) -> Ran:
        """A command in a process of its own."""
        done = subprocess.run(
            self.argv(*words),
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=90,
            env={**os.environ, **environment},
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Ran(done.returncode, done.stdout, done.stderr)

    def had(self, *versions: str, on: Sequence[str]) -> list[str]:
        """The releases of versions that were deployed before, one after the other.

        It is done once; later tests get a copy of the devices' files and of the ledger.
        """
        ledger = self.folder / ".fleet" / "ledger.db"
        kept = self.kept / "-".join((*versions, *on))
        releases = []
        for version in versions:
            releases.append(self.offer(version))
            if not kept.exists():
                assert self.deploy(" | ".join(on)).code == 0
        copies = [(self.home(device) / ".fleet", kept / device) for device in on]
        if kept.exists():
            _copy(kept / "ledger.db", ledger)
            for there, here in copies:
                subprocess.run(["cp", "-a", str(here), str(there)], check=True)
            return releases
        kept.mkdir()
        _copy(ledger, kept / "ledger.db")
        for there, here in copies:
            subprocess.run(["cp", "-a", str(there), str(here)], check=True)
        return releases

    def deploy(self, target: str, *words: str) -> Ran:
        return self.run("deploy", "-t", target, "--yes", "-o", "json", *words)

    def rollback(self, target: str, *words: str) -> Ran:
        return self.run("rollback", "-t", target, "--yes", "-o", "json", *words)

    def findings(self, target: str) -> dict[str, str]:
        done = self.run("audit", "-t", target, "-o", "json")
        return {row["device"]: row["finding"] for row in done.data}

    @property
    def fleet(self) -> Fleet:
        return Fleet(self.folder)

    # --- what is seen from outside ---------------------------------------------------------

    def home(self, device: str) -> Path:
        return self.lab.root(device) / "home" / "pi"

    def place(self, device: str) -> Path:
        """Where a device keeps the model."""
        return self.home(device) / ".fleet" / MODEL

    def linked(self, device: str, link: str = "current") -> str | None:
        path = self.place(device) / link
        return path.readlink().name if path.is_symlink() else None

    def running(self, *devices: str) -> list[str | None]:
        """What each device runs; every release that runs is whole."""
        for device in devices:
            assert_whole(self, device)
        return [self.linked(device) for device in devices]

    def leftovers(self, device: str) -> list[str]:
        """What a finished deployment leaves behind and should not."""
        place = self.place(device)
        suspects = ("lock", "pending", "reverting", "confirmed", ".try", ".current.new")
        found = [name for name in suspects if (place / name).exists()]
        return found + [path.name for path in place.glob("staging/*")]


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    here, there = sqlite3.connect(source), sqlite3.connect(target)
    here.backup(there)
    here.close()
    there.close()


def assert_whole(site: Site, device: str) -> None:
    """`current` is nothing, or a release of which every file is what its manifest says."""
    release = site.linked(device)
    if release is None:
        return
    folder = site.place(device) / "releases" / release
    manifest = (folder / "manifest.json").read_bytes()
    files = {file["path"]: file["sha256"] for file in json.loads(manifest)["files"]}
    seen = {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in folder.iterdir()}
    assert release.endswith(sha256(manifest)[:12])
    assert seen == {**files, "manifest.json": sha256(manifest)}
