"""Runs on the device: which Python is this, and what can run models here?

    python3 runtimes.py       one line of JSON, always; exit status 0

Read from the folders that packages lie in: those that `fleet bootstrap` brought, then Python's own.
Nothing is imported, not even json or re: on a small core each of them takes longer than all of
this. Python 3.6 and later.
"""

import os
import sys

PACKAGES = {
    "litert": ("ai_edge_litert", "ai_edge_litert"),
    "tflite-runtime": ("tflite_runtime", "tflite_runtime"),
    "onnxruntime": ("onnxruntime", "onnxruntime"),
    "openvino": ("openvino", "openvino"),
    "tensorflow": ("tensorflow", "tensorflow"),
    "numpy": ("numpy", "numpy"),
}
"""What fleet calls it → the module, and what its distribution's name begins with."""

PROVIDERS = ("Tensorrt", "CUDA", "MIGraphX", "ROCM", "OpenVINO", "Dnnl", "VitisAI", "CANN", "QNN")
"""ONNX Runtime's execution providers that are shared libraries of their own, best first."""


def runtimes(bundles=True):
    own = [(folder, listed(folder)) for folder in sys.path if folder]
    brought = os.path.join(os.path.dirname(os.path.abspath(sys.argv[0])), "..", "..", "runtimes")
    found = {"python": "%d.%d.%d" % sys.version_info[:3], "bits": 64 if sys.maxsize > 2**32 else 32}
    for name, (module, dist) in PACKAGES.items():
        folders = (
            [n for n in sorted(listed(brought)) if n.startswith(name + "-")] if bundles else []
        )
        places = [(f, listed(f)) for f in (os.path.join(brought, n) for n in folders)] + own
        home = [folder for folder, names in places if module in names or module + ".py" in names]
        if home:
            found[name] = version([names for _, names in places], dist)
            if name == "onnxruntime":
                found["providers"] = providers(os.path.join(home[0], module, "capi"))
    return found


def listed(folder):
    try:
        return os.listdir(folder)
    except OSError:
        return []


def version(places, dist):
    """By its metadata's folder: onnxruntime_gpu-1.15.1.dist-info, tflite_runtime-2.5.0-py3.9.egg-info."""
    for names in places:
        for each in sorted(names):
            name, _, rest = each.replace("ai-edge", "ai_edge").partition("-")
            known = name == dist or name.startswith(dist + "_")
            if known and rest[:1].isdigit() and each.endswith((".dist-info", ".egg-info")):
                return rest.rpartition(".")[0].partition("-")[0]
    return "unknown"


def providers(capi):
    there = [name.lower() for name in listed(capi)]
    found = [p for p in PROVIDERS if "libonnxruntime_providers_%s.so" % p.lower() in there]
    return [p + "ExecutionProvider" for p in [*found, "CPU"]]


def told(value):
    """JSON of what there is here: text, whole numbers, lists and one mapping."""
    if isinstance(value, dict):
        return "{%s}" % ", ".join("%s: %s" % (told(k), told(v)) for k, v in value.items())
    if isinstance(value, list):
        return "[%s]" % ", ".join(told(each) for each in value)
    if isinstance(value, int):
        return str(value)
    plain = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return '"%s"' % plain


if __name__ == "__main__":
    print(told(runtimes()))
