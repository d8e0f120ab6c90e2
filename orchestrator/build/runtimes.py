"""The runtimes behind one small edge: load a model, run one sample, one thread, batch 1."""

import importlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from orchestrator.build import openvino_ir
from orchestrator.build.tensors import Tensor
from orchestrator.catalog.variant import Format

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Scaled:
    """A tensor as the runtime has it: integers with a scale stand for real numbers."""

    tensor: Tensor
    scale: float = 0.0
    zero: int = 0

    @property
    def quantized(self) -> bool:
        """Whether integers stand for real numbers."""
        return self.scale > 0 and self.tensor.dtype in ("int8", "uint8", "int16")

    @property
    def sampled(self) -> Tensor:
        """What data files hold for it: real numbers where integers stand for them."""
        if not self.quantized:
            return self.tensor
        return self.tensor.model_copy(update={"dtype": "float32"})

    def native(self, real: NDArray[Any]) -> NDArray[Any]:
        """Real numbers → what the runtime takes: ``clip(rint(x / scale) + zero)`` if quantized."""
        if not self.quantized:
            return real.astype(self.tensor.dtype, copy=False)
        limits = np.iinfo(self.tensor.dtype)
        steps = np.rint(real / self.scale) + self.zero
        clipped: NDArray[Any] = np.clip(steps, limits.min, limits.max)
        return clipped.astype(self.tensor.dtype)

    def real(self, native: NDArray[Any]) -> NDArray[Any]:
        """What the runtime gives → real numbers: ``(q - zero) * scale`` if quantized."""
        if not self.quantized:
            return native
        return (native.astype(np.float32) - self.zero) * np.float32(self.scale)


class Session(Protocol):
    """One model loaded into a runtime."""

    inputs: tuple[Scaled, ...]
    outputs: tuple[Scaled, ...]

    def run(self, feed: Arrays) -> tuple[Arrays, float]:
        """One inference on native arrays: outputs by name, and milliseconds of thread CPU time."""
        ...


def opened(model: Path, form: Format, weights: Path | None = None) -> Session:
    """Load a model file, and its weights where they lie apart; raises what the runtime raises."""
    match form:
        case Format.TFLITE:
            return TfliteSession(model)
        case Format.ONNX:
            return OnnxSession(model)
        case Format.ORT:
            return OnnxSession(model, ort_format=True)
        case Format.OPENVINO:
            return OpenvinoSession(model, weights)
        case Format.EDGETPU | Format.TENSORRT:
            raise ValueError(f"{form} runs on its own hardware alone")


class TfliteSession:
    """LiteRT. Names are those of the file's only signature, else the tensors' own."""

    def __init__(self, model: Path) -> None:
        litert: Any = importlib.import_module("ai_edge_litert.interpreter")
        self._interpreter: Any = litert.Interpreter(model_path=str(model), num_threads=1)
        self._interpreter.allocate_tensors()
        signatures = self._interpreter.get_signature_list()
        if len(signatures) == 1:
            runner = self._interpreter.get_signature_runner(next(iter(signatures)))
            ins, outs = runner.get_input_details(), runner.get_output_details()
        else:
            ins = {d["name"]: d for d in self._interpreter.get_input_details()}
            outs = {d["name"]: d for d in self._interpreter.get_output_details()}
        self._in = {name: int(detail["index"]) for name, detail in ins.items()}
        self._out = {name: int(detail["index"]) for name, detail in outs.items()}
        self.inputs = tuple(_scaled(name, detail) for name, detail in ins.items())
        self.outputs = tuple(_scaled(name, detail) for name, detail in outs.items())

    def index(self, name: str) -> int:
        """The place of an input among the file's tensors."""
        return self._in[name]

    def run(self, feed: Arrays) -> tuple[Arrays, float]:
        """See `Session`."""
        for name, index in self._in.items():
            self._interpreter.set_tensor(index, feed[name])
        began = time.thread_time_ns()
        self._interpreter.invoke()
        took_ms = (time.thread_time_ns() - began) / 1e6
        return {name: self._interpreter.get_tensor(i) for name, i in self._out.items()}, took_ms


EXACT = "session.x64quantprecision"
"""Sums of int8 products that are not clipped where a processor lacks VNNI."""

SHARED = "Attempt to replace the existing tensor"
"""What ONNX Runtime 1.32 says with `EXACT` where operations share weights: open it without."""


class OnnxSession:
    """ONNX Runtime on the CPU, with integer products as exact as elsewhere.

    Processors with AVX2 and without VNNI would clip sums of int8 products: 0.920 of samples right
    against 0.960 on any other, so that what one machine measured would not hold on the next.
    """

    def __init__(self, model: Path | bytes, *, ort_format: bool = False) -> None:
        ort: Any = importlib.import_module("onnxruntime")
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry(EXACT, "1")
        if ort_format:
            options.add_session_config_entry("session.load_model_format", "ORT")
        given = model if isinstance(model, bytes) else str(model)
        cpu = ["CPUExecutionProvider"]
        try:
            self._session: Any = ort.InferenceSession(given, options, providers=cpu)
        except Exception as error:  # ONNX Runtime's exceptions have no common base of their own
            if SHARED not in str(error):
                raise
            options.add_session_config_entry(EXACT, "0")
            self._session = ort.InferenceSession(given, options, providers=cpu)
        self.inputs = tuple(Scaled(_onnx_tensor(each)) for each in self._session.get_inputs())
        self.outputs = tuple(Scaled(_onnx_tensor(each)) for each in self._session.get_outputs())
        self._names = [each.tensor.name for each in self.outputs]

    def run(self, feed: Arrays) -> tuple[Arrays, float]:
        """See `Session`."""
        began = time.thread_time_ns()
        results = self._session.run(self._names, feed)
        took_ms = (time.thread_time_ns() - began) / 1e6
        return dict(zip(self._names, results, strict=True)), took_ms


class OpenvinoSession:
    """OpenVINO on the CPU."""

    def __init__(self, graph: Path, weights: Path | None) -> None:
        model = openvino_ir.compiled(graph, weights)
        self.inputs = tuple(Scaled(_openvino_tensor(port)) for port in model.inputs)
        self.outputs = tuple(Scaled(_openvino_tensor(port)) for port in model.outputs)
        self._names = [each.tensor.name for each in self.outputs]
        self._request: Any = model.create_infer_request()

    def run(self, feed: Arrays) -> tuple[Arrays, float]:
        """See `Session`."""
        began = time.thread_time_ns()
        self._request.infer(feed)
        took_ms = (time.thread_time_ns() - began) / 1e6
        results = (self._request.get_output_tensor(i).data for i in range(len(self._names)))
        return {n: each.copy() for n, each in zip(self._names, results, strict=True)}, took_ms


def _openvino_tensor(port: Any) -> Tensor:
    shape = tuple(None if size.is_dynamic else size.get_length() for size in port.partial_shape)
    dtype = port.get_element_type().to_dtype().name
    return Tensor(name=port.get_any_name(), shape=shape, dtype=dtype)


def _scaled(name: str, detail: Any) -> Scaled:
    signature = detail.get("shape_signature", detail["shape"])
    shape = tuple(None if int(size) < 0 else int(size) for size in signature)
    scale, zero = detail["quantization"]
    dtype = np.dtype(detail["dtype"]).name
    return Scaled(Tensor(name=name, shape=shape, dtype=dtype), float(scale), int(zero))


ONNX_TYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(bool)": "bool",
    **{f"tensor({name})": name for name in ("int8", "int16", "int32", "int64")},
    **{f"tensor({name})": name for name in ("uint8", "uint16", "uint32", "uint64")},
}
"""ONNX Runtime's names of element types that have a NumPy counterpart."""


def _onnx_tensor(detail: Any) -> Tensor:
    dtype = ONNX_TYPES.get(detail.type)
    if dtype is None:
        raise TypeError(f"{detail.name!r} is {detail.type}; only tensors of numbers are supported")
    shape = tuple(size if isinstance(size, int) else None for size in detail.shape)
    return Tensor(name=detail.name, shape=shape, dtype=dtype)
