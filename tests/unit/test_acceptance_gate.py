"""What an interval says of a limit: pass, fail, or how many more samples it takes."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.build.gate import (
    FEWEST_SAMPLES,
    Interval,
    Verdict,
    judged,
    matched_pairs,
    paired_means,
    percentiles,
    student,
)

ORDER = {Verdict.FAIL: 0, Verdict.INCONCLUSIVE: 1, Verdict.PASS: 2}


@st.composite
def pairs(draw):
    samples = draw(st.integers(FEWEST_SAMPLES, 5000))
    worse = draw(st.integers(0, samples))
    return worse, draw(st.integers(0, samples - worse)), samples


def of_pairs(worse, better, samples, limit):
    interval, spread = matched_pairs(worse, better, samples)
    difference = (better - worse) / samples
    return judged(difference, interval, limit, spread=spread, samples=samples)


def test_the_interval_of_matched_pairs_is_the_published_one():
    # Airway hyper-responsiveness before and after stem cell transplantation (1, 1; 7, 12):
    # Fagerland, Lydersen, Laake 2014, table of intervals, Tango's asymptotic score.
    interval, _ = matched_pairs(worse=7, better=1, samples=21)

    assert interval.low == pytest.approx(-0.517, abs=5e-4)
    assert interval.high == pytest.approx(-0.026, abs=5e-4)


def test_models_that_never_disagree_still_have_an_interval():
    interval, spread = matched_pairs(0, 0, 500)

    assert interval.high == -interval.low == pytest.approx(1.96**2 / (500 + 1.96**2), rel=1e-3)
    assert spread > 0


@given(pairs())
def test_an_interval_holds_its_difference_and_turns_with_its_sides(each):
    worse, better, samples = each

    interval, _ = matched_pairs(worse, better, samples)
    turned, _ = matched_pairs(better, worse, samples)

    assert -1 <= interval.low <= (better - worse) / samples <= interval.high <= 1
    assert turned.low == pytest.approx(-interval.high)


@given(pairs(), st.floats(0, 0.2), st.integers(2, 20))
def test_more_samples_of_the_same_kind_never_take_a_verdict_back(each, limit, times):
    worse, better, samples = each
    few = of_pairs(worse, better, samples, limit)

    many = of_pairs(worse * times, better * times, samples * times, limit)

    if few.verdict is not Verdict.INCONCLUSIVE:
        assert many.verdict is few.verdict


@given(pairs(), st.floats(0, 0.2))
def test_a_variant_with_one_more_mistake_is_never_judged_better(each, limit):
    worse, better, samples = each
    if worse + better < samples:
        one_more = of_pairs(worse + 1, better, samples, limit)

        assert ORDER[one_more.verdict] <= ORDER[of_pairs(worse, better, samples, limit).verdict]


@given(pairs(), st.floats(0, 0.2), st.floats(0, 0.2))
def test_a_wider_limit_is_never_harder_to_keep(each, limit, more):
    tight, wide = of_pairs(*each, limit), of_pairs(*each, limit + more)

    assert ORDER[wide.verdict] >= ORDER[tight.verdict]


@given(pairs(), st.floats(0, 0.2))
def test_an_inconclusive_verdict_asks_for_more_samples_than_there_are(each, limit):
    judgement = of_pairs(*each, limit)

    if judgement.verdict is Verdict.INCONCLUSIVE and judgement.needed is not None:
        assert judgement.needed > each[2]
    if judgement.verdict is not Verdict.INCONCLUSIVE:
        assert judgement.needed is None


@pytest.mark.parametrize(
    ("worse", "better", "samples", "limit", "verdict"),
    [
        (3, 1, 2500, 0.01, Verdict.PASS),
        (40, 12, 2500, 0.01, Verdict.INCONCLUSIVE),
        (3, 1, 200, 0.01, Verdict.INCONCLUSIVE),
        (300, 5, 2500, 0.02, Verdict.FAIL),
        (0, 0, 10, 0.9, Verdict.INCONCLUSIVE),
    ],
)
def test_real_runs_get_the_verdicts_they_deserve(worse, better, samples, limit, verdict):
    assert of_pairs(worse, better, samples, limit).verdict is verdict


def test_half_as_many_samples_again_as_asked_for_decide_if_nothing_else_changes():
    few = of_pairs(3, 1, 200, 0.015)

    times = math.ceil(1.5 * few.needed / 200)

    assert of_pairs(3 * times, times, 200 * times, 0.015).verdict is Verdict.PASS


def test_a_difference_on_the_limit_itself_is_decided_by_no_number_of_samples():
    interval = Interval(-0.05, 0.01)

    judgement = judged(-0.02, interval, 0.02, spread=0.3, samples=1000)

    assert (judgement.verdict, judgement.needed) == (Verdict.INCONCLUSIVE, None)


@pytest.mark.parametrize(("freedom", "quantile"), [(5, 2.5706), (10, 2.2281), (30, 2.0423)])
def test_students_quantile_is_the_tabulated_one(freedom, quantile):
    assert student(freedom) == pytest.approx(quantile, rel=2e-3)


@given(st.lists(st.floats(-10, 10), min_size=30, max_size=200))
def test_the_interval_of_a_mean_holds_the_mean(differences):
    interval, spread = paired_means(differences)

    assert interval.low <= math.fsum(differences) / len(differences) <= interval.high
    assert spread >= 0


def test_one_sample_has_no_interval():
    assert paired_means([0.5])[0] == Interval(-math.inf, math.inf)


def test_the_middle_of_a_thousand_resamples_is_95_per_cent_of_them():
    interval = percentiles([i / 999 for i in range(1000)])

    assert (interval.low, interval.high) == (
        pytest.approx(0.024, abs=2e-3),
        pytest.approx(0.976, abs=2e-3),
    )
