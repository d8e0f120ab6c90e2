"""The search for a mixture: a pure function of sensitivities and verdicts."""

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.artifact.mixture import Block, Candidate, Mixture
from orchestrator.build.search import by_sensitivity, fewest_kept, most_tried

sensitivities = st.lists(st.floats(-5, 120), min_size=1, max_size=60)


@given(sensitivities, st.randoms(use_true_random=False))
def test_whatever_the_gate_says_few_candidates_are_tried_none_twice_and_a_tried_one_chosen(
    snr_db, chance
):
    tried: dict[int, bool] = {}

    def passes(kept: int) -> bool:
        assert kept not in tried
        tried[kept] = chance.random() < 0.5
        return tried[kept]

    kept = fewest_kept(len(snr_db), passes)

    assert len(tried) <= most_tried(len(snr_db))
    assert all(0 <= each < len(snr_db) for each in tried), "float32 itself is no candidate"
    assert kept is None or tried[kept]
    assert kept is not None or not any(tried.values())


@given(sensitivities, st.integers(0, 60))
def test_as_few_blocks_stay_float_as_the_gate_asks_for(snr_db, needed):
    kept = fewest_kept(len(snr_db), lambda floats: floats >= needed)

    assert kept == (needed if needed < len(snr_db) else None)


@given(sensitivities, st.data())
def test_no_block_stays_float_that_is_less_sensitive_than_one_that_is_quantized(snr_db, data):
    order = by_sensitivity(snr_db)
    needed = data.draw(st.integers(0, len(snr_db) - 1))

    kept = fewest_kept(len(snr_db), lambda floats: floats >= needed)

    assert kept is not None
    assert sorted(order) == list(range(len(snr_db)))
    assert all(snr_db[stays] <= snr_db[goes] for stays in order[:kept] for goes in order[kept:])


def test_of_equally_sensitive_blocks_the_earlier_stays_float():
    assert by_sensitivity([7.0, 3.0, 3.0, 1.0]) == (3, 1, 2, 0)


def mixture(kept: tuple[str, ...], *tried: Candidate) -> Mixture:
    blocks = tuple(Block(name=n, operations=("Conv",), snr_db=9.0) for n in "abcdefgh")
    return Mixture(blocks=blocks, kept=kept, tried=tried)


def test_a_mixture_says_what_stayed_float_or_that_nothing_had_to_or_that_nothing_passed():
    int8 = mixture((), Candidate(kept=0, passed=True))
    some = mixture(tuple("abcdef"), Candidate(kept=0, passed=False), Candidate(kept=6, passed=True))
    none = mixture(tuple("abcdefg"), Candidate(kept=7, passed=False))

    assert int8.words == "int8 alone passes: none of 8 blocks had to stay float"
    assert some.words == "6 of 8 blocks stayed float: a, b, c, d and 2 more (2 mixtures tried)"
    assert none.words == (
        "no mixture short of float32 passes: 1 mixture tried, in the last one 7 of 8 blocks were "
        "float"
    )
