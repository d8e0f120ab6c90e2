"""A runtime brought to a real aarch64 system: other wheels than this machine's, and a model run by them."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "scenarios"))
from scale import offer_tflite

from orchestrator.lab.errors import LabError
from orchestrator.lab.lab import Lab
from orchestrator.lab.spec import Sort, Storage

FLEET = str(Path(sys.executable).with_name("fleet"))
DEVICE = "pi-01"


@pytest.fixture
def site(tmp_path: Path, missing: Callable[..., NoReturn]) -> Iterator[Path]:
    """A site with one aarch64 device whose Python has no package at all, and room for some."""
    inventory = tmp_path / "inventory" / "main"
    lab = Lab(tmp_path, inventory)
    (tmp_path / "playbooks").mkdir()
    (tmp_path / "fleet.toml").write_text('inventory = "inventory/main"\nplaybook = "all"\n')
    (tmp_path / "playbooks/all.yaml").write_text("waves: [{name: all, size: all}]\n")
    try:
        lab.up(1, userlands=("aarch64",), storage=Storage(Sort.TMPFS, 512))
    except LabError as error:
        missing("aarch64", error)
    listed = inventory / "devices.lab.yaml"
    python = "    python: /usr/bin/python3.11\n"
    listed.write_text(
        listed.read_text().replace("    emulated: true\n", f"    emulated: true\n{python}")
    )
    (inventory / "devices.yaml").write_text("groups: {pi-group: {}, canary: {}}\n")
    offer_tflite(tmp_path, "1.0")
    yield tmp_path
    lab.down()


def run(site: Path, *words: str) -> list[dict[str, object]]:
    """The rows of a command's JSON; of a deployment, its outcomes."""
    argv = [FLEET, *words, "-o", "json", "--site", str(site)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout, done.stderr
    data = json.loads(done.stdout)["data"]
    return data if isinstance(data, list) else data["outcomes"]


def test_wheels_for_aarch64_are_brought_to_it_and_run_a_model_there(site):
    (before,) = run(site, "deploy", "-t", DEVICE, "--yes")

    (row,) = run(site, "bootstrap", DEVICE, "--runtime", "litert")
    if row["code"] == "BOOTSTRAP > WHEELS > FETCH":
        pytest.skip(f"NO PACKAGE INDEX IN REACH: {row['because']}")
    (again,) = run(site, "bootstrap", DEVICE, "--runtime", "litert")
    (done,) = run(site, "deploy", "-t", DEVICE, "--yes")

    assert before["status"] == "no-variant"
    assert row["status"] == "installed", row
    assert (again["status"], again["bytes_sent"]) == ("already-there", 0)
    assert (done["status"], done["smoke"]["runtime"]) == ("succeeded", f"litert {row['version']}")
    (bundle,) = json.loads((site / "inventory/main/runtimes.lock").read_text())["bundles"]
    assert bundle["arch"] == "aarch64"
    assert any(wheel["file"].endswith("_aarch64.whl") for wheel in bundle["wheels"])
