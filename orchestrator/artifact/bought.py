"""What pruning buys: each pruned variant beside its twin that is not, in numbers and words. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.artifact.lock import LockedArtifact, LockedModel
from orchestrator.catalog.pruning import Sparsity
from orchestrator.catalog.variant import unpruned
from orchestrator.values import Value


@dataclass(frozen=True, slots=True)
class Packed:
    """The bytes of an artifact after compression: gzip at level 9, zstd at level 19."""

    gzip: int
    zstd: int


class Costs(Value):
    """What a variant costs, and what its metric is; bytes as they are and compressed."""

    variant: str
    size_bytes: int
    gzip_bytes: int | None = None
    zstd_bytes: int | None = None
    value: float | None = None
    p50_ms: float | None = None


class Bought(Value):
    """A pruned variant and its twin, None where that one was not built.

    `gain` is the difference of their metrics, higher is better.
    """

    pruned: Costs
    twin_name: str
    twin: Costs | None
    sparsity: Sparsity
    gain: float | None = None

    @property
    def words(self) -> str:
        """What it buys, in a sentence."""
        mine, other = self.pruned, self.twin
        if other is None:
            return f"{self.twin_name} was not built: add it to `variants` to see what pruning buys"
        if self.sparsity.structured:
            time = _against(mine.p50_ms, other.p50_ms, "ms")
            return (
                f"channels are gone, so there is less to compute: p50 {time}; "
                f"{_against(mine.size_bytes, other.size_bytes, 'bytes')}, "
                f"{_against(mine.zstd_bytes, other.zstd_bytes, 'after zstd')}"
            )
        return (
            "zeros compress well: "
            f"{_against(mine.zstd_bytes, other.zstd_bytes, 'bytes after zstd')}; they are multiplied "
            "like any other number, so sparsity does not make it faster: p50 "
            f"{_against(mine.p50_ms, other.p50_ms, 'ms')}"
        )


def bought(model: LockedModel, packed: Mapping[str, Packed]) -> tuple[Bought, ...]:
    """Every pruned variant of a model beside its twin, in the order of the lock.

    Args:
        packed: bytes after compression by artifact digest, where they were measured.
    """
    return tuple(
        found for each in model.artifacts if (found := of_variant(model, each, packed)) is not None
    )


def of_variant(
    model: LockedModel, artifact: LockedArtifact, packed: Mapping[str, Packed]
) -> Bought | None:
    """One pruned variant beside its twin, None where it is not pruned."""
    name = unpruned(artifact.variant)
    if name is None or artifact.sparsity is None:
        return None
    twin = twin_of(model, artifact)
    mine, other = artifact.figures, twin.figures if twin else None
    gain = None
    if mine and other and mine.score is not None and other.score is not None:
        gain = round(mine.score - other.score, 6)
    return Bought(
        pruned=_costs(artifact, packed),
        twin_name=name,
        twin=_costs(twin, packed) if twin else None,
        sparsity=artifact.sparsity,
        gain=gain,
    )


def twin_of(model: LockedModel, artifact: LockedArtifact) -> LockedArtifact | None:
    """The artifact that a pruned one differs from by pruning alone, if it was built."""
    twin = model.artifact(unpruned(artifact.variant) or "")
    return twin if twin and twin.sha256 else None


def _costs(artifact: LockedArtifact, packed: Mapping[str, Packed]) -> Costs:
    figures, small = artifact.figures, packed.get(artifact.sha256 or "")
    return Costs(
        variant=artifact.variant,
        size_bytes=artifact.size_bytes,
        gzip_bytes=small.gzip if small else None,
        zstd_bytes=small.zstd if small else None,
        value=figures.value if figures else None,
        p50_ms=figures.p50_ms if figures else None,
    )


def _against(mine: float | None, other: float | None, unit: str) -> str:
    if mine is None or other is None:
        return f"{unit} not measured"
    ratio = f" ({mine / other:.2f} ×)" if other else ""
    return f"{mine:,.6g} {unit} against {other:,.6g}{ratio}"
