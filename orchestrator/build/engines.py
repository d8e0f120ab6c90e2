"""TensorRT engines: built by trtexec on the device they are for, and proved there before they count."""

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.artifact.compilation import Compilation, Engine
from orchestrator.artifact.golden import GoldenSet
from orchestrator.artifact.lock import LockedArtifact
from orchestrator.build import trtexec
from orchestrator.build.cache import Cache, Conversion
from orchestrator.build.store import Store
from orchestrator.build.workbench import Bench, Ended, Step, Task
from orchestrator.catalog.variant import Precision
from orchestrator.errors import FleetError, Owner
from orchestrator.inventory.facts import Facts
from orchestrator.inventory.hardware import Hardware
from orchestrator.values import digest

_LEAST_MIB, _TIMES, _MOST_WORKSPACE_MIB = 512, 4, 1024
"""Memory for the builder itself, for copies of a model's weights, and for trying out kernels."""


class NotBuilt(FleetError):
    """No engine was built, and that says nothing of the model."""

    path = ("BUILD", "ENGINE")
    owner = Owner.DEVICE


@dataclass(frozen=True, slots=True)
class Place:
    """A device on which engines are built: what it is, and the bench there."""

    device: str
    facts: Facts
    hardware: Hardware
    bench: Bench


@dataclass(frozen=True, slots=True)
class Wish:
    """An engine to build: of what, in which precision, within how many seconds."""

    parent: LockedArtifact
    precision: Precision
    deadline_s: float


def engine(wish: Wish, place: Place, store: Store, cache: Cache, *, force: bool) -> Engine:
    """Build an engine unless its bytes are there already, and prove it on the device.

    Raises:
        NotBuilt: the device lacks memory, time or the program.
        WorkbenchFailed, DeviceUnreachable: it could not be tried.
        NotInStore: what it is made of is no longer there.
    """
    parent, golden = wish.parent, wish.parent.golden
    if parent.sha256 is None or golden is None:
        raise NotBuilt(f"{parent.variant} is {parent.status}: {parent.because}")
    version = place.hardware.tensorrt
    key = digest(("engine", parent.sha256, place.hardware, trtexec.flags(version, wish.precision)))
    known = None if force else cache.get(key)
    made = known if isinstance(known, Conversion) else None
    cases = dict(_arrays(store, golden))
    task = _task(wish, place, store, cases, made)
    ended = place.bench(task)
    _refuse(ended, wish, place)
    if made is None:
        log = trtexec.read_log(ended.text("build.log"))
        if ended.failed == "build" or trtexec.ENGINE not in ended.files or not log.passed:
            because = f"trtexec refused it: {log.error or f'exit status {ended.status}'}"
            return _engine(wish, place, because)
        data = ended.files[trtexec.ENGINE]
        made = Conversion(
            sha256=store.add(data),
            size_bytes=len(data),
            compilation=Compilation(
                by=f"trtexec of TensorRT {log.version}",
                where=place.device,
                made_of=parent.sha256,
                log=store.add(ended.files["build.log"]),
            ),
        )
        cache.put(key, made)
    timed = trtexec.read_log(ended.text("time.log"))
    because = _wrong(ended, golden, cases)
    return _engine(wish, place, because, made=made, timed=timed)


def _task(
    wish: Wish, place: Place, store: Store, cases: Mapping[str, Any], made: Conversion | None
) -> Task:
    """Everything in one visit: build, compute each golden case, measure."""
    assert wish.parent.sha256 is not None
    files: dict[str, bytes] = {}
    steps: list[Step] = []
    if made is None:
        files[trtexec.ONNX] = model = store.read(wish.parent.sha256)
        workspace = _workspace(len(model), place)
        argv = trtexec.building(place.hardware.tensorrt, wish.precision, workspace)
        steps.append(Step("build", argv))
    else:
        files[trtexec.ENGINE] = store.read(made.sha256)
    names = [name for name in sorted(cases) if name.startswith("in_")]
    inputs: dict[str, str] = {}
    for case in range(wish.parent.golden.cases if wish.parent.golden else 0):
        inputs = {name[3:]: f"in{number}_{case}" for number, name in enumerate(names)}
        files |= {inputs[name[3:]]: cases[name][case].tobytes() for name in names}
        steps.append(Step(f"case{case}", trtexec.computing(inputs, f"out{case}.json")))
    steps.append(Step("time", trtexec.timing(inputs)))
    brought = [f"out{case}.json" for case in range(len(steps))]
    if made is None:
        brought.append(trtexec.ENGINE)
    return Task(files, tuple(steps), tuple(brought), wish.deadline_s)


def _workspace(model_bytes: int, place: Place) -> int:
    """MiB for trying out kernels, where there is memory to build at all."""
    free = place.facts.ram_free_mib
    needed = _LEAST_MIB + _TIMES * (model_bytes >> 20)
    if free and free < needed:
        raise NotBuilt(
            f"{place.device}: {free} MiB of memory are free, and building takes about {needed}",
            hint="stop what runs there, add swap, or build on another device of the same hardware",
        )
    return min(_MOST_WORKSPACE_MIB, max(64, (free - needed) // 2)) if free else 256


def _refuse(ended: Ended, wish: Wish, place: Place) -> None:
    """What says nothing of the model."""
    if ended.late:
        raise NotBuilt(
            f"{place.device}: trtexec did not finish within {wish.deadline_s:g} s",
            hint="give it more: --deadline",
        )
    if ended.missing:
        raise NotBuilt(
            f"{place.device}: trtexec is neither on PATH nor in /usr/src/tensorrt/bin",
            hint="install it: sudo apt-get install libnvinfer-bin",
        )


def _engine(
    wish: Wish,
    place: Place,
    because: str,
    *,
    made: Conversion | None = None,
    timed: trtexec.TrtexecLog | None = None,
) -> Engine:
    figures = wish.parent.figures
    if figures and made:
        own = {"size_bytes": made.size_bytes, "p50_ms": None, "p95_ms": None}
        figures = figures.model_copy(update=own)
    return Engine(
        hardware=place.hardware,
        device=place.device,
        accepted=not because,
        because=because,
        sha256=made.sha256 if made else None,
        size_bytes=made.size_bytes if made else 0,
        p50_ms=timed.p50_ms if timed else None,
        p95_ms=timed.p95_ms if timed else None,
        figures=figures if made else None,
        golden=wish.parent.golden if made else None,
        compilation=made.compilation if made else None,
    )


def _arrays(store: Store, golden: GoldenSet) -> Iterator[tuple[str, Any]]:
    import numpy as np

    with np.load(io.BytesIO(store.read(golden.sha256)), allow_pickle=False) as file:
        for name in file.files:
            yield name, file[name]


def _wrong(ended: Ended, golden: GoldenSet, cases: Mapping[str, Any]) -> str:
    """What an engine computes otherwise than the ONNX artifact it was made of; empty if nothing."""
    for case in range(golden.cases):
        log = trtexec.read_log(ended.text(f"case{case}.log"))
        text = ended.text(f"out{case}.json")
        if not text or not log.passed:
            return f"golden case {case} could not be computed: {log.error or 'trtexec failed'}"
        try:
            outputs = {each.name: each for each in trtexec.read_outputs(text)}
        except ValueError as error:
            return f"golden case {case}: trtexec wrote no outputs: {error}"
        for tolerance in golden.tolerances:
            if because := _off(case, tolerance.output, tolerance.max_abs_diff, outputs, cases):
                return because
    return ""


def _off(
    case: int,
    name: str,
    allowed: float,
    outputs: Mapping[str, trtexec.Exported],
    cases: Mapping[str, Any],
) -> str:
    import numpy as np

    wanted = cases[f"out_{name}"][case]
    if name not in outputs:
        return f"output {name!r} is missing; there are {sorted(outputs)}"
    have = outputs[name]
    if int(np.prod(have.shape)) != wanted.size or len(have.values) != wanted.size:
        return f"output {name!r} has shape {have.shape}, expected {wanted.shape}"
    diff = np.abs(np.array(have.values) - wanted.astype("float64").reshape(-1))
    most = float(diff.max()) if diff.size else 0.0
    if most <= allowed:
        return ""
    return (
        f"output {name!r} of golden case {case} is off by {most:.4g} from ONNX Runtime's, "
        f"allowed is {allowed:.4g}"
    )
