"""OpenVINO's intermediate representation: a graph as XML, and its weights in a file beside it."""

import importlib
import sys
from pathlib import Path
from typing import Any

WEIGHTS = ".bin"
"""What the name of the second file ends in, beside that of the first."""


def openvino() -> Any:
    """The library, without its reports to its maker.

    It sends them on import where nobody has said no in a file of the home directory; where the
    package that sends them cannot be imported, it does without.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    return importlib.import_module("openvino")


def write(model: Path, out: Path, *, halved: bool) -> None:
    """Write an ONNX model as IR: the graph to `out`, its weights beside it.

    Args:
        halved: weights as float16, turned into float32 again when the model is loaded.
    """
    ov: Any = openvino()
    onnx: Any = importlib.import_module("onnx")
    graph = onnx.load(str(model)).graph
    fixed = {each.name for each in graph.initializer}
    network = ov.convert_model(str(model))
    _name(network.inputs, [each.name for each in graph.input if each.name not in fixed])
    _name(network.outputs, [each.name for each in graph.output])
    written = out.with_name("written.xml")
    ov.save_model(network, str(written), compress_to_fp16=halved)
    written.with_suffix(WEIGHTS).replace(out.with_suffix(WEIGHTS))
    written.replace(out)


def compiled(graph: Path, weights: Path | None) -> Any:
    """An IR made ready for one CPU thread, computing in the precision it is written in.

    Without that wish some processors would compute float32 in half of its digits.
    """
    ov: Any = openvino()
    data = weights.read_bytes() if weights is not None else b""
    core = ov.Core()
    return core.compile_model(core.read_model(graph.read_bytes(), data), "CPU", OPTIONS)


OPTIONS = {
    "INFERENCE_PRECISION_HINT": "f32",
    "INFERENCE_NUM_THREADS": 1,
    "NUM_STREAMS": 1,
    "ENABLE_CPU_PINNING": False,
}
"""How a model is run here and in the device's smoke test."""


def _name(ports: Any, names: list[str]) -> None:
    """Give each port one name: that of the ONNX model, whatever else it came to be called."""
    for port, name in zip(ports, names, strict=True):
        port.get_tensor().set_names({name})
