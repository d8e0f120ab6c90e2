"""A worker process: ``python -m orchestrator.build.worker JOB RESULT PARENT_PID``."""

import re
import sys
import traceback
from pathlib import Path
from typing import assert_never

from orchestrator.build.failures import BadData, BadGolden, BadSource, Unfaithful, Unprunable
from orchestrator.build.jobs import (
    JOB,
    AnyJob,
    Convert,
    Extract,
    Failed,
    Identify,
    Measure,
    Mix,
    Prune,
    Quantize,
    Refused,
    Result,
    Sense,
)
from orchestrator.build.lifeline import tie
from orchestrator.values import canonical


def main(job_file: str, result_file: str, parent: str) -> None:
    """Do the job of one file and write its result to another, whatever happens."""
    tie(int(parent))
    try:
        job = JOB.validate_json(Path(job_file).read_bytes())
        result = done(job)
        _sign(job)
    except (BadSource, BadData, BadGolden) as error:
        result = _refused(error)
    except Exception as error:  # noqa: BLE001 whatever a toolchain raises is a result
        traceback.print_exc()
        lasting = not isinstance(error, ImportError | OSError | MemoryError)
        result = Failed(because=_summary(error), lasting=lasting)
    Path(result_file).write_bytes(canonical(result))


def done(job: AnyJob) -> Result:
    """Do one job; imports only what that job needs."""
    match job:
        case Prune():
            from orchestrator.build.pruning import prune

            return prune(job)
        case Convert():
            from orchestrator.build.convert import convert

            return convert(job)
        case Quantize():
            from orchestrator.build.quantizers import quantize

            return quantize(job)
        case Sense():
            from orchestrator.build.mixing import sense

            return sense(job)
        case Mix():
            from orchestrator.build.mixing import mix

            return mix(job)
        case Identify():
            from orchestrator.build.identity import identify

            return identify(job)
        case Measure():
            from orchestrator.build.measure import measure

            return measure(job)
        case Extract():
            from orchestrator.build.extraction import extract

            return extract(job)
        case _:
            assert_never(job)


def _sign(job: AnyJob) -> None:
    """Have a model file that was made say how."""
    if isinstance(job, Convert | Quantize | Mix) and job.provenance:
        from orchestrator.build.provenance import embed

        embed(Path(job.out), job.provenance)


def _refused(error: BadSource | BadData | BadGolden) -> Refused:
    kinds = {BadSource: "source", BadData: "data", BadGolden: "golden"}
    prefix = f"{error.file}: " if error.file else ""
    return Refused.model_validate(
        {
            "error": kinds[type(error)],
            "file": error.file,
            "message": error.message.removeprefix(prefix),
            "hint": error.hint,
        }
    )


def _summary(error: Exception) -> str:
    """The line of an error that says most: the operations a converter lacks, else the first."""
    text = str(error)
    if lacking := re.search(r"^(?:Custom|Flex|TF Select) ops: *(.+)$", text, re.MULTILINE):
        return f"TensorFlow Lite has no operation for {lacking[1].strip()}"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    said = lines[0][:400] if lines else ""
    if isinstance(error, Unfaithful | Unprunable):
        return said
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


if __name__ == "__main__":
    main(*sys.argv[1:4])
