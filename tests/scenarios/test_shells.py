"""The script on devices under the shells and tools they have: dash, bash, BusyBox, toybox and mksh."""

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for `from pair import …`
from pair import PAIR, offer_pair

from orchestrator.app import Fleet
from orchestrator.deploy.choice import There
from orchestrator.deploy.deliver import deliver
from orchestrator.deploy.errand import Errand
from orchestrator.deploy.goods import Goods
from orchestrator.deploy.hands import Hands
from orchestrator.deploy.switch import there
from orchestrator.field import Field
from orchestrator.inventory.device import Device, Link
from orchestrator.inventory.profile import Runtime
from orchestrator.profiling import excerpts, profile
from orchestrator.profiling import prepared as prepared_turns
from orchestrator.rollout.drift import Finding
from orchestrator.rollout.plan import Switch
from orchestrator.transport.loopback import LoopbackTransport
from orchestrator.transport.transport import Completed, Transport
from orchestrator.values import sha256

SHIPPED = Path(__file__).parents[2] / "templates" / "device" / "device.sh"


class ShellTransport(LoopbackTransport):
    """This machine with other tools: commands are looked for in one folder alone."""

    def __init__(self, device: str, home: Path, tools: Path) -> None:
        super().__init__(device, home)
        self.tools = tools

    def run(self, argv: Sequence[str], *, timeout_s: float) -> Completed:
        return super().run(self._with_tools(argv), timeout_s=timeout_s)

    def stream(
        self,
        source: BinaryIO,
        argv: Sequence[str],
        *,
        timeout_s: float,
        sent: Callable[[int], None] = lambda count: None,
    ) -> Completed:
        return super().stream(source, self._with_tools(argv), timeout_s=timeout_s, sent=sent)

    def _with_tools(self, argv: Sequence[str]) -> list[str]:
        return ["/usr/bin/env", f"PATH={self.tools}", *argv]


class HereField(Field):
    """Devices that are all the same folder of this machine under one shell."""

    def __init__(self, fleet: Fleet, home: Path, tools: Path) -> None:
        super().__init__(fleet.site, fleet.ledger.facts)
        self.home, self.tools = home, tools

    def connect(self, device: Device) -> Transport:
        return ShellTransport(device.name, self.home, self.tools)


class HereFleet(Fleet):
    """A fleet whose every device is a folder of this machine under one shell."""

    def __init__(self, site: Path, home: Path, tools: Path) -> None:
        super().__init__(site)
        self.field = HereField(self, home, tools)

    def deploy(self, playbook: str = "all") -> str:
        (outcome,) = self.execute(self.plan("pi-01", self.site.playbook(playbook))).outcomes
        return f"{outcome.status} {outcome.because}"


APPLETS = {"busybox": ["busybox", "--list"], "toybox": ["toybox"]}
SHELLS = {"toybox": "mksh"}


@pytest.fixture(params=["dash", "bash", "busybox", "toybox"])
def tools(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder of commands with that shell as `sh`; of BusyBox and toybox nothing but their applets."""
    program = shutil.which(request.param)
    shell = shutil.which(SHELLS.get(request.param, request.param))
    if program is None or shell is None:
        pytest.skip(f"NO {request.param.upper()} ON THIS MACHINE: make system")
    folder = tmp_path / "tools"
    folder.mkdir()
    if listing := APPLETS.get(request.param):
        listed = subprocess.run(listing, capture_output=True, text=True, check=True)
        for applet in listed.stdout.split():
            (folder / applet).symlink_to(program)
    else:
        for place in ("/usr/bin", "/bin"):
            for tool in Path(place).iterdir():
                if tool.name not in ("sh", "python3") and not (folder / tool.name).is_symlink():
                    (folder / tool.name).symlink_to(tool)
    (folder / "sh").unlink(missing_ok=True)
    (folder / "sh").symlink_to(shell)
    begins = f"{program} sh" if request.param == "busybox" else shell
    (folder / "python3").write_text(f'#!{begins}\nexec {sys.executable} "$@"\n')
    (folder / "python3").chmod(0o755)
    return folder


def test_a_version_comes_goes_and_comes_back_under_every_shell(site, tools, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    place = home / ".fleet" / "scale"
    old = site.offer("1.0")
    first = HereFleet(site.folder, home, tools).deploy()
    new = site.offer("2.0")
    fleet = HereFleet(site.folder, home, tools)

    second = fleet.deploy()
    (place / "releases" / new / "labels.txt").write_text("not of this release\n")
    (found,) = fleet.audit("pi-01")
    plan = fleet.rollback_plan("pi-01", fleet.site.playbook("all"))
    (back,) = fleet.execute(plan).outcomes
    repaired = fleet.deploy()

    assert first.startswith("succeeded")
    assert second.startswith("succeeded")
    assert found.finding is Finding.DRIFT
    assert (back.status, back.release, back.bytes_sent) == ("succeeded", old, 0)
    assert repaired.startswith("succeeded")
    assert (place / "current").readlink().name == new
    assert (place / "previous").readlink().name == old
    assert sorted(path.name for path in place.iterdir()) == [
        "current",
        "journal.ndjson",
        "previous",
        "releases",
        "staging",
    ]


def test_variants_are_measured_and_nothing_stays_under_every_shell(site, tools, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    offer_pair(site.folder)
    fleet = HereFleet(site.folder, home, tools)
    turns = prepared_turns(fleet, PAIR, "pi-01")
    given, why = excerpts(fleet, PAIR, turns)

    first = profile(fleet, turns, given, seconds=0.1)
    left = [path.name for path in (home / ".fleet").iterdir()]
    (deployed,) = fleet.execute(fleet.plan("pi-01", fleet.site.playbook("all"))).outcomes
    second = profile(fleet, turns, given, seconds=0.1)

    assert why == ()
    assert [each.measurement and each.measurement.value for each in first] == [0.0, 1.0]
    assert left == ["bin"]
    assert all(each.measurement for each in second)
    place = home / ".fleet" / PAIR
    assert (place / "current").readlink().name == deployed.release
    assert sorted(path.name for path in place.iterdir()) == [
        "current",
        "journal.ndjson",
        "releases",
        "staging",
    ]
    assert list((place / "staging").iterdir()) == []


def test_a_switch_without_its_confirmation_goes_back_under_every_shell(site, tools, tmp_path):
    class Lost(Exception):
        pass

    def lose(progress) -> None:
        if progress.phase == "confirm":
            raise Lost

    home = tmp_path / "home"
    home.mkdir()
    fleet = HereFleet(site.folder, home, tools)
    current = home / ".fleet" / "scale" / "current"

    (outcome,) = fleet.execute(
        fleet.plan("pi-01", fleet.site.playbook("hasty")), watch=lose
    ).outcomes
    switched = current.is_symlink()
    deadline = time.monotonic() + 15
    while current.is_symlink() and time.monotonic() < deadline:
        time.sleep(0.1)

    assert outcome.status == "failed-unknown"
    assert switched
    assert not current.is_symlink()
    assert fleet.deploy().startswith("succeeded")


@pytest.mark.parametrize("python", ["python3", "nosuch"])
def test_a_delta_a_copy_and_a_resumed_file_arrive_whole_under_every_shell(
    site, tools, tmp_path, python
):
    home = tmp_path / "home"
    home.mkdir()
    site.offer("1.0", size=300_000)
    HereFleet(site.folder, home, tools).deploy()
    site.offer("2.0", size=300_000)
    site.describe("pi-01", python=python, link="metered")
    fleet = HereFleet(site.folder, home, tools)
    errand = made_errand(fleet)
    hands = Hands(
        fleet.field.connect(fleet.device("pi-01")), fleet.device("pi-01"), fleet.field.scripts
    )

    changed = prepared(hands, errand)
    deliver(hands, errand, changed)
    by_delta, errand.sent_as = errand.sent_as, []
    part = home / ".fleet" / "scale" / "staging" / f"{errand.step.release}.part"
    whole = (part / "model.onnx").read_bytes()
    with (part / "model.onnx").open("r+b") as file:
        file.truncate(123_457)
    errand.known = {}
    deliver(hands, errand, prepared(hands, errand))
    again = (part / "model.onnx").read_bytes()

    assert by_delta == ["delta"]
    assert errand.sent_as[0] == "resumed"
    assert sha256(whole) == sha256(again) == errand.wanted["model.onnx"]
    assert sorted(path.name for path in part.iterdir()) == sorted(errand.wanted)


def made_errand(fleet: HereFleet) -> Errand:
    """What a worker would be given for the only step of a plan."""
    locked = fleet.site.lock().models[0]
    manifest = locked.manifest("onnx-float32")
    step = Switch(
        device="pi-01",
        model="scale",
        was=fleet.ledger.history("pi-01")[0].outcome.release,
        release=manifest.release,
        manifest=manifest.sha256,
        runtime=Runtime.ONNXRUNTIME,
        bytes_to_send=manifest.size_bytes,
        because="",
    )
    return Errand(
        step=step,
        manifest=manifest,
        playbook=fleet.site.playbook("all"),
        owner="me",
        goods=Goods(fleet.workshop.contents),
        known=fleet.ledger.manifests(),
        stopped=lambda: False,
        watch=lambda progress: None,
        link=Link.METERED,
    )


def prepared(hands: Hands, errand: Errand) -> There:
    words = (errand.step.model, errand.step.release, errand.owner, "600", "1", "1")
    return there(hands.call("prepare", *words, hands.device.python))


def test_a_late_revert_removes_nothing_that_may_have_come_meanwhile(tmp_path):
    """Its own switch was confirmed long ago, and the next one may arrive while it looks."""
    place = tmp_path / "fleet" / "scale"
    place.mkdir(parents=True)
    tools = tmp_path / "tools"
    tools.mkdir()
    tools.joinpath("rm").write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/removed\n')
    tools.joinpath("rm").chmod(0o755)

    subprocess.run(
        ["sh", SHIPPED, tmp_path / "fleet", "revert", "scale", "first"],
        env={"PATH": f"{tools}:/usr/bin:/bin", "HOME": str(tmp_path)},
        check=True,
    )

    assert not (tmp_path / "removed").exists()


def test_a_program_that_ends_at_once_is_not_waited_for_until_its_deadline(tools, tmp_path):
    """Its watchman may be told to go before it has become the first of a group of its own."""
    place = tmp_path / "fleet" / "scale"
    for folder in ("releases/r", "staging", "lock"):
        (place / folder).mkdir(parents=True)
    (place / "lock" / "owner").write_text(f"me {int(time.time()) + 600}\n")
    words = ["run", "scale", "r", "me", "60", "model.onnx", "2", "nosuch", "{model}"]
    argv = [tools / "sh", SHIPPED, tmp_path / "fleet", *words]
    env = {"PATH": str(tools), "HOME": str(tmp_path)}
    began = time.monotonic()

    said = [
        subprocess.run(argv, env=env, capture_output=True, text=True, check=False).stdout
        for _ in range(12)
    ]

    assert time.monotonic() - began < 50
    assert all("\ncase=0 127\n" in each and "\n=end=\n" in each for each in said)
