"""Maps tasks to layers: which tasks compute a layer, and the layer's values as those tasks stored them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from openane.analysis.isolated_run import TaskResult, WholeRun
from openane.analysis.layers import Group, group_steps
from openane.analysis.stages import GraphSteps, NetSteps, Steps
from openane.artifact.plan import Artifact, EngineStep, HostStep
from openane.core.errors import InputError
from openane.net import Net


@dataclass(frozen=True, eq=False)
class LayerMap:
    """The layers of a compiled model and where they are computed.

    Attributes:
        level: the reference: the graph, or the net when the model came from one.
        hosted: names of the steps that the host runs.
        tasks: what every task computes, over all programs of the plan: names of nodes where the tasks hold them
            (`by_node`), else the user's layers.
        by_node: see `tasks`.
        nets: the units of every program, by number of the plan's step.
        groups: what is compared as one layer, in execution order.
    """

    level: Steps
    hosted: frozenset[str]
    tasks: tuple[tuple[str, ...], ...]
    by_node: bool
    nets: Mapping[int, Net]
    groups: tuple[Group, ...]

    def labels(self, group: Group) -> set[str]:
        """What the tasks of a layer are labeled with."""
        return {step.name for step in group.steps} if self.by_node else set(group.layers)

    def tasks_of(self, group: Group) -> tuple[int, ...]:
        """The numbers of the tasks that have a part in a layer."""
        own = self.labels(group)
        if any(step.name in self.hosted for step in group.steps):
            return ()
        return tuple(number for number, labels in enumerate(self.tasks) if own & set(labels))

    def values(self, whole: WholeRun, group: Group) -> dict[str, np.ndarray] | None:
        """What a layer made in a run, in the reference's shapes; None where the run does not tell all of it."""
        found = {}
        for name in group.makes:
            array = whole.values[name] if name in whole.values else self.stored(whole, group, name)
            if array is None:
                return None
            found[name] = array.reshape(self.level.shape(name))
        return found

    def stored(self, whole: WholeRun, group: Group, name: str) -> np.ndarray | None:
        """What the layer's last task stored, when it is the whole value and nothing else has a part in it."""
        own = self.labels(group)
        for result in reversed(whole.results):
            net, labels = self.nets.get(result.step), set(self.tasks[result.task])
            if net is None or not own & labels:
                continue
            if not own >= labels or not _fits(result, net, name):
                return None
            return result.values.astype(np.float32).reshape(self.level.shape(name))
        return None


def map_layers(artifact: Artifact) -> LayerMap:
    """The layers of a compiled model.

    Raises:
        InputError: it is a program from a file, which has none.
    """
    level = level_of(artifact)
    host = [step.graph for step in artifact.plan.steps if isinstance(step, HostStep)]
    hosted = frozenset(node.name for graph in host for node in graph.nodes)
    engine = [(number, step) for number, step in enumerate(artifact.plan.steps) if isinstance(step, EngineStep)]
    origins = [task.origin for _, step in engine for task in step.program.tasks]
    names = {step.name for step in level.steps}
    by_node = any(origin.nodes for origin in origins) and all(names.issuperset(origin.nodes) for origin in origins)
    tasks = tuple(origin.nodes if by_node else origin.layers for origin in origins)
    nets = {number: step.net for number, step in engine if step.net is not None}
    return LayerMap(level, hosted, tasks, by_node, nets, group_steps(level, tasks, hosted, by_node=by_node))


def level_of(artifact: Artifact) -> Steps:
    """The reference of a compiled model: its graph, or its net when it came from one.

    Raises:
        InputError: it is a program from a file.
    """
    if artifact.graph is not None:
        return GraphSteps(artifact.graph)
    net = artifact.net
    if net is None:
        raise InputError(
            "a compiled program has no layers to compare with",
            where=artifact.plan.name,
            hint="Give the model it was made from, or another program, by --with.",
        )
    return NetSteps(net)


def _fits(result: TaskResult, net: Net, name: str) -> bool:
    shape = net.shapes.get(name)
    return shape is not None and shape.batch == 1 and shape.ndchw[1:] == result.values.shape
