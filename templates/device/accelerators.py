"""Runs on the device: what smoke.py needs to run models on an Edge TPU or in TensorRT.

Python 3.6 and later; needs numpy, and a TFLite interpreter or trtexec.
"""

import json
import os
import re
import shutil
import subprocess
import tempfile
import time

import numpy


def open_edgetpu(model, open_tflite):
    """The Edge TPU's driver, in whichever interpreter there is."""
    from importlib.util import find_spec

    modules = [name for name in ("ai_edge_litert", "tflite_runtime") if find_spec(name)]
    if not modules:
        raise RuntimeError("an Edge TPU needs ai-edge-litert or tflite-runtime")
    try:
        run, found = open_tflite(modules[0], "libedgetpu.so.1")(model)
    except OSError as error:
        because = "the Edge TPU's driver libedgetpu.so.1 does not load: %s" % error
        raise RuntimeError(because) from error
    except ValueError as error:
        if "delegate" not in str(error):
            raise
        because = "no Edge TPU answers: is it plugged in, and may this user use it?"
        raise RuntimeError(because) from error
    return run, "with %s %s" % (modules[0], found)


def open_tensorrt(model, _open_tflite):
    """trtexec, a process for each inference; it times itself, without what starting it costs."""
    path = os.environ.get("PATH", "") + os.pathsep + "/usr/src/tensorrt/bin"
    tool = shutil.which("trtexec", path=path)
    if tool is None:
        raise RuntimeError("trtexec is neither on PATH nor in /usr/src/tensorrt/bin")

    def run(inputs):
        return trtexec(tool, model, inputs, "--iterations=1", "--warmUp=0", "--duration=0")[0]

    def timed_by_itself(inputs):
        words = ("--warmUp=500", "--duration=2", "--percentile=95")
        median, most, _ = summary(trtexec(tool, model, inputs, *words)[1])
        return [median, median, most]  # as `timed` would put them in order

    def kept_busy(inputs, seconds, going):
        """Four times a quarter of the time: how it was at first, and at last; see measure.py."""
        each_s, began, found = max(1, round(seconds / 4)), time.perf_counter(), []
        for _ in range(4):
            words = ("--warmUp=500", "--duration=%d" % each_s, "--percentile=95")
            found.append(summary(trtexec(tool, model, inputs, *words)[1]))
            going()
        medians = [median for median, _, _ in found]
        return {
            "runs": int(sum(qps for _, _, qps in found) * each_s),
            "seconds": round(time.perf_counter() - began, 3),
            "p50_ms": sorted(medians)[2],
            "p95_ms": max(most for _, most, _ in found),
            "slowdown": round(medians[-1] / max(medians[0], 1e-9), 3),
        }

    run.timed, run.kept_busy = timed_by_itself, kept_busy
    return run, "by trtexec"


def summary(said):
    """What it says of many inferences: median and 95th percentile (ms), and how many a second."""
    latency = [line for line in said.splitlines() if "] Latency: min" in line][-1]
    rates = [line for line in said.splitlines() if "Throughput: " in line and " qps" in line]

    def named(name):
        return float(latency.partition(name)[2].lstrip(" =").split()[0])

    rate = float(rates[-1].rpartition(": ")[2].split()[0]) if rates else 0.0
    return named("median"), named("percentile(95%)"), rate


def trtexec(tool, model, inputs, *options):
    """One run of it: the outputs by name, and what it said."""
    with tempfile.TemporaryDirectory() as folder:
        pairs = []
        for number, (name, value) in enumerate(sorted(inputs.items())):
            file = os.path.join(folder, "in%d" % number)
            value.tofile(file)
            pairs.append("%s:%s" % ("'%s'" % name if set(name) & set(":,") else name, file))
        out = os.path.join(folder, "out.json")
        words = ["--loadEngine=" + model, "--loadInputs=" + ",".join(pairs)]
        words += ["--exportOutput=" + out, *options]
        done = subprocess.run([tool, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        said = done.stdout.decode("utf-8", "replace")
        if done.returncode or "&&&& PASSED" not in said:
            errors = [line for line in said.splitlines() if "[E]" in line]
            raise RuntimeError("trtexec failed: %s" % [*errors, "it said nothing"][0])
        with open(out) as file:
            text = re.sub(r"(?<![\"\w])-?(nan|inf)\b", "NaN", file.read())
    arrays = {
        each["name"]: numpy.array(each["values"], "float64").reshape(
            [int(size) for size in each["dimensions"].split("x") if size]
        )
        for each in json.loads(text)
    }
    return arrays, said
