"""The smoke test that runs on devices: what it takes for right, and what it says about the rest."""

import ast
import importlib.util
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from examples import CHECKOUT

numpy = pytest.importorskip("numpy")

FILE = CHECKOUT / "templates" / "device" / "smoke.py"
spec = importlib.util.spec_from_file_location("smoke", FILE)
smoke = importlib.util.module_from_spec(spec)
spec.loader.exec_module(smoke)

WANT = [[1.0, 2.0], [3.0, 4.0]]


def compared(got, want=WANT, allowed=None, kind="float32"):
    """Two golden cases of one output `y`; `got` is what the model gives for each."""
    cases = iter(got)
    inputs = {"x": numpy.zeros((len(want), 1), "float32")}
    wanted = {"y": numpy.array(want, kind)}

    def run(sample):
        assert sample["x"].shape == (1,)
        return {"y": numpy.array(next(cases))}

    limits = {"y": 0.1} if allowed is None else allowed
    return smoke.compare(numpy, run, inputs, wanted, limits, len(want))


def test_a_model_that_computes_its_golden_outputs_passes():
    assert compared(WANT) == {
        "passed": True,
        "cases": 2,
        "worst_output": "y",
        "worst_diff": 0.0,
        "allowed_diff": 0.1,
    }


def test_floats_within_their_tolerance_pass_and_the_worst_is_reported():
    report = compared([[1.0, 2.0625], [3.0, 4.03125]])

    assert report["passed"]
    assert (report["worst_diff"], report["allowed_diff"]) == (0.0625, 0.1)


def test_a_difference_that_is_just_allowed_is_allowed():
    assert compared([[1.0, 2.25], [3.0, 4.0]], allowed={"y": 0.25})["passed"]


def test_a_float_out_of_its_tolerance_fails_with_the_case_and_how_far_it_is_off():
    report = compared([[1.0, 2.0], [3.0, 4.5]])

    assert report == {
        "passed": False,
        "because": "output 'y' of golden case 1 is off by 0.5, allowed is 0.1",
        "kind": "wrong-output",
        "cases": 2,
        "worst_output": "y",
        "worst_diff": 0.5,
        "allowed_diff": 0.1,
    }


@pytest.mark.parametrize("got", [float("nan"), float("inf")])
def test_what_is_not_a_number_is_never_close_enough(got):
    report = compared([[1.0, got], [3.0, 4.0]], allowed={"y": 1e30})

    assert not report["passed"]
    assert report["kind"] == "wrong-output"


def test_a_report_of_what_is_not_a_number_is_json_all_the_same():
    report = compared([[float("nan"), 2.0], [3.0, 4.0]])

    assert report["worst_diff"] is None
    json.loads(json.dumps(report, allow_nan=False))


def test_integers_without_a_tolerance_must_be_equal():
    assert compared([[1, 2], [3, 4]], kind="int8", allowed={})["passed"]
    assert not compared([[1, 2], [3, 5]], kind="int8", allowed={})["passed"]


def test_integers_do_not_wrap_around_when_they_are_compared():
    report = compared([[0]], want=[[255]], kind="uint8", allowed={"y": 1})

    assert (report["passed"], report["worst_diff"]) == (False, 255.0)


def test_the_worst_output_is_the_one_nearest_to_its_own_limit():
    wanted = {"a": numpy.array([[1.0]]), "b": numpy.array([[100.0]])}
    got = {"a": numpy.array([1.5]), "b": numpy.array([102.0])}

    report = smoke.compare(numpy, lambda sample: got, {}, wanted, {"a": 1.0, "b": 10.0}, cases=1)

    assert (report["worst_output"], report["worst_diff"]) == ("a", 0.5)


def test_an_output_that_is_missing_fails_and_those_there_are_named():
    wanted = {"y": numpy.array(WANT)}

    report = smoke.compare(numpy, lambda sample: {"b": 1, "a": 2}, {}, wanted, {}, 2)

    assert not report["passed"]
    assert report["because"] == "output 'y' is missing; there are ['a', 'b']"


def test_an_output_of_another_shape_fails_though_its_numbers_would_fit():
    report = compared([[[1.0, 2.0]], [[3.0, 4.0]]])

    assert report["because"] == "output 'y' has shape (1, 2), expected (2,)"


def passed(**figures):
    return dict({"passed": True, "p50_ms": 5.0, "rss_mib": 100.0}, **figures)


@pytest.mark.parametrize(
    ("limits", "because"),
    [
        ({}, None),
        ({"max_p50_ms": None, "max_rss_mib": None}, None),
        ({"max_p50_ms": 5.0, "max_rss_mib": 100.0}, None),
        ({"max_p50_ms": 4.9}, "takes 5 ms for one inference (p50), and may take 4.9"),
        ({"max_rss_mib": 99}, "takes 100 MiB of memory, and may take 99"),
        ({"max_p50_ms": 1, "max_rss_mib": 1}, "takes 5 ms for one inference (p50), and may take 1"),
    ],
)
def test_a_release_keeps_to_its_limits(limits, because):
    report = smoke.within(passed(), limits)

    assert report["passed"] is (because is None)
    assert report.get("because") == because
    assert report.get("kind") == (because and "limit")


def test_a_release_that_computes_the_wrong_thing_is_not_blamed_for_being_slow():
    report = smoke.within({"passed": False, "because": "wrong"}, {"max_p50_ms": 0.001})

    assert report == {"passed": False, "because": "wrong"}


def test_latencies_are_many_and_sorted():
    times = smoke.timed(lambda sample: None, {})

    assert len(times) == smoke.MAX_RUNS
    assert times == sorted(times)


# --- as a program -----------------------------------------------------------------------------


def ran(*args, file=FILE):
    command = [sys.executable, str(file), *map(str, args)]
    done = subprocess.run(command, capture_output=True, timeout=60, check=True)
    return json.loads(done.stdout.decode().strip().splitlines()[-1])


def test_a_release_that_is_not_there_is_a_result_and_not_a_traceback(tmp_path):
    report = ran(tmp_path / "gone", "litert", 30)

    assert (report["passed"], report["kind"]) == (False, "crash")
    assert report["because"].startswith("the runtime failed: ")
    assert "manifest.json" in report["because"]


def with_a_child_that(tmp_path: Path, deed: str) -> Path:
    """The smoke test with another child, which does something no runtime should."""
    text = FILE.read_text(encoding="utf-8")
    start = text.index("def child(folder, runtime):\n") + len("def child(folder, runtime):\n")
    file = tmp_path / "smoke.py"
    file.write_text(text[:start] + f"    {deed}\n" + text[start:], encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("deed", "kind", "because"),
    [
        ("os.kill(os.getpid(), 11)", "crash", "the runtime was killed by SIGSEGV"),
        ("signal.pause()", "timeout", "did not finish within 1 s"),
        (
            "signal.signal(15, signal.SIG_IGN); signal.pause()",
            "timeout",
            "did not finish within 1 s",
        ),
        ("sys.exit('no such op')", "crash", "the runtime failed: no such op"),
        ("os._exit(0)", "crash", "the runtime failed: exit status 0 and no report"),
        (
            """print('{"passed": true}', flush=True); os._exit(0)""",
            "crash",
            "the runtime failed: exit status 0 and no report",
        ),
        (
            """print('{"passed": true}', flush=True); os.kill(os.getpid(), 6)""",
            "crash",
            "the runtime was killed by SIGABRT",
        ),
        (
            """import atexit; atexit.register(os._exit, 3); return {"passed": True}""",
            "crash",
            "the runtime exited with 3 after its report",
        ),
        (
            "bytearray(1 << 46)",
            "out-of-memory",
            "the runtime wants more memory than the device has left: MemoryError",
        ),
    ],
)
def test_a_model_that_crashes_hangs_or_lies_is_a_result(tmp_path, deed, kind, because):
    deadline_s = 1 if kind == "timeout" else 30

    report = ran(tmp_path, "litert", deadline_s, file=with_a_child_that(tmp_path, deed))

    assert (report["passed"], report["kind"], report["because"]) == (False, kind, because)
    assert report["evidence"].startswith(f"python {sys.version_info[0]}.")


def test_a_model_that_talks_without_end_passes_all_the_same_and_little_of_it_is_kept(tmp_path):
    talk = "[os.write(n, b'tock' * (1 << 18)) for n in (1, 2) for _ in range(32)]"
    passes = with_a_child_that(tmp_path, f"{talk}; return {{'passed': True}}")
    report = ran(tmp_path, "litert", 30, file=passes)
    fails = with_a_child_that(tmp_path, f"{talk}; os._exit(4)")

    failed = ran(tmp_path, "litert", 30, file=fails)

    assert report == {"passed": True}
    assert "stdout, 33554432 bytes" in failed["evidence"]
    assert "tocktock" in failed["evidence"]
    assert len(failed["evidence"]) < 12_000


@pytest.mark.parametrize("ends", ["signal.pause()", "os._exit(0)", "return {'passed': True}"])
def test_what_a_model_has_started_does_not_outlive_it(tmp_path, ends):
    """It forks, the fork ignores what it can, and keeps the streams open."""
    note = tmp_path / "fork"
    deed = (
        "pid = os.fork()\n    if not pid:\n        "
        "[signal.signal(n, signal.SIG_IGN) for n in (1, 2, 13, 15)]; time.sleep(60)\n    "
        f"open({str(note)!r}, 'w').write(str(pid)); {ends}"
    )

    report = ran(tmp_path, "litert", 1, file=with_a_child_that(tmp_path, deed))

    assert report["passed"] is ("return" in ends)
    assert not alive(int(note.read_text()))


@pytest.fixture
def groups():
    """This machine lets these tests make control groups that limit memory."""
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as process:
        group = smoke.enclosed(process.pid)
        smoke.end(process, group)
    if not group:
        pytest.skip("NO CONTROL GROUPS ON THIS MACHINE: nobody may make one here but others")
    assert not Path(group).exists()


def test_what_has_left_its_process_group_ends_with_the_control_group(tmp_path, groups):
    note = tmp_path / "fork"
    deed = (
        "pid = os.fork()\n    if not pid:\n        os.setsid(); time.sleep(60)\n    "
        f"open({str(note)!r}, 'w').write(str(pid)); return {{'passed': True}}"
    )

    report = ran(tmp_path, "litert", 30, file=with_a_child_that(tmp_path, deed))

    assert report["passed"]
    assert not alive(int(note.read_text()))


def test_memory_that_no_limit_of_a_process_counts_is_counted_by_the_control_group(tmp_path, groups):
    """Shared pages are nobody's data; those of a group are limited all the same."""
    file = with_a_child_that(
        tmp_path,
        "import mmap; shared = mmap.mmap(-1, 256 << 20)\n    "
        "for at in range(0, 256 << 20, 4096): shared[at] = 1\n    "
        "return {'passed': True}",
    )
    text = file.read_text().replace(
        "def memory_left():\n", "def memory_left():\n    return 96 << 20\n"
    )
    file.write_text(text)

    report = ran(tmp_path, "litert", 30, file=file)

    assert (report["passed"], report.get("kind")) == (False, "out-of-memory")
    assert report["because"].startswith("the kernel killed the runtime")


def test_a_child_ends_with_the_smoke_test_that_started_it(tmp_path):
    note = tmp_path / "child"
    deed = f"open({str(note)!r}, 'w').write(str(os.getpid())); signal.pause()"
    file = with_a_child_that(tmp_path, deed)
    process = subprocess.Popen([sys.executable, file, tmp_path, "litert", "60"])
    until(lambda: note.exists() and note.read_text())

    process.kill()
    process.wait()

    until(lambda: not alive(int(note.read_text())))


def alive(pid: int) -> bool:
    """Whether a process runs; one that is dead and not yet fetched does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def until(true) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_smoke_test_and_the_look_at_runtimes_are_understood_by_python_3_6():
    for file in (FILE, FILE.with_name("runtimes.py")):
        ast.parse(file.read_text(encoding="utf-8"), feature_version=(3, 6))

    with pytest.raises(SyntaxError):
        ast.parse("if (x := 1): pass", feature_version=(3, 6))


def test_the_smoke_test_imports_nothing_a_device_might_not_have():
    tree = ast.parse(FILE.read_text(encoding="utf-8"))
    top = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]

    names = {alias.name for node in top for alias in node.names}
    assert names <= set(sys.stdlib_module_names)
    assert "numpy" not in names


@pytest.mark.parametrize(
    ("runtime", "because"),
    [
        ("edgetpu", "RuntimeError: the Edge TPU's driver libedgetpu.so.1 does not load: "),
        ("tensorrt", "RuntimeError: trtexec is neither on PATH nor in /usr/src/tensorrt/bin"),
    ],
)
def test_what_an_accelerator_lacks_is_the_last_word(runtime, because):
    pytest.importorskip("ai_edge_litert.interpreter")
    model = CHECKOUT / "orchestrator" / "selftest" / "data" / "add_one.tflite"
    code = f"import smoke; smoke.OPEN[{runtime!r}]({str(model)!r})"

    done = subprocess.run(
        [sys.executable, "-B", "-c", code], cwd=FILE.parent, capture_output=True, text=True
    )

    (said,) = (line for line in done.stderr.splitlines() if line.startswith("RuntimeError"))
    assert said.startswith(because)
