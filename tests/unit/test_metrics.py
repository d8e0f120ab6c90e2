"""Outputs and labels → figures: known values, and intervals that know bad from good."""

import numpy as np
import pytest

from orchestrator.build.deviation import Deviation
from orchestrator.build.failures import BadData
from orchestrator.build.metrics import compared, scorer
from orchestrator.build.samples import SampleSet
from orchestrator.build.tensors import Tensor
from orchestrator.catalog.acceptance import Metric
from orchestrator.catalog.model import Preprocessing

RANDOM = np.random.default_rng(5)


def samples(count, **truth):
    return SampleSet((), {}, truth, Preprocessing(), count)


def score(metric, outputs, runs, truth, folder="."):
    """A scorer that has seen all `runs`: one mapping of arrays with a batch of 1 a sample."""
    from pathlib import Path

    each = scorer(metric, outputs, samples(len(runs), **truth), Path(folder), "data/e.npz")
    for index, run in enumerate(runs):
        each.add(run, index)
    return each


def rows(name, values):
    return [{name: np.asarray(value, np.float32)[None]} for value in values]


CLASSES = (Tensor(name="p", shape=(1, 4), dtype="float32"),)


def test_top_one_and_top_k_count_the_right_class_among_the_greatest():
    values = [[0.1, 0.2, 0.3, 0.4], [0.4, 0.3, 0.2, 0.1], [0.4, 0.3, 0.2, 0.1]]
    truth = {"y": np.array([3, 1, 2])}

    one = score(Metric(), CLASSES, rows("p", values), truth)
    two = score(Metric(name="topk", k=2), CLASSES, rows("p", values), truth)

    assert one.finish() == [1.0, 0.0, 0.0]
    assert two.finish() == [1.0, 1.0, 0.0]


def test_a_mean_squared_error_is_compared_sample_by_sample():
    want = RANDOM.normal(size=(400, 3))
    near, far = want + 0.1, want + RANDOM.normal(scale=0.5, size=want.shape)
    outputs = (Tensor(name="v", shape=(1, 3), dtype="float32"),)

    ours, theirs = (
        score(Metric(name="mse"), outputs, rows("v", v), {"y": want}) for v in (far, near)
    )
    found = compared(ours, theirs)

    assert found.reference == pytest.approx(0.01, rel=1e-3)
    assert found.value == pytest.approx(0.25, rel=0.1)
    assert found.unit == pytest.approx(1.0, rel=0.1)
    assert found.interval.low < -(found.value - found.reference) < found.interval.high < 0


def test_the_area_under_the_curve_counts_ties_half():
    outputs = (Tensor(name="s", shape=(1, 1), dtype="float32"),)
    truth = {"y": np.array([0, 0, 1, 1])}

    each = score(Metric(name="auc"), outputs, rows("s", [[0.1], [0.4], [0.35], [0.8]]), truth)
    tied = score(Metric(name="auc"), outputs, rows("s", [[0.5]] * 4), truth)

    assert each.value(np.ones(4)) == pytest.approx(0.75)  # scikit-learn's own example
    assert tied.value(np.ones(4)) == pytest.approx(0.5)
    assert each.value(np.array([2.0, 0, 1, 1])) == pytest.approx(1.0)


def test_a_bootstrap_sees_a_score_that_lost_its_meaning_and_is_the_same_each_time():
    y = RANDOM.integers(0, 2, 400)
    good = y + RANDOM.normal(scale=0.5, size=400)
    outputs = (Tensor(name="s", shape=(1, 1), dtype="float32"),)

    def found(values):
        ours, theirs = (
            score(Metric(name="auc"), outputs, rows("s", v[:, None]), {"y": y})
            for v in (values, good)
        )
        return compared(ours, theirs)

    bad, same = found(RANDOM.normal(size=400)), found(good)

    assert bad.interval.high < -0.2
    assert (same.interval.low, same.interval.high) == (0.0, 0.0)
    assert found(good + 0.01 * y) == found(good + 0.01 * y)


BOXES = tuple(
    Tensor(name=name, shape=shape, dtype="float32")
    for name, shape in (("boxes", (1, 3, 4)), ("scores", (1, 3)), ("classes", (1, 3)))
)
TRUTH = {
    "y_boxes": np.array([[[0, 0, 10, 10], [20, 20, 30, 30]], [[0, 0, 10, 10], [0, 0, 0, 0]]]),
    "y_classes": np.array([[0, 1], [0, -1]]),
}


def detections(*images):
    """Images of (box, score, class)."""
    return [
        {
            "boxes": np.array([[box for box, _, _ in image]], np.float32),
            "scores": np.array([[s for _, s, _ in image]], np.float32),
            "classes": np.array([[k for _, _, k in image]], np.float32),
        }
        for image in images
    ]


A, B, NOWHERE = [0, 0, 10, 10], [20, 20, 30, 30], [50, 50, 60, 60]


@pytest.mark.parametrize(
    ("images", "precision"),
    [
        (([(A, 0.9, 0), (B, 0.8, 1), (NOWHERE, 0.1, 0)], [(A, 0.7, 0)]), 1.0),
        (([(A, 0.9, 1), (B, 0.8, 0), (NOWHERE, 0.1, 2)], [(A, 0.7, 2)]), 0.0),
        # class 0: one of two found, behind one wrong: precision 1/2 up to recall 1/2
        (
            ([(NOWHERE, 0.9, 0), (A, 0.8, 0), (B, 0.7, 1)], [(NOWHERE, 0.1, 3)]),
            (51 * 0.5 / 101 + 1) / 2,
        ),
        # the same object twice counts once
        (
            ([(A, 0.9, 0), (A, 0.8, 0), (B, 0.7, 1)], [(A, 0.7, 0)]),
            ((51 + 50 * 2 / 3) / 101 + 1) / 2,
        ),
    ],
)
def test_average_precision_is_what_coco_would_say(images, precision):
    each = score(Metric(name="map"), BOXES, detections(*images), TRUTH)

    assert each.value(np.ones(2)) == pytest.approx(precision, abs=1e-9)


def test_detections_whose_outputs_are_not_recognised_are_refused_with_the_way_out():
    outputs = (Tensor(name="StatefulPartitionedCall:0", shape=(1, 3, 4), dtype="float32"),)

    with pytest.raises(BadData, match="no output is known to be the boxes") as refused:
        scorer(Metric(name="map"), outputs, samples(2, **TRUTH), None, "d.npz")
    assert "acceptance.metric.outputs" in refused.value.hint


def test_a_function_of_ones_own_is_called_with_outputs_and_labels(tmp_path):
    (tmp_path / "own.py").write_text(
        "def near(outputs, y):\n    return -abs(outputs['v'][:, 0] - y)\n"
        "def broken(outputs, y):\n    return 1 / 0\n"
        "def short(outputs, y):\n    return [1.0]\n"
    )
    outputs = (Tensor(name="v", shape=(1, 1), dtype="float32"),)
    want = RANDOM.normal(size=100)

    def run(name):
        metric = Metric(name="python", entry=f"own.py:{name}")
        return score(metric, outputs, rows("v", want[:, None] + 1), {"y": want}, tmp_path).finish()

    assert run("near") == pytest.approx([-1.0] * 100, rel=1e-5)
    with pytest.raises(BadData, match=r"own\.py:broken: it raised ZeroDivisionError"):
        run("broken")
    with pytest.raises(BadData, match=r"it returned \(1,\) for 32 samples"):
        run("short")
    with pytest.raises(BadData, match="cannot be loaded: AttributeError"):
        run("absent")


@pytest.mark.parametrize(
    ("metric", "truth", "message"),
    [
        ({}, {"y": np.zeros((5, 4))}, "one integer class per sample was expected"),
        ({"name": "topk"}, {}, "no array named 'y', and acceptance.metric 'topk' needs it"),
        ({"name": "mse"}, {}, "floats of the output's shape"),
        ({"name": "auc"}, {"y": np.ones(5)}, "have to be 0 and 1, both of them"),
        ({"name": "map"}, {}, "map needs arrays 'y_boxes'"),
        ({"name": "top1"}, {"y": np.full(5, 4)}, "label 4 of sample 0 is no class of the model"),
        (
            {"name": "map"},
            {"y_boxes": np.zeros((5, 3, 4)), "y_classes": np.zeros((5, 2))},
            r"'y_boxes' \(5, 3, 4\) and 'y_classes' \(5, 2\) have to be \(n, most, 4\)",
        ),
    ],
)
def test_labels_that_do_not_fit_the_metric_are_refused(metric, truth, message):
    with pytest.raises(BadData, match=message):
        scorer(Metric.model_validate(metric), CLASSES, samples(5, **truth), None, "d.npz")


def test_outputs_that_do_not_fit_the_metric_are_refused():
    with pytest.raises(BadData, match="auc takes one output of one or two numbers, and the model"):
        score(Metric(name="auc"), CLASSES, rows("p", np.eye(4)), {"y": np.array([0, 1, 0, 1])})
    with pytest.raises(BadData, match=r"'y' has the shape \(3,\) a sample, and output 'p' \(4,\)"):
        score(Metric(name="mse"), CLASSES, rows("p", np.eye(4)), {"y": np.zeros((4, 3))}).finish()


def test_labels_without_a_metric_for_them_judge_nothing():
    image = (Tensor(name="mask", shape=(1, 8, 8, 2), dtype="float32"),)

    assert scorer(Metric(), image, samples(5, y=np.zeros(5, int)), None, "d.npz") is None
    assert scorer(Metric(), CLASSES, samples(5), None, "d.npz") is None


def test_a_small_output_that_is_wrong_is_not_hidden_by_a_large_one():
    deviation = Deviation()
    for _ in range(20):
        large, small = RANDOM.normal(scale=1000, size=(1, 50)), RANDOM.normal(size=(1, 5))
        deviation.add({"l": large, "s": -small}, {"l": large, "s": small})

    assert deviation.cosine == pytest.approx(-1)
    assert deviation.snr_db == pytest.approx(-6.02, abs=0.01)


def test_agreement_counts_where_float32_is_sure_and_outputs_are_probabilities():
    deviation = Deviation()
    for ours, theirs in (
        ([0.3, 0.7], [0.9, 0.1]),
        ([0.6, 0.4], [0.8, 0.2]),
        ([0.6, 0.4], [0.3, 0.4]),
    ):
        deviation.add(*({"p": np.array([v], np.float32)} for v in (ours, theirs)))

    assert (deviation.confident, deviation.agreement) == (2, 0.5)
