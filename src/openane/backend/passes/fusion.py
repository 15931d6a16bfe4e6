"""Passes that fuse units: what the engine does in one task becomes one unit.

Each edits a network into one that computes the same; `backend.pipeline` lists them in order with the reasons.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from openane.backend.ir.fused import ColumnProduct, Fused, FusedElementWise
from openane.backend.passes.editor import NetEditor
from openane.backend.units.functions import is_relu, ne_function
from openane.backend.units.scale import scale_and_bias
from openane.net.net import Net, Unit, UnitParams
from openane.net.units import (
    BroadcastParams,
    ConstantParams,
    ConvParams,
    Dimension,
    ElementWiseKind,
    ElementWiseParams,
    GOCParams,
    LinearParams,
    MatMulParams,
    NeuronKind,
    NeuronParams,
)
from openane.numerics.limits import HALF_LARGEST

#: Units whose datapath has scale, bias and a function after the sum, and the dimension vectors run along.
HOSTS: Mapping[type[UnitParams], Dimension] = MappingProxyType(
    {
        GOCParams: Dimension.CHANNEL,
        ConvParams: Dimension.CHANNEL,
        LinearParams: Dimension.WIDTH,
        ColumnProduct: Dimension.WIDTH,
        MatMulParams: Dimension.WIDTH,
    }
)


def constants_to_scalars(editor: NetEditor) -> None:
    """ElementWise with a constant of one number, or one a channel, becomes GOC or a clamp."""
    for unit in editor.net.units:
        if not isinstance(unit.params, ElementWiseParams):
            continue
        for position in (0, 1):
            array = _constant(editor, unit.bottoms[position])
            if array is None:
                continue
            params = _with_constant(unit.params, position, array)
            if params is not None:
                editor.units[unit.name] = replace(unit, params=params, bottoms=(unit.bottoms[1 - position],))
                break


def _constant(editor: NetEditor, name: str) -> np.ndarray | None:
    """The values of a constant, seen through a broadcast: a scalar or one value per channel."""
    unit = editor.units.get(name)
    if unit is not None and isinstance(unit.params, BroadcastParams):
        unit = editor.units.get(unit.bottoms[0])
    if unit is None or not isinstance(unit.params, ConstantParams):
        return None
    array = unit.params.array.astype(np.float32)
    if array.size == 1:
        return array.reshape(())
    # A tensor of equal numbers stays a tensor: Apple's compiler looks at shapes, not at values (chain_base_bias).
    return array.reshape(-1) if array.size == array.shape[2] else None


def _with_constant(params: ElementWiseParams, position: int, array: np.ndarray) -> UnitParams | None:
    """The unit x -> op(x, constant), or op(constant, x) when `position` is 0; None when there is no such unit."""
    kind, scale = params.kind, params.scale
    value: np.ndarray | float = float(array) if array.ndim == 0 else array
    if kind is ElementWiseKind.ADD:
        return GOCParams(scale, value * scale)
    if kind is ElementWiseKind.MULT:
        return GOCParams(value * scale, 0.0)
    if kind is ElementWiseKind.SUB:
        return GOCParams(scale, -value * scale) if position else GOCParams(-scale, value * scale)
    if kind is ElementWiseKind.DIV and position and np.all(array != 0):
        return GOCParams(scale / value, 0.0)
    if scale != 1.0 or array.ndim:
        return None
    number = float(array)
    if kind is ElementWiseKind.MAX:
        return NeuronParams(NeuronKind.CLAMP, number, math.inf)
    if kind is ElementWiseKind.MIN:
        return NeuronParams(NeuronKind.CLAMP, -math.inf, number)
    if kind is ElementWiseKind.POW and position:
        return _power(number)
    return None


def _power(exponent: float) -> UnitParams | None:
    known = {2.0: NeuronKind.SQUARE, 0.5: NeuronKind.SQRT, -0.5: NeuronKind.RSQRT, -1.0: NeuronKind.RECIPROCAL}
    if exponent == 1.0:
        return NeuronParams(NeuronKind.IDENTITY)
    return NeuronParams(known[exponent]) if exponent in known else None


def products_by_constants(editor: NetEditor) -> None:
    """MatMul with a constant matrix on the right becomes a product by that constant."""
    for unit in editor.net.units:
        right = editor.units.get(unit.bottoms[1]) if isinstance(unit.params, MatMulParams) else None
        if right is None or not isinstance(unit.params, MatMulParams) or not isinstance(right.params, ConstantParams):
            continue
        array = right.params.array
        if array.size != array.shape[3] * array.shape[4]:
            continue
        matrix = array.reshape(array.shape[3:])
        weight = matrix if unit.params.transpose_b else matrix.T
        params = ColumnProduct(weight) if unit.params.transpose_a else LinearParams(weight)
        editor.units[unit.name] = replace(unit, params=params, bottoms=unit.bottoms[:1])


def fold_broadcasts(editor: NetEditor) -> None:
    """ElementWise reads the small operand of a Broadcast and repeats it itself."""
    for unit in editor.net.units:
        if not isinstance(unit.params, ElementWiseParams):
            continue
        sources = [editor.units.get(bottom) for bottom in unit.bottoms]
        small = [source is not None and isinstance(source.params, BroadcastParams) for source in sources]
        if any(small):
            bottoms = tuple(
                source.bottoms[0] if source is not None and is_small else bottom
                for source, bottom, is_small in zip(sources, unit.bottoms, small, strict=True)
            )
            params = FusedElementWise(unit.params, editor.net.shapes[unit.name])
            editor.units[unit.name] = replace(unit, params=params, bottoms=bottoms)


def fuse_epilogues(editor: NetEditor) -> None:
    """Scale, bias and function after a convolution or matrix product join it."""
    for unit in editor.net.units:
        unit = editor.units[unit.name]
        if not unit.bottoms:
            continue
        for bottom in unit.bottoms:
            host = editor.only_use(bottom)
            if host is None:
                continue
            main = host.params if isinstance(host.params, Fused) else None
            if main is None:
                if type(host.params) not in HOSTS:
                    continue
                main = Fused(host.params, dimension=HOSTS[type(host.params)])
            params = _joined(main, unit, editor)
            if params is not None:
                editor.merge(unit, params, host, host.bottoms)
                break


def _joined(host: Fused, unit: Unit, editor: NetEditor) -> Fused | None:
    """The host with the unit after it taken in; None when the datapath cannot."""
    params = unit.params
    if host.function is not None:
        return None
    if isinstance(params, GOCParams):
        vector = np.ndim(params.scale) or np.ndim(params.bias)
        if isinstance(host.main, MatMulParams):
            plain = not vector and params.bias == 0.0
            return _held(host.scaled(params.scale, 0.0)) if plain else None
        if vector and host.dimension is not Dimension.CHANNEL:
            return None
        return _held(host.scaled(params.scale, params.bias))
    if isinstance(params, NeuronParams):
        function = ne_function(params)
        if function is None or function.accumulate_bias or params.kind is NeuronKind.PRELU:
            return None
        scaled = not np.ndim(host.scale) and host.scale != 1.0
        if isinstance(host.main, MatMulParams) and scaled and function.post_scale != 1.0:
            return None
        return replace(host, function=params)
    if isinstance(params, FusedElementWise | ElementWiseParams) and not isinstance(host.main, MatMulParams):
        return _joined_row(host, unit, editor)
    return None


def _joined_row(host: Fused, unit: Unit, editor: NetEditor) -> Fused | None:
    """A constant row added after a matrix product is its bias."""
    main = unit.params.main if isinstance(unit.params, FusedElementWise) else unit.params
    extras = isinstance(unit.params, FusedElementWise) and (
        unit.params.bias or unit.params.relu or any(unit.params.source_relu)
    )
    assert isinstance(main, ElementWiseParams)
    if main.kind is not ElementWiseKind.ADD or main.scale != 1.0 or extras:
        return None
    others = [editor.units.get(bottom) for bottom in unit.bottoms]
    for other in others:
        if other is None or not isinstance(other.params, ConstantParams):
            continue
        array = other.params.array
        if array.size == array.shape[host.dimension.axis] == host.dimension.extent(editor.net.shapes[unit.name]):
            return _held(host.scaled(1.0, array.reshape(-1).astype(np.float32)))
    return None


def _held(fused: Fused) -> Fused | None:
    """The unit, when fp16 holds its constants also where scales are multiplied into weights; None beyond."""
    main = fused.main
    scale = _largest(fused.scale)
    weight = max(1.0, *(_largest(getattr(main, name, None)) for name in ("kernel", "weight", "scale")))
    total = _largest(getattr(main, "bias", None)) * scale + _largest(fused.bias)
    return fused if max(weight * scale, total) <= HALF_LARGEST else None


def _largest(values: np.ndarray | float | None) -> float:
    return 0.0 if values is None else float(np.abs(values).max(initial=0.0))


def fuse_elementwise(editor: NetEditor) -> None:
    """ReLU and scalar scale or bias after an elementwise unit join it; so does a ReLU of x in x + relu(x)."""
    for unit in editor.net.units:
        unit = editor.units[unit.name]
        if isinstance(unit.params, ElementWiseParams | FusedElementWise):
            _fuse_source_relu(editor, unit)
            continue
        host = editor.only_use(unit.bottoms[0]) if len(unit.bottoms) == 1 else None
        if host is None or not isinstance(host.params, ElementWiseParams | FusedElementWise):
            continue
        main = _fused_elementwise(host, editor.net)
        if main.relu or main.main.kind in (ElementWiseKind.POW,) or main.main.kind.is_comparison:
            continue
        if isinstance(unit.params, NeuronParams) and is_relu(unit.params):
            editor.merge(unit, replace(main, relu=True), host, host.bottoms)
        elif (line := _scalar_line(unit.params)) is not None:
            scale, bias, relu = line
            scaled = replace(main.main, scale=main.main.scale * scale)
            merged = replace(main, main=scaled, bias=main.bias * scale + bias, relu=relu)
            if max(abs(scaled.scale), abs(merged.bias)) > HALF_LARGEST:
                continue
            editor.merge(unit, merged, host, host.bottoms)


def _scalar_line(params: UnitParams) -> tuple[float, float, bool] | None:
    """(scale, bias, relu) of a unit that is x * scale + bias with or without a ReLU; None for others."""
    fused = params if isinstance(params, Fused) else Fused(params)
    function = fused.function
    if not isinstance(fused.main, GOCParams) or (function is not None and not is_relu(function)):
        return None
    scale, bias = scale_and_bias(fused)
    return None if scale.ndim or bias.ndim else (float(scale), float(bias), function is not None)


def _fused_elementwise(unit: Unit, net: Net) -> FusedElementWise:
    if isinstance(unit.params, FusedElementWise):
        return unit.params
    assert isinstance(unit.params, ElementWiseParams)
    return FusedElementWise(unit.params, net.shapes[unit.name])


def _fuse_source_relu(editor: NetEditor, unit: Unit) -> None:
    """x + relu(x): the second source is rectified while it is loaded (recorded for an operand read twice)."""
    main = _fused_elementwise(unit, editor.net)
    if main.main.kind is not ElementWiseKind.ADD or any(main.source_relu):
        return
    for position in (0, 1):
        relu = editor.only_use(unit.bottoms[position])
        if relu is None or not isinstance(relu.params, NeuronParams) or not is_relu(relu.params):
            continue
        if relu.bottoms[0] == unit.bottoms[1 - position]:
            same = relu.bottoms[0]
            editor.merge(unit, replace(main, source_relu=(False, True)), relu, (same, same))
            return
