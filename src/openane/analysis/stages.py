"""A graph and a net seen alike: steps between named values, each of which can be computed, cut out and compiled."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace

import numpy as np

from openane.analysis.measure import half
from openane.compiler.eligibility import layers_of
from openane.graph import Graph, TensorType
from openane.net import Net
from openane.net.net import UnitParams

Values = dict[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class LevelStep:
    """One node of a graph or unit of a net.

    Attributes:
        index: position in its level.
        name, operation: of the node or unit; operation is its class.
        layers: the user's layers.
        reads, makes: values, constants included; empty names stand for optional inputs that are left out.
        settings: the attributes, for those who look for an epsilon.
    """

    index: int
    name: str
    operation: str
    layers: tuple[str, ...]
    reads: tuple[str, ...]
    makes: tuple[str, ...]
    settings: object


class Steps(ABC):
    """A level as a sequence of steps.

    Attributes:
        name: of the model.
        inputs: names.
        outputs: names of the values that the caller sees.
        steps: in execution order.
        constants: weights by name; empty for a net, whose units hold theirs.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    steps: tuple[LevelStep, ...]
    constants: Mapping[str, np.ndarray]

    @abstractmethod
    def compute(
        self, step: LevelStep, operands: Sequence[np.ndarray | None], *, halves: bool
    ) -> tuple[np.ndarray, ...]:
        """The results of a step; with `halves` the weights that it holds itself are rounded to fp16 first."""

    @abstractmethod
    def piece(self, steps: Sequence[LevelStep], outputs: Sequence[str]) -> Graph | Net:
        """A model of some steps alone; what they read from outside are its inputs."""

    @abstractmethod
    def shape(self, value: str) -> tuple[int, ...]:
        """The shape of a value."""

    def weights(self, step: LevelStep) -> dict[str, np.ndarray]:
        """The float constants of a step by name."""
        found = {name: self.constants[name] for name in step.reads if name in self.constants}
        return {name: array for name, array in found.items() if array.dtype.kind == "f"}

    def run(
        self, inputs: Mapping[str, np.ndarray], wide: frozenset[str] = frozenset(), *, halves: bool = False
    ) -> Values:
        """Every value of the level, by numpy.

        Args:
            inputs: float arrays are taken as float32.
            wide: names of steps that keep full precision even with `halves`.
            halves: round every weight and every result to fp16; the arithmetic stays float32.
        """
        values: Values = {name: _single(np.asarray(inputs[name])) for name in self.inputs}
        if halves:
            values = {name: half(array) for name, array in values.items()}
        self.run_steps(self.steps, values, wide, halves=halves)
        return values

    def run_steps(
        self, steps: Sequence[LevelStep], values: Values, wide: frozenset[str] = frozenset(), *, halves: bool = False
    ) -> None:
        """Adds the results of some steps to the values that they read."""
        with np.errstate(all="ignore"):
            for step in steps:
                narrow = halves and step.name not in wide
                operands = [self._operand(name, values, narrow) for name in step.reads]
                results = self.compute(step, operands, halves=narrow)
                for name, result in zip(step.makes, results, strict=True):
                    values[name] = half(result) if narrow else result

    def _operand(self, name: str, values: Values, narrow: bool) -> np.ndarray | None:
        if not name:
            return None
        if name in values:
            return values[name]
        constant = _single(np.asarray(self.constants[name]))
        return half(constant) if narrow else constant


class GraphSteps(Steps):
    """A graph's nodes as steps."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.name = graph.name
        self.inputs, self.outputs = tuple(graph.inputs), graph.outputs
        self.constants = graph.constants
        self.steps = tuple(
            LevelStep(i, node.name, node.operation.title, layers_of(node), node.inputs, node.outputs, node.operation)
            for i, node in enumerate(graph.nodes)
        )

    def compute(
        self, step: LevelStep, operands: Sequence[np.ndarray | None], *, halves: bool
    ) -> tuple[np.ndarray, ...]:
        return self.graph.nodes[step.index].operation.evaluate(operands)

    def shape(self, value: str) -> tuple[int, ...]:
        return self.graph.types[value].shape

    def piece(self, steps: Sequence[LevelStep], outputs: Sequence[str]) -> Graph:
        read = dict.fromkeys(name for step in steps for name in step.reads if name)
        made = {name for step in steps for name in step.makes}
        inputs = {name: self.graph.types[name] for name in read if name not in made and name not in self.constants}
        constants = {name: self.constants[name] for name in read if name in self.constants}
        nodes = tuple(self.graph.nodes[step.index] for step in steps)
        return Graph(self.graph.name, inputs, tuple(outputs), nodes, constants)


class NetSteps(Steps):
    """A net's units as steps; values are (N, D, C, H, W) arrays."""

    def __init__(self, net: Net) -> None:
        self.net = net
        self.name = net.name
        self.inputs, self.outputs = tuple(net.inputs), tuple(dict.fromkeys(net.outputs.values()))
        self.constants = {}
        self.steps = tuple(
            LevelStep(i, u.name, u.params.label, u.origin.layers or (u.name,), u.bottoms, (u.name,), u.params)
            for i, u in enumerate(net.units)
        )

    def compute(
        self, step: LevelStep, operands: Sequence[np.ndarray | None], *, halves: bool
    ) -> tuple[np.ndarray, ...]:
        params = self.net.units[step.index].params
        arrays = [array for array in operands if array is not None]
        return (_with_halves(params).evaluate(arrays) if halves else params.evaluate(arrays),)

    def run(
        self, inputs: Mapping[str, np.ndarray], wide: frozenset[str] = frozenset(), *, halves: bool = False
    ) -> Values:
        shaped = {name: np.asarray(inputs[name]).reshape(shape.ndchw) for name, shape in self.net.inputs.items()}
        return super().run(shaped, wide, halves=halves)

    def weights(self, step: LevelStep) -> dict[str, np.ndarray]:
        return {name: array for name, array in _arrays(step.settings) if array.dtype.kind == "f"}

    def shape(self, value: str) -> tuple[int, ...]:
        return self.net.shapes[value].ndchw

    def piece(self, steps: Sequence[LevelStep], outputs: Sequence[str]) -> Net:
        made = {name for step in steps for name in step.makes}
        read = dict.fromkeys(name for step in steps for name in step.reads if name not in made)
        shapes = self.net.shapes
        dtypes = {name: self.net.input_dtypes[name] for name in read if name in self.net.input_dtypes}
        units = tuple(self.net.units[step.index] for step in steps)
        shown = {f"{name}@piece" if name in read else name: name for name in outputs}
        return Net(self.net.name, {name: shapes[name] for name in read}, shown, units, dtypes)


def steps_of(level: Graph | Net) -> Steps:
    """The steps of a level."""
    return GraphSteps(level) if isinstance(level, Graph) else NetSteps(level)


def logical_inputs(level: Graph | Net) -> dict[str, TensorType]:
    """What a caller gives, by name: a net's bindings, else its NCHW (NDCHW with depth)."""
    if isinstance(level, Graph):
        return dict(level.inputs)
    found = {}
    for name, shape in level.inputs.items():
        if name in level.bindings:
            found[name] = TensorType(*level.bindings[name])
        else:
            n, d, c, h, w = shape.ndchw
            dtype = level.input_dtypes.get(name, TensorType(()).dtype)
            found[name] = TensorType((n, c, h, w) if d == 1 else shape.ndchw, dtype)
    return found


def _single(array: np.ndarray) -> np.ndarray:
    """Floats as float32, the precision of the reference; everything else as it is."""
    return array.astype(np.float32) if array.dtype.kind == "f" else array


def _arrays(params: object) -> list[tuple[str, np.ndarray]]:
    if not is_dataclass(params):
        return []
    found = [(field.name, getattr(params, field.name)) for field in fields(params)]
    return [(name, value) for name, value in found if isinstance(value, np.ndarray)]


def _with_halves(params: UnitParams) -> UnitParams:
    """A unit's parameters with every float array rounded to fp16."""
    changes = {name: half(array) for name, array in _arrays(params) if array.dtype.kind == "f"}
    return replace(params, **changes) if changes else params  # type: ignore[type-var]
