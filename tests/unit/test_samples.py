"""Samples are prepared once, the way models.yaml says: scaled, then normalised channel by channel."""

import numpy as np
import pytest

from orchestrator.build.failures import BadData
from orchestrator.build.jobs import Samples
from orchestrator.build.samples import sample_set
from orchestrator.build.tensors import Tensor
from orchestrator.catalog.model import Preprocessing

MEAN, STD = (0.5, 0.4, 0.3), (0.1, 0.2, 0.5)


def prepared(tmp_path, shape, **how):
    pixels = np.random.default_rng(1).integers(0, 256, (3, *shape), np.uint8)
    np.savez(tmp_path / "data.npz", x=pixels)
    preprocessing = Preprocessing(scale=1 / 255, **how)
    samples = Samples(folder=str(tmp_path), cases=1, preprocessing=preprocessing)
    image = Tensor(name="image", shape=(1, *shape), dtype="float32")
    return pixels[1], sample_set(samples, "data.npz", (image,)).feed(1)["image"]


def test_channels_last_are_normalised_each_by_its_own_numbers(tmp_path):
    raw, found = prepared(tmp_path, (4, 5, 3), mean=MEAN, std=STD)

    for channel in range(3):
        wanted = (raw[..., channel] / 255 - MEAN[channel]) / STD[channel]
        assert found[0, ..., channel] == pytest.approx(wanted, abs=1e-5)


def test_channels_first_are_normalised_each_by_its_own_numbers(tmp_path):
    raw, found = prepared(tmp_path, (3, 4, 3), mean=MEAN, std=STD, channels="first")

    for channel in range(3):
        wanted = (raw[channel] / 255 - MEAN[channel]) / STD[channel]
        assert found[0, channel] == pytest.approx(wanted, abs=1e-5)


def test_numbers_for_another_axis_than_the_channels_are_refused_with_the_way_out(tmp_path):
    with pytest.raises(
        BadData, match=r"has 3 numbers, and 'image' has 5 channels on the last axis"
    ) as e:
        prepared(tmp_path, (3, 4, 5), mean=MEAN, std=STD)

    assert "preprocessing.channels" in e.value.hint


@pytest.mark.parametrize(
    ("arrays", "message", "hint"),
    [
        (np.zeros((3, 4)), "one bare array, and arrays with names were expected", "numpy.savez"),
        (
            {"left": np.zeros((3, 4))},
            "no array named 'right', which is an input of the model",
            "the file holds 'left'",
        ),
        (
            {"left": np.zeros((3, 4)), "right": np.zeros((2, 4))},
            "unequal numbers of samples: 'left' has 3, 'right' has 2",
            None,
        ),
        (
            {"left": np.zeros((1, 4)), "right": np.zeros((1, 4)), "y": np.array([np.nan])},
            "labels 'y' are not finite",
            None,
        ),
    ],
)
def test_a_file_that_does_not_fit_two_inputs_is_refused_by_name(tmp_path, arrays, message, hint):
    with (tmp_path / "data.npz").open("wb") as file:
        if isinstance(arrays, dict):
            np.savez(file, **arrays)
        else:
            np.save(file, arrays)
    samples = Samples(folder=str(tmp_path), cases=1, preprocessing=Preprocessing())
    inputs = tuple(Tensor(name=n, shape=(1, 4), dtype="float32") for n in ("left", "right"))

    with pytest.raises(BadData) as refused:
        sample_set(samples, "data.npz", inputs)

    assert str(refused.value) == f"data.npz: {message}"
    assert hint is None or hint in refused.value.hint
