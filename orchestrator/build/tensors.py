"""What a model takes and gives, by name; runtimes, sources and data agree on these."""

import re
from collections.abc import Iterable

from orchestrator.values import Value


class Tensor(Value):
    """One named input or output.

    A dimension of None is open. A first dimension of 1 (or open) is the batch, and a sample has
    the shape behind it; without a batch dimension a sample has the whole shape.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str

    @property
    def batched(self) -> bool:
        """Whether the first dimension is the batch."""
        return bool(self.shape) and self.shape[0] in (1, None)

    @property
    def sample(self) -> tuple[int | None, ...]:
        """The shape of one sample."""
        return self.shape[1:] if self.batched else self.shape

    def of(self, sample: tuple[int, ...]) -> "Tensor":
        """The same tensor with batch 1 and every open dimension as a sample has it."""
        shape = (1, *sample) if self.batched else sample
        return Tensor(name=self.name, shape=shape, dtype=self.dtype)


def written(shape: tuple[int | None, ...]) -> str:
    """A shape as people write it: ``(28, 28, 1)``, open dimensions as ``?``."""
    inside = ", ".join("?" if size is None else str(size) for size in shape)
    return f"({inside},)" if len(shape) == 1 else f"({inside})"


def allowed(name: str) -> str:
    """A name as TensorFlow bears it: letters, digits, ``_ . -``, and none of ``_ -`` in front."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name).lstrip("_-") or "tensor"


def distinct(names: Iterable[str]) -> list[str]:
    """The same names, those that were there before with a number behind."""
    found: list[str] = []
    for name in names:
        again = found.count(name)
        found.append(f"{name}_{again}" if again else name)
    return found
