"""The script that tells what can run models on a device, without importing any of it."""

import importlib.util
import json
import subprocess
import sys

import pytest
from examples import CHECKOUT

FILE = CHECKOUT / "templates" / "device" / "runtimes.py"
spec = importlib.util.spec_from_file_location("runtimes", FILE)
runtimes = importlib.util.module_from_spec(spec)
spec.loader.exec_module(runtimes)


def ran():
    done = subprocess.run([sys.executable, FILE], capture_output=True, timeout=60, check=True)
    return json.loads(done.stdout)


def test_a_device_tells_its_python_and_its_runtimes_without_importing_them():
    found = ran()

    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["bits"] in (32, 64)
    assert set(found) <= {"python", "bits", "providers", *runtimes.PACKAGES}


def test_what_it_tells_is_what_importing_would_have_told():
    if importlib.util.find_spec("onnxruntime") is None:
        pytest.skip("NO ONNX RUNTIME HERE: pip install '.[build]'")
    asks = "import json, onnxruntime as o; print(json.dumps([o.__version__, o.get_available_providers()]))"

    found = ran()

    version, providers = json.loads(subprocess.check_output([sys.executable, "-c", asks]))
    assert found["onnxruntime"] == version
    assert set(found["providers"]) <= set(providers)


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        (["tflite_runtime/", "tflite_runtime-2.14.0.dist-info/"], {"tflite-runtime": "2.14.0"}),
        # Debian's python3-tflite-runtime of google-coral
        (
            ["tflite_runtime/", "tflite_runtime-2.5.0.post1-py3.9.egg-info/"],
            {"tflite-runtime": "2.5.0.post1"},
        ),
        (["ai_edge_litert/", "ai_edge_litert-1.2.0.dist-info/"], {"litert": "1.2.0"}),
        (["tensorflow/", "tensorflow_aarch64-2.15.0.dist-info/"], {"tensorflow": "2.15.0"}),
        (["onnxruntime/"], {"onnxruntime": "unknown", "providers": ["CPUExecutionProvider"]}),
        # microsoft/onnxruntime#6124: a wheel for JetPack
        (
            [
                "onnxruntime/capi/libonnxruntime_providers_cuda.so",
                "onnxruntime/capi/libonnxruntime_providers_shared.so",
                "onnxruntime/capi/libonnxruntime_providers_tensorrt.so",
                "onnxruntime_gpu-1.15.1.dist-info/",
            ],
            {
                "onnxruntime": "1.15.1",
                "providers": [
                    "TensorrtExecutionProvider",
                    "CUDAExecutionProvider",
                    "CPUExecutionProvider",
                ],
            },
        ),
        (["tflite_runtime-2.14.0.dist-info/"], {}),
    ],
)
def test_packages_are_told_by_their_folders(tmp_path, monkeypatch, entries, told):
    for entry in entries:
        place = tmp_path / entry
        (place if entry.endswith("/") else place.parent).mkdir(parents=True, exist_ok=True)
        if not entry.endswith("/"):
            place.touch()
    monkeypatch.setattr(sys, "path", [str(tmp_path), "/nonexistent"])

    found = runtimes.runtimes()

    assert {key: value for key, value in found.items() if key not in ("python", "bits")} == told


def test_whatever_a_version_holds_what_is_told_can_be_read():
    odd = {"python": 'a"b\\c\nd', "bits": 64, "providers": ["x", 'y"']}

    assert json.loads(runtimes.told(odd)) == odd


def test_nothing_slow_is_imported_for_it():
    """Each of these takes longer than all the rest on a small core."""
    asks = f"import sys; sys.argv = ['x']; exec(open({str(FILE)!r}).read()); print(*sys.modules)"

    loaded = subprocess.check_output([sys.executable, "-I", "-S", "-c", asks], text=True).split()

    assert {"json", "re", "subprocess", "importlib.metadata"}.isdisjoint(loaded)
