"""Golden cases prove something: refused when empty, random or deaf; state is started afresh."""

import importlib.util
import io
from pathlib import Path

import numpy as np
import pytest

from orchestrator.build.goldens import Worthless, golden_cases, write_cases
from orchestrator.build.runtimes import Scaled
from orchestrator.build.samples import SampleSet
from orchestrator.build.tensors import Tensor
from orchestrator.catalog.model import Preprocessing
from orchestrator.catalog.variant import Precision

X = Tensor(name="x", shape=(1, 3), dtype="float32")
SMOKE = Path(__file__).parents[2] / "templates/device/smoke.py"


class Fake:
    """A session around a function of the session itself, the input and the count of runs."""

    inputs = (Scaled(X),)
    outputs = (Scaled(Tensor(name="out", shape=(1, 3), dtype="float32")),)

    def __init__(self, function):
        self.function, self.runs, self.state = function, 0, np.zeros((1, 3), np.float32)

    def run(self, feed):
        self.runs += 1
        return {"out": np.asarray(self.function(self, feed["x"]))}, 0.1


def samples(count=8, *, same=False):
    raw = np.arange(count * 3, dtype=np.float32).reshape(count, 3) / 7
    return SampleSet((X,), {"x": raw * 0 + 1 if same else raw}, {}, Preprocessing(), count)


def cases(function, data=None, precision=Precision.FLOAT32):
    return golden_cases(lambda: Fake(function), data or samples(), 8, precision)


def remembering(session, x):
    session.state = session.state * 0.5 + x
    return session.state.copy()


DICE = np.random.default_rng(1)


@pytest.mark.parametrize(
    ("function", "because"),
    [
        (lambda s, x: np.zeros((1, 0), np.float32), "output 'out' is empty"),
        (lambda s, x: x / 0 if x[0, 0] > 1 else x, "output 'out' is not finite"),
        (lambda s, x: x + DICE.random((1, 3)), "two runs with the same input differ: it draws"),
        (lambda s, x: x + s.runs, "whatever it was given before: it draws random numbers"),
        (lambda s, x: x * 0, "its outputs are the same for 8 different inputs"),
        (lambda s, x: x * np.nan, "output 'out' is not finite"),
        (lambda s, x: np.zeros((0, 4), np.int8), "output 'out' is empty"),
    ],
    ids=["empty", "not finite", "random", "counting", "deaf", "NaN", "no rows"],
)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_cases_that_would_prove_nothing_are_refused(function, because):
    with pytest.raises(Worthless, match=because):
        cases(function)


def test_a_model_that_keeps_state_is_proved_from_a_fresh_start_each_time(tmp_path):
    found = cases(remembering)
    write_cases(found, tmp_path / "golden.npz")

    assert found.stateful
    assert np.array_equal(found.outputs["out"], found.inputs["x"])
    assert "stateful" in np.load(tmp_path / "golden.npz").files


def test_state_cannot_be_told_from_chance_by_one_input_alone():
    with pytest.raises(Worthless, match="draws random numbers"):
        cases(remembering, samples(same=True))


def test_a_single_case_is_refused_where_another_input_gives_the_same_answer():
    with pytest.raises(Worthless, match="its outputs do not change when its only input is changed"):
        cases(lambda s, x: x * 0 + 1, samples(1))

    assert len(cases(lambda s, x: x * 2, samples(1)).inputs["x"]) == 1


def test_integers_that_stand_for_real_numbers_may_be_two_steps_off_and_others_none():
    class Quantized(Fake):
        inputs = (Scaled(Tensor(name="x", shape=(1, 3), dtype="int8"), 0.05, -3),)
        outputs = (Scaled(Tensor(name="out", shape=(1, 3), dtype="int8"), 0.1, 4),)

    found = golden_cases(lambda: Quantized(lambda s, x: x // 2), samples(), 8, Precision.AS_IS)

    assert found.inputs["x"].dtype == found.outputs["out"].dtype == np.int8
    assert [t.max_abs_diff for t in found.tolerances] == [2.0]


def test_the_smoke_test_tells_integers_apart_that_a_float_cannot():
    spec = importlib.util.spec_from_file_location("smoke", SMOKE)
    smoke = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(smoke)
    wanted = {"out": np.array([[2**60 + 1]])}

    report = smoke.compare(
        np, lambda feed: {"out": feed["x"] - 1}, {"x": wanted["out"]}, wanted, {}, 1
    )

    assert report["passed"] is False


def test_a_model_without_state_leaves_no_mark(tmp_path):
    found = cases(lambda s, x: x * 2)
    write_cases(found, tmp_path / "golden.npz")

    assert not found.stateful
    assert sorted(np.load(io.BytesIO((tmp_path / "golden.npz").read_bytes())).files) == [
        "in_x",
        "out_out",
    ]


def test_integers_have_to_be_equal_and_floats_are_given_a_share_of_their_range():
    exact = cases(lambda s, x: (x * 10).astype(np.int64))
    near = cases(lambda s, x: x, precision=Precision.FLOAT16)

    assert [t.max_abs_diff for t in exact.tolerances] == [0.0]
    assert [t.max_abs_diff for t in near.tolerances] == pytest.approx([1e-2 * 23 / 7])


def test_the_smoke_test_on_the_device_starts_a_stateful_model_afresh_for_each_case():
    spec = importlib.util.spec_from_file_location("smoke", SMOKE)
    smoke = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(smoke)
    found = cases(remembering)
    allowed = {t.output: t.max_abs_diff for t in found.tolerances}

    def opened():
        session = Fake(remembering)
        return lambda feed: session.run(feed)[0]

    kept = smoke.compare(np, opened(), found.inputs, found.outputs, allowed, 8)
    afresh = smoke.compare(np, opened(), found.inputs, found.outputs, allowed, 8, opened)

    assert kept["passed"] is False
    assert afresh["passed"] is True
