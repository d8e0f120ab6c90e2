"""Golden cases of a TFLite file under the names that its compiled file has for the same tensors."""

import io
from importlib import import_module
from typing import Any

from orchestrator.artifact.golden import GoldenSet
from orchestrator.build.store import Store

Names = tuple[str, ...]


def ports(data: bytes) -> tuple[Names, Names]:
    """The names of inputs and of outputs, in the order of the graph.

    They are those of the file's only signature, else the tensors' own: what runtimes go by, too.
    """
    schema: Any = import_module("ai_edge_litert.schema_py_generated")
    model = schema.Model.GetRootAs(data, 0)
    graph = model.Subgraphs(0)
    signature = model.SignatureDefs(0) if model.SignatureDefsLength() == 1 else None
    ins = {graph.Inputs(i): "" for i in range(graph.InputsLength())}
    outs = {graph.Outputs(i): "" for i in range(graph.OutputsLength())}
    for names in (ins, outs):
        names.update({index: graph.Tensors(index).Name().decode() for index in names})
    if signature is not None:
        for each in (signature.Inputs(i) for i in range(signature.InputsLength())):
            ins[each.TensorIndex()] = each.Name().decode()
        for each in (signature.Outputs(i) for i in range(signature.OutputsLength())):
            outs[each.TensorIndex()] = each.Name().decode()
    return tuple(ins.values()), tuple(outs.values())


def renamed(store: Store, golden: GoldenSet, made_of: str, compiled: str) -> GoldenSet:
    """The same cases for a compiled file; a compiler may drop the signature that names its ports.

    Args:
        made_of, compiled: digests of the file before and after.
    """
    import numpy as np

    before, after = (ports(store.read(digest)) for digest in (made_of, compiled))
    if before == after:
        return golden
    ins, outs = (dict(zip(*pair, strict=True)) for pair in zip(before, after, strict=True))
    names = {f"in_{old}": f"in_{new}" for old, new in ins.items()}
    names |= {f"out_{old}": f"out_{new}" for old, new in outs.items()}
    with np.load(io.BytesIO(store.read(golden.sha256)), allow_pickle=False) as file:
        arrays = {names.get(name, name): file[name] for name in file.files}
    data = io.BytesIO()
    np.savez_compressed(data, **dict(sorted(arrays.items())))
    tolerances = tuple(t.model_copy(update={"output": outs[t.output]}) for t in golden.tolerances)
    update = {
        "sha256": store.add(data.getvalue()),
        "size_bytes": len(data.getvalue()),
        "tolerances": tolerances,
    }
    return golden.model_copy(update=update)
