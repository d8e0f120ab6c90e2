"""What a worker made → the store and a record of it, or the error that its refusal stands for."""

from pathlib import Path
from typing import assert_never

from orchestrator.artifact.golden import GoldenSet
from orchestrator.artifact.lock import LockedFile
from orchestrator.build.cache import Conversion, Failure, Measurement, Record, Sensitivity
from orchestrator.build.failures import BadData, BadGolden, BadSource
from orchestrator.build.jobs import (
    Extracted,
    Failed,
    Identified,
    Made,
    Measured,
    Pruned,
    Refused,
    Result,
    Sensed,
)
from orchestrator.build.openvino_ir import WEIGHTS
from orchestrator.build.store import Store
from orchestrator.catalog.pruning import Sparsity


def kept(store: Store, result: Result, out: Path) -> tuple[Record, bool]:
    """Put what a worker made into the store; the record, and whether it would come again.

    Raises:
        BadSource, BadData, BadGolden: the worker refused what it was given.
    """
    match result:
        case Made(max_abs_diff=difference, mixture=mixture):
            record = Conversion(
                sha256=store.add_file(out),
                size_bytes=out.stat().st_size,
                weights=_weights(out, store),
                max_abs_diff=difference,
                mixture=mixture,
            )
            return record, True
        case Sensed(blocks=blocks):
            return Sensitivity(blocks=blocks), True
        case Pruned(sparsity=sparsity):
            digest = store.add_file(out)
            size_bytes = out.stat().st_size
            return Conversion(sha256=digest, size_bytes=size_bytes, sparsity=sparsity), True
        case Measured():
            return _measurement(result, out, store), True
        case Failed(because=because, lasting=lasting, log=log):
            return Failure(because=because, log=log), lasting
        case Refused():
            raise _error(result)
        case Identified() | Extracted():
            raise AssertionError("no step of making")
        case _:
            assert_never(result)


def _weights(out: Path, store: Store) -> LockedFile | None:
    """The second file beside a model, put into the store; None where there is none."""
    beside = out.with_suffix(WEIGHTS)
    if not beside.exists():
        return None
    return LockedFile(sha256=store.add_file(beside), size_bytes=beside.stat().st_size)


def said(record: Record, sparsity: Sparsity | None) -> Record:
    """The same record with what its source was pruned to."""
    if not isinstance(record, Conversion):
        return record
    return record.model_copy(update={"sparsity": sparsity})


def _measurement(result: Measured, out: Path, store: Store) -> Measurement:
    golden = None
    if not result.no_golden:
        golden = GoldenSet(
            sha256=store.add_file(out),
            size_bytes=out.stat().st_size,
            cases=result.cases,
            tolerances=result.tolerances,
        )
    return Measurement(figures=result.figures, golden=golden, no_golden=result.no_golden)


def _error(refused: Refused) -> BadSource | BadData | BadGolden:
    kinds: dict[str, type[BadSource | BadData | BadGolden]] = {
        "source": BadSource,
        "data": BadData,
        "golden": BadGolden,
    }
    return kinds[refused.error](refused.message, file=refused.file, hint=refused.hint)
