"""Made again from the same inputs, do artifacts have the same bytes? Locked against rebuilt."""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from orchestrator.artifact.lock import Lock, LockedModel
from orchestrator.build.builder import Builder, BuildEvent
from orchestrator.build.store import Store
from orchestrator.catalog.model import Model
from orchestrator.errors import NotFound


@dataclass(frozen=True, slots=True)
class Compared:
    """One file of a variant: the digest in the lock, and that of the file made again, if it was.

    `because` says why the digests differ where it is known.
    """

    model: str
    variant: str
    file: str
    locked: str
    rebuilt: str | None
    because: str = ""

    @property
    def equal(self) -> bool:
        """Whether both have the same bytes."""
        return self.locked == self.rebuilt


def comparisons(locked: LockedModel, rebuilt: LockedModel) -> Iterator[Compared]:
    """Every file that both builds were to make, in the order of the lock."""
    for mine in locked.artifacts:
        other = rebuilt.artifact(mine.variant)
        if other is None or mine.sha256 is None:
            continue
        because = ""
        if mine.key != other.key:
            because = "its source, data, recipe or tools are no longer those of the lock"
        elif other.sha256 is None:
            because = other.because
        yield Compared(locked.name, mine.variant, "model", mine.sha256, other.sha256, because)
        if mine.weights is not None:
            beside = other.weights.sha256 if other.weights else None
            yield Compared(
                locked.name, mine.variant, "weights", mine.weights.sha256, beside, because
            )
        if mine.golden is not None:
            again = other.golden.sha256 if other.golden else None
            yield Compared(locked.name, mine.variant, "golden", mine.golden.sha256, again, because)


def verified(
    models: Iterable[Model],
    lock: Lock,
    catalog: Path,
    state: Path,
    *,
    variants: Collection[str] | None,
    jobs: int | None,
    trust: bool = False,
    watch: Callable[[str, BuildEvent], None],
) -> tuple[Compared, ...]:
    """Make what the lock holds again, in a scratch folder below `state`, and compare.

    Raises:
        NotFound: a model has no such variant in the lock.
    """
    found: list[Compared] = []
    state.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=state, prefix="verify-") as folder:
        scratch = Path(folder)
        (scratch / "toolchains").symlink_to((state / "toolchains").resolve())
        builder = Builder(
            catalog, Store(scratch / "store"), scratch / "build", jobs=jobs, trust=trust
        )
        for model in models:
            locked = lock.find(model.name)
            made = locked.artifacts if locked else ()  # a maker's compiler promises no equal bytes
            built = {a.variant for a in made if a.sha256 and not a.format.compiled}
            known = {v.name for v in model.variants if variants is None or v.name in variants}
            if locked is None or not built & known:
                asked = ", ".join(sorted(variants or ())) or "of any kind"
                raise NotFound(
                    f"built variant of {model.name}",
                    asked,
                    sorted(built),
                    hint=f"build it first: fleet build {model.name}",
                )
            again = builder.build(
                model, variants=sorted(built & known), watch=partial(watch, model.name)
            )
            found += comparisons(locked, again)
    return tuple(found)
