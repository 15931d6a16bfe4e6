"""Which of the user's layers run where, and why: the same decisions that the compiler takes, told layer by layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from openane.compiler.plan import Artifact, EngineStep, HostStep
from openane.core.errors import Diagnostic
from openane.graph import Graph, Node
from openane.graph.ops import Conv, ConvTranspose, MatMul
from openane.targets import attach


class Where(Enum):
    """Who runs a layer."""

    NE = "NE"
    PE = "PE"
    BOTH = "NE + PE"
    FOLDED = "folded"
    HOST = "host"


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of the user's model.

    Attributes:
        name: as in the file.
        operation: what it is.
        where: who runs it; folded into others or into constants when nothing of it is left.
        tasks: numbers of the task descriptors it has a part in, over all programs of the plan.
        macs: multiply-adds of convolutions and matrix products.
        reason: for a host layer: rule, limit, value and hint.
    """

    name: str
    operation: str
    where: Where
    tasks: tuple[int, ...]
    macs: int
    reason: Diagnostic | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answer to "does my layer run on the Neural Engine, and if not, why?".

    Attributes:
        model: name of the model.
        target: chip generation.
        layers: in the order of the model.
        programs: number of engine programs.
        crossings: how often values move between engine and host.
    """

    model: str
    target: str
    layers: tuple[Layer, ...]
    programs: int
    crossings: int
    macs_by_place: Mapping[str, int] = field(default_factory=dict)

    @property
    def engine_share(self) -> float:
        """Share of the multiply-adds on the engine, 0 to 1; of the layers that are left where there are none."""
        total = sum(layer.macs for layer in self.layers)
        if total:
            return sum(layer.macs for layer in self.layers if layer.where is not Where.HOST) / total
        left = [layer for layer in self.layers if layer.where is not Where.FOLDED]
        return sum(layer.where is not Where.HOST for layer in left) / len(left) if left else 1.0


def explain(artifact: Artifact, source: Graph) -> Explanation:
    """Tells where each layer of a compiled model runs.

    Args:
        artifact: the compiled model.
        source: the model as it was read, before any pass.
    """
    engines: dict[str, set[str]] = {}
    tasks: dict[str, list[int]] = {}
    hosts: dict[str, Diagnostic | None] = {}
    number = 0
    for step in artifact.plan.steps:
        if isinstance(step, HostStep):
            for node in step.graph.nodes:
                for layer in names_of(node):
                    hosts.setdefault(layer, step.reasons.get(node.name))
            continue
        codec = attach(step.program).codec
        assert codec is not None
        for task in step.program.tasks:
            engine = codec.summarize(task).engine
            for layer in task.origin.layers:
                engines.setdefault(layer, set()).add(engine)
                tasks.setdefault(layer, []).append(number)
            number += 1
    layers = tuple(_layer(node, source, engines, tasks, hosts) for node in source.nodes)
    programs = sum(isinstance(step, EngineStep) for step in artifact.plan.steps)
    return Explanation(artifact.plan.name, artifact.target, layers, programs, max(0, len(artifact.plan.steps) - 1))


def names_of(node: Node) -> tuple[str, ...]:
    """The user's layers of a node; its own name when it carries none."""
    return node.origin.layers or (node.name,)


def _layer(
    node: Node,
    source: Graph,
    engines: Mapping[str, set[str]],
    tasks: Mapping[str, list[int]],
    hosts: Mapping[str, Diagnostic | None],
) -> Layer:
    used = set().union(*(engines.get(name, set()) for name in names_of(node)))
    numbers = tuple(dict.fromkeys(number for name in names_of(node) for number in tasks.get(name, ())))
    reason = None
    if used:
        where = Where.BOTH if len(used) > 1 else Where(next(iter(used)))
    elif any(name in hosts for name in names_of(node)):
        where = Where.HOST
        reason = next((hosts[name] for name in names_of(node) if name in hosts), None)
    else:
        where = Where.FOLDED
    return Layer(names_of(node)[-1], type(node.operation).__name__, where, numbers, macs(node, source), reason)


def macs(node: Node, graph: Graph) -> int:
    """Multiply-adds of a node: convolutions, transposed convolutions and matrix products; 0 for all others."""
    types = graph.types
    operation = node.operation
    if isinstance(operation, (Conv, ConvTranspose)):
        weight = types[node.inputs[1]]
        image = types[node.outputs[0]] if isinstance(operation, Conv) else types[node.inputs[0]]
        pixels = image.size // image.shape[1]
        return pixels * weight.size
    if isinstance(operation, MatMul):
        left = types[node.inputs[0]].shape
        depth = left[-2] if operation.transpose_a and len(left) > 1 else left[-1]
        return types[node.outputs[0]].size * depth
    return 0
