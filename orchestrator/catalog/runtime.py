"""Runtimes as adapters: what each needs of a device, what it runs, and how a trial of it is read.

A new one is an entry of `ADAPTERS` and of `RUNS`; nothing else in the house knows them apart.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from orchestrator.catalog.printed import Printed, benchmarked, told
from orchestrator.catalog.variant import RUNS, Format
from orchestrator.errors import FleetError
from orchestrator.inventory.device import Device
from orchestrator.inventory.facts import Facts
from orchestrator.inventory.profile import Profile, Runtime
from orchestrator.inventory.runner import Proof


class NoRunner(FleetError):
    """A plan wants a device's own program, and the inventory names none any more."""

    path = ("DEPLOY", "SMOKE", "NO_RUNNER")

    def __init__(self, device: str) -> None:
        hint = f"name one, or make a new plan: fleet plan --target {device}"
        super().__init__(f"{device}: the inventory names no runner: for it", hint=hint)


@dataclass(frozen=True, slots=True)
class Imported:
    """The trial is smoke.py's: the device's Python imports the runtime, compares and measures."""


@dataclass(frozen=True, slots=True)
class Program:
    """The trial is a program's: its words, with placeholders, and what it can prove."""

    command: tuple[str, ...]
    proof: Proof


Trial: TypeAlias = Imported | Program


class Adapter(Protocol):
    """How one runtime is known to be there, tried and read.

    `needs` says in words what a device must have; which fact proves it is `Facts.version_of`.
    """

    @property
    def runtime(self) -> Runtime:
        """Which one it is."""
        ...

    @property
    def needs(self) -> str:
        """For people."""
        ...

    def refusal(self, profile: Profile, facts: Facts | None) -> str:
        """Why it must not be used on such a device; empty where it may be.

        Args:
            profile: what the device offers, with its own runner and proof.
        """
        ...

    def trial(self, device: Device) -> Trial:
        """How a smoke test is started."""
        ...

    def reading(self, said: str) -> Printed:
        """Latency and memory, out of what a program printed; smoke.py reports its own."""
        ...


@dataclass(frozen=True, slots=True)
class InPython:
    """A package of a Python from `python` on, not older than `least`; `wheel` is an index's name for it."""

    runtime: Runtime
    needs: str
    module: str
    wheel: str
    least: tuple[int, ...] = ()
    python: tuple[int, int] = (3, 6)

    def refusal(self, profile: Profile, facts: Facts | None) -> str:
        """It is not there, or it is too old."""
        if facts is None:
            return ""
        found = facts.version_of(self.runtime)
        if found is None:
            return f"{self.runtime.value} is not installed"
        if (known := _numbers(found)) and known < self.least:
            return f"{self.runtime.value} {found} is older than {'.'.join(map(str, self.least))}"
        return ""

    def trial(self, device: Device) -> Trial:
        """smoke.py imports it."""
        return Imported()

    def reading(self, said: str) -> Printed:
        """Nothing: smoke.py measures."""
        return Printed()


@dataclass(frozen=True, slots=True)
class BenchmarkModel:
    """TensorFlow Lite's own program: proves that a model loads and runs and how fast, nothing else."""

    runtime: Runtime = Runtime.BENCHMARK_MODEL
    needs: str = "a program `benchmark_model` on PATH or in /data/local/tmp, and `proof: runs-only`"

    def refusal(self, profile: Profile, facts: Facts | None) -> str:
        """It is not there, or proving so little was not allowed."""
        if facts is not None and facts.version_of(self.runtime) is None:
            return f"{self.runtime.value} is not installed"
        if profile.proof is not Proof.RUNS_ONLY:
            return (
                f"{self.runtime.value} would run it, and cannot compare outputs; if that is enough, "
                "say proof: runs-only in the inventory or the playbook"
            )
        return ""

    def trial(self, device: Device) -> Trial:
        """One thread, as smoke.py has it."""
        words = ("benchmark_model", "--graph={model}", "--num_threads=1", "--max_secs=10")
        return Program(words, Proof.RUNS_ONLY)

    def reading(self, said: str) -> Printed:
        """Its text, of any version."""
        return benchmarked(said)


@dataclass(frozen=True, slots=True)
class Native:
    """The site's own program, as its inventory describes it."""

    runtime: Runtime = Runtime.NATIVE
    needs: str = "the program that `runner:` names in the inventory"

    def refusal(self, profile: Profile, facts: Facts | None) -> str:
        """There is none, it is not on the device, or proving so little was not allowed."""
        if profile.runner is None:
            return "no runner: in the inventory"
        if facts is not None and facts.version_of(self.runtime) is None:
            return f"its runner {profile.runner.command[0]!r} is not on the device"
        if profile.runner.proof is Proof.RUNS_ONLY and profile.proof is not Proof.RUNS_ONLY:
            return (
                "its runner tells no outputs that could be compared; give it {outputs}, or say "
                "proof: runs-only in the inventory or the playbook"
            )
        return ""

    def trial(self, device: Device) -> Trial:
        """Its words."""
        if device.runner is None:
            raise NoRunner(device.name)
        return Program(device.runner.command, device.runner.proof)

    def reading(self, said: str) -> Printed:
        """Lines ``inference_ms=`` and ``rss_mib=``, from every golden case."""
        return told(said)


LITERT = InPython(
    Runtime.LITERT,
    "Python with ai-edge-litert and numpy",
    "ai_edge_litert.interpreter",
    "ai-edge-litert",
    python=(3, 9),
)
ONNXRUNTIME = InPython(
    Runtime.ONNXRUNTIME, "Python with onnxruntime and numpy", "onnxruntime", "onnxruntime"
)

ADAPTERS: Mapping[Runtime, Adapter] = {
    adapter.runtime: adapter
    for adapter in (
        LITERT,
        InPython(
            Runtime.TFLITE_RUNTIME,
            "Python with tflite-runtime and numpy",
            "tflite_runtime.interpreter",
            "tflite-runtime",
            least=(2, 5),
        ),
        ONNXRUNTIME,
        InPython(
            Runtime.OPENVINO,
            "Python with openvino and numpy",
            "openvino",
            "openvino",
            least=(2023, 1),
        ),
        Native(),
        BenchmarkModel(),
    )
}
"""Every runtime fleet can use. OpenVINO's modules lay elsewhere before 2023.1; tflite-runtime has
signatures from 2.5 on."""

BOOTSTRAPS: Mapping[Runtime, InPython] = {each.runtime: each for each in (LITERT, ONNXRUNTIME)}
"""Those that `fleet bootstrap` can bring."""


def runtime_for(form: Format, profile: Profile, facts: Facts | None) -> Runtime | str:
    """The runtime that would run a format on a device, or the reason why none does.

    Args:
        profile: what the device offers, with its own runner and proof; its order is one of wishes.
    """
    able = RUNS[form]
    offered = [runtime for runtime in profile.runtimes if runtime in able]
    if profile.runner is not None and form.value in profile.runner.formats:
        offered.append(Runtime.NATIVE)
    there = facts is not None and facts.version_of(Runtime.BENCHMARK_MODEL) is not None
    if Runtime.BENCHMARK_MODEL in able and Runtime.BENCHMARK_MODEL not in offered and there:
        offered.append(Runtime.BENCHMARK_MODEL)
    if not offered:
        likely = [runtime for runtime in able if runtime is not Runtime.BENCHMARK_MODEL]
        return f"profile {profile.name} offers {words(profile.runtimes)}, not {words(likely, 'or')}"
    refusals = {each: ADAPTERS[each].refusal(profile, facts) for each in offered}
    usable = [each for each, why in refusals.items() if not why]
    if usable:
        return usable[0]
    absent = [each for each, why in refusals.items() if why.endswith("is not installed")]
    others = [why for each, why in refusals.items() if each not in absent]
    missing = [f"{words(absent, 'or')} is not installed on the device"] if absent else []
    return "; ".join([*missing, *others])


def words(runtimes: Iterable[Runtime], last: str = "and") -> str:
    """``litert, tflite-runtime and onnxruntime``."""
    names = [runtime.value for runtime in runtimes]
    if len(names) < 3:
        return f" {last} ".join(names)
    return f"{', '.join(names[:-1])} {last} {names[-1]}"


def _numbers(version: str) -> tuple[int, ...]:
    """``2.14.0.post1`` → (2, 14, 0); nothing for ``unknown``."""
    found = re.match(r"[0-9]+(\.[0-9]+)*", version)
    return tuple(map(int, found[0].split("."))) if found else ()
