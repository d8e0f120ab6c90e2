"""Runs on the device: does a release compute its golden outputs, how fast, in how much memory?

    python3 smoke.py FOLDER RUNTIME DEADLINE_S     one line of JSON, always; exit status 0

Inference happens in a child process under a deadline, and its exit status counts: a model that
crashes, hangs or dies on the way out is a result, not a mishap. Python 3.6 and later; needs numpy
and the runtime, nothing else.
"""

import json
import os
import signal
import subprocess
import sys
import time

# NumPy only compares here: one thread for its BLAS saves a third of a second of starting many.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

SUFFIXES = {"openvino": "xml", "edgetpu": "tflite", "tensorrt": "engine"}
MAX_RUNS, MAX_TIMED_S = 50, 2.0


def version(dist):
    """What a package calls itself; empty where it left no metadata, or Python has no such module."""
    try:
        from importlib import metadata

        return metadata.version(dist)
    except Exception:
        return ""


def main():
    if sys.argv[1] == "--child":
        return child(*sys.argv[2:4])
    folder, runtime, deadline_s = sys.argv[1], sys.argv[2], float(sys.argv[3])
    command = [sys.executable, os.path.abspath(__file__), "--child", folder, runtime]
    before = killed_for_memory()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        out, err = process.communicate(timeout=deadline_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return failed("did not finish within %g s" % deadline_s, kind="timeout")
    words = err.decode("utf-8", "replace").strip()[-2000:]
    if process.returncode < 0:
        number = -process.returncode
        name = signal.Signals(number).name if number in list(signal.Signals) else number
        if number == signal.SIGKILL and killed_for_memory() > before:
            because = "the kernel killed the runtime: the device's memory does not suffice"
            return failed(because, kind="out-of-memory", evidence=words)
        return failed("the runtime was killed by %s" % name, kind="crash", evidence=words)
    try:
        report = json.loads(out.decode().strip().splitlines()[-1])
    except (ValueError, IndexError):
        last = words.splitlines()[-1] if words else "no output"
        return failed("the runtime failed: %s" % last, kind="crash", evidence=words)
    if process.returncode:
        return failed(
            "the runtime exited with %d" % process.returncode, kind="crash", evidence=words
        )
    return report


def killed_for_memory():
    """How many processes the kernel has killed for want of memory since it booted; 0 if unknown."""
    try:
        with open("/proc/vmstat") as counts:
            return sum(int(line.split()[1]) for line in counts if line.startswith("oom_kill "))
    except OSError:
        return 0


def failed(because, **more):
    return dict(more, passed=False, because=because)


def child(folder, runtime):
    import resource

    import numpy

    with open(os.path.join(folder, "manifest.json")) as file:
        manifest = json.load(file)
    suffix = SUFFIXES.get(manifest["runs_as"], manifest["runs_as"])
    model = os.path.join(folder, "model." + suffix)
    golden = numpy.load(os.path.join(folder, "golden.npz"), allow_pickle=False)
    allowed = {t["output"]: t["max_abs_diff"] for t in manifest["tolerances"]}
    started = time.perf_counter()
    run, version = OPEN[runtime](model)
    load_ms = (time.perf_counter() - started) * 1e3
    inputs = {n[3:]: golden[n] for n in golden.files if n.startswith("in_")}
    wanted = {n[4:]: golden[n] for n in golden.files if n.startswith("out_")}
    again = (lambda: OPEN[runtime](model)[0]) if "stateful" in golden.files else None
    report = compare(numpy, run, inputs, wanted, allowed, manifest["cases"], again)
    report.update(runtime="%s %s" % (runtime, version), load_ms=round(load_ms, 3))
    if report["passed"]:
        sample = {name: numpy.asarray(values[0]) for name, values in inputs.items()}
        times = run.timed(sample) if hasattr(run, "timed") else timed(run, sample)
        report.update(p50_ms=round(times[len(times) // 2], 4))
        report.update(p95_ms=round(times[int(len(times) * 0.95)], 4))
    kinds = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN  # trtexec is a process of its own
    report["rss_mib"] = round(max(resource.getrusage(k).ru_maxrss for k in kinds) / 1024.0, 1)
    return within(report, manifest["limits"])


def compare(numpy, run, inputs, wanted, allowed, cases, again=None):
    """Every case, every output: floats within their tolerance, integers within theirs, often 0.

    A model that keeps state between runs is loaded `again` for every case but the first.
    """
    worst = {"share": -1.0}
    for case in range(cases):
        if again is not None and case:
            run = again()
        got = run({name: numpy.asarray(values[case]) for name, values in inputs.items()})
        for name, values in wanted.items():
            if name not in got:
                return failed(
                    "output %r is missing; there are %s" % (name, sorted(got)), cases=case
                )
            want, have = values[case], numpy.asarray(got[name])
            if have.shape != want.shape:
                return failed(
                    "output %r has shape %s, expected %s" % (name, have.shape, want.shape)
                )
            diff = numpy.abs(have.astype("float64") - want.astype("float64"))
            most = float(diff.max()) if diff.size else 0.0
            limit = allowed.get(name, 0.0)
            if not limit and not most and not numpy.array_equal(have, want):
                most = 1.0  # integers too great for float64 to tell apart
            if not most <= limit:
                return failed(
                    "output %r of golden case %d is off by %.4g, allowed is %.4g"
                    % (name, case, most, limit),
                    kind="wrong-output",
                    cases=case + 1,
                    worst_output=name,
                    worst_diff=most if numpy.isfinite(most) else None,
                    allowed_diff=limit,
                )
            share = most / limit if limit else most
            if share > worst["share"]:
                worst = {"share": share, "output": name, "diff": most, "limit": limit}
    return {
        "passed": True,
        "cases": cases,
        "worst_output": worst.get("output", ""),
        "worst_diff": worst.get("diff"),
        "allowed_diff": worst.get("limit"),
    }


def timed(run, sample):
    """Milliseconds of single inferences, sorted; the first, colder ones are not counted."""
    times, began = [], time.perf_counter()
    for count in range(MAX_RUNS + 3):
        start = time.perf_counter()
        run(sample)
        end = time.perf_counter()
        if count >= 3:
            times.append((end - start) * 1e3)
        if len(times) >= 3 and end - began > MAX_TIMED_S:
            break
    return sorted(times)


def within(report, limits):
    """The limits a release must keep to on the device."""
    for key, limit, unit in (
        ("p50_ms", limits.get("max_p50_ms"), "ms for one inference (p50)"),
        ("rss_mib", limits.get("max_rss_mib"), "MiB of memory"),
    ):
        value = report.get(key)
        if report["passed"] and limit is not None and value is not None and value > limit:
            report.update(passed=False, kind="limit")
            report["because"] = "takes %g %s, and may take %g" % (value, unit, limit)
    return report


def open_tflite(module, *libraries):
    def opened(model):
        from importlib import import_module

        tflite = import_module(module + ".interpreter")
        interpreter = tflite.Interpreter(
            model_path=model,
            num_threads=1,
            experimental_delegates=[tflite.load_delegate(name) for name in libraries],
        )
        signatures = interpreter.get_signature_list()
        if len(signatures) == 1:
            runner = interpreter.get_signature_runner(next(iter(signatures)))
            return lambda inputs: runner(**inputs), version(module.replace("_", "-"))
        interpreter.allocate_tensors()
        ins = {d["name"]: d["index"] for d in interpreter.get_input_details()}
        outs = {d["name"]: d["index"] for d in interpreter.get_output_details()}

        def run(inputs):
            for name, value in inputs.items():
                interpreter.set_tensor(ins[name], value)
            interpreter.invoke()
            return {name: interpreter.get_tensor(index) for name, index in outs.items()}

        return run, version(module.replace("_", "-"))

    return opened


def on_accelerator(name):
    def opened(model):
        import accelerators  # beside this file; not needed for anything else

        return getattr(accelerators, name)(model, open_tflite)

    return opened


def open_onnx(model):
    """One CPU thread; without the device id and the reports that it would write on import."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.x64quantprecision", "1")  # exact without VNNI too
    providers = onnxruntime.get_available_providers()
    try:
        session = onnxruntime.InferenceSession(model, options, providers=providers)
    except Exception as error:  # shared weights: ONNX Runtime 1.32 cannot make their sums exact
        if "Attempt to replace the existing tensor" not in str(error):
            raise
        options.add_session_config_entry("session.x64quantprecision", "0")
        session = onnxruntime.InferenceSession(model, options, providers=providers)
    names = [output.name for output in session.get_outputs()]
    return lambda inputs: dict(zip(names, session.run(names, inputs))), onnxruntime.__version__


def open_openvino(model):
    """One CPU thread, and float32 where the model says float32; it tells its maker nothing."""
    sys.modules.setdefault("openvino_telemetry", None)
    import openvino

    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1}
    request = openvino.Core().compile_model(model, "CPU", options).create_infer_request()
    names = [port.get_any_name() for port in request.model_outputs]

    def run(inputs):
        request.infer(inputs)
        return {n: request.get_output_tensor(i).data.copy() for i, n in enumerate(names)}

    return run, version("openvino")


OPEN = {
    "litert": open_tflite("ai_edge_litert"),
    "tflite-runtime": open_tflite("tflite_runtime"),
    "onnxruntime": open_onnx,
    "openvino": open_openvino,
    "edgetpu": on_accelerator("open_edgetpu"),
    "tensorrt": on_accelerator("open_tensorrt"),
}

if __name__ == "__main__":
    print(json.dumps(main()))
