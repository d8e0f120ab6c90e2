"""A pruned Keras model is trained further and has its batch statistics found again. In a worker.

Everything random is drawn from the pruning's seed, so equal inputs give equal weights on one machine.
"""

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orchestrator.build.calibration import FEWEST_SAMPLES, calibration_set
from orchestrator.build.failures import BadData, Unprunable
from orchestrator.build.jobs import Samples
from orchestrator.build.samples import SampleSet, sample_set
from orchestrator.build.tensors import Tensor, written
from orchestrator.catalog.pruning import Pruning

BATCH = 32
"""Samples a training step."""

MOST_STATISTICS = 1000
"""Samples that batch statistics are found on, where so many are named."""

STATISTICS_BATCH = 100


@dataclass(frozen=True, slots=True)
class Lessons:
    """Prepared samples by input, and the truth, samples along the first axis."""

    file: str
    inputs: tuple[NDArray[Any], ...]
    truth: NDArray[Any]

    def batch(self, rows: NDArray[np.intp]) -> tuple[Any, NDArray[Any]]:
        """Some samples as a model takes them, with their truth."""
        inputs = [each[rows] for each in self.inputs]
        return (inputs if len(inputs) > 1 else inputs[0]), self.truth[rows]


def seeded(seed: int) -> None:
    """Draw and compute the same again from now on; to be called before a model is loaded."""
    importlib.import_module("keras").utils.set_random_seed(seed)
    tensorflow: Any = importlib.import_module("tensorflow")
    tensorflow.config.experimental.enable_op_determinism()


def lessons(samples: Samples, inputs: tuple[Tensor, ...]) -> Lessons:
    """The training data, checked against what a model takes.

    Raises:
        BadData: see `sample_set`; or it holds no labels, or too few samples.
    """
    file = samples.training or ""
    found = sample_set(samples, file, inputs)
    truth = found.truth.get("y")
    if truth is None:
        raise BadData(
            "it holds no labels 'y', and models are trained on it",
            file=file,
            hint="write them beside the samples: integer classes, or floats of the output's shape",
        )
    if found.count < BATCH:
        raise BadData(f"{found.count} samples are too few to train on: {BATCH} at least", file=file)
    return Lessons(file, _stacked(found, list(range(found.count))), truth)


def trained(
    model: Any, learned: Lessons, pruning: Pruning, after: Callable[[int, int], None]
) -> None:
    """Train a model, whose weights change; `after` is called with (step, steps) after each step.

    Raises:
        BadData: the labels do not fit the model's output.
    """
    keras: Any = importlib.import_module("keras")
    loss, truth = _loss(keras, model, learned)
    learned = Lessons(learned.file, learned.inputs, truth)
    trainer = keras.Model(model.inputs, model.outputs)
    trainer.compile(keras.optimizers.Adam(pruning.learning_rate), loss, jit_compile=False)
    batches = list(_batches(len(truth), pruning))
    for step, rows in enumerate(batches, start=1):
        trainer.train_on_batch(*learned.batch(rows))
        after(step, len(batches))


def renormalized(
    model: Any, layers: list[Any], samples: Samples, inputs: tuple[Tensor, ...]
) -> int:
    """Find the statistics of every batch normalisation again; returns how many there are.

    Pruning shifts what layers give, and the statistics are of before. No labels are needed: the
    training samples, or else the calibration samples, are run through the model once.

    Raises:
        BadData: the samples do not fit the model.
        Unprunable: there are none.
    """
    keras: Any = importlib.import_module("keras")
    norms = [each for each in layers if isinstance(each, keras.layers.BatchNormalization)]
    if not norms:
        return 0
    before = [(each.momentum, each.trainable) for each in norms]
    for count, batch in enumerate(_statistics(samples, inputs, len(norms))):
        for norm in norms:
            norm.momentum, norm.trainable = count / (count + 1), True
        model(batch, training=True)
    for norm, (momentum, trainable) in zip(norms, before, strict=True):
        norm.momentum, norm.trainable = momentum, trainable
    return len(norms)


def statistics_set(samples: Samples, inputs: tuple[Tensor, ...], norms: int) -> SampleSet:
    """The samples that batch statistics are found on.

    Raises:
        BadData: they do not fit the model, or are too few.
        Unprunable: there are none.
    """
    if samples.training is None and samples.calibration is None:
        raise Unprunable(
            f"it has {norms} batch normalisations, whose statistics are wrong once weights are "
            "gone: name real samples under data.calibration to find them again (labels are not "
            "needed)"
        )
    if samples.training is None:
        return calibration_set(samples, inputs)
    found = sample_set(samples, samples.training, inputs)
    if found.count < FEWEST_SAMPLES:
        raise BadData(
            f"{found.count} samples are too few: {FEWEST_SAMPLES} are needed", file=samples.training
        )
    return found


def _statistics(samples: Samples, inputs: tuple[Tensor, ...], norms: int) -> Iterator[Any]:
    found = statistics_set(samples, inputs, norms)
    chosen = found.spread(MOST_STATISTICS)
    batches = max(1, round(len(chosen) / STATISTICS_BATCH))
    for rows in np.array_split(np.arange(len(chosen)), batches):
        arrays = _stacked(found, [chosen[row] for row in rows])
        yield list(arrays) if len(arrays) > 1 else arrays[0]


def _batches(count: int, pruning: Pruning) -> Iterator[NDArray[np.intp]]:
    """Rows of every step: each epoch in an order of its own, what is left over left out."""
    generator = np.random.default_rng(pruning.seed)
    for _ in range(pruning.epochs):
        order = generator.permutation(count)
        for start in range(0, count - BATCH + 1, BATCH):
            yield order[start : start + BATCH]


def _loss(keras: Any, model: Any, learned: Lessons) -> tuple[Any, NDArray[Any]]:
    """The loss that fits the labels, and the labels as it takes them."""
    truth, file = learned.truth, learned.file
    shape = tuple(model.outputs[0].shape[1:])
    if len(model.outputs) > 1:
        raise BadData(
            f"the model gives {len(model.outputs)} outputs, and only models of one are trained",
            file=file,
        )
    if truth.dtype.kind == "f":
        if truth.shape[1:] != shape and truth.size == len(truth) * int(np.prod(shape)):
            truth = truth.reshape(len(truth), *shape)
        if truth.shape[1:] != shape:
            raise BadData(
                f"labels 'y' have the shape {written(truth.shape[1:])}, and the model gives "
                f"{written(shape)}",
                file=file,
            )
        return keras.losses.MeanSquaredError(), truth.astype(np.float32)
    if truth.ndim != 1 or len(shape) != 1:
        raise BadData(
            f"labels 'y' have the shape {written(truth.shape[1:])} of integers, and the model "
            f"gives {written(shape)}: one class a sample, or floats of that shape, were expected",
            file=file,
        )
    classes = max(2, int(shape[0]))
    if truth.min() < 0 or truth.max() >= classes:
        raise BadData(
            f"labels 'y' go from {truth.min()} to {truth.max()}, and the model knows {classes} "
            f"classes (0 to {classes - 1})",
            file=file,
        )
    inputs, _ = learned.batch(np.arange(BATCH))
    outputs = np.asarray(model(inputs, training=False))
    logits = bool((outputs < 0).any() or (outputs > 1).any())
    if shape[0] == 1:
        return keras.losses.BinaryCrossentropy(from_logits=logits), truth.astype(np.float32)[
            :, None
        ]
    return keras.losses.SparseCategoricalCrossentropy(from_logits=logits), truth.astype(np.int64)


def _stacked(samples: SampleSet, rows: list[int]) -> tuple[NDArray[Any], ...]:
    """Prepared samples by input; what has no batch dimension cannot be stacked."""
    feeds = [samples.feed(row) for row in rows]
    return tuple(np.concatenate([feed[each.name] for feed in feeds]) for each in samples.inputs)
