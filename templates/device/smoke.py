"""Runs on the device: does a release compute its golden outputs, how fast, in how much memory?

    python3 smoke.py FOLDER RUNTIME DEADLINE_S     one line of JSON, always; exit status 0

Inference happens in a child process under a deadline, and its exit status counts: a model that
crashes, hangs, lies or dies on the way out is a result, not a mishap, and comes with evidence.
Nothing that it started outlives it. Python 3.6 and later; needs numpy and the runtime, nothing else.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time

# NumPy only compares here: one thread for its BLAS saves a third of a second of starting many.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

SUFFIXES = {"openvino": "xml", "edgetpu": "tflite", "tensorrt": "engine"}
MAX_RUNS, MAX_TIMED_S = 50, 2.0
KEPT = {"stdout": 3000, "stderr": 5000, "dmesg": 2500}
"""How much of each is evidence, in bytes from its end."""


def version(dist):
    """What a package calls itself; empty where it left no metadata, or Python has no such module."""
    try:
        from importlib import metadata

        return metadata.version(dist)
    except Exception:
        return ""


def main():
    if sys.argv[1] == "--child":
        folder, runtime, mark = sys.argv[2:5]
        bound()
        tell(mark, child(folder, runtime))
    else:
        folder, runtime, deadline_s = sys.argv[1:4]
        words = [os.path.abspath(__file__), "--child", folder, runtime]
        print(json.dumps(supervised(words, runtime, float(deadline_s))))


def tell(mark, report):
    """What a child says to whoever supervises it."""
    print("\n%s %s" % (mark, json.dumps(report)), flush=True)


def supervised(words, runtime, deadline_s):
    """The report of a script in a child process, believed only if it ends as it should.

    The last of its arguments is the mark with which it has to `tell`.
    """
    mark = os.urandom(8).hex()  # what the model prints itself is no report
    command = [sys.executable, *words, mark]
    before = killed_for_memory()
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdout=pipe, stderr=pipe, start_new_session=True)
    group = enclosed(process.pid)
    out, err = Tail(process.stdout, mark.encode()), Tail(process.stderr)
    try:
        status = process.wait(timeout=deadline_s)
    except subprocess.TimeoutExpired:
        status = None
    finally:
        end(process, group)
    out.join(1.0)
    err.join(1.0)
    report = judged(out, err, status, deadline_s, killed_for_memory() > before)
    if not report["passed"]:
        report["evidence"] = evidence(runtime, out, err, status)
    return report


class Tail(threading.Thread):
    """Reads a stream to its end, however long it is, and keeps little of it.

    `kept` are the last bytes, `marked` the last line that begins with the mark.
    """

    MOST = 1 << 16

    def __init__(self, stream, mark=None):
        threading.Thread.__init__(self)
        self.daemon = True
        self.kept, self.marked, self.bytes = b"", b"", 0
        self._stream, self._mark = stream, mark and b"\n" + mark + b" "
        self.start()

    def run(self):
        while True:
            piece = os.read(self._stream.fileno(), self.MOST)
            if not piece:
                return
            self.bytes += len(piece)
            self.kept = (self.kept + piece)[-2 * self.MOST :]
            if self._mark and self._mark in self.kept:
                self.marked = self.kept.rpartition(self._mark)[2].split(b"\n")[0]

    def said(self, most):
        text = self.kept[-most:].decode("utf-8", "replace").strip()
        return text.replace(self._mark.decode().strip(), "report:") if self._mark else text


def end(process, group):
    """Kill a child and everything in its process group, also what ignores a polite signal.

    With a control group, what has left the process group as well.
    """
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except OSError:
        pass  # nobody is left
    process.wait()
    for _ in range(50 if group else 0):
        try:
            os.rmdir(group)
            return
        except OSError:
            kill_all(group + "/cgroup.procs")
            time.sleep(0.02)


def kill_all(listed):
    try:
        with open(listed) as pids:
            for pid in pids:
                os.kill(int(pid), signal.SIGKILL)
    except OSError:
        pass  # just ended


def enclosed(pid):
    """Put a process into a control group that may have what memory is left; the group, or "".

    There the kernel counts all of it: files in memory, what is shared, and every process that is
    started. An eighth stays free, without which a device reads its programs again and again from
    its disk before anybody is killed. Only who may make groups beside his own (version 2) or below
    it (version 1) gets one; and not root under systemd, which lets nobody else make any in its own.
    """
    if os.geteuid() == 0 and os.path.isdir("/run/systemd/system"):
        return ""
    left = memory_left() // 8 * 7
    for parent, limit in groups() if left else ():
        group = "%s/fleet-%d" % (parent, pid)
        try:
            os.mkdir(group)
        except OSError:
            continue
        try:
            for name, value in ((limit, left), ("cgroup.procs", pid)):
                with open("%s/%s" % (group, name), "w") as file:
                    file.write(str(value))
            return group
        except OSError:
            os.rmdir(group)
    return ""


def groups():
    """Where a group might be made, and the name of its limit."""
    try:
        with open("/proc/self/cgroup") as lines:
            found = [line.rstrip("\n").split(":", 2) for line in lines]
    except OSError:
        return
    for _, controllers, path in found:
        if "memory" in controllers.split(","):
            yield "/sys/fs/cgroup/memory" + path.rstrip("/"), "memory.limit_in_bytes"
        elif not controllers:
            yield "/sys/fs/cgroup" + os.path.dirname(path).rstrip("/"), "memory.max"


def judged(out, err, status, deadline_s, starved):
    """What became of the child; `status` as subprocess has it, None for one that hung."""
    if status is None:
        return failed("did not finish within %g s" % deadline_s, kind="timeout")
    last = (err.said(2000).splitlines() or [""])[-1]
    if status and any(words in last for words in ("MemoryError", "bad_alloc", "allocate memory")):
        because = "the runtime wants more memory than the device has left: %s" % last
        return failed(because, kind="out-of-memory")
    if status < 0:
        number = -status
        name = signal.Signals(number).name if number in list(signal.Signals) else number
        if number == signal.SIGKILL and starved:
            because = "the kernel killed the runtime: the device's memory does not suffice"
            return failed(because, kind="out-of-memory")
        return failed("the runtime was killed by %s" % name, kind="crash")
    try:
        report = json.loads(out.marked.decode())
    except ValueError:
        words = last or "exit status %d and no report" % status
        return failed("the runtime failed: %s" % words, kind="crash")
    if status:
        return failed("the runtime exited with %d after its report" % status, kind="crash")
    return report


def evidence(runtime, out, err, status):
    """What somebody needs to see who was not there: versions, last words, the kernel's too."""
    parts = [versions(runtime)]
    for name, stream in (("stdout", out), ("stderr", err)):
        if stream.bytes:
            said = stream.said(KEPT[name])
            parts.append("--- %s, %d bytes, its end:\n%s" % (name, stream.bytes, said))
    if status is not None and status < 0:
        kernel = kernel_said()
        if kernel:
            parts.append("--- dmesg, its end:\n" + kernel)
    return "\n".join(parts)


def versions(runtime):
    """Of Python, numpy and the runtime, without importing what may have crashed just now."""
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:0] = [here, *bundles(runtime)]
    try:
        from runtimes import runtimes

        found = runtimes()
    except Exception:
        found = {"python": "%d.%d.%d" % sys.version_info[:3]}
    return ", ".join("%s %s" % (n, found[n]) for n in ("python", "numpy", runtime) if n in found)


def kernel_said():
    try:
        pipe = subprocess.PIPE
        with subprocess.Popen(["dmesg"], stdout=pipe, stderr=pipe) as asked:
            text = asked.communicate(timeout=5)[0][-KEPT["dmesg"] :]
    except (OSError, subprocess.SubprocessError):
        return ""  # not there, or not for everybody
    return "\n".join(text.decode("utf-8", "replace").splitlines()[-20:]).strip()


def killed_for_memory():
    """How many processes the kernel has killed for want of memory since it booted; 0 if unknown."""
    try:
        with open("/proc/vmstat") as counts:
            return sum(int(line.split()[1]) for line in counts if line.startswith("oom_kill "))
    except OSError:
        return 0


def bound():
    """End with the parent; and ask for no more memory than is left: others are serving here."""
    import ctypes
    import resource

    try:
        ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG
    except (OSError, AttributeError):
        pass
    left = memory_left()
    if left:
        # its own data, mapped or not yet; kernels before 4.7 count the heap alone
        resource.setrlimit(resource.RLIMIT_DATA, (left, left))


def memory_left():
    """Bytes that could be had without taking them from anybody; 0 if unknown."""
    try:
        with open("/proc/meminfo") as lines:
            found = dict(line.split()[:2] for line in lines)
    except (OSError, ValueError):
        return 0
    if "MemAvailable:" not in found:
        return 0
    return (int(found["MemAvailable:"]) + int(found.get("SwapFree:", 0))) * 1024


def failed(because, **more):
    return dict(more, passed=False, because=because)


def child(folder, runtime):
    sys.path[:0] = bundles("litert" if runtime == "edgetpu" else runtime)
    import numpy

    with open(os.path.join(folder, "manifest.json")) as file:
        manifest = json.load(file)
    model = os.path.join(folder, "model." + suffix(manifest))
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
    report["rss_mib"] = rss_mib()
    return within(report, manifest["limits"])


def rss_mib():
    """The most that was resident at once: of this process, or of one it started, such as trtexec."""
    import resource

    kinds = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
    return round(max(resource.getrusage(k).ru_maxrss for k in kinds) / 1024.0, 1)


def suffix(manifest):
    return SUFFIXES.get(manifest["runs_as"], manifest["runs_as"])


def bundles(runtime):
    """Where `fleet bootstrap` has put a runtime, if it has; the runtime's own numpy lies there too."""
    place = os.path.abspath(
        os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../runtimes")
    )
    try:
        found = sorted(n for n in os.listdir(place) if n.startswith(runtime + "-"))
    except OSError:
        return []
    return [os.path.join(place, name) for name in found]


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
    main()
