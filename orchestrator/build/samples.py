"""Data files → samples as a model takes them: read, checked, preprocessed once."""

import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orchestrator.build.failures import BadData, BadGolden
from orchestrator.build.jobs import Samples
from orchestrator.build.tensors import Tensor, written
from orchestrator.catalog.model import Preprocessing

Arrays = dict[str, NDArray[Any]]

TRUTH = "y"
"""The array of labels; others that belong to the samples are called ``y_…``."""

EXPECTED = "expect_"
"""Prefix of arrays that hold what the float32 model has to give."""


@dataclass(frozen=True, slots=True)
class SampleSet:
    """Samples of one data file that fit one model; `raw` is by the name of the model's input.

    `truth` holds what belongs to the samples and is no input: ``y`` and ``y_…``, as it was read.
    """

    inputs: tuple[Tensor, ...]
    raw: Arrays
    truth: Arrays
    preprocessing: Preprocessing
    count: int

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """One integer class a sample, None where the file holds no such thing."""
        y = self.truth.get("y")
        return (
            y.astype(np.int64) if y is not None and y.ndim == 1 and y.dtype.kind in "iu" else None
        )

    def feed(self, index: int) -> Arrays:
        """What the model takes for one sample: preprocessed, typed, with a batch of 1."""
        return {
            each.name: _prepared(self.raw[each.name][index], each, self.preprocessing)
            for each in self.inputs
        }

    def spread(self, most: int) -> list[int]:
        """At most `most` indices, evenly spread: files are often sorted by class."""
        if self.count <= most:
            return list(range(self.count))
        return [index * self.count // most for index in range(most)]


def read_arrays(samples: Samples, file: str) -> Arrays:
    """All arrays of an ``.npz`` file. Pickled objects are refused: they are programs.

    Raises:
        BadData: no such file, or not a readable ``.npz`` of plain arrays.
    """
    try:
        found = np.load(Path(samples.folder) / file, allow_pickle=False)
        if not isinstance(found, np.lib.npyio.NpzFile):
            raise BadData(
                "one bare array, and arrays with names were expected",
                file=file,
                hint="write it with numpy.savez(file, x=..., y=...)",
            )
        with found as arrays:
            return {name: arrays[name] for name in arrays.files}
    except FileNotFoundError as error:
        raise BadData("no such file", file=file, hint="correct its path in models.yaml") from error
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise BadData(
            f"not an .npz file of plain arrays: {error}",
            file=file,
            hint="write it with numpy.savez(file, x=..., y=...)",
        ) from error


def sample_set(samples: Samples, file: str, inputs: tuple[Tensor, ...]) -> SampleSet:
    """The samples of a data file, checked against what a model takes.

    Raises:
        BadData: an array is missing, of the wrong shape or type, not finite, or there are not as
            many labels as samples; names the file, the array and what was expected.
    """
    arrays = read_arrays(samples, file)
    raw = {each.name: _array(arrays, each, inputs, file) for each in inputs}
    for each in inputs:
        _check(raw[each.name], each, samples.preprocessing, file)
    counts = {name: len(array) for name, array in raw.items()}
    if len(set(counts.values())) > 1:
        each_has = ", ".join(f"{name!r} has {count}" for name, count in counts.items())
        raise BadData(f"unequal numbers of samples: {each_has}", file=file)
    count = next(iter(counts.values()))
    if count == 0:
        raise BadData("no samples at all", file=file)
    names = {each.name for each in inputs}
    truth = {
        name: _belonging(name, array, count, file)
        for name, array in arrays.items()
        if (name == TRUTH or name.startswith(f"{TRUTH}_")) and name not in names
    }
    return SampleSet(inputs, raw, truth, samples.preprocessing, count)


def checked(samples: Samples, inputs: tuple[Tensor, ...]) -> SampleSet:
    """Check every data file against the model; returns the one that golden cases come from.

    Its `inputs` have batch 1 and the open dimensions as that file has them.

    Raises:
        BadData: see `sample_set`.
        BadGolden: there is no data at all.
    """
    if samples.proving is None:
        raise BadGolden(
            "no data to make golden cases from",
            hint="name some samples in models.yaml under data.evaluation or golden.inputs",
        )
    proving = sample_set(samples, samples.proving, inputs)
    settled = tuple(each.of(proving.raw[each.name].shape[1:]) for each in inputs)
    for file in (samples.evaluation, samples.calibration):
        if file is not None and file != samples.proving:
            sample_set(samples, file, settled)
    return replace(proving, inputs=settled)


def expectations(samples: Samples, outputs: Iterable[Tensor]) -> Arrays:
    """What the golden file expects of the float32 model, by output; mostly empty.

    Raises:
        BadGolden: it expects something of an output the model has not, or of another shape.
    """
    if samples.golden is None:
        return {}
    arrays = read_arrays(samples, samples.golden)
    by_name = {each.name: each for each in outputs}
    found: Arrays = {}
    for key in sorted(name for name in arrays if name.startswith(EXPECTED)):
        output = by_name.get(key.removeprefix(EXPECTED))
        if output is None:
            raise BadGolden(
                f"{key!r} is for an output the model does not have",
                file=samples.golden,
                hint=f"the model's outputs are {_quoted(by_name)}",
            )
        if not _fits(arrays[key].shape[1:], output.sample):
            raise BadGolden(
                f"{key!r} has the shape {written(arrays[key].shape)}, and "
                f"(cases, {written(output.sample)[1:]} was expected",
                file=samples.golden,
            )
        found[output.name] = arrays[key]
    return found


def _array(arrays: Arrays, wanted: Tensor, inputs: tuple[Tensor, ...], file: str) -> NDArray[Any]:
    if wanted.name in arrays:
        return arrays[wanted.name]
    if len(inputs) == 1 and "x" in arrays:
        return arrays["x"]
    also = " (or 'x')" if len(inputs) == 1 else ""
    raise BadData(
        f"no array named {wanted.name!r}{also}, which is an input of the model",
        file=file,
        hint=f"the file holds {_quoted(arrays) or 'nothing'}",
    )


def _check(array: NDArray[Any], wanted: Tensor, how: Preprocessing, file: str) -> None:
    if array.dtype.kind not in "fiub":
        raise BadData(f"{wanted.name!r} holds {array.dtype}, not numbers", file=file)
    if array.ndim == 0 or not _fits(array.shape[1:], wanted.sample):
        raise BadData(
            f"samples of {wanted.name!r} have the shape {written(array.shape[1:])}, and the model "
            f"takes {written(wanted.sample)}",
            file=file,
            hint="samples lie along the first axis; reshape them when the file is written",
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise BadData(f"{wanted.name!r} is not finite at {where}: {array[where]}", file=file)
    channels = wanted.sample[_axis(how)] if wanted.sample else 1
    for name, numbers in (("mean", how.mean), ("std", how.std)):
        if len(numbers) not in (1, channels):
            raise BadData(
                f"preprocessing.{name} has {len(numbers)} numbers, and {wanted.name!r} has "
                f"{channels} channels on the {how.channels} axis",
                file=file,
                hint="give one number, or one for each channel; "
                "preprocessing.channels says on which axis they are: first or last",
            )


def _belonging(name: str, array: NDArray[Any], count: int, file: str) -> NDArray[Any]:
    if array.dtype.kind not in "fiub" or array.ndim == 0:
        raise BadData(f"labels {name!r} are {array.dtype}, not numbers", file=file)
    if len(array) != count:
        raise BadData(f"{len(array)} labels {name!r} for {count} samples", file=file)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise BadData(f"labels {name!r} are not finite", file=file)
    return array


def _prepared(raw: NDArray[Any], wanted: Tensor, how: Preprocessing) -> NDArray[Any]:
    values = raw
    exact: type[Any] = np.float64 if wanted.dtype == "float64" else np.float32
    if wanted.dtype.startswith("float"):
        scaled: NDArray[Any] = np.asarray(raw, exact) * exact(how.scale)
        mean, std = (_along(each, how, raw.ndim) for each in (how.mean, how.std))
        values = ((scaled - mean) / std).astype(exact).reshape(raw.shape)
    typed: NDArray[Any] = np.asarray(values).astype(wanted.dtype)
    return typed[np.newaxis] if wanted.batched else typed


def _axis(how: Preprocessing) -> int:
    return 0 if how.channels == "first" else -1


def _along(numbers: tuple[float, ...], how: Preprocessing, dimensions: int) -> NDArray[Any]:
    """Numbers by channel, shaped so that they meet a sample's channels."""
    values = np.array(numbers, np.float32)
    return values.reshape(-1, *[1] * (dimensions - 1)) if how.channels == "first" else values


def _fits(shape: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    return len(shape) == len(wanted) and all(
        size is None or size == have for have, size in zip(shape, wanted, strict=True)
    )


def _quoted(names: Iterable[str] | Mapping[str, Any]) -> str:
    return ", ".join(repr(name) for name in names)
