"""Magnitude and channel pruning of Keras models, with training and new batch statistics after it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orchestrator.build import finetune
from orchestrator.build.channels import narrowed
from orchestrator.build.failures import Unprunable
from orchestrator.build.jobs import Prune
from orchestrator.build.keras_archive import write_keras
from orchestrator.build.keras_source import load_keras
from orchestrator.build.magnitude import PRUNED_BY, kept, share_at, thresholds
from orchestrator.build.verified_sparsity import verified
from orchestrator.catalog.pruning import PrunedLayer, Pruning, Schedule, Sparsity

REMASKED_EVERY = 20
"""Training steps between two looks at which weights are the least, while more of them go."""


def prune_keras(job: Prune) -> Sparsity:
    """Write the pruned model to ``job.out`` and count in that file what was achieved.

    Raises:
        BadSource, BadData: what was handed in cannot be meant.
        Unprunable: nothing to prune, or not in this way.
    """
    pruning, out = job.pruning, Path(job.out)
    finetune.seeded(pruning.seed)
    source = load_keras(Path(job.source), job.shown)
    original = _sizes(source.model)
    model, masks = source.model, None
    if pruning.structured:
        model = narrowed(model, pruning.channels or 1.0)
    else:
        masks = Masks([kernel for _, kernel in kernels(model)], pruning)
        if pruning.schedule is Schedule.ONE_SHOT:
            masks.remade(1.0)
    if pruning.epochs:
        learned = finetune.lessons(job.samples, source.inputs)
        finetune.trained(model, learned, pruning, masks.stepped if masks else _nothing)
    norms = finetune.renormalized(model, list(layers(model)), job.samples, source.inputs)
    write_keras(model, out)
    written = out.with_suffix(".written.keras")
    written.symlink_to(out)
    found = load_keras(written, job.shown).model
    limits = masks.thresholds if masks else ()
    return verified(_counted(original, found, limits, pruning), pruning, norms)


_KINDS = (
    *("Dense", "EinsumDense", "Conv1D", "Conv2D", "Conv3D"),
    *("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"),
)


@dataclass(slots=True)
class Masks:
    """Which weights of some kernels are gone; they are put to 0 again after every step."""

    kernels: list[Any]
    pruning: Pruning
    thresholds: tuple[float, ...] = ()
    _kept: list[NDArray[np.bool_]] = field(default_factory=list)

    def remade(self, share: float) -> None:
        """Find the least weights anew and put them to 0; `share` is of the sparsity asked for."""
        values = [np.asarray(kernel) for kernel in self.kernels]
        self.thresholds = tuple(thresholds(values, self.pruning, share))
        self._kept = [kept(v, t) for v, t in zip(values, self.thresholds, strict=True)]
        self._applied()

    def stepped(self, step: int, steps: int) -> None:
        """What has to be done after a training step."""
        last = max(1, int(steps * PRUNED_BY))
        going = self.pruning.schedule is Schedule.POLYNOMIAL and step <= last
        if going and (step % REMASKED_EVERY == 0 or step in (1, last)):
            self.remade(share_at(step, last))
            return
        self._applied()

    def _applied(self) -> None:
        for kernel, mask in zip(self.kernels, self._kept, strict=True):
            kernel.assign(np.where(mask, np.asarray(kernel), 0))


def layers(model: Any) -> Iterator[Any]:
    """Every layer of a model, those of models and wrappers inside it included, each once."""
    seen: set[int] = set()
    waiting = list(model.layers)
    while waiting:
        layer = waiting.pop(0)
        if id(layer) in seen:
            continue
        seen.add(id(layer))
        yield layer
        inner = getattr(layer, "layer", None)
        waiting = [*getattr(layer, "layers", ()), *([inner] if inner else []), *waiting]


def kernels(model: Any) -> list[tuple[str, Any]]:
    """What is pruned, by name: kernels of Conv and Dense layers; depthwise ones, biases and batch
    normalisations are left alone: few weights, and the most sensitive ones.

    Raises:
        Unprunable: there are none.
    """
    of_keras: Any = import_module("keras").layers
    kinds = tuple(getattr(of_keras, name) for name in _KINDS)
    found = [
        (layer.kernel.path.removesuffix("/kernel"), layer.kernel)
        for layer in layers(model)
        if isinstance(layer, kinds) and getattr(layer, "groups", 1) == 1 and layer.built
    ]
    if not found:
        raise Unprunable(
            "nothing to prune: it has no Conv or Dense layer (depthwise and recurrent ones are "
            "left alone)"
        )
    return found


def _sizes(model: Any) -> dict[str, int]:
    return {name: int(np.prod(kernel.shape)) for name, kernel in kernels(model)}


def _counted(
    original: dict[str, int], model: Any, limits: tuple[float, ...], pruning: Pruning
) -> tuple[PrunedLayer, ...]:
    """What is left of every kernel in a model."""
    counted = []
    pairs = zip(original.items(), kernels(model), strict=True)
    for index, ((name, weights), (_, kernel)) in enumerate(pairs):
        values = np.asarray(kernel)
        counted.append(
            PrunedLayer(
                name=name,
                weights=weights,
                left=int(np.count_nonzero(values)),
                threshold=round(limits[index], 9) if limits else None,
                channels=int(values.shape[-1]) if pruning.structured else None,
            )
        )
    return tuple(counted)


def _nothing(step: int, steps: int) -> None:
    """Do nothing after a training step."""
