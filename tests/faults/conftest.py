"""The labs of the fault suite, what must exist for them, and the count of faults at the end."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for `from rig import …`
sys.path.insert(0, str(Path(__file__).parents[1] / "scenarios"))  # and `from scale import …`
from case import CODES, COUNTED
from rig import PLAYBOOK, Rig
from sight import said, shared, tripwired, warmed

from orchestrator.lab.errors import LabError
from orchestrator.lab.lab import Lab
from orchestrator.lab.spec import Sort, Storage
from orchestrator.rollout.outcome import Status

FOUR = ("dash", "bash", "busybox", "toybox")


def missing(tier: str, why: str) -> None:
    """Skip loudly, or fail where the tier is required: ``FLEET_LAB_REQUIRE=userlands,ext4``."""
    if tier in os.environ.get("FLEET_LAB_REQUIRE", "").split(","):
        pytest.fail(f"FLEET_LAB_REQUIRE names {tier!r}, and it is not to be had: {why}")
    pytest.skip(f"NO {tier.upper()} ON THIS MACHINE: {why}")


@contextmanager
def rigged(folder: Path, count: int, storage: Storage, tier: str) -> Iterator[Rig]:
    """A lab of four userlands and a site on it; every device has two releases already."""
    lab = Lab(folder / "lab", folder / "lab" / "inventory")
    if os.geteuid() != 0:
        missing(tier, "it needs root")
    try:
        status = lab.up(
            count,
            tier="namespaces",
            userlands=FOUR,
            storage=storage,
            shared=shared(folder / "shared"),
        )
    except LabError as error:
        missing(tier, f"{error.message}; {error.hint}")
    warm = warmed(folder / "shared", lab)
    site = folder / "site"
    (site / "playbooks").mkdir(parents=True)
    (site / "fleet.toml").write_text('inventory = "inventory/main"\nplaybook = "all"\n')
    (site / "playbooks/all.yaml").write_text(PLAYBOOK)
    hasty = PLAYBOOK.replace("name: all\nw", "name: hasty\nw").replace("_s: 30", "_s: 5")
    (site / "playbooks/hasty.yaml").write_text(hasty)
    tripwired(site)
    rig = Rig(site, lab, {one.name: one.userland for one in status.devices})
    try:
        rig.describe()
        for _ in range(2):
            rig.next_version()
            outcomes = rig.deploy(rig.userlands).values()
            failed = [said(one) for one in outcomes if one.status is not Status.SUCCEEDED]
            assert not failed, failed
            rig.settle(rig.userlands)
        yield rig
    finally:
        if "zygote" in rig.__dict__:
            rig.zygote.kill()
            rig.zygote.communicate()
        warm.kill()
        warm.wait()
        lab.down()


@pytest.fixture(scope="session")
def on_tmpfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Twelve devices, three of each userland, on small tmpfs."""
    with rigged(tmp_path_factory.mktemp("faults"), 12, Storage(mib=8), "userlands") as made:
        yield made


@pytest.fixture(scope="session")
def on_ext4(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Eight devices, two of each userland, on ext4 images that can be cut from their power."""
    with rigged(tmp_path_factory.mktemp("power"), 8, Storage(Sort.EXT4, 12), "ext4") as made:
        yield made


@pytest.fixture(scope="session")
def on_btrfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Four devices, one of each userland, on btrfs images whose quota can be used up."""
    with rigged(tmp_path_factory.mktemp("quota"), 4, Storage(Sort.BTRFS, 24), "btrfs") as made:
        yield made


@pytest.fixture
def rig(on_tmpfs: Rig) -> Rig:
    """Twelve devices that all run the same release."""
    on_tmpfs.level()
    return on_tmpfs


@pytest.fixture
def powered(on_ext4: Rig) -> Rig:
    """Eight devices on ext4 that all run the same release."""
    on_ext4.level()
    return on_ext4


@pytest.fixture
def limited(on_btrfs: Rig) -> Rig:
    """Four devices on btrfs that all run the same release."""
    on_btrfs.level()
    return on_btrfs


def pytest_sections(config: pytest.Config) -> list[tuple[str, list[str]]]:
    """How many faults were injected; a violation fails the test that saw it."""
    if not COUNTED:
        return []
    lines = []
    for kind, count in sorted(COUNTED.items()):
        ended = ", ".join(f"{n} × {code}" for code, n in CODES[kind].most_common(4))
        lines.append(f"{count:5}  {kind}" + (f": {ended}" if ended else ""))
    lines.append(f"{sum(COUNTED.values()):5}  injected faults")
    return [("injected faults", lines)]
