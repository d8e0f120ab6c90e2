"""What is seen of a device from outside, and what its site and its Python are made of."""

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from orchestrator.lab.lab import Lab
from orchestrator.rollout.outcome import Outcome
from orchestrator.selftest.invariant import Seen

HERE = Path(__file__).parent
SHIPPED = HERE.parents[1] / "templates" / "device" / "device.sh"


STILL_S = 10.0
"""How long a folder may go on changing under one's eyes."""


def look(place: Path) -> Seen:
    """One model's folder as it is at one instant: a script of the device may still be at work."""
    last, before = time.monotonic() + STILL_S, None
    while time.monotonic() < last:
        try:
            now = _read(place)
        except FileNotFoundError:
            continue
        if now == before:
            return now
        before = now
    raise AssertionError(f"{place} did not come to rest within {STILL_S:g} s")


def _read(place: Path) -> Seen:
    """The folder, read file by file."""
    links = {path.name: str(path.readlink()) for path in place.iterdir() if path.is_symlink()}
    releases: dict[str, dict[str, str]] = {}
    manifests = {}
    for folder in (place / "releases").iterdir():
        files = {f.name: f.read_bytes() for f in folder.iterdir()}
        releases[folder.name] = {n: hashlib.sha256(data).hexdigest() for n, data in files.items()}
        if "manifest.json" in files:
            manifests[folder.name] = files["manifest.json"]
    others = [
        str(path.relative_to(place))
        for path in (*place.iterdir(), *(place / "staging").glob("*"))
        if not path.is_symlink()
    ]
    return Seen(links, releases, manifests, tuple(others))


def said(outcome: Outcome) -> str:
    return f"{outcome.status.value} {outcome.code} {outcome.because}"


def tripwired(site: Path) -> None:
    """Give a site the shipped script with tripwires in it."""
    text = SHIPPED.read_text()
    mark = "\nshift 2\n"
    assert text.count(mark) == 1, "device.sh has changed: where do the tripwires go?"
    own = site / "templates/device/device.sh"
    own.parent.mkdir(parents=True)
    own.write_text(text.replace(mark, mark + (HERE / "trip.sh").read_text()))


def warmed(folder: Path, lab: Lab) -> "subprocess.Popen[bytes]":
    """Start the Python that devices share; `folder` is what they see as shared."""
    return subprocess.Popen(
        [sys.executable, str(HERE / "warm.py"), str(folder), str(lab.places.lab)],
        env={**os.environ, "PYTHONPATH": str(HERE.parents[1]), "OPENBLAS_NUM_THREADS": "1"},
    )


def shared(folder: Path) -> Path:
    """The folder that devices share, with the client of the warm Python in it."""
    (folder / "out").mkdir(parents=True)
    (folder / "out").chmod(0o1777)
    (folder / "python3").write_bytes((HERE / "warm.sh").read_bytes())
    (folder / "python3").chmod(0o755)
    os.mkfifo(folder / "in")
    (folder / "in").chmod(0o666)
    return folder


def listing(lab: Lab, addresses: Mapping[str, str]) -> str:
    """The inventory of a lab's devices; `addresses` may name a way around for some."""
    place, status = lab.places.lab, lab.status()
    bench = {"kind": "other", "arch": "x86_64", "ram_mib": 4096, "runtimes": ["onnxruntime"]}
    defaults = {
        "user": status.user,
        "identity_file": str(place / "id_ed25519"),
        "known_hosts": str(lab.places.known_hosts),
    }
    devices = {
        one.name: {
            "address": addresses.get(one.name, one.address),
            "port": one.port,
            "profile": "bench",
            "emulated": True,
            "python": "/opt/fleet-lab/shared/python3",
        }
        for one in status.devices
    }
    return json.dumps({"defaults": defaults, "profiles": {"bench": bench}, "devices": devices})
