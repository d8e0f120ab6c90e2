"""What a model takes and gives, by name; runtimes, sources and data agree on these."""

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
