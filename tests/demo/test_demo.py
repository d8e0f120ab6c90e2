"""`make demo` and the README's tour, run as a newcomer would, in a copy of the site."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SITE = ("fleet.toml", "inventory", "playbooks", "templates", "demo")
LEFT_OUT = shutil.ignore_patterns("models", "data", "fleet.lock", "devices.lab.yaml", "__pycache__")
PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of the repository's own site, as a fresh clone has it; its lab is stopped at the end."""
    folder = tmp_path_factory.mktemp("clone")
    for name in SITE:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=LEFT_OUT)
        else:
            shutil.copy(ROOT / name, folder / name)
    yield folder
    fleet(folder, "fleet lab down")


@pytest.fixture(scope="module")
def told(site: Path) -> str:
    """What the demo says, told once for all tests of this module."""
    done = subprocess.run(
        [sys.executable, "demo/demo.py"], cwd=site, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_the_demo_halts_the_slow_version_and_leaves_every_device_on_version_one(told: str) -> None:
    after = told.split("Halted (exit code 4)")[1].split("Version 3 was trained")[0]

    assert "12 match." in after
    assert "2.0.0" not in after
    assert "HALTED" in told


def test_the_demo_finds_the_tampered_device_and_rolls_a_group_back_without_bytes(told: str) -> None:
    assert re.search(r"pi-02 +fashion +drift", told)
    assert "4 succeeded; 0 B sent." in told


def test_the_demo_shows_each_command_as_a_user_would_type_it(told: str) -> None:
    shown = [line for line in told.splitlines() if line.startswith("$ ")]

    assert "$ fleet deploy --target all --yes" in shown
    assert "$ fleet rollback --target jetson-group --yes" in shown
    assert all(line.startswith(("$ fleet ", "$ python demo/train.py")) for line in shown)


@pytest.mark.usefixtures("told")
def test_every_command_of_the_readmes_tour_does_what_the_readme_says(site: Path) -> None:
    commands = readme_commands()

    for command, expected in commands:
        done = fleet(site, command)
        assert done.returncode == expected, f"{command}\n{done.stdout}\n{done.stderr}"
    assert len(commands) >= 12


@pytest.mark.usefixtures("told")
def test_the_demo_can_be_told_again(site: Path) -> None:
    done = subprocess.run(
        [sys.executable, "demo/demo.py"], cwd=site, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def readme_commands() -> list[tuple[str, int]]:
    """The commands of the README's console blocks with the exit codes their comments promise."""
    blocks = re.findall(r"```console\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    lines = [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]
    found = []
    for line in lines:
        command, _, comment = line.partition("#")
        promised = re.search(r"exit code (\d+)", comment)
        found.append((command.strip(), int(promised[1]) if promised else 0))
    return found


def fleet(site: Path, command: str) -> subprocess.CompletedProcess[str]:
    """Run one command line in a site."""
    return subprocess.run(
        shlex.split(command),
        cwd=site,
        env={**os.environ, "PATH": PATH, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
