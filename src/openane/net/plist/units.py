"""How each unit stands in a net.plist: one reader and one writer of its `Params`.

What Apple's files show (formats.md section 10) is read and written in their words: Conv, GOC, Neuron, Concat,
ScaledElementWise, Broadcast, Reshape, InputView, and the keys in them. Everything else is openane's own spelling: the
unit types Linear, MatMul, Reduction, Pooling, Softmax, LayerNorm, Pad, Tile, Transpose, Select and Constant, the keys
NumGroups, Dilation, OutputPadding and Conv's Type "Deconv", scales in BiasScaleGroupData, and Alpha and Beta of Neuron.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np

from openane.core.errors import FormatError, UnsupportedError
from openane.net.net import TensorShape, UnitParams
from openane.net.plist.fields import Fields, describe
from openane.net.plist.weights import ELEMENT_TYPES, WeightFiles, WeightWriter
from openane.net.units import (
    GOC,
    Broadcast,
    Concat,
    Constant,
    Conv,
    Dimension,
    ElementWise,
    ElementWiseKind,
    InputView,
    LayerNorm,
    Linear,
    MatMul,
    Neuron,
    NeuronKind,
    Pad,
    PadMode,
    Pads,
    Pooling,
    PoolingKind,
    Reduction,
    ReductionKind,
    Reshape,
    Select,
    Softmax,
    Tile,
    Transpose,
)
from openane.numerics.fp16 import fp16_word, to_fp16

Params = dict[str, Any]
E_ = TypeVar("E_", Dimension, NeuronKind, PadMode, PoolingKind, ReductionKind)
_EXTENT_LIMIT = 1 << 24
_SCALED = frozenset(
    {
        ElementWiseKind.ADD,
        ElementWiseKind.MULT,
        ElementWiseKind.MAX,
        ElementWiseKind.MIN,
        ElementWiseKind.SUM_SQUARE,
    }
)


@dataclass(frozen=True)
class ReadContext:
    """What a unit's reader may look at.

    Attributes:
        unit: the unit's dictionary.
        params: its `Params`, empty if there are none.
        bottoms: shapes of what it reads.
        weights: the network's weight files.
    """

    unit: Fields
    params: Fields
    bottoms: Sequence[TensorShape]
    weights: WeightFiles

    @property
    def bottom(self) -> TensorShape:
        """The first bottom's shape.

        Raises:
            FormatError: the unit reads nothing.
        """
        if not self.bottoms:
            raise FormatError("the unit reads nothing", where=self.unit.where, hint="Bottom is missing.")
        return self.bottoms[0]

    def array(self, fields: Fields, prefix: str, shape: Sequence[int]) -> np.ndarray:
        """The array that `prefix`Index, `prefix`Offset and `prefix`Type describe."""
        name = fields.text(f"{prefix}Type", "Float16")
        if name not in ELEMENT_TYPES:
            raise UnsupportedError(
                f"{prefix}Type is not supported",
                where=fields.where,
                value=describe(name),
                limit=", ".join(ELEMENT_TYPES),
            )
        index, offset = fields.integer(f"{prefix}Index", 0), fields.integer(f"{prefix}Offset", 0)
        return self.weights.array(index, offset, ELEMENT_TYPES[name], shape)


Reads = Callable[[ReadContext], UnitParams]
Writes = Callable[[Any, WeightWriter], tuple[str, Params]]


def _choose(fields: Fields, key: str, kinds: type[E_], default: E_ | None = None) -> E_:
    name = fields.text(key, default.value if default else None)
    for kind in kinds:
        if kind.value == name:
            return kind
    raise UnsupportedError(
        f"{key} is not known",
        where=fields.where,
        value=describe(name),
        limit=", ".join(kind.value for kind in kinds),
    )


def _stored(array: np.ndarray, prefix: str, writer: WeightWriter) -> Params:
    name, offset = writer.add(array)
    return {f"{prefix}Index": 0, f"{prefix}Offset": offset, f"{prefix}Type": name}


def _read_pads(params: Fields) -> Pads:
    keys = ("PadTop", "PadBot", "PadLeft", "PadRight")
    return Pads(*(params.integer(key, 0, most=_EXTENT_LIMIT) for key in keys))


def _write_pads(pads: Pads) -> Params:
    keys = ("PadTop", "PadBot", "PadLeft", "PadRight")
    return dict(zip(keys, pads, strict=True)) if any(pads) else {}


def _read_conv(context: ReadContext) -> UnitParams:
    params = context.params
    kind = params.text("Type", "Conv")
    if kind not in ("Conv", "Deconv") or params.text("KernelMode", "Dense") != "Dense":
        raise UnsupportedError("only dense kernels of Type Conv are supported", where=params.where)
    if params.integer("KernelDepth", 1, least=1) != 1:
        raise UnsupportedError("kernels over Depth are not supported", where=params.where)
    params.skip("KernelGroupReuse")  # how the kernel is fetched, without effect on the result
    outputs = context.unit.integer("OutputChannels", least=1, most=_EXTENT_LIMIT)
    groups = params.integer("NumGroups", 1, least=1, most=_EXTENT_LIMIT)
    channels = context.bottom.channels
    if channels % groups or outputs % groups:
        raise FormatError(
            "channels do not divide by NumGroups",
            where=params.where,
            value=f"{channels} to {outputs} channels in {groups} groups",
        )
    height = params.integer("KernelHeight", 1, least=1, most=_EXTENT_LIMIT)
    width = params.integer("KernelWidth", 1, least=1, most=_EXTENT_LIMIT)
    return Conv(
        context.array(params, "Kernel", (outputs, channels // groups, height, width)),
        step=params.pair("Step"),
        dilation=params.pair("Dilation"),
        pads=_read_pads(params),
        groups=groups,
        transposed=kind == "Deconv",
        output_padding=params.pair("OutputPadding", (0, 0), least=0),
    )


def _write_conv(conv: Conv, writer: WeightWriter) -> tuple[str, Params]:
    width, height = conv.kernel_size
    params: Params = {"KernelGroupReuse": False, "KernelHeight": height, "KernelMode": "Dense"}
    params |= {"KernelWidth": width, "Step": list(conv.step)}
    params |= _stored(conv.kernel, "Kernel", writer) | _write_pads(conv.pads)
    if conv.transposed:
        params["Type"] = "Deconv"
    if conv.groups != 1:
        params["NumGroups"] = conv.groups
    if conv.dilation != (1, 1):
        params["Dilation"] = list(conv.dilation)
    if conv.output_padding != (0, 0):
        params["OutputPadding"] = list(conv.output_padding)
    return "Conv", params


def _read_goc(context: ReadContext) -> UnitParams:
    params = context.params
    scale: np.ndarray | float = params.half_bits("ScaleScalar", 1.0)
    bias: np.ndarray | float = params.half_bits("BiasScalar", 0.0)
    if params.has("BiasScaleGroupData"):
        group = params.fields("BiasScaleGroupData")
        if group.has("BiasCount"):
            bias = context.array(group, "Bias", (group.integer("BiasCount", least=1),))
        if group.has("ScaleCount"):
            scale = context.array(group, "Scale", (group.integer("ScaleCount", least=1),))
        group.finish()
    return GOC(scale, bias)


def _write_goc(goc: GOC, writer: WeightWriter) -> tuple[str, Params]:
    params: Params = {}
    group: Params = {}
    for prefix, value, neutral in (("Bias", goc.bias, 0.0), ("Scale", goc.scale, 1.0)):
        if np.ndim(value):
            vector = np.asarray(value)
            short = to_fp16(vector)
            # Half precision is the form seen in files; Float32 only where it would lose something.
            vector = short if np.array_equal(short.astype(np.float64), vector) else vector
            group |= {f"{prefix}Count": len(vector)} | _stored(vector, prefix, writer)
        elif value != neutral or (not np.ndim(goc.bias) and not np.ndim(goc.scale)):
            params[f"{prefix}Scalar"] = fp16_word(float(value))
    if group:
        params["BiasScaleGroupData"] = group
    return "GOC", params


def _read_neuron(context: ReadContext) -> UnitParams:
    params = context.params
    kind = _choose(params, "Type", NeuronKind)
    slopes = None
    if kind is NeuronKind.PRELU:
        slopes = context.array(params, "Slope", (context.bottom.channels,))
    return Neuron(kind, params.number("Alpha", 0.0), params.number("Beta", 0.0), slopes)


def _write_neuron(neuron: Neuron, writer: WeightWriter) -> tuple[str, Params]:
    params: Params = {"Type": neuron.kind.value}
    if neuron.alpha:
        params["Alpha"] = float(neuron.alpha)
    if neuron.beta:
        params["Beta"] = float(neuron.beta)
    if neuron.slopes is not None:
        params |= _stored(neuron.slopes, "Slope", writer)
    return "Neuron", params


def _read_elementwise(context: ReadContext) -> UnitParams:
    name = context.params.text("Type")
    scaled = context.unit.text("Type") == "ScaledElementWise"
    for kind in ElementWiseKind:
        if kind.value == name and (kind in _SCALED or not scaled):
            return ElementWise(kind, context.params.half_bits("Scale", 1.0))
    raise UnsupportedError("Type is not known", where=context.params.where, value=describe(name))


def _write_elementwise(unit: ElementWise, _: WeightWriter) -> tuple[str, Params]:
    name = "ScaledElementWise" if unit.kind in _SCALED else "ElementWise"
    return name, {"Scale": fp16_word(unit.scale), "Type": unit.kind.value}


def _dimension_table(
    params: Fields, key: str, values: Sequence[str], *, least: int
) -> dict[Dimension, tuple[int, ...]]:
    entries = params.get(key)
    if not isinstance(entries, list) or len(entries) > 5:
        raise FormatError(
            f"{key} is wrong", where=params.where, value=describe(entries), limit="at most 5 dictionaries"
        )
    table: dict[Dimension, tuple[int, ...]] = {}
    for entry in entries:
        fields = Fields(entry, f"{params.where}: {key}")
        dimension = _choose(fields, "Dimension", Dimension)
        if dimension in table:
            raise FormatError(f"{key} names {dimension.value} twice", where=params.where)
        table[dimension] = tuple(fields.integer(v, least=least, most=_EXTENT_LIMIT) for v in values)
        fields.finish()
    return table


def _read_broadcast(context: ReadContext) -> UnitParams:
    table = _dimension_table(context.params, "BroadcastInfo", ["Size"], least=1)
    return Broadcast({dimension: size for dimension, (size,) in table.items()})


def _write_broadcast(unit: Broadcast, _: WeightWriter) -> tuple[str, Params]:
    return "Broadcast", {"BroadcastInfo": [{"Dimension": d.value, "Size": s} for d, s in unit.sizes.items()]}


def _read_tile(context: ReadContext) -> UnitParams:
    table = _dimension_table(context.params, "TileInfo", ["Repeats"], least=1)
    return Tile({dimension: count for dimension, (count,) in table.items()})


def _write_tile(unit: Tile, _: WeightWriter) -> tuple[str, Params]:
    return "Tile", {"TileInfo": [{"Dimension": d.value, "Repeats": c} for d, c in unit.repeats.items()]}


def _read_pad(context: ReadContext) -> UnitParams:
    table = _dimension_table(context.params, "PadInfo", ["Before", "After"], least=0)
    amounts = {dimension: (before, after) for dimension, (before, after) in table.items()}
    mode = _choose(context.params, "PadMode", PadMode, PadMode.CONSTANT)
    return Pad(amounts, mode, context.params.number("PadValue", 0.0))


def _write_pad(unit: Pad, _: WeightWriter) -> tuple[str, Params]:
    info = [{"After": b, "Before": a, "Dimension": d.value} for d, (a, b) in unit.amounts.items()]
    return "Pad", {"PadInfo": info, "PadMode": unit.mode.value, "PadValue": float(unit.value)}


_RESHAPED = ("ReshapedBatch", "ReshapedDepth", "ReshapedChannel", "ReshapedHeight", "ReshapedWidth")


def _read_reshape(context: ReadContext) -> UnitParams:
    extents = [context.params.integer(key, 1, least=1, most=_EXTENT_LIMIT) for key in _RESHAPED]
    return Reshape(TensorShape.of(extents))


def _write_reshape(unit: Reshape, _: WeightWriter) -> tuple[str, Params]:
    return "Reshape", dict(zip(_RESHAPED, unit.shape.ndchw, strict=True))


def _read_view(context: ReadContext) -> UnitParams:
    params = context.params
    return InputView(
        _choose(params, "Dimension", Dimension),
        params.integer("Offset", 0, most=_EXTENT_LIMIT),
        params.integer("Size", least=1, most=_EXTENT_LIMIT),
        params.integer("Step", 1, least=1, most=_EXTENT_LIMIT),
    )


def _write_view(unit: InputView, _: WeightWriter) -> tuple[str, Params]:
    params: Params = {"Dimension": unit.dimension.value, "Offset": unit.offset, "Size": unit.size}
    if unit.step != 1:
        params["Step"] = unit.step
    return "InputView", params


def _read_transpose(context: ReadContext) -> UnitParams:
    names = context.params.texts("Dimensions")
    order = [d.value for d in Dimension]
    if sorted(names) != sorted(order):
        raise FormatError("Dimensions must name all five once", where=context.params.where)
    n, d, c, h, w = (order.index(name) for name in names)
    return Transpose((n, d, c, h, w))


def _write_transpose(unit: Transpose, _: WeightWriter) -> tuple[str, Params]:
    order = [d.value for d in Dimension]
    return "Transpose", {"Dimensions": [order[axis] for axis in unit.permutation]}


def _read_pooling(context: ReadContext) -> UnitParams:
    params = context.params
    return Pooling(
        _choose(params, "Type", PoolingKind),
        (
            params.integer("KernelWidth", least=1, most=_EXTENT_LIMIT),
            params.integer("KernelHeight", least=1, most=_EXTENT_LIMIT),
        ),
        params.pair("Step"),
        _read_pads(params),
        params.flag("CountIncludePad"),
        params.pair("Dilation"),
    )


def _write_pooling(unit: Pooling, _: WeightWriter) -> tuple[str, Params]:
    params: Params = {"KernelHeight": unit.kernel[1], "KernelWidth": unit.kernel[0]}
    params |= {"Step": list(unit.step), "Type": unit.kind.value} | _write_pads(unit.pads)
    if unit.count_include_pad:
        params["CountIncludePad"] = True
    if unit.dilation != (1, 1):
        params["Dilation"] = list(unit.dilation)
    return "Pooling", params


def _read_dimensions(params: Fields) -> frozenset[Dimension]:
    names = params.texts("Dimensions", single=True)
    known = {d.value: d for d in Dimension}
    if not names or not set(names) <= set(known):
        raise FormatError(
            "Dimensions is wrong",
            where=params.where,
            value=describe(params.get("Dimensions")),
            limit=f"some of {', '.join(known)}",
        )
    return frozenset(known[name] for name in names)


def _write_dimensions(dimensions: frozenset[Dimension]) -> list[str]:
    return [d.value for d in Dimension if d in dimensions]


def _read_reduction(context: ReadContext) -> UnitParams:
    return Reduction(_choose(context.params, "Type", ReductionKind), _read_dimensions(context.params))


def _write_reduction(unit: Reduction, _: WeightWriter) -> tuple[str, Params]:
    return "Reduction", {"Dimensions": _write_dimensions(unit.dimensions), "Type": unit.kind.value}


def _read_layer_norm(context: ReadContext) -> UnitParams:
    params = context.params
    rms = params.flag("RootMeanSquare")
    return LayerNorm(_read_dimensions(params), params.number("Epsilon", 1e-5), not rms)


def _write_layer_norm(unit: LayerNorm, _: WeightWriter) -> tuple[str, Params]:
    params: Params = {"Dimensions": _write_dimensions(unit.dimensions), "Epsilon": float(unit.epsilon)}
    if not unit.center:
        params["RootMeanSquare"] = True
    return "LayerNorm", params


def _read_softmax(context: ReadContext) -> UnitParams:
    params = context.params
    return Softmax(_choose(params, "Dimension", Dimension, Dimension.CHANNEL), params.flag("Log"))


def _write_softmax(unit: Softmax, _: WeightWriter) -> tuple[str, Params]:
    return "Softmax", {"Dimension": unit.dimension.value} | ({"Log": True} if unit.log else {})


def _read_linear(context: ReadContext) -> UnitParams:
    outputs = context.params.integer("OutputWidth", least=1, most=_EXTENT_LIMIT)
    return Linear(context.array(context.params, "Kernel", (outputs, context.bottom.width)))


def _write_linear(unit: Linear, writer: WeightWriter) -> tuple[str, Params]:
    return "Linear", {"OutputWidth": unit.weight.shape[0]} | _stored(unit.weight, "Kernel", writer)


def _read_matmul(context: ReadContext) -> UnitParams:
    return MatMul(context.params.flag("TransposeA"), context.params.flag("TransposeB"))


def _write_matmul(unit: MatMul, _: WeightWriter) -> tuple[str, Params]:
    return "MatMul", {"TransposeA": unit.transpose_a, "TransposeB": unit.transpose_b}


_EXTENTS = ("Batch", "Depth", "Channel", "Height", "Width")


def _read_constant(context: ReadContext) -> UnitParams:
    extents = [context.params.integer(key, 1, least=1, most=_EXTENT_LIMIT) for key in _EXTENTS]
    return Constant(context.array(context.params, "Data", extents))


def _write_constant(unit: Constant, writer: WeightWriter) -> tuple[str, Params]:
    extents = dict(zip(_EXTENTS, unit.array.shape, strict=True))
    return "Constant", extents | _stored(unit.array, "Data", writer)


#: By `Type` of the unit.
READERS: Mapping[str, Reads] = MappingProxyType(
    {
        "Conv": _read_conv,
        "GOC": _read_goc,
        "Neuron": _read_neuron,
        "ScaledElementWise": _read_elementwise,
        "ElementWise": _read_elementwise,
        "Select": lambda context: Select(),
        "Broadcast": _read_broadcast,
        "Tile": _read_tile,
        "Pad": _read_pad,
        "Reshape": _read_reshape,
        "InputView": _read_view,
        "Transpose": _read_transpose,
        "Concat": lambda c: Concat(_choose(c.params, "Dimension", Dimension, Dimension.CHANNEL)),
        "Pooling": _read_pooling,
        "Reduction": _read_reduction,
        "LayerNorm": _read_layer_norm,
        "Softmax": _read_softmax,
        "Linear": _read_linear,
        "MatMul": _read_matmul,
        "Constant": _read_constant,
    }
)

#: By class of the parameters; each gives the unit's `Type` and its `Params`.
WRITERS: Mapping[type[UnitParams], Writes] = MappingProxyType(
    {
        Conv: _write_conv,
        GOC: _write_goc,
        Neuron: _write_neuron,
        ElementWise: _write_elementwise,
        Select: lambda unit, writer: ("Select", {}),
        Broadcast: _write_broadcast,
        Tile: _write_tile,
        Pad: _write_pad,
        Reshape: _write_reshape,
        InputView: _write_view,
        Transpose: _write_transpose,
        Concat: lambda unit, writer: ("Concat", {"Dimension": unit.dimension.value}),
        Pooling: _write_pooling,
        Reduction: _write_reduction,
        LayerNorm: _write_layer_norm,
        Softmax: _write_softmax,
        Linear: _write_linear,
        MatMul: _write_matmul,
        Constant: _write_constant,
    }
)
