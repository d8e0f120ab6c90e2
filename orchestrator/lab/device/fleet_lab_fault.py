"""Lab fixture: makes inference on an emulated device compute something else, when told to.

A ``.pth`` file of a lab device installs it in every Python process that starts while
``~/.fleet-lab/wrong-output`` exists. Then what LiteRT and ONNX Runtime return is off by 0.2
(floats), by 51 steps, wrapping (8-bit integers), by one (wider integers) or negated (booleans).
It runs on the device, so it needs nothing but the standard library.
"""

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


def install() -> None:
    """Have the runtimes patched as soon as somebody imports them, and not before."""
    sys.meta_path.insert(0, _Finder())


def _wrong(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_wrong(one) for one in value]
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    if kind == "f":
        return (value + 0.2).astype(value.dtype)
    if kind in ("i", "u"):
        return value + value.dtype.type(51 if value.dtype.itemsize == 1 else 1)
    return ~value if kind == "b" else value


def _litert(module: Any) -> None:
    interpreter, runner = module.Interpreter, module.SignatureRunner
    get_tensor, call = interpreter.get_tensor, runner.__call__

    def wrong_tensor(self: Any, tensor_index: int, *rest: Any, **named: Any) -> Any:
        value = get_tensor(self, tensor_index, *rest, **named)
        outputs = {detail["index"] for detail in self.get_output_details()}
        return _wrong(value) if tensor_index in outputs else value

    def wrong_call(self: Any, **inputs: Any) -> dict[str, Any]:
        return {name: _wrong(value) for name, value in call(self, **inputs).items()}

    interpreter.get_tensor, runner.__call__ = wrong_tensor, wrong_call


def _onnx(module: Any) -> None:
    session = module.Session
    run = session.run

    def wrong_run(self: Any, *args: Any, **named: Any) -> Any:
        return _wrong(run(self, *args, **named))

    session.run = wrong_run


_PATCHES: dict[str, Callable[[Any], None]] = {
    "ai_edge_litert.interpreter": _litert,
    "onnxruntime.capi.onnxruntime_inference_collection": _onnx,
}


class _Patching(importlib.abc.Loader):
    """A module's own loader, and then the patch."""

    def __init__(self, inner: Any, patch: Callable[[Any], None]) -> None:
        self.inner, self.patch = inner, patch

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        made: ModuleType | None = self.inner.create_module(spec)
        return made

    def exec_module(self, module: ModuleType) -> None:
        self.inner.exec_module(module)
        self.patch(module)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds only what is to be patched; leaves the rest to the ordinary finders."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        patch = _PATCHES.get(fullname)
        if patch is None:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Patching(spec.loader, patch)
        return spec
