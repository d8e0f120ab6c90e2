"""A lab comes up, tells what it is, and leaves nothing behind."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
import yaml

from orchestrator.lab import making, sshd
from orchestrator.lab.errors import AddressesTaken, BootFailed, LabError, NoTierWorks, SshdMissing
from orchestrator.lab.lab import Lab
from orchestrator.lab.linux import born, children
from orchestrator.lab.runtime import RUNTIMES
from orchestrator.lab.spec import Tier
from orchestrator.lab.status import State

TIERS = list(Tier)


@pytest.mark.parametrize("tier", TIERS)
def test_when_the_supervisor_is_killed_no_process_and_no_mount_is_left(start, tmp_path, tier):
    bench = start(tmp_path, 3, tier)
    bench.says("pi-01", "nohup setsid sleep 9876 >/dev/null 2>&1 & true")
    state = State.read((tmp_path / ".fleet/lab/state.json").read_text())
    pids = _descendants(state.pid)

    os.kill(state.pid, signal.SIGKILL)

    assert len(pids) >= 7
    assert _soon(lambda: not any(born(pid) for pid in [state.pid, *pids]))
    assert str(tmp_path) not in Path("/proc/self/mounts").read_text()
    assert not _anybody(b"sleep\x009876")
    assert (bench.lab.status().up, "has ended" in bench.lab.status().why) == (False, True)


def test_after_a_killed_supervisor_a_lab_comes_up_again_on_the_same_addresses(start, tmp_path):
    bench = start(tmp_path, 1)
    before = bench.lab.status().devices
    state = State.read((tmp_path / ".fleet/lab/state.json").read_text())

    os.kill(state.pid, signal.SIGKILL)
    assert _soon(lambda: not born(state.pid))
    bench.lab.up(1)

    assert bench.lab.status().devices == before
    assert bench.says("pi-01", "uname -m") == "aarch64\n"


def test_going_down_twice_leaves_keys_and_logs_and_nothing_that_runs(start, tmp_path):
    bench = start(tmp_path, 2)
    state = State.read((tmp_path / ".fleet/lab/state.json").read_text())
    pids = [state.pid, *_descendants(state.pid)]

    bench.lab.down()
    running = [pid for pid in pids if born(pid)]
    bench.lab.down()

    assert running == []
    left = {path.name for path in (tmp_path / ".fleet/lab").iterdir()}
    assert left == {"hostkeys", "id_ed25519", "id_ed25519.pub", "known_hosts", "lock", "logs"}
    assert not (tmp_path / "inventory/demo/devices.lab.yaml").exists()
    assert bench.lab.status().why == "no lab is up here"


def test_going_down_where_no_lab_ever_was_does_nothing(tmp_path):
    Lab(tmp_path, tmp_path / "inventory").down()

    assert list(tmp_path.iterdir()) == []


def test_up_twice_is_up_once_and_another_count_starts_anew(start, tmp_path):
    bench = start(tmp_path, 2)
    first = State.read((tmp_path / ".fleet/lab/state.json").read_text()).pid
    key = (tmp_path / ".fleet/lab/hostkeys/pi-01").read_bytes()

    bench.lab.up(2)
    again = State.read((tmp_path / ".fleet/lab/state.json").read_text()).pid
    bench.lab.up(3)
    other = State.read((tmp_path / ".fleet/lab/state.json").read_text()).pid

    assert (again == first, other == first) == (True, False)
    assert not born(first)
    assert (tmp_path / ".fleet/lab/hostkeys/pi-01").read_bytes() == key


def test_two_sites_have_labs_side_by_side(start, tmp_path):
    one, two = start(tmp_path / "one", 2), start(tmp_path / "two", 2)

    one.says("pi-01", "echo one >name")
    two.says("pi-01", "echo two >name")

    assert (one.says("pi-01", "cat name"), two.says("pi-01", "cat name")) == ("one\n", "two\n")
    one.lab.down()
    assert two.says("pi-01", "cat name") == "two\n"


def test_when_every_block_of_addresses_is_taken_the_hint_says_how_to_look(start, tmp_path):
    with ExitStack() as held:
        for net in range(2, 255, 10):
            taken = held.enter_context(socket.socket())
            with suppress(OSError):  # another lab holds it
                taken.bind((f"127.0.{net}.254", 2222))

        with pytest.raises(AddressesTaken, match="no free loopback addresses") as refused:
            start(tmp_path, 1)

    assert "ss -ltnp" in refused.value.hint


def test_a_server_on_a_devices_address_sends_the_lab_to_another_block(start, tmp_path):
    first = start(tmp_path / "first", 1)
    (device,) = first.lab.status().devices
    first.lab.down()

    with socket.socket() as somebody:
        somebody.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        somebody.bind((device.address, 2222))
        somebody.listen()
        second = start(tmp_path / "second", 1)

    assert second.lab.status().devices[0].address != device.address
    assert second.says("pi-01", "uname -m") == "aarch64\n"


def test_twenty_devices_are_up_in_under_five_seconds_each_told_as_it_boots(tmp_path):
    lab, told = Lab(tmp_path, tmp_path / "inventory"), []
    begin = time.monotonic()

    status = lab.up(20, on_boot=told.append)
    took_s = time.monotonic() - begin
    lab.down()

    assert took_s < 5
    assert sorted(told) == sorted(device.name for device in status.devices)
    assert all(device.alive for device in status.devices)


def test_the_inventory_lists_every_device_as_emulated_with_one_canary_a_kind(start, tmp_path):
    bench = start(tmp_path, 12)
    text = (tmp_path / "inventory/demo/devices.lab.yaml").read_text()
    listed = yaml.safe_load(text)

    devices = listed["devices"]
    assert text.startswith("# Written by `fleet lab up`; removed by `fleet lab down`.")
    assert listed["defaults"] == {
        "user": bench.lab.status().user,
        "port": 2222,
        "identity_file": ".fleet/lab/id_ed25519",
        "known_hosts": ".fleet/lab/known_hosts",
    }
    canaries = [name for name, device in devices.items() if "canary" in device["groups"]]
    assert canaries == ["jetson-01", "pi-01", "phone-01"]
    assert devices["pi-02"] == {
        "address": devices["pi-02"]["address"],
        "profile": "raspberry-pi-5",
        "groups": ["pi-group", "lab"],
        "labels": {"site": "lab"},
        "emulated": True,
    }
    assert {name: device["address"] for name, device in devices.items()} == {
        device.name: device.address for device in bench.lab.status().devices
    }


def test_the_private_key_is_for_its_owner_alone(start, tmp_path):
    start(tmp_path, 1)

    place = tmp_path / ".fleet/lab"
    assert place.stat().st_mode & 0o777 == 0o700
    assert (place / "id_ed25519").stat().st_mode & 0o777 == 0o600


def test_without_sshd_the_hint_names_the_package(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sshd, "_ALSO", ())

    with pytest.raises(SshdMissing) as refused:
        Lab(tmp_path, tmp_path / "inventory").up(1)

    assert "apt-get install --no-install-recommends openssh-server" in refused.value.hint


def test_when_no_tier_works_every_attempt_is_told_with_how_it_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(making, "find_sshd", lambda: "/bin/false")

    with pytest.raises(NoTierWorks) as refused:
        Lab(tmp_path, tmp_path / "inventory").up(1)

    assert "namespaces as a plain user: " in refused.value.message
    assert "plain processes: sshd -t" in refused.value.message
    assert not (tmp_path / "inventory").exists()


def test_a_device_that_ends_while_booting_is_told_with_its_last_words(tmp_path, monkeypatch):
    fake = tmp_path / "sshd"
    fake.write_text("#!/bin/sh\n[ $1 = -t ] || { echo out of luck >&2; exit 1; }\n")
    fake.chmod(0o755)
    monkeypatch.setattr(making, "find_sshd", lambda: str(fake))
    lab = Lab(tmp_path, tmp_path / "inventory")

    with pytest.raises(BootFailed, match="pi-01 ended: out of luck"):
        lab.up(1, tier=Tier.PLAIN)

    assert not lab.status().up


def test_labs_of_several_sites_that_start_at_the_same_moment_do_not_collide(start, tmp_path):
    with ThreadPoolExecutor() as pool:
        benches = list(pool.map(lambda name: start(tmp_path / name, 2), ("a", "b", "c")))

    addresses = [device.address for b in benches for device in b.lab.status().devices]
    assert len(set(addresses)) == 6


@pytest.mark.parametrize(("count", "tier"), [(0, None), (2501, None), (1, "docker")])
def test_an_impossible_lab_is_refused_before_anything_is_started(tmp_path, count, tier):
    with pytest.raises(LabError):
        Lab(tmp_path, tmp_path / "inventory").up(count, tier=tier)

    assert list(tmp_path.iterdir()) == []


def test_the_status_says_why_this_tier_was_taken(start, tmp_path):
    status = start(tmp_path, 1, Tier.PLAIN).lab.status()

    assert status.tier is Tier.PLAIN
    assert "tier 'plain' was asked for" in status.why
    assert "a trial device booted" in status.why


def test_a_plain_user_has_a_namespaced_lab_too():
    """Runs this machine's own Python as `nobody`, on a copy: root's may not be readable."""
    if os.geteuid() != 0:
        pytest.skip("the whole suite runs as a plain user already")
    python = Path("/usr/bin/python3")
    if not python.exists():
        pytest.skip("NOT TESTED AS A PLAIN USER: there is no /usr/bin/python3")
    with tempfile.TemporaryDirectory() as place:
        code = _copied_for_nobody(Path(place), python)
        done = subprocess.run(
            [
                "setpriv",
                "--reuid",
                "65534",
                "--regid",
                "65534",
                "--clear-groups",
                python,
                "-c",
                code,
            ],
            capture_output=True,
            text=True,
            timeout=60,
            cwd=place,
        )

    if "NoTierWorks" in done.stderr:
        pytest.skip(f"NOT TESTED AS A PLAIN USER: {done.stderr.splitlines()[-1]}")
    assert (done.stdout, done.stderr) == (
        f"namespaces True {list(RUNTIMES)}\naarch64 1000 kept\nfull True\n",
        "",
    )


AS_NOBODY = """
import subprocess, sys
from contextlib import ExitStack, suppress
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
sys.path[:0] = [{code!r}]
from orchestrator.lab.lab import Lab
from orchestrator.lab.breakage import Breakage
site = Path({site!r})
lab = Lab(site, site / "inventory")
status = lab.up(2)
device = status.devices[1]
print(status.tier, device.alive, list(status.lacks), flush=True)
def ssh(command):
    place = site / ".fleet/lab"
    options = ["-F", "none", "-o", "BatchMode=yes", "-o", f"UserKnownHostsFile={{place}}/known_hosts"]
    return subprocess.run(["ssh", *options, "-i", place / "id_ed25519", "-p", "2222",
        f"pi@{{device.address}}", command], capture_output=True, text=True)
ssh("echo kept >file")
lab.break_device(device.name, Breakage.OFFLINE)
lab.mend(device.name)
done = ssh("echo $(uname -m) $(id -u) $(cat file)")
print(done.stdout, end="", flush=True)
sys.stderr.write(done.stderr)
lab.break_device(device.name, Breakage.FULL_DISK)
full = "No space left" in ssh("head -c 70000 /dev/zero >big").stderr
print("full", full and (lab.root(device.name) / "home/pi/file").exists(), flush=True)
lab.down()
"""


def _copied_for_nobody(place, python):
    """Copy what the lab imports to where anybody may read; the program to run."""
    version = subprocess.run(
        [python, "-c", "import sys; print(sys.version_info[:2])"], capture_output=True
    )
    if version.stdout.decode().strip() != str(sys.version_info[:2]):
        pytest.skip(f"NOT TESTED AS A PLAIN USER: {python} is another version of Python")
    import _cffi_backend
    import cryptography

    import orchestrator

    site = place / "site"
    site.mkdir()
    shutil.copytree(Path(orchestrator.__file__).parent, place / "orchestrator")
    shutil.copytree(Path(cryptography.__file__).parent, place / "cryptography")
    shutil.copy(_cffi_backend.__file__, place)
    for path in (place, site):
        os.chown(path, 65534, 65534)
    place.chmod(0o755)
    return AS_NOBODY.format(code=str(place), site=str(site))


def _descendants(pid):
    below = list(children(pid))
    return below + [deeper for child in below for deeper in _descendants(child)]


def _anybody(argv):
    """Whether any process was started like that."""
    lines = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(process.read_bytes())
        except OSError:
            continue
    return any(argv in line for line in lines)


def _soon(what, within_s=5.0):
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        if what():
            return True
        time.sleep(0.01)
    return False
