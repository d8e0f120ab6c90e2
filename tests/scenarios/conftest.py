"""A lab of six sshd devices, a fresh site for every test, and models of a few hundred bytes."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from orchestrator.lab.breakage import Breakage
from orchestrator.lab.errors import NoTierWorks, SshdMissing
from orchestrator.lab.lab import Lab

sys.path.insert(0, str(Path(__file__).parent))  # for `from scene import …`
from scene import CANARY, NAMES, ONE, Site


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("lab")
    lab = Lab(folder, folder / "inventory")
    try:
        lab.up(len(NAMES))
    except (SshdMissing, NoTierWorks) as error:
        pytest.skip(f"NO LAB ON THIS MACHINE: {error}; {error.hint}")
    yield lab
    lab.down()


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where devices' files are kept that many tests begin with."""
    return tmp_path_factory.mktemp("kept")


@pytest.fixture
def site(lab: Lab, kept: Path, tmp_path: Path) -> Iterator[Site]:
    """A site without history; all six devices are whole and empty, version 1.0 is built."""
    status = lab.status()
    folder = tmp_path / "site"
    (folder / "playbooks").mkdir(parents=True)
    (folder / "fleet.toml").write_text('inventory = "inventory/main"\nplaybook = "all"\n')
    addresses = {one.name: (one.address, one.port) for one in status.devices}
    made = Site(folder, lab, addresses, status.user, kept)
    made.inventory.mkdir(parents=True)
    made.describe()
    made.playbook("all", ONE)
    made.playbook("canary", CANARY)
    made.playbook("hasty", ONE, confirm_s=5)
    made.offer("1.0")
    yield made
    for device in lab.status().devices:
        if device.broken or not device.alive:
            lab.mend(device.name)
        for left in (".fleet", "elsewhere", "bin", "die"):
            shutil.rmtree(made.home(device.name) / left, ignore_errors=True)


@pytest.fixture
def break_device(lab: Lab) -> Callable[[str, str], None]:
    """Break a device as `fleet lab break` does; it is mended after the test."""
    return lambda name, how: lab.break_device(name, Breakage(how)) and None


@pytest.fixture
def script(site: Site, tmp_path: Path) -> Callable[..., "subprocess.Popen[str]"]:
    """Start a controller of the Python API in a process of its own."""

    def start(body: str, *args: str) -> "subprocess.Popen[str]":
        head = (
            f"import os, sys\nfrom orchestrator.app import Fleet\nfleet = Fleet({site.folder!r})\n"
        )
        head = head.replace("PosixPath(", "__import__('pathlib').Path(")
        words: Sequence[str] = [sys.executable, "-c", head + body, *args]
        return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    return start
