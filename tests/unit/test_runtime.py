"""Runtimes as adapters: which one a device gets, what each refuses, and what programs say of themselves."""

import io

import pytest
from examples import facts, profile
from pydantic import ValidationError

from orchestrator.artifact.raw import NotRaw, compared, read_golden
from orchestrator.catalog.printed import Printed, benchmarked
from orchestrator.catalog.runtime import ADAPTERS, BOOTSTRAPS, runtime_for
from orchestrator.catalog.variant import RUNS, Format
from orchestrator.deploy.hands import Answer
from orchestrator.deploy.native import ended
from orchestrator.inventory.facts import InstalledRuntime
from orchestrator.inventory.inventory import read_inventory
from orchestrator.inventory.profile import Profile, Runtime
from orchestrator.inventory.runner import PLACES, Proof, Runner
from orchestrator.rollout.outcome import EVIDENCE_BYTES, Outcome, Status

numpy = pytest.importorskip("numpy")

RUNNER = Runner(command=("/opt/run", *PLACES), formats=("onnx",))


def having(*runtimes: tuple[Runtime, str]):
    found = tuple(InstalledRuntime(name=name, version=version) for name, version in runtimes)
    return facts().model_copy(update={"runtimes": found})


def offering(*runtimes: Runtime, **more) -> Profile:
    return profile().model_copy(update={"runtimes": runtimes, **more})


def test_every_runtime_has_its_adapter_and_says_what_it_needs():
    assert set(ADAPTERS) == set(Runtime)
    assert all(
        adapter.needs and runtime is adapter.runtime for runtime, adapter in ADAPTERS.items()
    )
    assert {runtime for able in RUNS.values() for runtime in able} | {Runtime.NATIVE} == set(
        Runtime
    )


def test_the_first_of_the_profiles_runtimes_that_is_installed_is_taken():
    offered = offering(Runtime.LITERT, Runtime.TFLITE_RUNTIME)

    chosen = runtime_for(Format.TFLITE, offered, having((Runtime.TFLITE_RUNTIME, "2.14.0")))

    assert chosen is Runtime.TFLITE_RUNTIME


def test_a_runtime_that_is_too_old_is_refused_with_both_versions():
    old = having((Runtime.TFLITE_RUNTIME, "2.1.0"))

    refused = runtime_for(Format.TFLITE, offering(Runtime.TFLITE_RUNTIME), old)

    assert refused == "tflite-runtime 2.1.0 is older than 2.5"


def test_an_unknown_version_is_given_the_benefit_of_the_doubt():
    found = having((Runtime.TFLITE_RUNTIME, "unknown"))

    assert runtime_for(Format.TFLITE, offering(Runtime.TFLITE_RUNTIME), found) is (
        Runtime.TFLITE_RUNTIME
    )


def test_a_sites_own_program_runs_the_formats_it_is_said_to_and_no_others():
    there = having((Runtime.NATIVE, "0123abcd"))
    offered = offering(Runtime.TFLITE_RUNTIME, runner=RUNNER)

    assert runtime_for(Format.ONNX, offered, there) is Runtime.NATIVE
    assert "not installed" in runtime_for(Format.TFLITE, offered, there)


def test_a_package_of_python_comes_before_a_program():
    both = having((Runtime.ONNXRUNTIME, "1.32.0"), (Runtime.NATIVE, "0123abcd"))
    offered = offering(Runtime.ONNXRUNTIME, runner=RUNNER)

    assert runtime_for(Format.ONNX, offered, both) is Runtime.ONNXRUNTIME


@pytest.mark.parametrize("proof", list(Proof))
def test_what_compares_nothing_needs_somebodys_word(proof):
    silent = Runner(command=("/opt/run", "{model}"), formats=("onnx",))
    offered = offering(Runtime.LITERT, runner=silent, proof=proof)
    there = having((Runtime.NATIVE, "0123abcd"), (Runtime.BENCHMARK_MODEL, "unknown"))

    for form, runtime in ((Format.ONNX, Runtime.NATIVE), (Format.TFLITE, Runtime.BENCHMARK_MODEL)):
        found = runtime_for(form, offered, there)
        if proof is Proof.RUNS_ONLY:
            assert found is runtime
        else:
            assert "proof: runs-only" in found


def test_what_can_be_brought_is_imported_by_python():
    assert {each.wheel for each in BOOTSTRAPS.values()} == {"ai-edge-litert", "onnxruntime"}


# --- what people write -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "because"),
    [
        (["/opt/run"], "at least 2 items"),
        (["/opt/run", "x"], "should name the model's file"),
        (["{model}", "{model}"], "the first word should be the program"),
        (["/opt/run", "{modle}", "{model}"], "{modle} is none of"),
        (["/opt/run", "{model}{model}"], "a placeholder once at most"),
        (["/opt/run", "{model}", "{outputs}"], "should say where inputs are"),
        (["/opt/run", "{model}\nrm"], "without line breaks"),
    ],
)
def test_a_command_that_cannot_be_meant_is_refused(command, because):
    with pytest.raises(ValidationError, match=because):
        Runner(command=tuple(command), formats=("onnx",))


def test_a_device_has_its_profiles_runner_unless_it_says_otherwise():
    text = """
profiles:
  bare: {kind: other, arch: armv7l, ram_mib: 64, runtimes: [native],
         runner: {command: [/opt/run, "{model}", "{inputs}", "{outputs}"], formats: [onnx]}}
devices:
  one: {address: a, user: pi, profile: bare}
  two: {address: b, user: pi, profile: bare, proof: runs-only,
        runner: {command: [~/own, "{model}"], formats: [tflite]}}
"""
    devices = read_inventory([("devices.yaml", text)]).devices

    assert devices["one"].runner == RUNNER
    assert devices["two"].runner.command == ("~/own", "{model}")
    assert (devices["one"].proof, devices["two"].proof) == (Proof.COMPARED, Proof.RUNS_ONLY)
    assert devices["two"].runner.proof is Proof.RUNS_ONLY


# --- what programs say -------------------------------------------------------------------------

BENCHMARKS = {
    # yuenshome/yuenshome.github.io#77: arm64, 2019
    "2019": (
        """Initialized session in 9.933ms
count=7 first=127425 curr=66709 min=66709 max=127425 avg=76605.9 std=20944
count=15 first=66753 curr=66800 min=66699 max=66838 avg=66767.6 std=39

Average inference timings in us: Warmup: 76605.9, Init: 9933, no stats: 66767.6
""",
        Printed(p50_ms=66.7676, load_ms=9.933),
    ),
    # tensorflow/tensorflow#42507: Android, 2020
    "2020": (
        """count=50 first=32891 curr=33978 min=32641 max=34005 avg=33209.4 std=450

Inference timings in us: Init: 855, First inference: 49060, Warmup (avg): 34825.1, \
Inference (avg): 33209.4
Peak memory footprint (MB): init=0 overall=12.8672
""",
        Printed(p50_ms=33.2094, load_ms=0.855, rss_mib=12.8672),
    ),
    # tensorflow/tensorflow#49158: x86-64, 2021
    "2021": (
        "Inference timings in us: Init: 769, First inference: 533, Warmup (avg): 14.6845, "
        "Inference (avg): 15.5197\n",
        Printed(p50_ms=0.0155197, load_ms=0.769),
    ),
    # tensorflow/tensorflow#73862: x86-64, 2024
    "2024": (
        """INFO: Initialized session in 12.75ms.
INFO: count=74 first=14850 curr=13315 min=13105 max=15765 avg=13520.2 std=470

INFO: Inference timings in us: Init: 12750, First inference: 14744, Warmup (avg): 13764.3, \
Inference (avg): 13520.2
""",
        Printed(p50_ms=13.5202, load_ms=12.75),
    ),
    # NobuoTsukamoto/meta-tensorflow-lite, doc/tensorflow-lite-benchmark.md: riscv64 under QEMU
    "exponent": (
        """Inference timings in us: Init: 17187, First inference: 3512391, Warmup (avg): 3.51239e+06, \
Inference (avg): 2.95034e+06
Memory footprint delta from the start of the tool (MB): init=4.21094 overall=46.0859
""",
        Printed(p50_ms=2950.34, load_ms=17.187, rss_mib=46.0859),
    ),
    # from a description of benchmark_model's log on Android: percentiles, a prefix to each line
    "percentiles": (
        """I tflite  : count=25 first=187533 curr=140990 min=140071 max=195121 avg=145528 std=13583 \
p5=140545 median=141253 p95=187533
I tflite  : Inference timings in us: Init: 92318, First inference: 187533, Warmup (avg): 211669, \
Inference (avg): 145528
I tflite  : Memory footprint delta from the start of the tool (MB): init=54.2852 overall=73.4102
""",
        Printed(p50_ms=141.253, p95_ms=187.533, load_ms=92.318, rss_mib=73.4102),
    ),
    "nothing": ("ERROR: Failed to load model\nBenchmarking failed.\n", Printed()),
}


@pytest.mark.parametrize("year", BENCHMARKS)
def test_benchmark_model_is_read_in_all_its_versions(year):
    text, reading = BENCHMARKS[year]

    found = benchmarked(text)

    for key in ("p50_ms", "p95_ms", "load_ms", "rss_mib"):
        want = getattr(reading, key)
        assert getattr(found, key) == (pytest.approx(want) if want is not None else None), key


def test_a_runner_tells_latency_and_memory_of_every_case():
    said = "inference_ms=3.5\nrss_mib=40\nhello\ninference_ms=1\r\nrss_mib=41.5\ninference_ms=x\n"

    reading = ADAPTERS[Runtime.NATIVE].reading(said)

    assert reading == Printed(p50_ms=3.5, p95_ms=3.5, rss_mib=41.5)


@pytest.mark.parametrize(
    ("lines", "because", "kind"),
    [
        ([("case", "0 0"), ("case", "1 0")], "", ""),
        ([("case", "0 0"), ("case", "1 late")], "did not finish within 5 s", "timeout"),
        ([("case", "0 late137")], "did not finish within 5 s", "timeout"),
        ([("case", "0 139")], "the runner was killed by SIGSEGV", "crash"),
        ([("case", "0 126")], "the runner cannot be started", "crash"),
        ([("case", "0 1"), ("stderr", "no op"), ("stderr", " ")], "exited with 1: no op", "crash"),
        ([("case", "0 137"), ("starved", "1")], "memory does not suffice", "out-of-memory"),
    ],
)
def test_how_a_runner_ended_is_said_in_words(lines, because, kind):
    found = ended(Answer(tuple(lines)), 5.0)

    assert (found.because.endswith(because), found.kind) == (True, kind)


# --- golden cases without NumPy ----------------------------------------------------------------


def archive(**arrays) -> bytes:
    file = io.BytesIO()
    numpy.savez_compressed(file, **arrays)
    return file.getvalue()


KINDS = ("f4", "f8", "f2", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "?")


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_of_every_type_go_to_a_program_and_come_back(kind):
    values = numpy.array([[0, 1, 1], [1, 0, 1]]).astype(kind)
    golden = read_golden(archive(in_b=values, in_a=values[:, :2], out_y=values))

    given = {place: values[place[0]].tobytes() for place in golden.places(2)}

    assert [tensor.name for tensor in golden.inputs] == ["a", "b"]
    assert dict(golden.files(2))["1-1.raw"] == values[1].tobytes()
    assert golden.places(2)[0, "0.raw"] == 3 * values.dtype.itemsize
    assert compared(golden, 2, given, {}).because == ""


@pytest.mark.parametrize(
    ("kind", "have", "limit", "off"),
    [
        ("f4", [1.0, 2.5], 0.5, None),
        ("f4", [1.0, 2.5], 0.25, 0.5),
        ("f4", [1.0, float("nan")], 1e30, float("inf")),
        ("i1", [1, 3], 0.0, 1.0),
        ("u1", [1, 255], 1.0, 253.0),
        ("i8", [1, 2**62 + 1], 0.0, float(2**62 - 1)),
    ],
)
def test_outputs_are_compared_as_the_smoke_test_compares_them(kind, have, limit, off):
    golden = read_golden(archive(in_x=numpy.zeros((1, 1)), out_y=numpy.array([[1, 2]], kind)))

    found = compared(golden, 1, {(0, "0.raw"): numpy.array(have, kind).tobytes()}, {"y": limit})

    assert bool(found.because) is (off is not None)
    if off is not None:
        assert f"off by {off:.4g}" in found.because
        assert found.worst_diff == (off if off != float("inf") else None)


@pytest.mark.parametrize(
    "array", [numpy.array([["a"]]), numpy.zeros((2, 3), order="F", dtype=">f4")]
)
def test_what_plain_numbers_cannot_say_is_refused(array):
    with pytest.raises(NotRaw, match="cannot go as plain numbers"):
        read_golden(archive(in_x=array))


def test_evidence_is_kept_under_a_cap_and_its_end_is_what_is_kept():
    outcome = Outcome(device="d", model="m", status=Status.SUCCEEDED, evidence="é" * 20_000 + "end")

    assert len(outcome.evidence.encode()) <= EVIDENCE_BYTES
    assert outcome.evidence.endswith("éend")
