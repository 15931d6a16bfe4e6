"""Functions of one element as the engine has them: ReLU, a lookup table, or a few words of the planar engine."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from openane.net.units import Neuron, NeuronKind
from openane.numerics.tables import Line, LookupTable
from openane.targets.h13 import tables
from openane.targets.h13.plan import Evidence, Kernel, Nonlinearity, PeMode, PeOperation, PeWork


@dataclass(frozen=True, slots=True)
class NeFunction:
    """The last step of a NE task: nonlinearity((v + accumulate_bias) * post_scale).

    Attributes:
        nonlinearity: none, ReLU or table.
        table: of TABLE.
        post_scale: factor in front of the table.
        accumulate_bias: added before that; only where the task passes one tensor through the accumulator.
        evidence: whether Apple's compiler writes this table for this function.
    """

    nonlinearity: Nonlinearity = Nonlinearity.NONE
    table: LookupTable | None = None
    post_scale: float = 1.0
    accumulate_bias: float | None = None
    evidence: Evidence = Evidence.RECORDED


def _table(make: Callable[[], LookupTable], **more: object) -> Callable[[Neuron], NeFunction]:
    return lambda _: NeFunction(Nonlinearity.TABLE, make(), **more)  # type: ignore[arg-type]


def _clamp(neuron: Neuron) -> NeFunction:
    low, high = neuron.alpha, neuron.beta
    if low == 0.0 and math.isinf(high):
        return NeFunction(Nonlinearity.RELU)
    if math.isinf(low) and math.isinf(high):
        return NeFunction()
    if math.isinf(high):
        table = tables.maximum(low)
    elif math.isinf(low):
        table = tables.minimum(high)
    else:
        table = tables.clip(low, high)
    return NeFunction(Nonlinearity.TABLE, table)


def _rsqrt(neuron: Neuron) -> NeFunction:
    return NeFunction(Nonlinearity.TABLE, tables.rsqrt(), accumulate_bias=neuron.alpha)


def _reciprocal(neuron: Neuron) -> NeFunction:
    bias = neuron.alpha or None
    return NeFunction(Nonlinearity.TABLE, tables.reciprocal(), accumulate_bias=bias)


def _leaky(neuron: Neuron) -> NeFunction:
    if neuron.alpha == 0.0:
        return NeFunction(Nonlinearity.RELU)
    return NeFunction(Nonlinearity.TABLE, tables.leaky_relu(neuron.alpha))


def _negate(_: Neuron) -> NeFunction:
    return NeFunction(post_scale=-1.0, evidence=Evidence.EXTRAPOLATED)


#: Functions that one NE task computes.
NE_FUNCTIONS: Mapping[NeuronKind, Callable[[Neuron], NeFunction]] = MappingProxyType(
    {
        NeuronKind.IDENTITY: lambda _: NeFunction(),
        NeuronKind.RELU: lambda _: NeFunction(Nonlinearity.RELU),
        NeuronKind.LEAKY_RELU: _leaky,
        NeuronKind.CLAMP: _clamp,
        NeuronKind.SIGMOID: _table(tables.sigmoid),
        NeuronKind.TANH: _table(tables.tanh),
        NeuronKind.GELU: _table(tables.gelu),
        NeuronKind.SILU: _table(tables.silu),
        NeuronKind.EXP: _table(tables.exp2, post_scale=tables.LOG2_E),
        NeuronKind.EXP2: _table(tables.exp2),
        NeuronKind.LOG2: _table(tables.log2),
        NeuronKind.SQRT: _table(tables.sqrt),
        NeuronKind.RSQRT: _rsqrt,
        NeuronKind.RECIPROCAL: _reciprocal,
        NeuronKind.SIGN: _table(tables.sign),
        NeuronKind.TRUNC: _table(tables.integer),
        NeuronKind.NEGATE: _negate,
    }
)


def ne_function(neuron: Neuron) -> NeFunction | None:
    """How one NE task computes the function; None when it takes more, or another engine."""
    make = NE_FUNCTIONS.get(neuron.kind)
    return make(neuron) if make else None


#: Functions that one planar task computes on one source.
PE_FUNCTIONS: Mapping[NeuronKind, PeWork] = MappingProxyType(
    {
        NeuronKind.ABS: PeWork(PeMode.UNARY, absolute=True),
    }
)
#: Functions that one planar task computes with the source twice.
PE_SQUARE = PeWork(PeMode.BINARY, PeOperation.MULTIPLY)


def with_table(kernel: Kernel | None, table: LookupTable, lanes: int) -> Kernel:
    """A kernel whose lanes also load a table: alone they share one copy, with weights it stands in front of each lane."""
    image = table.encode()
    if kernel is None:
        return Kernel((image,), table_lanes=lanes, pole=table.has_pole)
    return Kernel(
        tuple(image + lane for lane in kernel.lanes),
        sparse=kernel.sparse,
        bias=kernel.bias,
        group_channels=kernel.group_channels,
        pole=table.has_pole,
    )


def line(slope: float, intercept: float) -> LookupTable:
    """A straight line as a table."""
    return tables.two_lines(Line(slope, intercept), Line(slope, intercept))
