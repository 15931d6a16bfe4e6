"""The net under construction: values, units, and the few moves that every lowering is made of."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from openane.artifact.options import Functions
from openane.backend.machine import MachineSpec
from openane.compiler.lowering.layout import Layout, Preferences, canonical, engine_shape
from openane.compiler.lowering.operand_rules import finite_factor, known_weights, not_empty
from openane.compiler.passes.long_axes import with_long_axis_split
from openane.core.errors import UnsupportedError, require
from openane.core.origin import Origin
from openane.core.types import DType
from openane.graph import Graph, Node, Operation, TensorType
from openane.net import BroadcastParams, ConstantParams, Dimension, Net, ReshapeParams, TensorShape, Unit, UnitParams
from openane.numerics.fp16 import saturated
from openane.targets import get
from openane.targets.registry import DEFAULT_TARGET

#: A unit or input of the net under construction.
Handle = int


@dataclass(frozen=True, slots=True)
class LoweringOptions:
    """Choices of the lowering.

    Attributes:
        rows: lay matrices and vectors as rows on Width, as Core ML's MIL programs are compiled, never as channels.
        machine: the generation that is compiled for; its largest kernel, padding, pooling stride and image decide
            what is one unit and what several.
        functions: the form of functions of one element; one unit each here, the driver asks for accurate ones.
    """

    rows: bool = False
    machine: MachineSpec = field(default_factory=lambda: get(DEFAULT_TARGET).spec)
    functions: Functions = Functions.APPLE


@dataclass(slots=True)
class _Record:
    """One unit or input: `params` is None for an input."""

    params: UnitParams | None
    bottoms: tuple[Handle, ...]
    shape: TensorShape
    base: str
    origin: Origin
    name: str = ""


@dataclass(frozen=True, slots=True)
class LoweredValue:
    """Where a value of the graph is.

    Attributes:
        handle: the unit that holds its elements in row-major order.
        layout: of the axes on that unit; None when the unit's shape only happens to hold the same elements.
    """

    handle: Handle
    layout: Layout | None


@dataclass(slots=True)
class GraphLowering:
    """Builds a Net from a Graph; the handlers of the operations call its methods.

    Attributes:
        graph: that is lowered.
        options: choices.
        dispatch: lowers one node; for operations that are put together of others.
        types: of the values of the graph, and of those that such operations make on the way.
        constants: values that are known.
        values: where the others stand.
        producers: the node that makes a value.
    """

    graph: Graph
    options: LoweringOptions
    dispatch: Callable[[GraphLowering, Node], None]
    types: dict[str, TensorType] = field(init=False)
    preferences: Preferences = field(init=False)
    constants: dict[str, np.ndarray] = field(init=False)
    values: dict[str, LoweredValue] = field(init=False, default_factory=dict)
    producers: dict[str, Node] = field(init=False, default_factory=dict)
    _records: list[_Record] = field(init=False, default_factory=list)
    _shared: dict[tuple[object, ...], Handle] = field(init=False, default_factory=dict)
    _node: Node | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.preferences = Preferences(self.graph, self.options.rows)
        self.types = dict(self.graph.types)
        self.constants = dict(self.graph.constants)
        for name in self.graph.inputs:
            self._add_input(name)

    def _add_input(self, name: str) -> None:
        layout: Layout | None = self.preferences.layouts.get(name)
        if layout is None and name in self.preferences.engines:
            engine = self.preferences.engines[name]
        else:
            engine, layout = self._rest(name, layout)
        self._records.append(_Record(None, (), engine, name, Origin(), name))
        self.values[name] = LoweredValue(len(self._records) - 1, layout)

    def _rest(self, name: str, layout: Layout | None = None) -> tuple[TensorShape, Layout | None]:
        """Where a value is that crosses the border: in a layout; else only in the order of elements.

        Too many axes, or an axis that is too long and has to be two, leave the order of elements.
        """
        shape = self.shape(name)
        if layout is not None:
            return engine_shape(shape, layout), layout
        split = with_long_axis_split(shape, min(self.options.machine.max_width, self.options.machine.max_height))
        try:
            layout = canonical(split, rows=self.options.rows)
        except UnsupportedError:
            lead, rest = shape[:-4], shape[-4:]
            return TensorShape.of((math.prod(lead), *rest)), None
        return engine_shape(split, layout), layout if split == shape else None

    # -- looking up

    def shape(self, name: str) -> tuple[int, ...]:
        """The logical shape of a value."""
        return self.types[name].shape

    def constant(self, name: str) -> np.ndarray | None:
        """The array of a value that is known; None for one that is computed at run time."""
        return self.constants.get(name)

    def weights(self, name: str, what: str, hint: str = "") -> np.ndarray:
        """The array of an operand that must be known at compile time.

        Raises:
            UnsupportedError: it is computed at run time.
        """
        array = self.constants.get(name)
        if array is None:
            raise UnsupportedError.of(known_weights, known_weights.check(name, array), detail=what, hint=hint)
        return array

    def check_factors(self, *names: str) -> None:
        """Refuses factors and divisors beyond fp16: clamped they would change every product.

        Raises:
            UnsupportedError: one of them leaves fp16.
        """
        for name in names:
            if name in self.constants:
                require(finite_factor, self.constants[name])

    def layout(self, name: str) -> Layout:
        """The layout a value is in; the one its users like best where it is in none."""
        value = self.values.get(name)
        if value is not None and value.layout is not None:
            return value.layout
        return self.free_layout(name)

    def free_layout(self, name: str) -> Layout:
        """The layout for a value that the operation can put anywhere."""
        return self.preferences.layouts.get(name) or canonical(self.shape(name), rows=self.options.rows)

    def extents(self, handle: Handle) -> TensorShape:
        """The engine shape of a unit or input."""
        return self._records[handle].shape

    # -- building

    def emit(self, params: UnitParams, *bottoms: Handle) -> Handle:
        """Adds a unit.

        Raises:
            ModelError: the unit cannot take these bottoms; the node is refused by the rule `unit-operands`.
        """
        shape = params.infer([self._records[bottom].shape for bottom in bottoms])
        node = self._node
        base = next((name for name in node.outputs if name), node.name) if node else "constant"
        origin = Origin(node.origin.layers or (node.name,), node.origin.step, (node.name,)) if node else Origin()
        self._records.append(_Record(params, bottoms, shape, base, origin))
        return len(self._records) - 1

    def read(self, name: str, layout: Layout | None = None) -> Handle:
        """The unit that holds a value in a layout, its own by default; constants become units."""
        layout = self.layout(name) if layout is None else layout
        return self.read_as(name, engine_shape(self.shape(name), layout))

    def read_as(self, name: str, engine: TensorShape) -> Handle:
        """The unit that holds the elements of a value, in row-major order, in an engine shape."""
        if name in self.values:
            return self.reshape(self.values[name].handle, engine)
        array = self.constants[name]
        key = ("constant", name, engine)
        if key not in self._shared:
            self._shared[key] = self.hold(array.reshape(engine.ndchw))
        return self._shared[key]

    def reshape(self, handle: Handle, engine: TensorShape) -> Handle:
        """The same elements in another engine shape; nothing where the shape is that already."""
        while isinstance(self._records[handle].params, ReshapeParams):
            handle = self._records[handle].bottoms[0]
        if self._records[handle].shape == engine:
            return handle
        key = ("reshape", handle, engine)
        if key not in self._shared:
            self._shared[key] = self.emit(ReshapeParams(engine), handle)
        return self._shared[key]

    def broadcast(self, handle: Handle, engine: TensorShape) -> Handle:
        """Repeats a unit along its dimensions of size 1 up to an engine shape."""
        own = self._records[handle].shape
        sizes = {d: d.extent(engine) for d in Dimension if d.extent(own) != d.extent(engine)}
        return self.emit(BroadcastParams(sizes), handle) if sizes else handle

    def hold(self, array: np.ndarray) -> Handle:
        """A constant unit; booleans become 1 and 0, and finite values beyond fp16 its largest ones."""
        if array.dtype.kind != "f":
            array = array.astype(np.float32)
        return self.emit(ConstantParams(saturated(array)))

    def define(self, name: str, handle: Handle, layout: Layout | None) -> None:
        """Says which unit holds a value.

        Args:
            name: of the value.
            handle: holds the elements in row-major order.
            layout: of the value's axes on that unit, None for none.
        """
        record = self._records[handle]
        assert record.shape.size == self.types[name].size, f"{name} has other elements"
        self.values[name] = LoweredValue(handle, layout)
        if record.params is not None and not record.name and self._node and name in self._node.outputs:
            record.name = name if record.base in self._node.outputs else ""

    def apply(self, operation: Operation, *operands: str | np.ndarray) -> str:
        """Lowers an operation as a part of the node at hand.

        Args:
            operation: with one result.
            operands: values and constants.

        Returns:
            The name of the result.
        """
        names = []
        for operand in operands:
            if isinstance(operand, np.ndarray):
                name = self._fresh()
                self.constants[name] = operand
                self.types[name] = TensorType(operand.shape, DType.of(operand))
                operand = name
            names.append(operand)
        (kind,) = operation.infer([self.types[name] for name in names])
        result = self._fresh()
        self.types[result] = kind
        self.dispatch(self, Node(result, operation, tuple(names), (result,)))
        return result

    def _fresh(self) -> str:
        return f"{self._node.name if self._node else ''}/part {len(self.types)}"

    def start(self, node: Node) -> None:
        """Units made from now on come from this node."""
        self._node = node
        self.producers.update(dict.fromkeys(node.outputs, node))

    def stop(self) -> None:
        """Units made from now on come from no node."""
        self._node = None

    # -- finishing

    def net(self) -> Net:
        """The network: named units that some output needs, in order. With rows, outputs are canonical as well."""
        outputs = {}
        for name in self.graph.outputs:
            require(not_empty, name, self.types[name])
            if name not in self.values or self.options.rows:
                engine, layout = self._rest(name)
                self.values[name] = LoweredValue(self.read_as(name, engine), layout)
            outputs[name] = self.values[name].handle
        self._name_outputs(outputs)
        needed = self._needed(outputs.values())
        names = self._names(needed)
        units = []
        for handle in needed:
            record = self._records[handle]
            if record.params is not None:
                bottoms = tuple(names[bottom] for bottom in record.bottoms)
                units.append(Unit(names[handle], record.params, bottoms, record.origin))
        types = self.graph.types
        inputs = {name: self._records[i].shape for i, name in enumerate(self.graph.inputs)}
        return Net(
            self.graph.name or "net",
            inputs,
            {name: names[handle] for name, handle in outputs.items()},
            tuple(units),
            {n: types[n].dtype for n in inputs if types[n].dtype in (DType.UINT8, DType.INT8)},
            {name: (types[name].shape, types[name].dtype) for name in (*inputs, *outputs)},
        )

    def _name_outputs(self, outputs: Mapping[str, Handle]) -> None:
        """Gives the units that outputs show the names of outputs, also where a value was only reshaped after one."""
        for handle, record in enumerate(self._records):
            if record.params is not None and record.name in outputs and outputs[record.name] != handle:
                record.name = ""
        for name, handle in outputs.items():
            record = self._records[handle]
            if record.params is not None and record.name not in outputs:
                record.name = name

    def _needed(self, handles: Iterable[Handle]) -> list[Handle]:
        marked: set[Handle] = set()
        stack = list(handles)
        while stack:
            handle = stack.pop()
            if handle not in marked:
                marked.add(handle)
                stack.extend(self._records[handle].bottoms)
        return sorted(marked)

    def _names(self, handles: Sequence[Handle]) -> dict[Handle, str]:
        taken = {*self.graph.types, *(record.name for record in self._records)}
        names: dict[Handle, str] = {}
        counts: dict[str, int] = {}
        for handle in handles:
            record = self._records[handle]
            name = record.name
            while not name:
                count = counts[record.base] = counts.get(record.base, -1) + 1
                name = f"{record.base}_tmp_{count}"
                if name in taken:
                    name = ""
            names[handle] = name
        return names
