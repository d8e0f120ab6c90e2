"""The Edge TPU's compiler: run where it is, and believed only where its log and its file agree."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from orchestrator.artifact.compilation import Compilation
from orchestrator.artifact.lock import Status
from orchestrator.build.cache import Conversion, Failure
from orchestrator.build.edgetpu_graph import Graph, read_graph, unmapped
from orchestrator.build.edgetpu_log import CompilerLog, read_compiler_log
from orchestrator.build.store import Store
from orchestrator.build.workbench import Bench, Ended, Step, Task
from orchestrator.errors import FleetError

TOOL = "edgetpu_compiler"
MISSING = (
    f"there is no {TOOL}: put it on PATH, name a command in fleet.toml ({TOOL} = [...]), "
    "or give an x86-64 device that has it build_host: true"
)
_MODEL, _MADE = "model.tflite", "model_edgetpu.tflite"
_NAMED = 4


@dataclass(frozen=True, slots=True)
class Compiler:
    """A command that compiles, and the bench it runs on; `where` is empty for this machine."""

    argv: tuple[str, ...]
    bench: Bench
    where: str = ""


Find: TypeAlias = Callable[[], Compiler | None]
"""Where the compiler is; None where there is none. Asked only when something is to be compiled."""


def nowhere() -> None:
    """There is none."""
    return


def compiled(store: Store, digest: str, find: Find, deadline_s: float) -> Conversion | Failure:
    """An int8 TFLite artifact → what runs on an Edge TPU, or why there is no such thing."""
    model = store.read(digest)
    before = read_graph(model)
    will_not = _few(unmapped(before))
    try:
        compiler = find()
        if compiler is None:
            because = f"{MISSING}{will_not}"
            return Failure(because=because, status=Status.UNBUILDABLE)
        argv = (*compiler.argv, "-s", "-o", ".", _MODEL)
        task = Task({_MODEL: model}, (Step("compile", argv),), (_MADE,), deadline_s)
        ended = compiler.bench(task)
    except FleetError as error:
        return Failure(because=f"{error.message}: {error.hint}", status=Status.UNBUILDABLE)
    log = read_compiler_log(ended.text("compile.log"))
    if because := _failed(ended, log, deadline_s, compiler):
        missing = Status.UNBUILDABLE if ended.missing else Status.FAILED
        return Failure(because=f"{because}{will_not}", status=missing)
    after = read_graph(ended.files[_MADE])
    counted = counts(before, after, log)
    if isinstance(counted, str):
        return Failure(because=f"{counted}{will_not}", status=Status.REJECTED)
    on_tpu, on_cpu = counted
    return Conversion(
        sha256=store.add(ended.files[_MADE]),
        size_bytes=len(ended.files[_MADE]),
        compilation=Compilation(
            by=f"{TOOL} {log.version}",
            where=compiler.where,
            made_of=digest,
            log=store.add(ended.files["compile.log"]),
            accelerated=on_tpu,
            remaining=on_cpu,
            streamed_bytes=log.streamed_bytes,
        ),
    )


def counts(before: Graph, after: Graph, log: CompilerLog) -> tuple[int, int] | str:
    """Operations on the Edge TPU and on the processor, counted in the files; or what contradicts.

    What was there before and is no operation of its own afterwards is in the custom operation.
    """
    on_cpu = len(after.operators) - after.compiled
    on_tpu = len(before.operators) - on_cpu
    if not after.compiled or on_tpu <= 0:
        return "the compiler mapped no operation to the Edge TPU"
    if not log.version:
        return f"its log is none of {TOOL}'s: it does not say which version wrote it"
    if log.operations is not None and log.operations != len(before.operators):
        return (
            f"its log is not about this model: it tells of {log.operations} operations, and "
            f"there are {len(before.operators)}"
        )
    if not log.counts:
        return "its log does not say how many operations run where"
    for told in log.counts:
        if told != (on_tpu, on_cpu):
            return (
                f"log and file disagree: {told[0]} operations on the Edge TPU and {told[1]} on the "
                f"processor by its log, {on_tpu} and {on_cpu} by the file"
            )
    return on_tpu, on_cpu


def _failed(ended: Ended, log: CompilerLog, deadline_s: float, compiler: Compiler) -> str:
    """Why there is nothing to count; empty where there is."""
    where = f" on {compiler.where}" if compiler.where else ""
    if ended.late:
        return f"the compiler did not finish within {deadline_s:g} s{where} (--deadline)"
    if ended.missing:
        return f"{compiler.argv[0]!r} is not there{where}: install it, or leave the variant out"
    if log.errors:
        return f"the compiler refused it: {log.errors[0]}"
    if ended.failed:
        return f"the compiler exited with {ended.status}{where} and said nothing of why"
    if _MADE not in ended.files:
        return f"the compiler ended well{where} and left no {_MADE}"
    return ""


def _few(reasons: tuple[str, ...]) -> str:
    """What a look at the model beforehand has found, as the end of a sentence."""
    if not reasons:
        return ""
    more = f" and {len(reasons) - _NAMED} more" if len(reasons) > _NAMED else ""
    return f"; will not be mapped: {', '.join(reasons[:_NAMED])}{more}"
