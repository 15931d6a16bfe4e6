"""Core ML pipelines: models in a row, joined by the names of their features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from openane.core.errors import InputError, ModelError, UnsupportedError
from openane.graph import Graph, Node, TensorType
from openane.graph.naming import Names
from openane.graph.ops import Cast, Reshape

_PIPELINES = {"pipeline": "", "pipelineClassifier": "pipeline", "pipelineRegressor": "pipeline"}


def parts_of(model: Any) -> list[Any] | None:
    """The models of a pipeline in order; None for another kind of model."""
    kind = model.WhichOneof("Type")
    if kind not in _PIPELINES:
        return None
    content = getattr(model, kind)
    return list((getattr(content, _PIPELINES[kind]) if _PIPELINES[kind] else content).models)


def select_part(parts: Sequence[Any], number: int, where: str) -> Any:
    """One model of a pipeline.

    Args:
        parts: the models.
        number: of the model, from 0 on.
        where: the file, for messages.

    Raises:
        InputError: there is no such model.
    """
    if not 0 <= number < len(parts):
        kinds = ", ".join(f"{i} {part.WhichOneof('Type')}" for i, part in enumerate(parts))
        raise InputError("the pipeline has no such model", where=where, value=number, limit=kinds)
    return parts[number]


def join(graphs: Sequence[Graph], outputs: Sequence[str], where: str) -> Graph:
    """One graph of several: an input that an earlier graph gives out is that value, any other is one of the whole.

    Args:
        graphs: in order.
        outputs: names that the whole gives out; those that no graph makes are left out.
        where: the file, for messages.

    Raises:
        ModelError: a value does not have the size that its reader needs, or nothing is given out.
        UnsupportedError: a part has state.
    """
    if any(graph.states for graph in graphs):
        raise UnsupportedError(
            "a pipeline with state is not supported", where=where, hint="Select one part: --model N."
        )
    names, node_names = Names(separator="_", first=2), Names(separator="_", first=2)
    inputs: dict[str, TensorType] = {}
    values: dict[str, tuple[str, TensorType]] = {}
    nodes: list[Node] = []
    constants: dict[str, Any] = {}
    labels: dict[str, tuple[str, ...]] = {}
    for index, graph in enumerate(graphs):
        renamed: dict[str, str] = {}
        for name, kind in graph.inputs.items():
            if name not in values:
                inputs[name] = kind
                values[name] = (names.unique(name), kind)
            renamed[name] = _fitted(values[name], kind, nodes, names, f"{where}: model {index}: input {name!r}")
        for name, array in graph.constants.items():
            renamed[name] = names.unique(name)
            constants[renamed[name]] = array
        for node in graph.nodes:
            for output in node.outputs:
                renamed[output] = names.unique(output)
            read, made = (tuple(renamed[each] if each else "" for each in vs) for vs in (node.inputs, node.outputs))
            nodes.append(replace(node, name=node_names.unique(node.name), inputs=read, outputs=made))
        values.update((name, (renamed[name], graph.types[name])) for name in graph.outputs)
        labels.update(graph.labels)
    given = [name for name in dict.fromkeys(outputs) if name in values and name not in inputs]
    if not given:
        given = list(graphs[-1].outputs)
    whole = Graph("pipeline", inputs, tuple(values[name][0] for name in given), tuple(nodes), constants)
    whole = replace(whole, compressed=any(graph.compressed for graph in graphs))
    return replace(_named(whole, given), labels={name: found for name, found in labels.items() if name in given})


def _fitted(value: tuple[str, TensorType], wanted: TensorType, nodes: list[Node], names: Names, where: str) -> str:
    """A value with the shape and type that a reader declares."""
    name, found = value
    if found.size != wanted.size:
        raise ModelError("a value of the pipeline does not fit its reader", where=where, value=found, limit=wanted)
    if found.shape != wanted.shape:
        result = names.unique(f"{name}_shaped")
        nodes.append(Node(result, Reshape(wanted.shape), (name,), (result,)))
        name = result
    if found.dtype != wanted.dtype:
        result = names.unique(f"{name}_cast")
        nodes.append(Node(result, Cast(wanted.dtype), (name,), (result,)))
        name = result
    return name


def _named(graph: Graph, wanted: Sequence[str]) -> Graph:
    """The graph with its outputs under their names in the file."""
    swap: Mapping[str, str] = {}
    for value, name in zip(graph.outputs, wanted, strict=True):
        if value != name:
            swap = {**swap, value: name, name: value}
    nodes = tuple(
        replace(
            node,
            inputs=tuple(swap.get(each, each) for each in node.inputs),
            outputs=tuple(swap.get(each, each) for each in node.outputs),
        )
        for node in graph.nodes
    )
    constants = {swap.get(name, name): array for name, array in graph.constants.items()}
    return replace(graph, outputs=tuple(wanted), nodes=nodes, constants=constants)
