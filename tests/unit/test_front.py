"""The Pareto front: a pure function over figures."""

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.catalog.assignment import Figures
from orchestrator.catalog.front import beats, front, prices

figures = st.builds(
    Figures,
    size_bytes=st.integers(1, 5),
    accuracy=st.sampled_from([0.1, 0.5, 0.9]),
    p50_ms=st.sampled_from([1.0, 2.0, 3.0]),
)
variants = st.dictionaries(st.sampled_from("abcdef"), figures, min_size=1)


def test_a_variant_that_is_slower_larger_and_less_accurate_is_off_the_front() -> None:
    good = Figures(size_bytes=10, accuracy=0.9, p50_ms=1.0)
    bad = Figures(size_bytes=20, accuracy=0.8, p50_ms=2.0)

    assert front({"bad": bad, "good": good}) == ("good",)


def test_variants_that_measure_the_same_stand_on_the_front_together() -> None:
    same = Figures(size_bytes=10, accuracy=0.9, p50_ms=1.0)

    assert front({"one": same, "other": same}) == ("one", "other")


@given(variants)
def test_the_front_is_never_empty_and_nothing_on_it_is_beaten(found: dict[str, Figures]) -> None:
    best = front(found)

    assert best
    assert not any(
        beats(prices(other), prices(found[name])) for name in best for other in found.values()
    )


@given(variants)
def test_whatever_is_off_the_front_is_beaten_by_something_on_it(found: dict[str, Figures]) -> None:
    best = front(found)

    for name in found.keys() - set(best):
        assert any(beats(prices(found[on]), prices(found[name])) for on in best)
