"""A device behind each transport: an emulated one with a real sshd, and this machine."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from orchestrator.lab.errors import NoTierWorks, SshdMissing
from orchestrator.lab.lab import Lab
from orchestrator.transport.login import Address
from orchestrator.transport.loopback import LoopbackTransport
from orchestrator.transport.ssh import SshTransport
from orchestrator.transport.transport import Transport


@dataclass(frozen=True)
class Bench:
    """A lab of two devices and how to log in to them."""

    lab: Lab
    user: str

    def address(self, name: str = "jetson-01", **other: object) -> Address:
        device = next(one for one in self.lab.status().devices if one.name == name)
        place = self.lab.site / ".fleet" / "lab"
        right = Address(
            device=name,
            host=device.address,
            port=device.port,
            user=self.user,
            identity=place / "id_ed25519",
            known_hosts=(place / "known_hosts",),
        )
        return replace(right, **other)


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    site = tmp_path_factory.mktemp("contracts")
    lab = Lab(site, site / "inventory")
    try:
        status = lab.up(2)
    except (SshdMissing, NoTierWorks) as error:
        pytest.skip(f"NO LAB ON THIS MACHINE: {error}; {error.hint}")
    yield Bench(lab, status.user)
    lab.down()


@pytest.fixture(params=["ssh", "ssh packet by packet", "loopback"])
def connect(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Transport]:
    """Open a session, by each of the transports."""
    if request.param == "loopback":
        return lambda: LoopbackTransport("here", tmp_path)
    address = request.getfixturevalue("bench").address()
    return lambda: SshTransport(address, bursts=request.param == "ssh")


@pytest.fixture
def transport(connect: Callable[[], Transport]) -> Iterator[Transport]:
    with connect() as opened:
        yield opened
