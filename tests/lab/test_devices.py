"""What a device of the lab is like, seen over SSH."""

import os

import pytest

from orchestrator.lab.keys import fresh_key
from orchestrator.lab.kinds import KINDS
from orchestrator.lab.spec import Tier

MODELS = {
    "jetson-01": KINDS["jetson-orin-nano"].model,
    "pi-01": KINDS["raspberry-pi-4"].model,
    "phone-01": KINDS["linux-phone"].model,
}


@pytest.mark.parametrize("name", MODELS)
def test_a_device_says_it_is_the_arm_board_it_stands_for(bench, name):
    command = 'uname -m; cat "${FLEET_LAB_ROOT:-}/sys/firmware/devicetree/base/model"'

    said = bench.says(name, command)

    assert said == f"aarch64\n{MODELS[name]}\0"


def test_a_device_admits_that_it_is_emulated(bench):
    said = bench.says("pi-01", 'cat "${FLEET_LAB_ROOT:-}/etc/fleet-lab.json"')

    assert '"emulated": true' in said
    assert '"kind": "raspberry-pi-4"' in said
    assert f'"tier": "{bench.tier}"' in said


def test_cpuinfo_shows_as_many_cores_as_there_really_are(bench):
    said = bench.says("pi-01", 'grep -c ^processor "${FLEET_LAB_ROOT:-}/proc/cpuinfo"')

    assert int(said) == os.cpu_count()


def test_a_pi_and_a_jetson_have_their_makers_commands(bench):
    pi = bench.says("pi-01", "vcgencmd get_throttled; vcgencmd measure_temp")
    jetson = bench.says("jetson-01", "nvpmodel -q")

    assert pi == "throttled=0x0\ntemp=48.1'C\n"
    assert jetson == "NV Power Mode: 15W\n0\n"


def test_every_fixture_command_says_that_it_is_one(bench):
    said = bench.says("pi-01", 'for c in uname vcgencmd; do sed -n 2p "$(command -v $c)"; done')

    assert [line.startswith("# Lab fixture") for line in said.splitlines()] == [True, True]


@pytest.mark.parametrize("python", ["python3", "python3 -I"])
def test_a_device_runs_litert_and_onnx_runtime(bench, python):
    code = "import onnxruntime, ai_edge_litert.interpreter, numpy; print(numpy.ones(2).sum())"

    said = bench.says("jetson-01", f'{python} -c "{code}"')

    assert said == "2.0\n"


@pytest.mark.parametrize("module", ["tensorflow", "orchestrator", "pydantic", "onnx"])
def test_a_device_has_nothing_else_of_the_controller(bench, module):
    done = bench.run("jetson-01", f"python3 -c 'import {module}'")

    assert done.returncode == 1
    assert b"ModuleNotFoundError" in done.stderr


def test_a_session_begins_in_the_devices_own_home(bench):
    bench.says("pi-01", "echo hello >note.txt")

    told = bench.says("pi-01", 'pwd; cat "$HOME/note.txt"').splitlines()

    assert told[0].endswith("/home/pi")
    assert told[1] == "hello"
    assert (bench.lab.root("pi-01") / "home/pi/note.txt").read_text() == "hello\n"
    assert not (bench.lab.root("phone-01") / "home/pi/note.txt").exists()


def test_bytes_streamed_into_a_command_arrive_unchanged(bench):
    data = os.urandom(2_000_000)

    done = bench.run("pi-01", "cat >blob && cat blob", data=data)

    assert done.stdout == data


def test_a_strangers_key_is_refused(bench, tmp_path):
    fresh_key(tmp_path / "stranger")

    done = bench.run("pi-01", "true", key=tmp_path / "stranger")

    assert done.returncode == 255
    assert b"Permission denied" in done.stderr


def test_a_temperature_can_be_changed_while_the_device_runs(bench):
    zone = "sys/class/thermal/thermal_zone0/temp"
    file = bench.lab.root("pi-01") / zone
    before = file.read_text()

    file.write_text("81000\n")
    said = bench.says("pi-01", "vcgencmd measure_temp")
    file.write_text(before)

    assert said == "temp=81.0'C\n"


def test_a_namespaced_device_sees_neither_this_machines_processes_nor_its_files(bench, tmp_path):
    if bench.tier is Tier.PLAIN:
        pytest.skip("the plain tier shares this machine's own root; it says so")

    seen = bench.says("pi-01", f"ls -d /proc/[0-9]* | wc -l; hostname; ls -d '{tmp_path}' || true")

    processes, hostname, *files = seen.splitlines()
    assert int(processes) < 12
    assert (hostname, files) == ("pi-01", [])


def test_a_namespaced_device_cannot_change_the_programs_it_borrows(bench):
    if bench.tier is Tier.PLAIN:
        pytest.skip("the plain tier has no borrowed programs; it runs on this machine's own")

    mounts = bench.says("pi-01", "cat /proc/mounts")

    for place in ("/usr", "/opt/fleet-lab/lib", "/opt/fleet-lab/lib/python"):
        options = [
            row.split()[3] for row in mounts.splitlines() if row.split()[1].startswith(place)
        ]
        assert options
        assert all(option.startswith("ro,") for option in options)
