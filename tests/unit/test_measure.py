"""What measures on devices: how long, how often right, at what heat; and what becomes of the answer."""

import ast
import importlib.util
import json
import os
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from examples import CHECKOUT, NOON, complaint, device, facts, manifest

from orchestrator.artifact.excerpt import Excerpt
from orchestrator.catalog.reading import Condition
from orchestrator.deploy.measure import read_condition, read_measurement
from orchestrator.inventory.profile import Runtime
from orchestrator.rollout.trial import Trial, Turn

numpy = pytest.importorskip("numpy")

FILE = CHECKOUT / "templates" / "device" / "measure.py"
sys.path.insert(0, str(FILE.parent))  # for its `import smoke`
writes = sys.dont_write_bytecode
spec = importlib.util.spec_from_file_location("measure", FILE)
measure = importlib.util.module_from_spec(spec)
spec.loader.exec_module(measure)
sys.path.remove(str(FILE.parent))
sys.dont_write_bytecode = writes


def going() -> None:
    """The lease is still ours."""


# --- kept busy --------------------------------------------------------------------------------


def test_a_variant_is_kept_busy_for_as_long_as_was_asked_and_with_every_golden_input():
    seen = []

    found = measure.sustained(seen.append, ["a", "b", "c"], 0.05, going)

    assert found["runs"] == len(seen) > 3
    assert seen[:4] == ["a", "b", "c", "a"]
    assert found["seconds"] >= 0.05
    assert 0 <= found["p50_ms"] <= found["p95_ms"]


def test_a_slow_variant_runs_three_times_whatever_the_time():
    found = measure.sustained(lambda feed: time.sleep(0.02), ["a"], 0.0, going)

    assert found["runs"] == measure.LEAST_RUNS
    assert found["p50_ms"] >= 20


def test_of_very_many_times_few_are_kept_and_they_are_of_the_whole_time(monkeypatch):
    monkeypatch.setattr(measure, "MOST_KEPT", 64)
    runs = []

    def slower(feed):
        runs.append(feed)
        if len(runs) > 700:
            time.sleep(0.002)

    found = measure.sustained(slower, ["a"], 1.0, going)

    assert found["runs"] > 700
    assert found["slowdown"] > 10
    assert found["p95_ms"] >= 2


def test_nobody_measures_on_when_the_lease_is_gone_or_somebody_else_s(tmp_path):
    lease = tmp_path / "at"
    lease.write_text("123\n")
    mine = measure.watcher(str(lease))
    mine()

    lease.write_text("456\n")

    with pytest.raises(SystemExit, match="the lease is gone"):
        measure.sustained(lambda feed: None, ["a"], 30, mine)


# --- judged -----------------------------------------------------------------------------------

X = numpy.array([[[0.1, 0.7, 0.2]], [[0.5, 0.1, 0.4]], [[0.2, 0.2, 0.9]]], "float32")


def judged(given, outs=("y",), run=lambda feed: {"y": feed["x"]}, again=None):
    return measure.judged(numpy, run, again, ["x"], list(outs), {"in_0": X, **given}, going)


def test_the_share_of_right_classes_is_the_accuracy_and_of_equals_the_first_counts():
    tie = numpy.array([[0.5, 0.5, 0.1]], "float32")
    given = {"metric": numpy.array("top1"), "y_0": numpy.array([1, 2, 0])}

    assert judged(given) == {"value": round(1 / 3, 6), "samples": 3}
    assert judged(given, run=lambda feed: {"y": tie})["value"] == round(1 / 3, 6)


def test_squared_errors_are_those_of_the_real_numbers_that_integers_stand_for():
    wanted = X[:, 0] + 0.5
    real = {"metric": numpy.array("mse"), "y_0": wanted, "scale_0": numpy.float32(0)}
    stands = {**real, "scale_0": numpy.float32(0.5), "zero_0": numpy.float32(-3)}

    assert judged({**real, "zero_0": numpy.float32(0)})["value"] == pytest.approx(0.25)
    whole = judged(stands, run=lambda feed: {"y": numpy.array([[-3, -1, 1]], "int8")})
    errors = (numpy.array([0.0, 1.0, 2.0]) - wanted.astype("float64")) ** 2
    assert whole["value"] == pytest.approx(errors.mean(), abs=1e-6)


def test_a_model_that_keeps_state_is_opened_again_for_each_sample():
    opened = []

    def again():
        opened.append(1)
        return lambda feed: {"y": feed["x"]}

    judged({"metric": numpy.array("top1"), "y_0": numpy.array([1, 2, 0])}, run=None, again=again)

    assert len(opened) == 3


def test_samples_are_judged_for_a_while_and_the_answer_says_how_many(monkeypatch):
    monkeypatch.setattr(measure, "JUDGED_S", -1.0)

    found = judged({"metric": numpy.array("top1"), "y_0": numpy.array([1, 2, 0])})

    assert found == {"value": 1.0, "samples": 1}


# --- as a program -----------------------------------------------------------------------------


def test_what_cannot_be_measured_is_a_line_of_json_and_leaves_no_file_beside_the_scripts(tmp_path):
    before = sorted(path.name for path in FILE.parent.iterdir())
    words = [str(FILE), str(tmp_path / "gone"), "litert", "30", "1", "-", str(tmp_path / "at")]

    done = subprocess.run([sys.executable, *words], capture_output=True, timeout=60, check=True)

    report = json.loads(done.stdout.decode().strip().splitlines()[-1])
    assert report["passed"] is False
    assert "manifest.json" in report["because"]
    assert "Traceback" in report["evidence"]
    assert sorted(path.name for path in FILE.parent.iterdir()) == before


def test_it_is_understood_by_python_3_6_and_needs_only_what_every_device_has():
    tree = ast.parse(FILE.read_text(encoding="utf-8"), feature_version=(3, 6))
    top = [node for node in tree.body if isinstance(node, ast.Import)]

    names = {alias.name for node in top for alias in node.names}
    assert names - {"smoke"} <= set(sys.stdlib_module_names)


def test_how_a_device_is_is_read_where_the_kernel_says_it(tmp_path, monkeypatch):
    """From the documentation of Linux: thermal/sysfs-api and cpu-freq/user-guide; of vcgencmd."""
    system = tmp_path / "sys"
    told = {
        "class/thermal/thermal_zone0/temp": "48199\n",
        "class/thermal/thermal_zone0/type": "cpu-thermal\n",
        "class/thermal/thermal_zone1/type": "asleep\n",
        "devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "600000\n",
        "devices/system/cpu/cpu1/cpufreq/scaling_cur_freq": "1500000\n",
        "bin/vcgencmd": "#!/bin/sh\necho throttled=0x50004\n",
    }
    for name, text in told.items():
        (system / name).parent.mkdir(parents=True, exist_ok=True)
        (system / name).write_text(text)
    (system / "bin/vcgencmd").chmod(0o755)
    monkeypatch.setenv("FLEET_LAB_ROOT", str(tmp_path))
    monkeypatch.setenv("PATH", str(system / "bin"), prepend=os.pathsep)

    found = read_condition(measure.condition())

    assert found == Condition(temperature_c=48.199, clock_mhz=1500.0, throttling=("throttled",))


def test_a_device_that_says_nothing_of_itself_is_not_called_cool_or_unthrottled():
    nothing = {"zones": [" "], "khz": [""], "throttled": ""}

    assert read_condition(nothing) == Condition()


# --- the answer, on the controller ------------------------------------------------------------

REPORT = {
    "passed": True,
    "runtime": "litert 2.1.0",
    "load_ms": 30.5,
    "first_ms": 9.0,
    "p50_ms": 3.0,
    "p95_ms": 4.0,
    "runs": 3000,
    "seconds": 10.0,
    "slowdown": 1.02,
    "rss_mib": 61.5,
    "before": {"zones": ["40000 cpu-thermal"], "khz": ["600000"], "throttled": ""},
    "after": {"zones": ["71500 cpu-thermal"], "khz": ["1500000"], "throttled": "throttled=0x0"},
    "value": 0.75,
    "samples": 100,
}
EXCERPT = Excerpt(b"", "0" * 64, "top1", "labels")


def read(text: str, samples: Excerpt | None = EXCERPT):
    release = manifest()
    said = facts(Runtime.LITERT, power_mode="15W")
    turn = Turn(device("a"), said, (Trial("a", release, Runtime.LITERT),))
    step = SimpleNamespace(device="a", model="fashion")
    errand = SimpleNamespace(step=step, manifest=release)
    return read_measurement(text, errand, turn, samples, NOON)


def test_an_answer_is_a_measurement_of_the_class_and_the_bytes_it_was_taken_with():
    found = read(json.dumps(REPORT))

    said = facts(Runtime.LITERT, power_mode="15W")
    assert (found.fingerprint, found.power_mode) == (said.fingerprint, "15W")
    assert found.sha256 == manifest().model_file.sha256
    assert (found.p50_ms, found.first_ms, found.rss_mib) == (3.0, 9.0, 61.5)
    assert (found.before.temperature_c, found.after.temperature_c) == (40.0, 71.5)
    assert (found.before.throttling, found.after.throttling) == (None, ())
    assert (found.metric, found.value, found.samples, found.data) == ("top1", 0.75, 100, "labels")


def test_without_samples_nothing_is_said_of_accuracy():
    found = read(json.dumps({k: v for k, v in REPORT.items() if k != "value"}), samples=None)

    assert (found.metric, found.value, found.samples) == (None, None, 0)


@pytest.mark.parametrize(
    ("text", "because"),
    [
        ("Segmentation fault", "a: it said 'Segmentation fault'"),
        ("", "a: it said ''"),
        ('{"passed": false, "because": "killed by SIGILL"}', "a: killed by SIGILL"),
    ],
)
def test_what_is_no_measurement_says_why(text, because):
    assert complaint(lambda: read(text)) == because
