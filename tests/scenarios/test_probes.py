"""What devices are: recorded files and outputs of real ones, read by fleet's own script and parsers."""

import shlex
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.deploy.hands import Hands, Scripts
from orchestrator.deploy.probe import observe
from orchestrator.inventory.device import Device
from orchestrator.inventory.facts import Facts
from orchestrator.site import templates
from orchestrator.transport.loopback import LoopbackTransport

RECORDINGS = yaml.safe_load(Path(__file__).with_name("recordings.yaml").read_text("utf-8"))
NOW = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)
TOOLS = ("cat", "date", "df", "echo", "env", "grep", "head", "mkdir", "mv", "nproc", "od", "rm")
TOOLS += ("printf", "stat", "sync", "tail", "tar", "uname", "xargs", "find", "readlink")
SHELLS = {"dash": "", "busybox": "busybox", "mksh": "toybox"}
"""A shell and the one program that is all the tools it has; GNU's where there is none."""
PARTS = ("Vendor", "Product")
OF_UNAME = {"arch", "kernel", "userland_arch"}
"""What cannot be recorded under BusyBox, whose shell takes its own uname whatever PATH says."""


@dataclass(frozen=True)
class Userland:
    """A folder with a shell and its tools, and with what a recorded device had besides."""

    folder: Path

    def put(self, name: str, text: str, by: str = "sh") -> None:
        """Another command."""
        command = self.folder / name
        command.unlink(missing_ok=True)
        command.write_text(f"#!/bin/{by}\n{text}")
        command.chmod(0o755)


@pytest.fixture(params=list(SHELLS))
def userland(request: pytest.FixtureRequest, tmp_path: Path) -> Userland:
    shell, tools = shutil.which(request.param), SHELLS[request.param]
    if shell is None or (tools and shutil.which(tools) is None):
        pytest.skip(f"NO {request.param.upper()} ON THIS MACHINE: apt-get install {tools or shell}")
    folder = tmp_path / "tools"
    folder.mkdir()
    for name in TOOLS:
        if found := shutil.which(tools or name):
            (folder / name).symlink_to(found)
    (folder / "sh").symlink_to(shell)
    return Userland(folder)


def furnished(root: Path, userland: Userland, case: dict[str, Any]) -> None:
    """A device's file system below a folder, and its commands."""
    (root / "proc").mkdir(parents=True, exist_ok=True)
    for path, text in case.get("files", {}).items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    answers: dict[str, list[str]] = {}
    for words, said in case.get("commands", {}).items():
        name, _, args = words.partition(" ")
        said = said if isinstance(said, dict) else {"says": said, "status": 0}
        text = said["says"].rstrip("\n")
        answers.setdefault(name, []).append(
            f"{shlex.quote(args)}) cat <<'END'\n{text}\nEND\nexit {said['status']} ;;\n"
        )
    for name, branches in answers.items():
        userland.put(name, f'case "$*" in\n{"".join(branches)}*) exit 64 ;;\nesac\n')


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where fleet's scripts lie, brought by the first who is asked."""
    return tmp_path_factory.mktemp("place")


@pytest.fixture
def asked(tmp_path: Path, userland: Userland, place: Path) -> Callable[[dict[str, Any]], Facts]:
    """The facts of a recorded device, by the way that every device is asked."""
    return lambda case: facts_of(case, tmp_path / "root", userland, place)


def facts_of(case: dict[str, Any], root: Path, userland: Userland, place: Path) -> Facts:
    furnished(root, userland, case)
    names = ("device.sh", "facts.sh", "runtimes.py", "smoke.py")
    scripts = Scripts(tuple((n, (templates() / "device" / n).read_bytes()) for n in names))
    device = Device(
        name="pi", address="x", user="x", profile="x", storage_root=str(place), python="none"
    )
    environment = {"PATH": str(userland.folder), "FLEET_LAB_ROOT": str(root), **case.get("env", {})}

    class Recorded(LoopbackTransport):
        def run(self, argv, *, timeout_s):
            words = [f"{key}={value}" for key, value in environment.items()]
            return super().run(["/usr/bin/env", *words, *argv], timeout_s=timeout_s)

    return observe(Hands(Recorded("pi", place), device, scripts), NOW).facts


@pytest.mark.parametrize("case", RECORDINGS, ids=[case["name"] for case in RECORDINGS])
def test_a_real_device_s_recorded_answers_are_read_as_what_it_is(asked, userland, case):
    facts = asked(case)

    wanted = case["facts"]
    if (userland.folder / "sh").resolve().name == "busybox":
        wanted = {key: value for key, value in wanted.items() if key not in OF_UNAME}
    whole = facts.model_dump(mode="json")
    meant = {key: getattr(facts, key) for key in ("instructions", "userland_arch", "throttling")}
    whole |= {key: list(v) if isinstance(v, tuple) else v for key, v in meant.items()}
    assert {key: whole[key] for key in wanted} == wanted


def test_every_recording_names_where_it_was_seen_and_there_are_at_least_sixty():
    seen = [case["source"] for case in RECORDINGS if "documented" not in case]

    assert len(seen) >= 60
    assert all(source.startswith("https://") or source == "a Debian 12 of ours" for source in seen)


def test_a_device_that_answers_nothing_leaves_everything_empty_and_is_guessed_nothing(asked):
    facts = asked({"commands": {"nproc": {"says": "", "status": 1}}})

    assert (facts.board, facts.soc, facts.cpu, facts.cpu_features) == ("", "", (), ())
    assert (facts.libc, facts.l4t, facts.power_mode, facts.throttled) == (None,) * 4
    assert (facts.accelerators, facts.software, facts.temperatures) == ((), (), ())
    assert (facts.ram_mib, facts.python, facts.runtimes, facts.providers) == (0, None, (), ())
    assert facts.observed_at == NOW
    assert facts.disk_mib > facts.disk_free_mib > 0


def test_bits_are_read_from_the_shell_itself_where_nothing_else_knows(asked):
    """No getconf, as in BusyBox and toybox, and no Python: this machine's shells have 64 bits."""
    assert asked({}).userland_bits == 64


def test_a_look_starts_few_programs_however_much_there_is_to_look_at(asked, userland, tmp_path):
    """Each costs a small core milliseconds. BusyBox starts none at all: they are its own."""
    log = tmp_path / "started"
    for name in TOOLS:
        real = (userland.folder / name).readlink()
        userland.put(name, f'echo {name} >>{log}\nexec -a {name} {real} "$@"\n', by="bash")
    zones = {f"sys/class/thermal/thermal_zone{n}/temp": "40000\n" for n in range(60)}
    buses = {f"sys/bus/usb/devices/{n}/id{what}": "1d6b\n" for n in range(30) for what in PARTS}
    much = {"files": {**zones, **buses, "proc/meminfo": "MemTotal: 4096 kB\n"}}
    asked(much)  # who is the first brings the scripts
    log.write_text("")

    facts = asked(much)

    assert (facts.ram_mib, len(facts.temperatures)) == (4, 60)
    assert len(log.read_text().split()) <= 14


def test_the_script_keeps_to_what_posix_shells_share():
    for name in ("device.sh", "facts.sh"):
        file = templates() / "device" / name
        for shell in ("dash", "busybox", "mksh"):
            if program := shutil.which(shell):
                words = [program, "sh", "-n"] if shell == "busybox" else [program, "-n"]
                subprocess.run([*words, file], check=True)


def test_no_more_devices_are_looked_at_side_by_side_than_the_site_says(site):
    written = site.folder / "fleet.toml"
    written.write_text(written.read_text() + "at_once = 2\n")
    counting, now, most = threading.Lock(), [0], [0]

    def look(_hands) -> None:
        with counting:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.1)
        with counting:
            now[0] -= 1

    with site.fleet as fleet:
        seen = fleet.field.visit(fleet.select("all"), look, lambda device: None)

    assert len(seen) == 6
    assert most == [2]
