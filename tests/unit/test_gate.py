"""The gate between two waves counts what devices and models are to blame for, and nothing else."""

import pytest
from examples import outcome
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.rollout.gate import Halt, Proceed, judge
from orchestrator.rollout.outcome import Status
from orchestrator.rollout.playbook import PlannedWave

FAULTS = (Status.FAILED_UNCHANGED, Status.FAILED_ROLLED_BACK, Status.FAILED_UNKNOWN)


def wave(may_fail: int, count: int = 8) -> PlannedWave:
    names = tuple(f"d{n}" for n in range(count))
    return PlannedWave(name="canary", devices=names, may_fail=may_fail)


@pytest.mark.parametrize("status", Status)
def test_only_failures_close_the_gate(status):
    verdict = judge(wave(0), [outcome("d0", status=status)])

    assert isinstance(verdict, Halt if status in FAULTS else Proceed)


def test_as_many_as_may_fail_may_fail_and_not_one_more():
    two = [outcome(f"d{n}", status=Status.FAILED_UNCHANGED) for n in range(2)]

    assert judge(wave(2), two) == Proceed()
    assert isinstance(judge(wave(1), two), Halt)


def test_a_gate_says_who_failed_and_how_many_might():
    three = [outcome(f"d{n}", status=Status.FAILED_ROLLED_BACK) for n in (2, 0, 1)]

    assert judge(wave(1), three) == Halt(
        "3 of 8 devices of wave 'canary' failed (d0, d1, d2), and 1 may"
    )


def test_a_gate_names_five_and_no_more():
    six = [outcome(f"d{n}", status=Status.FAILED_UNCHANGED) for n in range(6)]

    verdict = judge(wave(0), six)

    assert isinstance(verdict, Halt)
    assert "(d0, d1, d2, d3, d4, …)" in verdict.because


def test_a_device_that_failed_with_two_models_counts_once():
    twice = [outcome("d0", status=Status.FAILED_UNCHANGED, model=name) for name in ("x", "y")]

    assert judge(wave(1), twice) == Proceed()


def test_devices_of_other_waves_do_not_count():
    assert judge(wave(0), [outcome("else", status=Status.FAILED_UNCHANGED)]) == Proceed()


@given(st.lists(st.sampled_from(Status), max_size=8), st.integers(0, 8))
def test_a_gate_is_closed_exactly_when_more_failed_than_may(statuses, may_fail):
    outcomes = [outcome(f"d{n}", status=status) for n, status in enumerate(statuses)]

    verdict = judge(wave(may_fail), outcomes)

    assert isinstance(verdict, Halt) is (sum(s in FAULTS for s in statuses) > may_fail)
