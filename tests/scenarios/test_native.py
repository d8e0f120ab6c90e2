"""Devices without Python: BusyBox with Dropbear, toybox with mksh; models run by a program, over real SSH.

The program is ONNX Runtime's own library behind a page of C. `benchmark_model` cannot be had
as a package, so a script stands for it that prints what a real one printed.
"""

import importlib.util
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from scale import MODEL, offer_tflite

from orchestrator.lab.errors import NoTierWorks, SshdMissing, UserlandMissing
from orchestrator.lab.lab import Lab

HERE = Path(__file__).parent
USERLANDS = ("busybox-bare", "toybox-bare")
SHARED = "/opt/fleet-lab/shared"
PLACES = ["{model}", "{inputs}", "{outputs}"]
LOADED = [f"{SHARED}/ld.so", "--library-path", SHARED, f"{SHARED}/runner"]

# tensorflow/tensorflow#73862: Linux, 2024
SAID = """INFO: STARTING!
INFO: Log parameter values verbosely: [0]
INFO: Loaded model mobilenet_v1_1.0_224.tflite
INFO: Created TensorFlow Lite XNNPACK delegate for CPU.
INFO: Initialized session in 12.75ms.
INFO: count=37 first=14744 curr=15520 min=13164 max=18295 avg=13764.3 std=967
INFO: count=74 first=14850 curr=13315 min=13105 max=15765 avg=13520.2 std=470
INFO: Inference timings in us: Init: 12750, First inference: 14744, Warmup (avg): 13764.3, \
Inference (avg): 13520.2
"""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runner, the library it needs, and what both load: all that a device gets."""
    found = importlib.util.find_spec("onnxruntime")
    compiler = shutil.which("cc")
    if found is None or found.origin is None or compiler is None:
        pytest.skip("NO RUNNER ON THIS MACHINE: it takes cc, and onnxruntime's wheel")
    folder = tmp_path_factory.mktemp("shared")
    (library,) = (Path(found.origin).parent / "capi").glob("libonnxruntime.so.*")
    shutil.copy(library, folder / "libonnxruntime.so.1")
    argv = [compiler, "-O1", "-o", folder / "runner", HERE / "runner.c", library]
    subprocess.run(argv, check=True)
    said = subprocess.run(["ldd", library], capture_output=True, text=True, check=True)
    for path in {word for word in said.stdout.split() if word.startswith("/")}:
        shutil.copy(path, folder / ("ld.so" if "/ld-" in path else Path(path).name))
    for path in folder.iterdir():
        path.chmod(0o755)
    folder.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, shared: Path) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("bare")
    lab = Lab(folder, folder / "inventory")
    try:
        lab.up(len(USERLANDS), tier="namespaces", userlands=USERLANDS, shared=shared)
    except (SshdMissing, NoTierWorks, UserlandMissing) as error:
        pytest.skip(f"NO BARE DEVICES ON THIS MACHINE: {error}; {error.hint}")
    yield lab
    lab.down()


@pytest.fixture(params=USERLANDS)
def bare(request: pytest.FixtureRequest, lab: Lab) -> str:
    """The name of a device without Python."""
    return next(d.name for d in lab.status().devices if d.userland == request.param)


@pytest.fixture
def busybox(lab: Lab) -> str:
    return next(d.name for d in lab.status().devices if d.userland == USERLANDS[0])


def test_a_device_without_python_is_proved_by_a_program_of_the_sites_own(site, bare):
    site.describe(bare, runner={"command": [*LOADED, *PLACES], "formats": ["onnx"]})
    old = site.offer("1.0")
    first = site.deploy(bare)
    new = site.offer("2.0")

    second = site.deploy(bare)
    found = site.findings(bare)
    back = site.rollback(bare)

    assert first.outcome["status"] == second.outcome["status"] == "succeeded", first.said
    smoke = second.outcome["smoke"]
    assert (smoke["runtime"], smoke["proof"], smoke["cases"]) == ("native", "compared", 2)
    assert smoke["worst_output"] == "y"
    assert smoke["p50_ms"] > 0
    assert smoke["rss_mib"] > 5
    assert site.fleet.ledger.facts()[bare].python is None
    assert found == {bare: "match"}
    assert (back.outcome["status"], back.outcome["release"]) == ("succeeded", old)
    assert (site.linked(bare), site.linked(bare, "previous")) == (old, new)
    assert site.leftovers(bare) == []


def test_without_a_runner_such_a_device_gets_nothing_and_is_told_why(site, bare):
    done = site.deploy(bare)

    assert done.outcome["status"] == "no-variant"
    assert "onnxruntime is not installed on the device" in done.outcome["because"]


def test_a_runner_that_is_not_there_is_named(site, bare):
    command = ["/opt/nosuch", *PLACES]
    site.describe(bare, runner={"command": command, "formats": ["onnx"]})

    done = site.deploy(bare)

    assert "its runner '/opt/nosuch' is not on the device" in done.outcome["because"]


def test_what_a_program_runs_is_deployed_and_not_profiled_and_the_reason_is_said(site, bare):
    site.describe(bare, runner={"command": [*LOADED, *PLACES], "formats": ["onnx"]})
    site.offer("1.0")

    done = site.run("profile", MODEL, "-t", bare, "--seconds", "0.3", "-o", "json")

    (outcome,) = done.data["outcomes"]
    assert (done.code, outcome["status"]) == (1, "no-variant")
    assert "a program of its own runs it" in outcome["because"]
    assert site.leftovers(bare) == []


def failing(site, shared, device: str, body: str, **limits: float) -> dict:
    """A newer release on a device whose runner does `body`, with the real one's words in `$@`."""
    site.describe(device, runner={"command": [*LOADED, *PLACES], "formats": ["onnx"]})
    old = site.offer("1.0")
    assert site.deploy(device).outcome["status"] == "succeeded"
    (shared / "odd.sh").write_text(body + "\n")
    command = ["sh", f"{SHARED}/odd.sh", *LOADED, *PLACES]
    site.describe(device, runner={"command": command, "formats": ["onnx"]})
    site.offer("2.0", **limits)

    done = site.deploy(device)

    assert done.outcome["status"] == "failed-unchanged", done.said
    assert done.outcome["code"] == "DEPLOY > SMOKE > FAILED"
    assert site.linked(device) == old
    assert site.leftovers(device) == []
    return done.outcome


@pytest.mark.parametrize(
    ("body", "because"),
    [
        ("kill -SEGV $$", "the runner was killed by SIGSEGV"),
        ('"$@"; exit 3', "the runner exited with 3"),
        ("echo no such op >&2; exit 1", "the runner exited with 1: no such op"),
        ("echo =end=; echo case=1 0", "output 'y' of golden case 0 (0.raw) is missing"),
        ('for last; do :; done; echo 1 >"$last/0.raw"', "has 2 bytes, expected 16"),
        (
            'for last; do :; done; "$@"; head -c 16 /dev/zero >"$last/0.raw"',
            "output 'y' of golden case 0 is off by",
        ),
        ("nosuch", "the runner cannot be started"),
        ("kill -9 0", "the runner was killed by SIGKILL"),
    ],
)
def test_a_runner_that_crashes_or_lies_leaves_the_old_release_running(
    site, shared, bare, body, because
):
    outcome = failing(site, shared, bare, body)

    assert because in outcome["because"]
    assert outcome["evidence"].startswith("native: sh")


def test_a_runner_that_hangs_ends_with_all_it_has_started(site, shared, bare):
    body = "trap '' TERM HUP INT; sleep 31415 & echo so far; sleep 31415"

    outcome = failing(site, shared, bare, body, deadline_s=2)

    assert "did not finish within 2 s" in outcome["because"]
    assert "so far" in outcome["evidence"]
    assert running("31415") == []


def test_a_runner_that_talks_without_end_is_stopped_by_its_own_file(site, shared, busybox):
    """Half of what is free on the disk is the most that one file may have."""
    outcome = failing(site, shared, busybox, "cat /dev/zero", deadline_s=30)

    assert "the runner exited with" in outcome["because"] or "SIGXFSZ" in outcome["because"]
    assert len(outcome["evidence"].encode()) <= 16 * 1024


def test_what_was_kept_of_a_failure_is_shown_by_history(site, shared, busybox):
    failing(site, shared, busybox, "echo a lot of detail >&2; exit 7")

    shown = site.run("history", "--device", busybox, "--evidence", "--limit", "1")

    assert "the runner exited with 7" in shown.said
    assert "--- stderr, 16 bytes, its end: a lot of detail" in shown.said


def running(word: str) -> list[str]:
    """The commands of this machine that hold a word, those of devices included."""
    commands = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            commands.append(file.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace"))
        except OSError:
            continue
    return [command for command in commands if word in command and "sleep" in command]


# --- benchmark_model --------------------------------------------------------------------------


@pytest.fixture
def with_tflite(site) -> str:
    """A TFLite version in the catalog and the lock; its release."""
    return offer_tflite(site.folder, "1.0")


@pytest.fixture
def benchmarking(site, bare) -> str:
    """A device with a script in the place of benchmark_model, where Android's is put."""
    place = site.lab.root(bare) / "data" / "local" / "tmp"
    place.mkdir(parents=True, exist_ok=True)
    program = place / "benchmark_model"
    program.write_text(
        '#!/bin/sh\ncase "$1" in --graph=*) [ -s "${1#--graph=}" ] || exit 1 ;; *) exit 1 ;; esac\n'
        f"cat >&2 <<'said'\n{SAID}said\n"
    )
    program.chmod(0o755)
    return bare


def test_a_program_that_compares_nothing_is_refused_until_somebody_says_that_it_is_enough(
    site, with_tflite, benchmarking
):
    refused = site.deploy(benchmarking)
    site.describe(benchmarking, proof="runs-only")

    done = site.deploy(benchmarking)

    assert refused.outcome["status"] == "no-variant"
    assert "cannot compare outputs; if that is enough, say proof: runs-only" in refused.said
    assert done.outcome["status"] == "succeeded", done.said
    assert "its outputs were not compared" in done.outcome["because"]
    smoke = done.outcome["smoke"]
    assert (smoke["runtime"], smoke["proof"]) == ("benchmark_model", "runs-only")
    assert (smoke["p50_ms"], smoke["load_ms"], smoke["cases"]) == (13.5202, 12.75, 0)
    assert site.linked(benchmarking) == with_tflite


def test_the_playbook_may_be_content_with_less_as_well(site, with_tflite, benchmarking):
    book = site.folder / "playbooks" / "modest.yaml"
    book.write_text("waves:\n  - {name: all, size: all}\nproof: runs-only\n")

    done = site.deploy(benchmarking, "--playbook", "modest")

    assert done.outcome["status"] == "succeeded", done.said
