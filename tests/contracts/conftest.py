"""A device behind each transport: emulated ones with a real sshd and a real adbd, and this machine."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

import pytest

from orchestrator.lab.errors import DebianMissing, NoTierWorks, SshdMissing, UserlandMissing
from orchestrator.lab.lab import Lab
from orchestrator.transport.adb import AdbTransport
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


@pytest.fixture(scope="session")
def phone_lab(
    tmp_path_factory: pytest.TempPathFactory, adb_server: None, missing: Callable[..., NoReturn]
) -> Iterator[Lab]:
    """A lab of one device, pi-01, with a real adbd."""
    site = tmp_path_factory.mktemp("phone")
    lab = Lab(site, site / "inventory")
    try:
        lab.up(1, userlands=("adb",))
    except (SshdMissing, UserlandMissing, NoTierWorks, DebianMissing) as error:
        missing("adb", error)
    yield lab
    lab.down()


@pytest.fixture(scope="session")
def phone(phone_lab: Lab) -> str:
    """What adb calls it."""
    (device,) = phone_lab.status().devices
    return f"{device.address}:{device.port}"


@pytest.fixture(params=["ssh", "ssh packet by packet", "adb", "loopback"])
def connect(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Transport]:
    """Open a session, by each of the transports."""
    if request.param == "loopback":
        return lambda: LoopbackTransport("here", tmp_path)
    if request.param == "adb":
        serial = request.getfixturevalue("phone")
        return lambda: AdbTransport("phone-01", serial)
    address = request.getfixturevalue("bench").address()
    return lambda: SshTransport(address, bursts=request.param == "ssh")


@pytest.fixture
def transport(connect: Callable[[], Transport]) -> Iterator[Transport]:
    with connect() as opened:
        yield opened
