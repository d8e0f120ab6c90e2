"""A release tried by a program on the device; what it computes comes back and is compared here."""

import math
from dataclasses import dataclass

from orchestrator.artifact.raw import Comparison, Golden, NotRaw, compared, read_golden
from orchestrator.catalog.printed import Printed
from orchestrator.catalog.runtime import Adapter, Program
from orchestrator.deploy.cargo import packed
from orchestrator.deploy.errand import Errand
from orchestrator.deploy.hands import Answer, Hands
from orchestrator.inventory.runner import Proof
from orchestrator.rollout.outcome import Smoke

_SLACK_S = 60.0


@dataclass(frozen=True, slots=True)
class Ending:
    """How the program ended for the last golden case it was started for: in words if badly."""

    because: str
    cases: int
    kind: str = ""


def prove(
    hands: Hands, errand: Errand, adapter: Adapter, program: Program, codec: str
) -> tuple[Smoke, str]:
    """Run a staged release's golden cases through a program; the report, and evidence if it fails.

    Args:
        codec: what the inputs may be compressed with for the device.
    """
    manifest, compares = errand.manifest, program.proof is Proof.COMPARED
    try:
        golden = _golden(errand) if compares else Golden((), ())
    except NotRaw as error:
        return Smoke(passed=False, because=f"its runner cannot be asked: {error}"), ""
    cases = manifest.cases if compares else 0
    if compares:
        _send(hands, errand, golden, cases, codec)
    answer = _run(hands, errand, program, cases)
    said = "\n".join(answer.all("stdout")) + "\n" + "\n".join(answer.all("stderr"))
    reading, ending = adapter.reading(said), ended(answer, manifest.limits.deadline_s)
    evidence = _evidence(hands, adapter, answer)
    if not ending.because and not compares and reading.p50_ms is None and not said.strip():
        ending = Ending("it ended well and said nothing at all", 0)
    if ending.because:
        smoke = Smoke(passed=False, because=ending.because, cases=ending.cases)
    elif compares:
        smoke = _compared(hands, errand, golden, answer)
    else:
        because = "it loads and runs; its outputs were not compared"
        smoke = Smoke(passed=True, because=because)
    measured = smoke.model_copy(
        update={**_figures(reading), "runtime": adapter.runtime.value, "proof": program.proof}
    )
    judged = _within(measured, errand)
    return judged, "" if judged.passed else evidence


def ended(answer: Answer, deadline_s: float) -> Ending:
    """``case=<number> [late]<status>`` lines → how it went; a status of 128 + n is signal n."""
    number, _, how = answer.all("case")[-1].partition(" ")
    if how.startswith("late"):
        return Ending(f"did not finish within {deadline_s:g} s", int(number), "timeout")
    if how == "0":
        return Ending("", int(number) + 1)
    last = next((line for line in reversed(answer.all("stderr")) if line.strip()), "")
    words = f": {last.strip()}" if last else ""
    if answer.one("starved"):
        because = "the kernel killed the runtime: the device's memory does not suffice"
        return Ending(because, int(number), "out-of-memory")
    if how in ("126", "127"):
        return Ending(f"the runner cannot be started{words}", int(number), "crash")
    if int(how) > 128:
        because = f"the runner was killed by {_signal(int(how) - 128)}{words}"
        return Ending(because, int(number), "crash")
    return Ending(f"the runner exited with {how}{words}", int(number), "crash")


def _golden(errand: Errand) -> Golden:
    golden = next(file for file in errand.manifest.files if file.path == "golden.npz")
    return read_golden(bytes(errand.goods.view(golden.sha256)))


def _send(hands: Hands, errand: Errand, golden: Golden, cases: int, codec: str) -> None:
    """The inputs of all cases."""
    source = packed(golden.files(cases))
    if codec:
        packs = "gzip" if codec == "python" else codec
        key = ("cases", errand.manifest.sha256)
        data = errand.goods.squeezed(packs, key, lambda: packed(golden.files(cases)))
        source = type(source)([data])
    sent: list[int] = []
    args = (*_words(errand), codec or "none", hands.device.python)
    hands.send(source, "cases", *args, timeout_s=600.0, sent=sent.append)
    errand.bytes_sent += sum(sent)


def _run(hands: Hands, errand: Errand, program: Program, cases: int) -> Answer:
    deadline_s = errand.manifest.limits.deadline_s
    name = f"model{errand.manifest.runs_as.suffix}"
    args = (str(math.ceil(deadline_s)), name, str(cases), *program.command)
    return hands.call("run", *_words(errand), *args, timeout_s=deadline_s + _SLACK_S)


def _compared(hands: Hands, errand: Errand, golden: Golden, answer: Answer) -> Smoke:
    wanted = golden.places(errand.manifest.cases)
    given = {(int(c), n): int(size) for c, n, size in map(str.split, answer.all("out"))}
    for (case, name), size in wanted.items():
        output = golden.outputs[int(name.removesuffix(".raw"))].name
        if given.get((case, name)) != size:
            found = given.get((case, name))
            have = "is missing" if found is None else f"has {found} bytes, expected {size}"
            because = f"output {output!r} of golden case {case} ({name}) {have}"
            return Smoke(passed=False, because=because, cases=case)
    names = [f"{case}/{name}" for case, name in wanted]
    data = memoryview(hands.take("outputs", *_words(errand), *names, timeout_s=600.0))
    if len(data) != sum(wanted.values()):
        because = f"{len(data)} bytes of outputs came back, expected {sum(wanted.values())}"
        return Smoke(passed=False, because=because)
    pieces: dict[tuple[int, str], bytes] = {}
    for place, size in wanted.items():
        pieces[place], data = bytes(data[:size]), data[size:]
    allowed = {each.output: each.max_abs_diff for each in errand.manifest.tolerances}
    return _told(compared(golden, errand.manifest.cases, pieces, allowed))


def _told(found: Comparison) -> Smoke:
    return Smoke(
        passed=not found.because,
        because=found.because,
        cases=found.cases,
        worst_output=found.worst_output,
        worst_diff=found.worst_diff,
        allowed_diff=found.allowed_diff,
    )


def _figures(reading: Printed) -> dict[str, float | None]:
    return {key: getattr(reading, key) for key in ("p50_ms", "p95_ms", "load_ms", "rss_mib")}


def _within(smoke: Smoke, errand: Errand) -> Smoke:
    """The limits, as far as the program told what they are about."""
    limits = errand.manifest.limits
    for value, limit, unit in (
        (smoke.p50_ms, limits.max_p50_ms, "ms for one inference (p50)"),
        (smoke.rss_mib, limits.max_rss_mib, "MiB of memory"),
    ):
        if smoke.passed and value is not None and limit is not None and value > limit:
            because = f"takes {value:g} {unit}, and may take {limit:g}"
            return smoke.model_copy(update={"passed": False, "because": because})
    return smoke


def _evidence(hands: Hands, adapter: Adapter, answer: Answer) -> str:
    """The same sections as smoke.py's."""
    name = hands.device.runner.command[0] if hands.device.runner else adapter.runtime.value
    parts = [f"{adapter.runtime.value}: {name}"]
    for key in ("stdout", "stderr", "dmesg"):
        if lines := answer.all(key):
            size = answer.all(f"{key}-bytes")[-1]
            parts += [f"--- {key}, {size} bytes, its end:", *lines[-60:]]
    return "\n".join(parts)


def _words(errand: Errand) -> tuple[str, str, str]:
    return errand.step.model, errand.step.release, errand.owner


def _signal(number: int) -> str:
    import signal

    return signal.Signals(number).name if number in list(signal.Signals) else f"signal {number}"
