"""A site whose devices are of another architecture, and what a test asks of it."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import NoReturn

from orchestrator.lab.errors import DebianMissing, NoTierWorks, SshdMissing, WheelsMissing
from orchestrator.lab.lab import Lab

FLEET = str(Path(sys.executable).with_name("fleet"))
GROUPS = "groups: {jetson-group: {}, pi-group: {}, phone-group: {}, canary: {}}\n"
LACKS = (SshdMissing, NoTierWorks, DebianMissing, WheelsMissing)
"""What a machine may lack; anything else is a failure."""
WORDS = {
    "digits-tflite": {
        "target": "pi-group | phone-group",
        "1.0": "tflite-as-is",
        "2.0": "tflite-int8",
    },
    "digits-onnx": {
        "target": "jetson-group | phone-group",
        "1.0": "onnx-float32",
        "2.0": "onnx-int8",
    },
}
"""Model → whom it is meant for, and the only variant of each version."""


@dataclass(frozen=True)
class Site:
    """A site whose inventory is what its lab wrote."""

    folder: Path
    lab: Lab

    @property
    def inventory(self) -> Path:
        return self.folder / "inventory" / "main"

    def begin(self) -> None:
        """Write what a site has before there are devices."""
        self.inventory.mkdir(parents=True)
        (self.inventory / "devices.yaml").write_text(GROUPS)
        (self.folder / "playbooks").mkdir()
        (self.folder / "fleet.toml").write_text('inventory = "inventory/main"\nplaybook = "all"\n')
        (self.folder / "playbooks/all.yaml").write_text(
            "name: all\nwaves:\n  - {name: all, size: all, max_failed: 0}\n"
        )

    def take(self, built: "Site") -> None:
        """Take over the catalog of another site, and what was built of it."""
        for part in ("inventory/main", ".fleet"):
            shutil.copytree(built.folder / part, self.folder / part, dirs_exist_ok=True)

    def run(self, *words: str, expected: int = 0) -> str:
        """A `fleet` command as a user types it; what it says."""
        done = subprocess.run(
            [FLEET, *words, "--site", str(self.folder)],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=300,
            check=False,
        )
        assert done.returncode == expected, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    def data(self, *words: str, expected: int = 0) -> list[dict[str, object]]:
        """The rows of a command's JSON; of a deployment, its outcomes."""
        data = json.loads(self.run(*words, "-o", "json", expected=expected))["data"]
        return data if isinstance(data, list) else data["outcomes"]

    def on(self, device: str, command: str, given: bytes = b"") -> str:
        """What a command says on a device, over an ordinary `ssh`."""
        place = self.lab.places
        options = ["BatchMode=yes", f"UserKnownHostsFile={place.known_hosts}"]
        argv = ["ssh", "-F", "none", "-i", str(place.key)]
        for option in options:
            argv += ["-o", option]
        found = {one.name: one for one in self.lab.status().devices}[device]
        done = subprocess.run(
            [*argv, "-p", str(found.port), f"pi@{found.address}", command],
            input=given,
            capture_output=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.decode().strip()

    def offer(
        self, version: str, needs: Mapping[str, object] = MappingProxyType({}), like: str = ""
    ) -> None:
        """Describe and build a version of both models, by the variants of 1.0 or 2.0; and their needs."""
        entries = {}
        for name, words in WORDS.items():
            kind = name.removeprefix("digits-")
            entries[name] = {
                "source": f"models/digits.{kind}",
                "version": version,
                "target": words["target"],
                "preprocessing": {"scale": 1 / 16},
                "data": {use: f"data/{kind}-{use}.npz" for use in ("calibration", "evaluation")},
                "variants": {words[like or version]: dict(needs)},
            }
        (self.inventory / "models.yaml").write_text(json.dumps({"models": entries}))
        self.run("build")


@contextmanager
def emulated(
    folder: Path, userlands: tuple[str, ...], tier: str, missing: Callable[..., NoReturn]
) -> Iterator[Site]:
    """A site with a device of each of some userlands."""
    made = Site(folder, Lab(folder, folder / "inventory" / "main"))
    made.begin()
    try:
        made.lab.up(len(userlands), userlands=userlands)
    except LACKS as error:
        missing(tier, error)
    try:
        yield made
    finally:
        made.lab.down()
