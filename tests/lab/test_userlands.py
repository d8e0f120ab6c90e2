"""Devices with other programs: another shell, BusyBox with Dropbear, toybox with mksh."""

import shutil

import pytest

from orchestrator.lab.errors import LabError, NoTierWorks, SshdMissing, UserlandMissing
from orchestrator.lab.lab import Lab
from orchestrator.lab.spec import Sort, Storage, Tier, storage_named
from orchestrator.lab.userland import ARCHS, USERLANDS, found, of_arch

OWN = tuple(name for name, one in USERLANDS.items() if not one.arch)
"""Userlands of this machine's own architecture."""


@pytest.fixture(scope="module")
def mixed(tmp_path_factory, as_bench):
    """One device of every userland; named by it."""
    site = tmp_path_factory.mktemp("lab")
    lab = Lab(site, site / "inventory")
    try:
        status = lab.up(len(OWN), tier="namespaces", userlands=OWN)
    except (SshdMissing, NoTierWorks, UserlandMissing) as error:
        pytest.skip(f"NO LAB OF OTHER USERLANDS ON THIS MACHINE: {error}; {error.hint}")
    yield as_bench(lab, site, Tier.NAMESPACES), {one.userland: one.name for one in status.devices}
    lab.down()


@pytest.mark.parametrize(
    ("userland", "shell"),
    [("dash", "dash"), ("bash", "bash"), ("busybox", "busybox"), ("toybox", "mksh")],
)
def test_a_device_runs_the_shell_its_userland_is_named_for_and_has_python(mixed, userland, shell):
    bench, named = mixed

    said = bench.says(named[userland], "readlink /proc/$$/exe; python3 -c 'print(6 * 7)'")

    assert [line.rpartition("/")[2] for line in said.splitlines()] == [shell, "42"]


@pytest.mark.parametrize("userland", ["busybox-bare", "toybox-bare"])
def test_a_bare_device_has_its_tools_and_no_python(mixed, userland):
    bench, named = mixed

    done = bench.run(named[userland], "mkdir -p a && ln -s b a/c && readlink a/c; python3 -V")

    assert done.stdout == b"b\n"
    assert (done.returncode, b"not found" in done.stderr) == (127, True)


def test_a_bare_busybox_device_is_a_few_megabytes_and_has_neither_bash_nor_sftp(mixed):
    bench, named = mixed
    device = named["busybox-bare"]

    size = bench.says(device, "du -sxk /bin /usr /lib* /sbin 2>/dev/null")
    tools = bench.run(device, "command -v bash sftp-server scp stdbuf || ls /usr/lib/openssh")

    assert sum(int(line.split()[0]) for line in size.splitlines()) < 12_000
    assert tools.stdout == b""


def test_dropbear_shows_the_same_pinned_host_key_and_takes_bytes_through_a_command(mixed):
    bench, named = mixed

    done = bench.run(named["busybox"], "cat >got && wc -c <got", data=bytes(2_000_000))

    assert (done.returncode, done.stdout) == (0, b"2000000\n")


def test_each_device_shows_its_userland_in_the_status_and_the_lab_stays_the_same(mixed):
    bench, named = mixed
    before = bench.lab.status().devices

    bench.lab.up(len(OWN), userlands=OWN)

    assert bench.lab.status().devices == before
    assert set(named) == set(OWN)


def test_another_userland_starts_a_lab_anew(start, tmp_path):
    bench = start(tmp_path, 1)

    bench.lab.up(1, userlands=("dash",))

    assert [one.userland for one in bench.lab.status().devices] == ["dash"]


def test_a_userland_nobody_knows_is_refused_with_the_known_ones():
    with pytest.raises(LabError, match="no userland named 'beos'") as refused:
        found(["beos"])

    assert "busybox" in refused.value.hint


def test_an_architecture_nobody_emulates_is_refused_with_those_that_are():
    assert [of_arch(name) for name in ARCHS] == list(ARCHS.values())
    with pytest.raises(LabError, match="no devices of architecture 'riscv64'") as refused:
        of_arch("riscv64")

    assert "aarch64" in refused.value.hint


def test_programs_that_are_not_on_this_machine_are_named_with_their_packages(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)

    with pytest.raises(UserlandMissing) as refused:
        found(["toybox"])

    assert "no toybox, mksh on this machine" in refused.value.message
    assert refused.value.hint.endswith("mksh toybox")


def test_the_plain_tier_has_this_machines_programs_alone(tmp_path):
    with pytest.raises((NoTierWorks, UserlandMissing)) as refused:
        Lab(tmp_path, tmp_path / "inventory").up(1, tier="plain", userlands=("dash",))

    assert "needs a root of its own" in refused.value.message


@pytest.mark.parametrize(
    ("text", "storage"),
    [("tmpfs", Storage()), ("ext4:24", Storage(Sort.EXT4, 24)), ("tmpfs:4", Storage(mib=4))],
)
def test_storage_is_named_by_its_sort_and_size(text, storage):
    assert storage_named(text) == storage


@pytest.mark.parametrize("text", ["", "ntfs", "ext4:1", "ext4:x", "tmpfs:9999"])
def test_storage_that_is_none_is_refused(text):
    with pytest.raises(LabError, match="no storage"):
        storage_named(text)
