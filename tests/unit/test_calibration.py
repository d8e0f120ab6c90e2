"""Calibration data that is not what the model will see is refused; real data of every kind is not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.build.calibration import unfit
from orchestrator.build.samples import SampleSet
from orchestrator.build.tensors import Tensor
from orchestrator.catalog.model import Preprocessing

IMAGE = Preprocessing(scale=1 / 255)


def the(array, how=None, dtype="float32"):
    tensor = Tensor(name="x", shape=(None, *array.shape[1:]), dtype=dtype)
    return SampleSet((tensor,), {"x": array}, {}, how or Preprocessing(), len(array))


def images(seed, count=100):
    """Blurred noise on a dark edge: neighbours alike, as photographs and drawings have it."""
    noise = np.random.default_rng(seed).random((count, 28, 28, 1))
    for axis in (1, 2):
        noise = sum(np.roll(noise, step, axis) for step in range(-3, 4)) / 7
    noise = (noise - noise.min()) / np.ptp(noise)
    noise[:, :3] = noise[:, -3:] = 0
    return (noise * 255).astype(np.uint8)


def waves(seed, count=100, loud=1.0):
    """Six channels of a sensor over time, each with a level and a rhythm of its own."""
    random = np.random.default_rng(seed)
    t = np.arange(100)[None, :, None]
    rhythm = random.uniform(0.02, 0.4, (count, 1, 6))
    wave = np.sin(t * rhythm + random.uniform(0, 6, (count, 1, 6)))
    return (loud * wave + random.normal(scale=0.2, size=wave.shape) + np.arange(6)).astype("f4")


REAL = {
    "images": (lambda seed: images(seed), IMAGE, "float32"),
    "sensor": (lambda seed: waves(seed, loud=1 + seed % 3), None, "float32"),
    "noisy sensor": (
        lambda seed: np.random.default_rng(seed).normal(size=(100, 64, 3)),
        None,
        "float32",
    ),
    "heavy tails": (
        lambda seed: np.random.default_rng(seed).standard_t(3, size=(100, 12)),
        None,
        "float32",
    ),
    "table": (
        lambda seed: np.random.default_rng(seed).normal(size=(100, 8)) * 10.0 ** np.arange(8),
        None,
        "float32",
    ),
    "one hot": (
        lambda seed: np.eye(200)[np.random.default_rng(seed).integers(0, 200, 100)],
        None,
        "float32",
    ),
    "token ids": (
        lambda seed: np.random.default_rng(seed).zipf(1.5, size=(100, 64)).clip(0, 30000),
        None,
        "int32",
    ),
    "padding only here": (
        lambda seed: np.zeros((100, 16), int) if seed % 2 else np.ones((100, 16), int),
        None,
        "int64",
    ),
    "constant everywhere": (lambda seed: np.full((100, 1), 16000.0), None, "float32"),
}


@pytest.mark.parametrize("kind", REAL)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_real_data_of_every_kind_is_let_through(kind, seed):
    make, how, dtype = REAL[kind]

    assert unfit(the(make(seed), how, dtype), the(make(seed + 1), how, dtype)) == ""
    assert unfit(the(make(seed)[:20], how, dtype), the(make(seed + 1), how, dtype)) == ""


BAD = {
    "zeros": (lambda real: np.zeros_like(real), "every value of 'x' is 0"),
    "constant": (lambda real: np.full_like(real, real.max()), "every value of 'x' is"),
    "one sample again and again": (
        lambda real: np.repeat(real[:1], len(real), axis=0),
        "are the same, and the evaluation data varies",
    ),
    "not normalised": (lambda real: real.astype("f4") * 255, "as if it was not normalised"),
    "normalised twice": (lambda real: real.astype("f4") / 255, "as if it was normalised twice"),
    "far away": (lambda real: real + 10.0 * np.ptp(real), "the two do not even overlap"),
    "uniform noise": (
        lambda real: np.random.default_rng(1).uniform(real.min(), real.max(), real.shape),
        "look like random noise",
    ),
    "normal noise": (
        lambda real: np.random.default_rng(1).normal(real.mean(), real.std(), real.shape),
        "look like random noise",
    ),
}


@pytest.mark.parametrize("kind", ["images", "sensor"])
@pytest.mark.parametrize("bad", BAD)
def test_what_only_looks_like_data_is_refused_with_the_reason(kind, bad):
    make, how, _ = REAL[kind]
    spoil, because = BAD[bad]

    assert because in unfit(the(spoil(make(3)), how), the(make(4), how))


def test_noise_is_seen_in_features_that_have_a_level_of_their_own():
    def real(seed):
        return np.random.default_rng(seed).normal(size=(100, 20)) + np.arange(20)

    noise = np.random.default_rng(1).uniform(-3, 22, (100, 20))

    assert "of the variance lies between places" in unfit(the(noise), the(real(4)))


def test_a_few_samples_are_too_few():
    assert unfit(the(images(1, 19), IMAGE), None) == (
        "19 calibration samples are too few: 20 are needed, 100 are better"
    )
    assert unfit(the(images(1, 20), IMAGE), None) == ""


def test_without_evaluation_data_only_what_says_nothing_at_all_is_refused():
    assert "one and the same constant" in unfit(the(np.zeros((50, 4))), None)
    assert unfit(the(images(1).astype("f4") * 255, IMAGE), None) == ""
