"""One byte string per ONNX graph: exporters count their tensors, so equal models differ in names.

Tensors and nodes are renamed by a walk from the outputs to the inputs; what the outside knows
(inputs, outputs) keeps its name, and so does everything a subgraph may refer to.
"""

import importlib
from collections.abc import Iterator
from typing import Any


def canonical_bytes(model: Any) -> bytes:
    """An ONNX ``ModelProto`` as bytes that do not depend on how it was made; it is changed.

    Where the graph cannot be walked (a value made twice, say) it is only written in a fixed
    order, names untouched.
    """
    graph = model.graph
    _forget(model)
    renaming = _renaming(graph)
    if renaming is not None:
        order, names = renaming
        _rename(graph, order, names)
    for values in (graph.initializer, graph.value_info):
        _replace(values, sorted(_copies(values), key=lambda each: str(each.name)))
    _replace(model.metadata_props, sorted(_copies(model.metadata_props), key=lambda p: str(p.key)))
    _replace(model.opset_import, sorted(_copies(model.opset_import), key=lambda o: str(o.domain)))
    return bytes(model.SerializeToString(deterministic=True))


def rename_outputs(model: Any, names: list[str]) -> None:
    """Give the graph's outputs other names, in order; a name in use inside is moved aside."""
    graph = model.graph
    wanted = {out.name: name for out, name in zip(graph.output, names, strict=True)}
    wanted = {old: new for old, new in wanted.items() if old != new}
    taken = set(wanted.values())
    aside = {
        name: f"{name}__inner"
        for node in nodes(graph)
        for name in (*node.input, *node.output)
        if name in taken and name not in wanted
    }
    known = {each.name for each in graph.input}
    moved = {**{old: new for old, new in aside.items() if old not in known}, **wanted}
    if any(name in known for name in taken):
        raise ValueError(f"an output and an input would both be called {taken & known}")
    for node in nodes(graph):
        for places in (node.input, node.output):
            for index, name in enumerate(places):
                places[index] = moved.get(name, name)
    for each in (*graph.output, *graph.value_info, *graph.initializer):
        each.name = moved.get(each.name, each.name)


def _forget(model: Any) -> None:
    model.doc_string = model.graph.doc_string = ""
    model.graph.name = "model"
    for each in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        each.doc_string = ""
    for node in nodes(model.graph):
        node.doc_string = ""
        _replace(node.attribute, sorted(_copies(node.attribute), key=lambda a: str(a.name)))


def _renaming(graph: Any) -> tuple[list[Any], dict[str, str]] | None:
    """The nodes in canonical order with new names for values, or None where there is none."""
    if graph.sparse_initializer or graph.quantization_annotation:
        return None
    producer: dict[str, int] = {}
    for index, node in enumerate(graph.node):
        for name in node.output:
            if name in producer:
                return None
            if name:
                producer[name] = index
    order = _walk(graph, producer)
    nodes = [graph.node[index] for index in order]
    fixed = {each.name for each in (*graph.input, *graph.output)} | _inner_names(graph) | {""}
    names = {name: name for name in fixed}
    constants = {each.name for each in graph.initializer}
    fresh = _fresh(fixed | {name for name in producer if name in fixed})
    for node in nodes:
        for name in node.input:
            if name in constants and name not in names:
                names[name] = next(fresh)
        for name in node.output:
            if name not in names:
                names[name] = next(fresh)
    return nodes, names


def _walk(graph: Any, producer: dict[str, int]) -> list[int]:
    """Node indices in dependency order, depth first from the outputs, without recursion.

    Nodes nothing depends on are left out: no runtime computes them.
    """
    order: list[int] = []
    seen: set[int] = set()
    for output in graph.output:
        start = producer.get(output.name)
        stack = [] if start is None or start in seen else [start]
        while stack:
            top = stack[-1]
            seen.add(top)
            before = (producer[name] for name in _reads(graph.node[top]) if name in producer)
            following = next((index for index in before if index not in seen), None)
            if following is not None:
                stack.append(following)
                continue
            stack.pop()
            order.append(top)
    return order


def _reads(node: Any) -> Iterator[str]:
    """Every name a node depends on, those of its subgraphs included."""
    yield from node.input
    for graph in _subgraphs(node):
        for inner in graph.node:
            yield from _reads(inner)
        for output in graph.output:
            yield output.name


def _rename(graph: Any, order: list[Any], names: dict[str, str]) -> None:
    nodes = _copies(order)
    for count, node in enumerate(nodes):
        node.name = f"{node.op_type}_{count}"
        for places in (node.input, node.output):
            for index, name in enumerate(places):
                places[index] = names.get(name, name)
    _replace(graph.node, nodes)
    for values in (graph.initializer, graph.value_info):
        kept = [each for each in _copies(values) if each.name in names]
        for each in kept:
            each.name = names[each.name]
        _replace(values, kept)


def nodes(graph: Any) -> Iterator[Any]:
    """All nodes, those of subgraphs included."""
    for node in graph.node:
        yield node
        for inner in _subgraphs(node):
            yield from nodes(inner)


def _subgraphs(node: Any) -> Iterator[Any]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _inner_names(graph: Any) -> set[str]:
    """Names used inside subgraphs: they may stand for values of the graph around them."""
    return {
        name
        for node in graph.node
        for inner in _subgraphs(node)
        for name in (
            *(each for deep in nodes(inner) for each in (*deep.input, *deep.output)),
            *(output.name for output in inner.output),
        )
    }


def _fresh(taken: set[str]) -> Iterator[str]:
    count = 0
    while True:
        if (name := f"v{count}") not in taken:
            yield name
        count += 1


def _copies(messages: Any) -> list[Any]:
    return [_copy(each) for each in messages]


def _copy(message: Any) -> Any:
    twin = type(message)()
    twin.CopyFrom(message)
    return twin


def _replace(field: Any, messages: list[Any]) -> None:
    del field[:]
    field.extend(messages)


def parsed(data: bytes) -> Any:
    """Bytes → ``ModelProto``; raises what protobuf raises."""
    onnx: Any = importlib.import_module("onnx")
    return onnx.load_model_from_string(data)
