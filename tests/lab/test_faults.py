"""Breaking a device's power, storage, clock, server and line, and mending them."""

import os
import time

import pytest
import yaml

from orchestrator.cli.lab import _HOW
from orchestrator.lab.breakage import SAYS, Breakage
from orchestrator.lab.errors import CannotBreak, LabError
from orchestrator.lab.lab import Lab
from orchestrator.lab.spec import Sort, Storage, Tier

LANDS = ("dash", "busybox", "bash")


@pytest.fixture(scope="module")
def cut(tmp_path_factory, as_bench):
    """Three devices on ext4 images: jetson-01 is dash, pi-01 is BusyBox, phone-01 is bash."""
    site = tmp_path_factory.mktemp("lab")
    lab = Lab(site, site / "inventory")
    if os.geteuid() != 0:
        pytest.skip("NO EXT4 IMAGES WITHOUT ROOT")
    try:
        lab.up(3, tier="namespaces", userlands=LANDS, storage=Storage(Sort.EXT4, 12))
    except LabError as error:
        pytest.skip(f"NO EXT4 IMAGES ON THIS MACHINE: {error}; {error.hint}")
    yield as_bench(lab, site, Tier.NAMESPACES)
    lab.down()


@pytest.fixture
def images(cut):
    yield cut
    for device in cut.lab.status().devices:
        cut.lab.mend(device.name)


def test_every_breakage_is_offered_and_says_what_it_does():
    assert sorted(_HOW) == sorted(Breakage)
    assert set(SAYS) == set(Breakage)


def test_a_power_cut_keeps_what_was_flushed_and_loses_the_rest(images):
    images.says("jetson-01", "echo one >one && sync one . && echo two >two")

    images.lab.break_device("jetson-01", Breakage.POWER_CUT)
    off = [one.alive for one in images.lab.status().devices if one.name == "jetson-01"]
    images.lab.mend("jetson-01")

    assert off == [False]
    assert images.says("jetson-01", "cat one; ls") == "one\none\n"


def test_a_name_that_was_flushed_without_its_bytes_comes_back_empty(images):
    images.says("jetson-01", "sync; head -c 5000 /dev/zero >model && : >other && sync other")

    images.lab.break_device("jetson-01", Breakage.POWER_CUT)
    images.lab.mend("jetson-01")

    assert images.says("jetson-01", "wc -c <model").strip() == "0"


@pytest.mark.parametrize("device", ["jetson-01", "pi-01"])
def test_dead_storage_fails_every_access_until_it_is_mended(images, device):
    images.says(device, "echo kept >kept && sync")

    images.lab.break_device(device, Breakage.DEAD_STORAGE)
    done = images.run(device, "cat kept")
    images.lab.mend(device)

    # Dropbear reads the keys from the dead storage, and so it refuses the login.
    assert (b"Permission denied" if device == "pi-01" else b"rror") in done.stderr
    assert images.says(device, "cat kept") == "kept\n"


def test_read_only_storage_refuses_writes_until_it_is_mended(images):
    images.lab.break_device("jetson-01", Breakage.READ_ONLY)
    done = images.run("jetson-01", "echo x >x")
    images.lab.mend("jetson-01")

    assert b"Read-only file system" in done.stderr
    assert images.says("jetson-01", "echo x >x; cat x") == "x\n"


def test_what_has_no_power_to_lose_says_how_to_get_some(bench):
    with pytest.raises(CannotBreak) as refused:
        bench.lab.break_device("pi-01", Breakage.POWER_CUT)

    assert "fleet lab up" in refused.value.hint


@pytest.fixture
def spaces(bench):
    if bench.tier is Tier.PLAIN:
        pytest.skip("the plain tier shares this machine's own root; it says so")
    return bench


def test_without_inodes_no_file_can_be_made_until_it_is_mended(spaces):
    spaces.lab.break_device("pi-01", Breakage.NO_INODES)
    done = spaces.run("pi-01", "for i in 1 2 3; do : >new.$i || exit 9; done")
    spaces.lab.mend("pi-01")

    assert b"No space left on device" in done.stderr or done.returncode
    assert spaces.says("pi-01", ": >new && ls new") == "new\n"


def test_a_frozen_device_takes_connections_and_says_nothing(spaces):
    spaces.lab.break_device("pi-01", Breakage.FROZEN)
    began = time.monotonic()
    done = spaces.run("pi-01", "true")
    lasted = time.monotonic() - began
    spaces.lab.mend("pi-01")

    assert (done.returncode, lasted > 3) == (255, True)
    assert spaces.says("pi-01", "echo here") == "here\n"


def test_a_wrong_clock_is_wrong_for_every_program_and_set_right_again(spaces):
    """Not for the kernel, which stamps files."""
    ask = "date +%s; python3 -c 'import time; print(int(time.time()))'"
    try:
        spaces.lab.break_device("pi-01", Breakage.WRONG_CLOCK)
    except CannotBreak as error:
        pytest.skip(f"NO WRONG CLOCK ON THIS MACHINE: {error}; {error.hint}")

    wrong = [int(line) for line in spaces.says("pi-01", ask).split()]
    spaces.lab.mend("pi-01")
    right = int(spaces.says("pi-01", "date +%s"))

    assert len(wrong) == 2
    assert all(time.time() - each > 9 * 365 * 86_400 for each in wrong)
    assert abs(time.time() - right) < 60


def test_a_program_that_wants_more_memory_than_a_device_has_is_killed_by_the_kernel(spaces):
    """A control group, and the kernel's own choice of whom to kill."""
    if os.geteuid() != 0:
        pytest.skip("NO CONTROL GROUPS WITHOUT ROOT")
    wants = "python3 -c 'bytearray(64 << 20)'; echo $?; grep '^oom_kill ' /proc/vmstat"
    before = int(spaces.says("pi-01", "grep '^oom_kill ' /proc/vmstat").split()[1])

    spaces.lab.break_device("pi-01", Breakage.LITTLE_MEMORY)
    status, _, count = spaces.says("pi-01", wants).split()[-3:]
    other = spaces.says("phone-01", wants).split()[0]
    spaces.lab.mend("pi-01")

    assert (status, other) == ("137", "0")
    assert int(count) > before
    assert spaces.says("pi-01", wants).split()[0] == "0"


def test_a_quota_that_is_used_up_refuses_writes_while_there_is_room(tmp_path, as_bench):
    if os.geteuid() != 0:
        pytest.skip("NO BTRFS IMAGES WITHOUT ROOT")
    lab = Lab(tmp_path, tmp_path / "inventory")
    try:
        lab.up(1, tier="namespaces", storage=Storage(Sort.BTRFS, 24))
    except LabError as error:
        pytest.skip(f"NO BTRFS ON THIS MACHINE: {error}; {error.hint}")
    device = as_bench(lab, tmp_path, Tier.NAMESPACES)
    try:
        lab.break_device("pi-01", Breakage.QUOTA)
        done = device.run("pi-01", "df -k . | tail -n 1; echo x >x")
        lab.mend("pi-01")

        assert b"Disk quota exceeded" in done.stderr
        assert int(done.stdout.split()[3]) > 8_000
        assert device.says("pi-01", "echo x >x && cat x") == "x\n"
    finally:
        lab.down()


def test_a_reboot_ends_what_runs_and_the_device_is_back_at_once(spaces):
    spaces.says("pi-01", "nohup setsid sleep 4321 >/dev/null 2>&1 & echo $! >pid")

    spaces.lab.break_device("pi-01", Breakage.REBOOT)

    assert spaces.run("pi-01", 'kill -0 "$(cat pid)"').returncode == 1


def test_a_noisy_device_prints_before_every_command(spaces):
    spaces.lab.break_device("pi-01", Breakage.NOISY)
    done = spaces.run("pi-01", "echo here")
    spaces.lab.mend("pi-01")

    assert b"lab fixture" in done.stderr
    assert b"welcome to an emulated device 42" in done.stdout
    assert spaces.says("pi-01", "echo here") == "here\n"


def where(bench) -> str:
    text = (bench.lab.inventory / "devices.lab.yaml").read_text()
    return yaml.safe_load(text)["devices"]["pi-01"]["address"]


def test_a_bad_line_is_a_relay_that_the_inventory_leads_to_until_it_is_mended(spaces):
    before = where(spaces)

    spaces.lab.break_device("pi-01", Breakage.LINK_SLOW)
    during = where(spaces)
    broken = [one.broken for one in spaces.lab.status().devices if one.name == "pi-01"]
    began = time.monotonic()
    done = spaces.run("pi-01", "wc -c", data=bytes(30_000), at=during)
    lasted = time.monotonic() - began
    spaces.lab.mend("pi-01")

    assert during == before.replace("127.0.", "127.1.")
    assert broken == [(Breakage.LINK_SLOW,)]
    assert done.stdout.strip() == b"30000"
    assert lasted > 30_000 * 8 / 50_000 * 0.9
    assert where(spaces) == before


@pytest.mark.parametrize(
    "how",
    [Breakage.LINK_FIN, Breakage.LINK_RST, Breakage.LINK_FLIP, Breakage.LINK_TURNED_AWAY],
)
def test_a_line_that_is_cut_or_corrupted_ends_the_connection(spaces, how):
    spaces.lab.break_device("pi-01", how)
    done = spaces.run("pi-01", "wc -c", data=bytes(60_000), at=where(spaces))
    spaces.lab.mend("pi-01")

    assert (done.returncode, done.stdout) == (255, b"")


def test_a_line_that_loses_and_flaps_is_slow_and_right(spaces):
    for how in (Breakage.LINK_LOSSY, Breakage.LINK_FLAP):
        spaces.lab.break_device("pi-01", how)
        done = spaces.run("pi-01", "wc -c", data=bytes(20_000), at=where(spaces))
        spaces.lab.mend("pi-01")

        assert done.stdout.strip() == b"20000"
