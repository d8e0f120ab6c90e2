"""Devices of another architecture, and a site that gives them real models."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for `from digits import …`
from digits import write

from orchestrator.lab.errors import LabError
from orchestrator.lab.lab import Lab

FLEET = str(Path(sys.executable).with_name("fleet"))
WORDS = {
    "digits-tflite": {"target": "pi-group", "1.0": "tflite-as-is", "2.0": "tflite-int8"},
    "digits-onnx": {"target": "jetson-group", "1.0": "onnx-float32", "2.0": "onnx-int8"},
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

    def on(self, device: str, command: str) -> str:
        """What a command says on a device, over an ordinary `ssh`."""
        place = self.lab.places
        options = ["BatchMode=yes", f"UserKnownHostsFile={place.known_hosts}"]
        argv = ["ssh", "-F", "none", "-i", str(place.key), "-p", "2222"]
        for option in options:
            argv += ["-o", option]
        address = {one.name: one.address for one in self.lab.status().devices}[device]
        done = subprocess.run(
            [*argv, f"pi@{address}", command], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def offer(self, version: str) -> None:
        """Describe and build a version of both models."""
        entries = {}
        for name, words in WORDS.items():
            kind = name.removeprefix("digits-")
            entries[name] = {
                "source": f"models/digits.{kind}",
                "version": version,
                "target": words["target"],
                "preprocessing": {"scale": 1 / 16},
                "data": {use: f"data/{kind}-{use}.npz" for use in ("calibration", "evaluation")},
                "variants": [words[version]],
            }
        (self.inventory / "models.yaml").write_text(json.dumps({"models": entries}))
        self.run("build")


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory, missing: Callable[..., NoReturn]
) -> Iterator[Site]:
    """Two emulated aarch64 devices, jetson-01 and pi-01, as `fleet lab up` makes them."""
    folder = tmp_path_factory.mktemp("emulated")
    made = Site(folder, Lab(folder, folder / "inventory" / "main"))
    (folder / "playbooks").mkdir()
    (folder / "fleet.toml").write_text('inventory = "inventory/main"\nplaybook = "all"\n')
    (folder / "playbooks/all.yaml").write_text(
        "name: all\nwaves:\n  - {name: all, size: all, max_failed: 0}\n"
    )
    try:
        made.lab.up(2, userlands=("aarch64",))
    except LabError as error:
        missing("aarch64", error)
    (made.inventory / "devices.yaml").write_text(
        "groups: {jetson-group: {}, pi-group: {}, canary: {}}\n"
    )
    yield made
    made.lab.down()


@pytest.fixture(scope="module")
def built(site: Site) -> Site:
    """The site with two trained nets in its catalog, version 1.0 of both built."""
    write(site.inventory)
    site.offer("1.0")
    return site
