"""trtexec, TensorRT 8 to 11: the words it is told and the words it answers. Pure.

Source: trtexec's own help of each version, and samples/common/sampleReporting.cpp of NVIDIA/TensorRT.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from orchestrator.catalog.variant import Precision
from orchestrator.values import Value

ONNX, ENGINE = "model.onnx", "model.engine"
_SKIPS_SINCE = (8, 6)  # --buildOnly before
_POOLS_SINCE = (8, 4)  # --workspace before
_TYPED_SINCE = (11, 0)  # what is computed in which precision is in the model alone

_FLAGS: Mapping[Precision, tuple[str, ...]] = {
    Precision.FLOAT32: (),
    Precision.FLOAT16: ("--fp16",),
    Precision.INT8: ("--int8", "--fp16"),
}


class TrtexecLog(Value):
    """What trtexec says of itself at the end; `p50_ms` and `p95_ms` are of whole inferences.

    Those are latencies with both transfers, which are what other runtimes' figures contain too.
    """

    passed: bool
    version: str = ""
    p50_ms: float | None = None
    p95_ms: float | None = None
    error: str = ""


def flags(version: str, precision: Precision) -> tuple[str, ...]:
    """What an engine's numbers depend on besides its model: part of its key."""
    typed = _number(version) >= _TYPED_SINCE
    return ("--noTF32", *(() if typed else _FLAGS[precision]))


def building(version: str, precision: Precision, workspace_mib: int) -> tuple[str, ...]:
    """ONNX → engine, and no more."""
    number = _number(version)
    pools = number >= _POOLS_SINCE
    memory = f"--memPoolSize=workspace:{workspace_mib}" if pools else f"--workspace={workspace_mib}"
    last = "--skipInference" if number >= _SKIPS_SINCE else "--buildOnly"
    made = f"--saveEngine={ENGINE}"
    return ("trtexec", f"--onnx={ONNX}", made, *flags(version, precision), memory, last)


def computing(inputs: Mapping[str, str], out: str) -> tuple[str, ...]:
    """One inference on inputs from files (by name), its outputs into a file."""
    once = ("--iterations=1", "--warmUp=0", "--duration=0")
    return ("trtexec", f"--loadEngine={ENGINE}", _loaded(inputs), f"--exportOutput={out}", *once)


def timing(inputs: Mapping[str, str]) -> tuple[str, ...]:
    """Many inferences, timed."""
    long = ("--warmUp=500", "--duration=2", "--percentile=95")
    return ("trtexec", f"--loadEngine={ENGINE}", _loaded(inputs), *long)


def _loaded(inputs: Mapping[str, str]) -> str:
    pairs = (f"'{n}':{f}" if set(n) & set(":,") else f"{n}:{f}" for n, f in inputs.items())
    return f"--loadInputs={','.join(pairs)}"


def read_log(text: str) -> TrtexecLog:
    """The text of a log → how it ended. TensorRT 8.2 to 8.4 leave a word out of some figures."""
    marks = re.findall(
        r"^&&&& (RUNNING|PASSED|FAILED) TensorRT\.trtexec \[TensorRT v(\d+)\]", text, re.MULTILINE
    )
    ended, version = marks[-1] if marks else ("", "")
    latency = re.search(r"(?:^|\] )Latency: (min = .+)", text, re.MULTILINE)
    figures = latency[1] if latency else ""
    errors = re.findall(r"\[E\] (.+)", text)
    return TrtexecLog(
        passed=ended == "PASSED",
        version=_dotted(version) if version else "",
        p50_ms=_figure(figures, "median"),
        p95_ms=_figure(figures, "percentile(95%)"),
        error=errors[0].strip() if errors else "",
    )


def _figure(figures: str, name: str) -> float | None:
    found = re.search(rf"{re.escape(name)}(?: =)? ([\d.]+(?:e[-+]\d+)?) ms", figures)
    return float(found[1]) if found else None


def _dotted(digits: str) -> str:
    """``8201`` → ``8.2.1``, ``100300`` → ``10.3.0``: two digits each since TensorRT 10."""
    number = int(digits)
    if number >= 10_000:
        return f"{number // 10_000}.{number // 100 % 100}.{number % 100}"
    return f"{number // 1000}.{number // 100 % 10}.{number % 100}"


def _number(version: str) -> tuple[int, int]:
    major, minor, *_ = (*re.findall(r"\d+", version), "0", "0")
    return int(major), int(minor)


@dataclass(frozen=True, slots=True)
class Exported:
    """One output as trtexec writes it: its shape and its values in order."""

    name: str
    shape: tuple[int, ...]
    values: tuple[float, ...]


def read_outputs(text: str) -> tuple[Exported, ...]:
    """What ``--exportOutput`` wrote → the outputs.

    Raises:
        ValueError: it is something else, or was cut.
    """
    words = re.sub(r"(?<![\"\w])-?nan\b", "NaN", text)
    words = re.sub(r"(?<![\"\w])(-?)inf\b", r"\1Infinity", words)
    found: Iterable[Mapping[str, object]] = json.loads(words)
    try:
        return tuple(
            Exported(
                name=str(each["name"]),
                shape=tuple(int(size) for size in str(each["dimensions"]).split("x") if size),
                values=tuple(map(float, each["values"])),  # type: ignore[call-overload]
            )
            for each in found
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"no output of trtexec: {error}") from error
