"""``.tflite`` sources: run as they are, or with every dimension fixed to what the data has."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.build.failures import BadSource
from orchestrator.build.provenance import is_tflite
from orchestrator.build.runtimes import Arrays, TfliteSession
from orchestrator.build.tensors import Tensor


@dataclass(slots=True)
class TfliteSource:
    """A model file; `inputs` and `outputs` are real numbers where integers stand for them."""

    file: Path
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    session: TfliteSession

    def predict(self, feed: Arrays) -> Arrays:
        """The source's own outputs for one sample, in real numbers."""
        given = {
            each.tensor.name: each.native(feed[each.tensor.name]) for each in self.session.inputs
        }
        results = self.session.run(given)[0]
        return {
            each.tensor.name: each.real(results[each.tensor.name]) for each in self.session.outputs
        }

    def afresh(self) -> None:
        """Forget what earlier samples left behind."""
        self.session = TfliteSession(self.file)


def load_tflite(source: Path, shown: str) -> TfliteSource:
    """Load a file into LiteRT.

    Raises:
        BadSource: it is none, or holds what LiteRT cannot run.
    """
    if not is_tflite(source.read_bytes()):
        raise BadSource(
            "not a .tflite file: it lacks the mark TFL3",
            file=shown,
            hint="convert it again; a truncated copy or a page of HTML looks like this too",
        )
    try:
        session = TfliteSession(source)
    except (ValueError, RuntimeError, TypeError) as error:
        said = " ".join(str(error).split())
        raise BadSource(
            f"LiteRT cannot run it: {said[:300]}",
            file=shown,
            hint="only operations built into LiteRT are supported, none of TensorFlow's own",
        ) from error
    return TfliteSource(
        source,
        tuple(each.sampled for each in session.inputs),
        tuple(each.sampled for each in session.outputs),
        session,
    )


def fixed(source: TfliteSource, inputs: tuple[Tensor, ...]) -> bytes:
    """The file with the shapes of its inputs as given and no dimension open.

    Shapes of tensors inside are what the converter wrote down; a runtime computes them anew.
    """
    tools: Any = importlib.import_module("ai_edge_litert.tools.flatbuffer_utils")
    model = tools.read_model(str(source.file))
    shapes = {source.session.index(each.name): each.shape for each in inputs}
    for number, graph in enumerate(model.subgraphs):
        for index, tensor in enumerate(graph.tensors):
            tensor.shapeSignature = None
            if number == 0 and index in shapes:
                tensor.shape = list(shapes[index])
    return bytes(tools.convert_object_to_bytearray(model))


def renamed(file: Path, names: Mapping[str, str]) -> None:
    """Give the inputs and outputs of a file other names, in its place."""
    tools: Any = importlib.import_module("ai_edge_litert.tools.flatbuffer_utils")
    model = tools.read_model(str(file))
    entries = [tensor for graph in model.subgraphs for tensor in graph.tensors]
    for signature in model.signatureDefs or []:
        entries += [*signature.inputs, *signature.outputs]
    for each in entries:
        name = (each.name or b"").decode()
        each.name = names.get(name, name).encode()
    file.write_bytes(tools.convert_object_to_bytearray(model))
