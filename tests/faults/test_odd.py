"""Odd devices and misleading errors: each has its name, and none of them stops a deployment for long."""

import json
import socket
import threading
import time
from functools import partial

import pytest
from case import COUNTED, Case, waiting

from orchestrator.lab.breakage import Breakage
from orchestrator.lab.link import Link, Weather
from orchestrator.rollout.outcome import Status
from orchestrator.selftest.invariant import violations

OPENSSH = ("dash", "bash", "toybox")


def those(rig, *lands: str) -> list[str]:
    return sorted(device for device, land in rig.userlands.items() if land in lands)


def code(rig, device: str) -> str:
    """What `fleet facts` calls the trouble with a device."""
    fleet = rig.fleet
    seen = fleet.observe([fleet.device(device)])[device]
    return getattr(seen, "code", "observed")


def journal(rig, device: str) -> list[dict]:
    """What the device has written down of its own deeds."""
    lines = (rig.place(device) / "journal.ndjson").read_text().splitlines()
    return [json.loads(line) for line in lines]


def deployed(rig, devices, kind: str, **how: str) -> None:
    """A deployment on odd devices that must go well."""
    rig.next_version()
    outcomes = rig.deploy(devices, **how)
    COUNTED[kind] += len(outcomes)
    wrong = [f"{d}: {o.because}" for d, o in outcomes.items() if o.status is not Status.SUCCEEDED]
    assert not wrong, wrong
    rig.settle(devices)
    rig.verdict()


def test_a_switch_that_nobody_confirms_goes_back_by_itself_under_every_shell(rig):
    """The shell dies between the switch and its confirmation."""
    at = {
        d: min(n for n, step in enumerate(rig.steps[land], 1) if step.startswith("confirm "))
        for d, land in rig.userlands.items()
    }
    before = {d: rig.linked(d) for d in at}
    rig.next_version()
    for device, step in at.items():
        rig.trip(device, step, "kill")

    rig.deploy(at, playbook="hasty")
    last = time.monotonic() + 25
    while any(rig.linked(d) != before[d] for d in at) and time.monotonic() < last:
        time.sleep(0.1)

    COUNTED["no confirmation: reverts by itself"] += len(at)
    for device in at:
        went, back = journal(rig, device)[-2:]
        assert (went["do"], went["release"], back["do"]) == ("activate", rig.release, "revert")
        assert 5 <= back["at"] - went["at"] <= 20
        assert rig.linked(device) == before[device]
        assert not violations(rig.seen(device), {before[device]}, had=("current", "previous"))
    rig.judge({d: Case("no confirmation: the next run", step) for d, step in at.items()}, {})
    rig.verdict()


def test_two_controllers_at_once_do_not_disturb_each_other(rig):
    steps = {d: rig.steps[land] for d, land in rig.userlands.items()}
    at = {
        d: next(n for n, step in enumerate(each, 1) if step.startswith("receive tar"))
        for d, each in steps.items()
    }
    rig.next_version()
    for device, step in at.items():
        rig.trip(device, step, "pause")

    first = threading.Thread(target=rig.deploy, args=(at,))
    first.start()
    last = time.monotonic() + 60
    while waiting(rig) != set(at) and time.monotonic() < last:
        time.sleep(0.02)
    second = rig.deploy(at)
    for device in at:
        rig.go_on(device)
    first.join()

    COUNTED["two controllers at once"] += len(at)
    assert {o.status for o in second.values()} == {Status.DEFERRED}
    assert {o.code for o in second.values()} == {"DEPLOY > LEASE > HELD"}
    rig.settle(at)
    rig.verdict()


def test_a_wrong_clock_stops_nothing(rig):
    devices = those(rig, *OPENSSH)
    for device in devices:
        rig.lab.break_device(device, Breakage.WRONG_CLOCK)
    try:
        deployed(rig, devices, "clock ten years behind")
    finally:
        for device in devices:
            rig.lab.mend(device)
    deployed(rig, devices, "clock set right again")


def test_banners_and_login_files_that_print_do_not_disturb(rig):
    devices = those(rig, *OPENSSH)
    for device in devices:
        rig.lab.break_device(device, Breakage.NOISY)
    try:
        deployed(rig, devices, "banner and printing login files")
    finally:
        for device in devices:
            rig.lab.mend(device)


def test_a_reboot_in_the_middle_of_the_smoke_test_is_made_good(rig):
    devices = sorted(rig.userlands)[:4]
    rebooted = {}

    def watch(progress) -> None:  # once a device: the visit is tried again, and gets there
        if progress.phase == "smoke test" and progress.device not in rebooted:
            reboot = partial(rig.lab.break_device, progress.device, Breakage.REBOOT)
            rebooted[progress.device] = threading.Timer(0.2, reboot)
            rebooted[progress.device].start()

    rig.next_version()
    fleet = rig.fleet
    plan = fleet.plan(" | ".join(devices), fleet.site.playbook("all"))
    outcomes = {o.device: o for o in fleet.execute(plan, watch=watch).outcomes}
    fleet.ledger._engine.dispose()
    for timer in rebooted.values():
        timer.join()

    assert sorted(rebooted) == devices
    rig.judge({d: Case("reboot in the smoke test", 0) for d in devices}, outcomes)
    rig.verdict()


def test_an_sshd_at_its_maxstartups_is_waited_for_and_named_if_that_does_not_help(rig):
    device = those(rig, "dash")[0]
    host = next(one.address for one in rig.lab.status().devices if one.name == device)
    rig.lab.break_device(device, Breakage.CROWDED)
    try:
        with socket.create_connection((host, 2222)):  # an unfinished login
            time.sleep(0.2)
            crowded = code(rig, device)
        deployed(rig, [device], "sshd at MaxStartups")
    finally:
        rig.lab.mend(device)

    assert crowded == "TRANSPORT > TURNED_AWAY > CROWDED"


@pytest.mark.parametrize(
    ("weather", "name"),
    [
        (Weather.TURNED_AWAY, "TRANSPORT > TURNED_AWAY > PENALTY"),
        (Weather.BLACK_HOLE, "TRANSPORT > SILENT"),
    ],
)
def test_a_line_that_misleads_is_looked_at_twice_and_named(rig, weather, name):
    """The penalty's words are OpenSSH 10's own, said by the relay."""
    device = those(rig, "bash")[0]
    with rig.relayed() as relay:
        relay.set(device, Link(weather))

        assert code(rig, device) == name
    COUNTED[f"misleading line: {weather}"] += 1


def test_dead_storage_that_looks_like_a_wrong_key_or_a_missing_runtime_is_named(powered):
    lands = {land: those(powered, land)[0] for land in ("busybox", "dash", "toybox")}
    for device in lands.values():
        powered.lab.break_device(device, Breakage.DEAD_STORAGE)
    try:
        named = {land: code(powered, device) for land, device in lands.items()}
    finally:
        for device in lands.values():
            powered.lab.mend(device)
            powered.roots.pop(device, None)
    COUNTED["dead storage that misleads"] += 3

    assert named == {
        "busybox": "TRANSPORT > LOGIN > LOST",
        "dash": "DEPLOY > STORAGE > DEAD",
        "toybox": "DEPLOY > STORAGE > DEAD",
    }


def test_a_script_that_is_killed_is_told_from_a_line_that_is_lost(rig):
    devices = those(rig, *OPENSSH)
    at = {
        d: next(n for n, s in enumerate(rig.steps[rig.userlands[d]], 1) if s.startswith("receive"))
        for d in devices
    }
    rig.next_version()
    for device, step in at.items():
        rig.trip(device, step, "kill")

    outcomes = rig.deploy(devices)

    assert {o.code for o in outcomes.values()} == {"DEPLOY > KILLED"}
    rig.judge({d: Case("killed as for want of memory", s) for d, s in at.items()}, outcomes)
    rig.verdict()
