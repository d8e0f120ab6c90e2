"""Real labs of three devices, one for each tier, and an ordinary `ssh` to talk to them."""

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrator.lab.errors import NoTierWorks, SshdMissing
from orchestrator.lab.lab import Lab
from orchestrator.lab.spec import Tier

LONG = (
    "a site whose path has spaces, 100% odd 'signs' and more bytes than a socket address holds " * 2
)


@dataclass(frozen=True)
class Bench:
    """A lab and the means to run commands on its devices."""

    lab: Lab
    site: Path
    tier: Tier

    def run(
        self,
        name: str,
        command: str,
        *,
        data: bytes = b"",
        key: Path | None = None,
        at: str = "",
    ) -> subprocess.CompletedProcess[bytes]:
        status = self.lab.status()
        device = next(one for one in status.devices if one.name == name)
        place = self.site / ".fleet" / "lab"
        options = {
            "BatchMode": "yes",
            "StrictHostKeyChecking": "yes",
            "IdentitiesOnly": "yes",
            "ConnectTimeout": "5",
            "UserKnownHostsFile": _word(place / "known_hosts"),
            "IdentityFile": _word(key or place / "id_ed25519"),
        }
        argv = ["ssh", "-F", "none", "-p", str(device.port), "-l", status.user]
        for option, value in options.items():
            argv += ["-o", f"{option}={value}"]
        return subprocess.run(
            [*argv, at or device.address, command], input=data, capture_output=True, timeout=30
        )

    def says(self, name: str, command: str) -> str:
        done = self.run(name, command)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()


def _word(path: Path) -> str:
    return '"' + str(path).replace("%", "%%") + '"'


def started(site: Path, count: int, tier: str | None = None) -> Bench:
    """A lab that is up; the test is skipped, loudly, where that cannot be."""
    lab = Lab(site, site / "inventory" / "demo")
    try:
        status = lab.up(count, tier=tier)
    except (SshdMissing, NoTierWorks) as error:
        pytest.skip(f"NO LAB ON THIS MACHINE: {error}; {error.hint}")
    assert status.tier
    return Bench(lab, site, status.tier)


@pytest.fixture(scope="session")
def as_bench() -> Callable[[Lab, Path, Tier], Bench]:
    """The means to run commands on a lab's devices."""
    return Bench


@pytest.fixture(scope="session", params=list(Tier))
def shared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Bench]:
    bench = started(tmp_path_factory.mktemp("lab") / LONG, 3, request.param)
    yield bench
    bench.lab.down()


@pytest.fixture
def bench(shared: Bench) -> Iterator[Bench]:
    """A lab with jetson-01, pi-01 and phone-01, in each tier; whole again afterwards."""
    yield shared
    for device in shared.lab.status().devices:
        shared.lab.mend(device.name)


@pytest.fixture
def start() -> Iterator[Callable[..., Bench]]:
    """Start labs by (site, count, tier); all of them are down after the test."""
    begun: list[Bench] = []

    def begin(site: Path, count: int, tier: str | None = None) -> Bench:
        begun.append(started(site, count, tier))
        return begun[-1]

    yield begin
    for bench in begun:
        bench.lab.down()
