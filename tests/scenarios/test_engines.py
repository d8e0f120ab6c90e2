"""Engines built on devices, over a real sshd: trtexec there is a test double, all else is what it is."""

import json
import shutil
import time
from pathlib import Path

import numpy as np
import onnx
import pytest

from orchestrator import selftest
from orchestrator.artifact.lock import Status
from orchestrator.build.edgetpu import compiled

MODEL = "lines"
MADE = ["onnx-float32", "onnx-float16", "onnx-int8", "onnx-int8-symmetric"]
VARIANTS = ["onnx-float32", "tensorrt-float32", "tensorrt-float16", "tensorrt-int8"]
ONE = ("--variant", "tensorrt-float32")
LIBRARY = "usr/lib/aarch64-linux-gnu/libnvinfer.so.10.3.0"
GRAPH = """<ir_version: 9, opset_import: ["": 17]>
lines (float[1, 512] x) => (float[1, 4] y) <float[512, 4] w, float[4] b> {
  h = MatMul(x, w) a = Add(h, b) y = Softmax <axis = 1> (a) }"""


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A folder with a small trained-looking model and data that its own answers label."""
    folder = tmp_path_factory.mktemp("source")
    random = np.random.default_rng(7)
    w, b = random.normal(size=(512, 4)).astype("f4"), random.normal(size=4).astype("f4")
    text = GRAPH.replace("float[512, 4] w", f"float[512, 4] w = {_braced(w)}")
    model = onnx.parser.parse_model(text.replace("float[4] b", f"float[4] b = {_braced(b)}"))
    onnx.checker.check_model(model)
    onnx.save(model, folder / "lines.onnx")
    x = random.normal(size=(900, 512)).astype("f4")
    first, second = np.sort(x @ w + b, axis=1)[:, :-3:-1].T
    x = x[first - second > 5][:400]  # no sample that int8 could take for another class
    y = np.argmax(x @ w + b, axis=1)
    np.savez(folder / "evaluation.npz", x=x[:300], y=y[:300])
    np.savez(folder / "calibration.npz", x=x[300:])
    return folder


def _braced(array):
    return "{" + ", ".join(f"{value:.6f}" for value in array.reshape(-1)) + "}"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """What the first test built here of the model, for all others."""
    folder = tmp_path_factory.mktemp("made")
    for name in ("store", "build"):
        (folder / name).mkdir()
    return folder


@pytest.fixture
def jetsons(site, source, doubles, made):
    """A site whose two Jetsons have TensorRT's library and a trtexec, and a model for it."""
    facts = site.fleet.site.template("device/facts.sh").decode()
    own = facts.replace('"$sys"/usr/lib/*/libnvinfer', '"$HOME"/usr/lib/*/libnvinfer')
    assert own != facts, "a lab device's /usr is this machine's: the library is below its home"
    place = site.folder / "templates" / "device"
    place.mkdir(parents=True)
    (place / "facts.sh").write_text(own)
    for name in ("lines.onnx", "evaluation.npz", "calibration.npz"):
        (site.inventory / name).write_bytes((source / name).read_bytes())
    describe(site, MADE)
    states = [(made / name, site.folder / ".fleet" / name) for name in ("store", "build")]
    for kept, state in states:
        shutil.copytree(kept, state, dirs_exist_ok=True)
    assert site.run("build", MODEL).code == 0
    for kept, state in states:
        shutil.copytree(state, kept, dirs_exist_ok=True)
    describe(site, VARIANTS)
    for name in ("jetson-01", "jetson-02"):
        site.describe(name, profile="jetson-orin-nano")
        install(site, name, doubles / "trtexec.py", "trtexec")
        library(site, name).parent.mkdir(parents=True, exist_ok=True)
        library(site, name).touch()
    yield site
    for name in ("jetson-01", "jetson-02", "pi-01"):
        for file in (site.lab.root(name) / "opt/fleet-lab/bin").glob("*e*c*"):
            if file.name in ("trtexec", "edgetpu_compiler"):
                file.unlink()
        (site.home(name) / "trtexec-says").unlink(missing_ok=True)
        library(site, name).unlink(missing_ok=True)


def describe(site, variants):
    data = {"evaluation": "evaluation.npz", "calibration": "calibration.npz"}
    entry = {"source": "lines.onnx", "version": "1.0", "data": data, "variants": variants}
    entry |= {"golden": {"cases": 2}, "acceptance": {"max_accuracy_drop": 0.1}}
    (site.inventory / "models.yaml").write_text(json.dumps({"models": {MODEL: entry}}))


def library(site, device):
    return site.home(device) / LIBRARY


def install(site, device, program, name):
    file = site.lab.root(device) / "opt/fleet-lab/bin" / name
    file.write_text("#!/usr/bin/env python3\n" + program.read_text())
    file.chmod(0o755)


def built(site, *words):
    done = site.run("build", MODEL, "--on", "jetson-*", "-o", "json", *words)
    rows = [row for row in done.data if row["variant"]]
    return done, {(row["variant"], row["device"]): row for row in rows}


def files(site, device):
    root = site.home(device) / ".fleet"
    return {p for p in root.rglob("*") if p.relative_to(root).parts[0] != "bin"}


def engines(site, variant):
    return site.fleet.site.lock().find(MODEL).artifact(variant).engines


def test_engines_are_built_and_proved_on_one_device_and_run_on_its_siblings(jetsons):
    done, rows = built(jetsons)
    again, cached = built(jetsons)
    deployed = jetsons.deploy("jetson-*")
    audited = jetsons.findings("jetson-*")

    assert done.code == again.code == 0, done.said
    assert {row["status"] for row in rows.values()} == {"accepted"}
    assert {device for _, device in rows} == {"jetson-01"}
    assert all(row["p50_ms"] > 0 and row["p95_ms"] > 0 for row in rows.values())
    assert {row["built"] for row in cached.values()} == {"cached"}
    assert deployed.statuses == {"jetson-01": "succeeded", "jetson-02": "succeeded"}
    assert {o["smoke"]["runtime"] for o in deployed.data["outcomes"]} == {"tensorrt by trtexec"}
    assert {o["smoke"]["cases"] for o in deployed.data["outcomes"]} == {2}
    assert all(o["smoke"]["p50_ms"] > 0 for o in deployed.data["outcomes"])
    assert audited == {"jetson-01": "match", "jetson-02": "match"}
    assert not (jetsons.home("jetson-01") / ".fleet" / "work").exists()


def test_engines_are_profiled_beside_other_variants_and_judged_by_the_same_samples(jetsons):
    built(jetsons, *ONE)
    before = files(jetsons, "jetson-01")

    done = jetsons.run("profile", MODEL, "-t", "jetson-01", "--seconds", "4", "-o", "json")

    found = {each["variant"]: each for each in done.data["measurements"]}
    assert done.code == 0, done.said
    assert set(found) == {"onnx-float32", "tensorrt-float32"}
    engine = found["tensorrt-float32"]
    assert engine["runtime"] == "tensorrt by trtexec"
    assert 0 < engine["p50_ms"] <= engine["p95_ms"]
    assert engine["runs"] > 100
    assert engine["seconds"] >= 4
    assert engine["slowdown"] > 0
    assert engine["samples"] > 10
    assert engine["value"] == found["onnx-float32"]["value"] == 1.0
    assert files(jetsons, "jetson-01") == before


def test_memory_that_does_not_suffice_to_build_is_a_refusal_before_anything_is_begun(jetsons):
    """The kernel's word for what is free is the lab's fixture; it says too little here."""
    meminfo = jetsons.lab.root("jetson-01") / "opt/fleet-lab/proc/meminfo"
    text = meminfo.read_text()
    lines = [line for line in text.splitlines() if not line.startswith("MemAvailable")]
    try:
        meminfo.write_text("\n".join([*lines, "MemAvailable:     307200 kB"]) + "\n")
        done, rows = built(jetsons, *ONE, "--force")
    finally:
        meminfo.write_text(text)

    assert done.code == 1
    row = rows["tensorrt-float32", "jetson-01"]
    assert "300 MiB of memory are free, and building takes about 51" in row["because"]
    assert not (jetsons.home("jetson-01") / ".fleet" / "work").exists()


def test_what_engines_are_made_of_and_by_is_in_the_lock_with_the_evidence(jetsons):
    built(jetsons, "--variant", "tensorrt-int8")

    lock = jetsons.fleet.site.lock().find(MODEL)
    (engine,) = engines(jetsons, "tensorrt-int8")
    assert lock.artifact("tensorrt-int8").status is Status.ON_DEVICE
    assert engine.hardware.capability == "8.7"
    assert engine.hardware.tensorrt == "10.3.0"
    assert engine.compilation.by == "trtexec of TensorRT 10.3.0"
    assert engine.compilation.where == "jetson-01"
    assert b"--int8 --fp16" in jetsons.store.read(engine.compilation.log)
    assert jetsons.store.read(engine.sha256).startswith(b"engine emulated by a test double")
    assert engine.figures.accuracy > 0.95, "that of onnx-int8-symmetric, which it was proved beside"


def test_an_engine_that_computes_something_else_is_rejected_and_says_where(jetsons):
    (jetsons.home("jetson-01") / "trtexec-says").write_text("wrong")

    done, rows = built(jetsons, *ONE)
    told = jetsons.run("explain", "jetson-01")

    because = rows["tensorrt-float32", "jetson-01"]["because"]
    assert done.code == 1
    assert because.startswith("output 'y' of golden case 0 is off by 0.5 from ONNX Runtime's")
    assert f"rejected: {because[:40]}" in told.said


def test_what_trtexec_refuses_is_in_its_own_words(jetsons):
    (jetsons.home("jetson-01") / "trtexec-says").write_text("refuse")

    _, rows = built(jetsons, "--variant", "tensorrt-float16")

    row = rows["tensorrt-float16", "jetson-01"]
    assert row["status"] == "rejected"
    assert row["because"].startswith("trtexec refused it: Error[9]: Error Code 9: Skipping tactic")


def test_a_build_that_outlasts_its_deadline_is_ended_there_and_leaves_nothing(jetsons):
    (jetsons.home("jetson-01") / "trtexec-says").write_text("slow")

    began = time.monotonic()
    done, rows = built(jetsons, *ONE, "--deadline", "2")

    row = rows["tensorrt-float32", "jetson-01"]
    assert (done.code, row["status"]) == (1, "not built")
    assert "trtexec did not finish within 2 s: give it more: --deadline" in row["because"]
    assert time.monotonic() - began < 30
    assert not (jetsons.home("jetson-01") / ".fleet" / "work").exists()
    assert not any("trtexec" in words for words in running(jetsons, "jetson-01"))


def running(site, device):
    """The command lines of what runs on a device."""
    root = site.lab.root(device) / "proc"
    return [
        file.read_bytes().replace(b"\0", b" ").decode()
        for file in root.glob("[0-9]*/cmdline")
        if file.exists()
    ]


def test_a_device_without_trtexec_is_told_which_package_has_it(jetsons):
    (jetsons.lab.root("jetson-01") / "opt/fleet-lab/bin/trtexec").unlink()

    _, rows = built(jetsons, *ONE)

    row = rows["tensorrt-float32", "jetson-01"]
    assert row["status"] == "not built"
    assert "sudo apt-get install libnvinfer-bin" in row["because"]


def test_another_tensorrt_needs_another_engine(jetsons):
    built(jetsons, *ONE)
    library(jetsons, "jetson-01").rename(library(jetsons, "jetson-01").with_suffix(".4"))

    jetsons.run("facts", "--refresh", "-t", "jetson-01")
    told = jetsons.run("explain", "jetson-01")

    library(jetsons, "jetson-01").with_suffix(".4").unlink()
    assert f"no engine for this hardware yet: fleet build {MODEL} --on jetson-01" in told.said


def test_devices_that_are_no_jetsons_are_named_and_nothing_is_built_on_them(jetsons):
    done = jetsons.run("build", MODEL, "--on", "pi-01", "-o", "json")

    assert done.code == 1
    assert [row["because"] for row in done.data] == ["no Jetson with TensorRT: see fleet facts"]


def test_an_ordinary_build_keeps_engines_and_says_how_others_come_about(jetsons):
    built(jetsons, *ONE)

    done = jetsons.run("build", MODEL, "-o", "json")

    row = next(row for row in done.data if row["variant"] == "tensorrt-float32")
    assert done.code == 0
    assert row["status"] == "on-device"
    assert row["because"] == f"it is built where it runs: fleet build {MODEL} --on DEVICE"
    assert len(engines(jetsons, "tensorrt-float32")) == 1


def test_three_devices_get_what_each_of_them_runs_and_say_why(jetsons):
    """A Pi gets int8, an Orin its engine, a phone what its runtime supports."""
    describe(jetsons, ["onnx-float32", "onnx-int8", "tensorrt-int8"])
    jetsons.describe("pi-01", profile="raspberry-pi-4")
    jetsons.describe("phone-01", profile="old")
    assert jetsons.run("build", MODEL).code == 0
    assert built(jetsons)[0].code == 0
    jetsons.run("facts", "--refresh", "-t", "pi-01 | jetson-01 | phone-01")
    jetsons.playbook("small", "  - {name: all, size: all, max_failed: 0}\nobjective: size")

    pi = jetsons.run("explain", "pi-01", "--playbook", "small").said
    orin = jetsons.run("explain", "jetson-01").said
    phone = jetsons.run("explain", "phone-01").said

    assert f"{MODEL}: onnx-int8 on onnxruntime: best size" in pi
    assert (
        "profile raspberry-pi-4 offers litert, tflite-runtime and onnxruntime, not tensorrt" in pi
    )
    assert f"{MODEL}: tensorrt-int8 on tensorrt: best latency: compiled for its hardware" in orin
    assert "onnx-int8 fits, but" in orin
    assert f"{MODEL}: none fits" in phone
    assert "profile old offers tflite-runtime, not onnxruntime" in phone


def test_a_build_host_compiles_for_edge_tpus_and_keeps_nothing(jetsons, doubles):
    """The compiler is on a device of the inventory; what comes back is checked here."""
    jetsons.describe("pi-01", build_host=True)
    install(jetsons, "pi-01", doubles / "edgetpu_compiler.py", "edgetpu_compiler")
    digest = jetsons.store.add(
        (Path(selftest.__file__).parent / "data/add_one.tflite").read_bytes()
    )

    with jetsons.fleet as fleet:
        found = compiled(jetsons.store, digest, fleet.foundry.compiler, 60.0)
        meant = fleet.plan("pi-01 | jetson-01", fleet.site.playbook("all"))

    assert found.compilation.where == "pi-01"
    assert (found.compilation.accelerated, found.compilation.remaining) == (1, 0)
    assert not (jetsons.home("pi-01") / ".fleet" / "work").exists()
    assert {step.device for step in meant.steps} == {"jetson-01"}, "it gets no models itself"


def test_the_compiler_is_the_configured_one_then_what_is_on_path_then_a_build_hosts(
    jetsons, tmp_path, monkeypatch
):
    def where() -> tuple[tuple[str, ...], str] | None:
        with jetsons.fleet as fleet:
            found = fleet.foundry.compiler()
        return (found.argv, found.where) if found else None

    nowhere = where()
    jetsons.describe("pi-01", build_host=True)
    on_a_host = where()
    program = tmp_path / "edgetpu_compiler"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    on_path = where()
    monkeypatch.setenv("FLEET_EDGETPU_COMPILER", "podman run compiler")
    configured = where()

    assert nowhere is None
    assert on_a_host == (("edgetpu_compiler",), "pi-01")
    assert on_path == (("edgetpu_compiler",), "")
    assert configured == (("podman", "run", "compiler"), "")
