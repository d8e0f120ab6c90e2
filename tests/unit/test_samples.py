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
