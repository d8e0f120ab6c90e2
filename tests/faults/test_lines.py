"""Lines that are cut, stand still, lose, flap and flip; controllers that are killed meanwhile."""

import random
from functools import partial

import pytest
from case import COUNTED, Case, waiting

from orchestrator.lab.link import Link, Weather

SIZE = 60_000
SEED = 20_260_101


def strike(relay, links) -> None:
    for device, link in links.items():
        relay.set(device, link)


def carried(rig, relay) -> dict[str, int]:
    """Bytes that one whole deployment carries to each device; measured."""
    rig.next_version()
    outcomes = rig.deploy(rig.userlands, lambda: [relay.set(d, Link()) for d in rig.userlands])
    assert {one.status.value for one in outcomes.values()} == {"succeeded"}
    rig.settle(rig.userlands)
    return dict(relay.sent)


def test_a_connection_may_be_cut_after_any_byte_of_a_deployment(rig):
    """Twenty offsets a userland, half of them ended by FIN and half by RST."""
    dice = random.Random(SEED)
    with rig.relayed(SIZE) as relay:
        sizes = carried(rig, relay)
        for number in range(7):
            links = {
                device: Link(
                    (Weather.FIN, Weather.RST)[number % 2], dice.randrange(sizes[device] * 9 // 10)
                )
                for device in rig.userlands
            }
            rig.next_version()
            outcomes = rig.deploy(links, partial(strike, relay, links))
            cases = {
                d: Case(f"connection cut ({link.weather}) at a byte", link.after_bytes)
                for d, link in links.items()
            }
            assert relay.struck == set(links)
            for device in links:
                relay.set(device, Link())
            rig.judge(cases, outcomes)
    rig.verdict()


def test_a_controller_may_be_killed_after_any_byte_of_a_deployment(rig):
    dice = random.Random(SEED + 1)
    with rig.relayed(SIZE) as relay:
        sizes = carried(rig, relay)
        for _ in range(2):
            at = {d: dice.randrange(sizes[d] * 8 // 10) for d in rig.userlands}
            rig.next_version()
            for device, byte in at.items():
                relay.set(device, Link(Weather.STALL, byte))
            rig.kill_controller(lambda: relay.struck, rig.userlands)
            for device in at:
                relay.set(device, Link())
            rig.judge({d: Case("controller killed at a byte", byte) for d, byte in at.items()}, {})
    rig.verdict()
    assert rig.fleet.ledger.verify() > 0


def _first_change(steps: list[str]) -> int:
    """Where looking ends: all devices are looked at before the first one is changed."""
    return next(n for n, step in enumerate(steps) if not step.startswith("observe "))


def test_a_controller_may_be_killed_while_any_step_is_under_way(rig):
    """The script on the device goes on without its line, or dies with it."""
    steps = {d: rig.steps[land] for d, land in rig.userlands.items()}
    dice = random.Random(SEED + 2)
    for number in range(4):
        at = {d: dice.randrange(_first_change(steps[d]), len(steps[d])) + 1 for d in rig.userlands}
        rig.next_version()
        for device, step in at.items():
            rig.trip(device, step, "pause")
        rig.kill_controller(partial(waiting, rig), at)
        kind = (
            "controller killed at a step, " + ("its script goes on", "its script stays")[number % 2]
        )
        if number % 2 == 0:
            for device in at:
                rig.go_on(device)
        rig.judge({d: Case(kind, step) for d, step in at.items()}, {})
        for device in at:
            rig.go_on(device)
    rig.verdict()


@pytest.mark.parametrize(
    ("weather", "names"),
    [
        (Weather.SLOW, "a line of 50 kbit/s"),
        (Weather.LOSSY, "a line that loses 30 % of its segments"),
        (Weather.FLAP, "a line that works two seconds of three"),
    ],
)
def test_a_deployment_succeeds_on_a_bad_line(rig, weather, names):
    with rig.relayed(0) as relay:
        rig.next_version()
        for device in rig.userlands:
            relay.set(device, Link(weather, bits_per_s=50_000, seed=SEED))
        outcomes = rig.deploy(rig.userlands)
        COUNTED[names] += len(outcomes)
        slow = {d: o for d, o in outcomes.items() if o.status.value != "succeeded"}
        assert not slow
        rig.settle(rig.userlands)
    rig.verdict()


def test_a_flipped_bit_on_the_line_never_reaches_a_release(rig):
    dice = random.Random(SEED + 3)
    with rig.relayed(SIZE) as relay:
        sizes = carried(rig, relay)
        for _ in range(1):
            at = {d: dice.randrange(sizes[d] * 8 // 10) for d in rig.userlands}
            rig.next_version()
            links = {d: Link(Weather.FLIP, byte) for d, byte in at.items()}
            outcomes = rig.deploy(at, partial(strike, relay, links))
            assert relay.struck == set(at)
            for device in at:
                relay.set(device, Link())
            rig.judge({d: Case("bit flipped on the line", b) for d, b in at.items()}, outcomes)
    rig.verdict()
