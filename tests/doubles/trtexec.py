"""A test double of trtexec, installed on lab devices under that name. No GPU, no TensorRT: its "engine" is
the ONNX file behind a line that says so, and ONNX Runtime computes. Options, files, log lines and exit
status are those of TensorRT 10.3 as its help and samples/common of NVIDIA/TensorRT describe them.

A file ~/trtexec-says in the device's home makes it misbehave: `wrong`, `slow` or `refuse`.
"""

import json
import sys
import time
from pathlib import Path

VERSION = "100300"
MARK = b"engine emulated by a test double of trtexec, TensorRT 100300\n"
FLAGS = {"--fp16", "--int8", "--noTF32", "--skipInference", "--buildOnly"}
VALUES = {
    "--onnx",
    "--saveEngine",
    "--loadEngine",
    "--loadInputs",
    "--exportOutput",
    "--iterations",
}
VALUES |= {"--warmUp", "--duration", "--percentile", "--memPoolSize", "--workspace"}


class Failed(Exception):
    """What it says before it fails."""


def main():
    command = " ".join(["trtexec", *sys.argv[1:]])
    print("&&&& RUNNING TensorRT.trtexec [TensorRT v%s] # %s" % (VERSION, command))
    try:
        work(options(sys.argv[1:]))
    except Failed as error:
        say("E", error)
        print("&&&& FAILED TensorRT.trtexec [TensorRT v%s] # %s" % (VERSION, command))
        return 1
    print("&&&& PASSED TensorRT.trtexec [TensorRT v%s] # %s" % (VERSION, command))
    return 0


def options(words):
    found = {}
    for word in words:
        name, _, value = word.partition("=")
        if (name in FLAGS and not value) or (name in VALUES and value):
            found[name] = value
        else:
            raise Failed("Unknown option: %s %s" % (name, value))
    return found


def misbehaviour():
    file = Path.home() / "trtexec-says"
    return file.read_text().strip() if file.exists() else ""


def work(asked):
    if misbehaviour() == "slow":
        time.sleep(600)
    if "--onnx" in asked:
        if misbehaviour() == "refuse":
            raise Failed("Error[9]: Error Code 9: Skipping tactic 0x0 due to insufficient memory")
        data = MARK + Path(asked["--onnx"]).read_bytes()
        opened(data)
        say("I", "Engine built in 0.1 sec.")
        Path(asked["--saveEngine"]).write_bytes(data)
    else:
        data = Path(asked["--loadEngine"]).read_bytes()
    if "--skipInference" in asked:
        return
    session = opened(data)
    feed = loaded(session, asked.get("--loadInputs", ""))
    took, started = [], time.perf_counter()
    least_s = float(asked.get("--duration", 0))
    while len(took) < int(asked.get("--iterations", 10)) or time.perf_counter() - started < least_s:
        began = time.perf_counter()
        outputs = session.run(None, feed)
        took.append((time.perf_counter() - began) * 1e3)
    rate = len(took) / (time.perf_counter() - started)
    if "--exportOutput" in asked:
        export(session, outputs, asked["--exportOutput"])
    summary(sorted(took), rate, asked.get("--percentile", "90,95,99").split(","))


def opened(data):
    import onnxruntime

    if not data.startswith(MARK):
        raise Failed(
            "Error[1]: [runtime.cpp::parsePlan::314] Error Code 1: Serialization (Serialization "
            "assertion plan->header.magicTag == rt::kPLAN_MAGIC_TAG failed.)"
        )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.x64quantprecision", "1")
    return onnxruntime.InferenceSession(data[len(MARK) :], options)


def loaded(session, spec):
    import numpy

    files = dict(pair.rsplit(":", 1) for pair in spec.split(",") if pair)
    files = {name.strip("'"): file for name, file in files.items()}
    feed = {}
    for each in session.get_inputs():
        kind = {"tensor(float)": "float32", "tensor(int8)": "int8"}[each.type]
        shape = [size if isinstance(size, int) else 1 for size in each.shape]
        if each.name not in files:
            feed[each.name] = numpy.random.random(shape).astype(kind)
            continue
        data = Path(files[each.name]).read_bytes()
        if len(data) != numpy.dtype(kind).itemsize * int(numpy.prod(shape)):
            raise Failed("Note: expected: different number of bytes in %s" % files[each.name])
        feed[each.name] = numpy.frombuffer(data, kind).reshape(shape)
    return feed


def export(session, outputs, file):
    wrong = 0.5 if misbehaviour() == "wrong" else 0.0
    lines, sep = ["["], "  "
    for each, array in zip(session.get_outputs(), outputs):
        lines.append('%s{ "name" : "%s"' % (sep, each.name))
        sep = ", "
        lines.append('  , "dimensions" : "%s"' % "x".join(map(str, array.shape)))
        values = ", ".join("%.6g" % (float(value) + wrong) for value in array.reshape(-1))
        lines.append('  , "values" : [ %s ]\n  }' % values)
    Path(file).write_text("\n".join([*lines, "]"]) + "\n")
    json.loads(Path(file).read_text())


def summary(took, rate, percentiles):
    figures = "min = %g ms, max = %g ms, mean = %g ms, median = %g ms" % (
        took[0],
        took[-1],
        sum(took) / len(took),
        took[len(took) // 2],
    )
    for each in percentiles:
        at = max(0, int(len(took) * float(each) / 100) - 1)
        figures += ", percentile(%s%%) = %g ms" % (each, took[at])
    say("I", "=== Performance summary ===")
    say("I", "Throughput: %g qps" % rate)
    say("I", "Latency: " + figures)
    say("I", "GPU Compute Time: " + figures)


def say(level, words):
    print("[%s] [%s] %s" % (time.strftime("%m/%d/%Y-%H:%M:%S"), level, words))


if __name__ == "__main__":
    sys.exit(main())
