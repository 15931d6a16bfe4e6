"""Other forms of units, made of computations that are more likely to be on record (`passes.recorded`).

Each function yields forms: units in execution order that compute together what one unit does, up to the rounding of the
values between them. The last unit keeps the name, so that its readers find it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from openane.backend.ir.fused import Fused, FusedElementWise
from openane.backend.machine import MachineSpec
from openane.backend.units.conv import dilate
from openane.backend.units.elementwise import repeated_axes
from openane.backend.units.scale import scale_and_bias
from openane.net.net import TensorShape, Unit, UnitParams
from openane.net.units import (
    BroadcastParams,
    ConcatParams,
    ConvParams,
    Dimension,
    ElementWiseParams,
    GOCParams,
    InputViewParams,
    LayerNormParams,
    LinearParams,
    NeuronKind,
    NeuronParams,
    Pads,
    PoolingParams,
    ReductionParams,
    ReshapeParams,
    SoftmaxParams,
)

Form = tuple[Unit, ...]

_WINDOWS = ((1, 0), (3, 0), (3, 1), (9, 4))
"""Windows that kernels are filled up to with zeros: size, and pad in front."""
_DENSE = 3
"""Largest window that a dense kernel is filled up to: more zeros cost more time than the host takes."""
_SUBSAMPLE = 3
"""Window of a convolution that takes every second element."""


@dataclass(frozen=True, slots=True)
class UnitSite:
    """A unit with what its forms depend on.

    Attributes:
        unit: to be replaced.
        shapes: of every value of the network.
        machine: the generation that is compiled for.
        nonnegative: whether no element of the first operand is negative.
        depth: replacements that are left, so that names of nested forms differ.
    """

    unit: Unit
    shapes: Mapping[str, TensorShape]
    machine: MachineSpec
    nonnegative: bool
    depth: int

    @property
    def source(self) -> TensorShape:
        """The shape of the first operand."""
        return self.shapes[self.unit.bottoms[0]]

    def chain(self, *steps: tuple[str, UnitParams]) -> Form:
        """Units one after the other; the first reads the operands, the last has the unit's name."""
        units: list[Unit] = []
        for number, (suffix, params) in enumerate(steps):
            last = number + 1 == len(steps)
            bottoms = (units[-1].name,) if units else self.unit.bottoms
            units.append(self.made(suffix, params, bottoms, last=last))
        return tuple(units)

    def made(self, suffix: str, params: UnitParams, bottoms: tuple[str, ...], *, last: bool = False) -> Unit:
        """A unit of the form."""
        if last:
            return replace(self.unit, params=params, bottoms=bottoms)
        return Unit(f"{self.unit.name}/{self.depth}.{suffix}", params, bottoms, self.unit.origin)


def functions(site: UnitSite) -> Iterator[Form]:
    """The function after a unit as a unit of its own; so are the scale and bias of elementwise units."""
    params = site.unit.params
    if isinstance(params, FusedElementWise):
        yield from _elementwise_epilogue(site, params)
    elif isinstance(params, GOCParams) or (isinstance(params, Fused) and isinstance(params.main, GOCParams)):
        yield from _scaled(site, params if isinstance(params, Fused) else Fused(params))
    elif isinstance(params, Fused) and params.function is not None:
        yield site.chain(("sum", _plain(replace(params, function=None))), ("function", params.function))


def biases(site: UnitSite) -> Iterator[Form]:
    """The bias after a convolution, and its function, by a convolution with a diagonal matrix."""
    params = site.unit.params
    if isinstance(params, Fused) and isinstance(params.main, ConvParams) and np.any(params.bias):
        count = site.shapes[site.unit.name].channels
        diagonal = Fused(_diagonal(np.ones(count, np.float32)), bias=params.bias, function=params.function)
        yield site.chain(("sum", _plain(replace(params, bias=0.0, function=None))), ("bias", diagonal))


def _plain(fused: Fused) -> UnitParams:
    """The main unit alone where nothing follows it."""
    nothing = fused.function is None and not np.any(fused.bias) and np.all(np.asarray(fused.scale) == 1.0)
    return fused.main if nothing and not fused.rescale else fused


def _diagonal(values: np.ndarray) -> ConvParams:
    """A 1x1 convolution that multiplies each channel by its value."""
    return ConvParams(np.diag(values)[:, :, None, None].astype(np.float32))


def _scaled(site: UnitSite, fused: Fused) -> Iterator[Form]:
    """x * scale + bias: vectors by a convolution with a diagonal matrix, numbers one after the other."""
    scale, bias = scale_and_bias(fused)
    if scale.ndim or bias.ndim:
        count = site.source.channels
        main = _diagonal(np.broadcast_to(scale, count))
        values = np.broadcast_to(bias, count) if np.any(bias) else 0.0
        yield site.chain(("scale", _plain(Fused(main, bias=values, function=fused.function))))
        return
    steps: list[tuple[str, UnitParams]] = []
    if float(scale) != 1.0:
        steps.append(("scale", GOCParams(float(scale), 0.0)))
    if float(bias) != 0.0:
        steps.append(("bias", GOCParams(1.0, float(bias))))
    if fused.function is not None:
        steps.append(("function", fused.function))
    if len(steps) > 1:
        yield site.chain(*steps)


def _elementwise_epilogue(site: UnitSite, params: FusedElementWise) -> Iterator[Form]:
    """Scale, bias and ReLU after the operation; a ReLU of an operand before it."""
    scale, bias = params.main.scale, params.bias
    if scale != 1.0 or bias or params.relu:
        plain = replace(params, main=replace(params.main, scale=1.0), bias=0.0, relu=False)
        steps: list[tuple[str, UnitParams]] = [("pair", plain)]
        if scale != 1.0 or bias:
            steps.append(("scale", GOCParams(scale, bias)))
        if params.relu:
            steps.append(("function", NeuronParams(NeuronKind.RELU)))
        yield site.chain(*steps)
    for position, rectified in enumerate(params.source_relu):
        if rectified:
            relu = site.made(f"relu{position}", NeuronParams(NeuronKind.RELU), (site.unit.bottoms[position],))
            bottoms = tuple(relu.name if i == position else name for i, name in enumerate(site.unit.bottoms))
            rest = tuple(each and i != position for i, each in enumerate(params.source_relu))
            yield relu, site.made("", replace(params, source_relu=(rest[0], rest[1])), bottoms, last=True)


def broadcasts(site: UnitSite) -> Iterator[Form]:
    """An operand that is repeated over several axes, repeated over one of them by a unit before."""
    params = site.unit.params
    if not isinstance(params, FusedElementWise):
        return
    for position, name in enumerate(site.unit.bottoms):
        axes = [each for each in Dimension if each.extent(site.shapes[name]) != each.extent(params.shape)]
        if len(axes) < 2 or not repeated_axes(site.shapes[name], params.shape):
            continue
        for axis in axes:
            repeated = site.made(f"repeat{position}", BroadcastParams({axis: axis.extent(params.shape)}), (name,))
            bottoms = tuple(repeated.name if i == position else each for i, each in enumerate(site.unit.bottoms))
            yield repeated, site.made("", params, bottoms, last=True)


# Convolutions --------------------------------------------------------------------------------------------------------


def _convolution(site: UnitSite) -> tuple[Fused, ConvParams] | None:
    """The unit as a fused convolution, without dilation."""
    params = site.unit.params
    fused = params if isinstance(params, Fused) else Fused(params)
    conv = fused.main
    if not isinstance(conv, ConvParams) or conv.transposed:
        return None
    if conv.dilation != (1, 1):
        conv = replace(conv, kernel=dilate(conv.kernel, conv.dilation), dilation=(1, 1))
    return fused, conv


def whole_images(site: UnitSite) -> Iterator[Form]:
    """A kernel as large as the image, as a product of all elements in a column of channels."""
    found = _convolution(site)
    if found is None:
        return
    fused, conv = found
    shape = site.source
    whole = conv.kernel.shape[1:] == (shape.channels, shape.height, shape.width) and not any(conv.pads)
    if whole and shape.height * shape.width > 1 and shape.batch == shape.depth == 1:
        matrix = conv.kernel.reshape(len(conv.kernel), -1, 1, 1)
        column = TensorShape(channels=matrix.shape[1])
        yield site.chain(
            ("column", ReshapeParams(column)), ("product", _plain(replace(fused, main=ConvParams(matrix))))
        )


def filled(site: UnitSite) -> Iterator[Form]:
    """A convolution with a larger window, filled up with zeros."""
    found = _convolution(site)
    if found is not None:
        for wider in _filled(site, found[1]):
            yield site.chain(("conv", _plain(replace(found[0], main=wider))))


def strides(site: UnitSite) -> Iterator[Form]:
    """A convolution of stride 1, of whose rows and columns some are taken."""
    found = _convolution(site)
    if found is not None:
        yield from _strided(site, *found)


def channels(site: UnitSite) -> Iterator[Form]:
    """Output channels of zeros, so that all lanes have the same number; a view leaves them out."""
    params = site.unit.params
    fused = params if isinstance(params, Fused) else Fused(params)
    if isinstance(fused.main, ConvParams):
        yield from _more_channels(site, fused, fused.main)


def _filled(site: UnitSite, conv: ConvParams) -> Iterator[ConvParams]:
    result = conv.infer([site.source])
    height, width = conv.kernel.shape[2:]
    depthwise = conv.kernel.shape[1] == 1 < conv.groups
    if (height, width) == (1, 1) and conv.step == (1, 1):
        return
    for size, pad in _WINDOWS:
        top, left = pad - conv.pads.top, pad - conv.pads.left
        bottom, right = size - height - top, size - width - left
        if (size, size) == (height, width) or min(top, left, bottom, right) < 0 or (size > _DENSE and not depthwise):
            continue
        trailing = [
            (extent - 1) * step + size - pad - before
            for extent, step, before in (
                (result.height, conv.step[1], site.source.height),
                (result.width, conv.step[0], site.source.width),
            )
        ]
        kernel = np.pad(conv.kernel, ((0, 0), (0, 0), (top, bottom), (left, right)))
        yield replace(conv, kernel=kernel, pads=Pads(pad, trailing[0], pad, trailing[1]))


def _strided(site: UnitSite, fused: Fused, conv: ConvParams) -> Iterator[Form]:
    if conv.step == (1, 1):
        return
    dense = replace(conv, step=(1, 1))
    every, result = dense.infer([site.source]), conv.infer([site.source])
    steps = taken(every, result, conv.step)
    yield site.chain(("dense", _plain(replace(fused, main=dense))), *steps)
    if conv.step == (2, 2) and (fused.function is not None or np.any(fused.bias)):
        after = _plain(replace(fused, main=_subsample(every, result)))
        yield site.chain(("dense", dense), ("every second", after))


def taken(before: TensorShape, after: TensorShape, step: tuple[int, int]) -> list[tuple[str, UnitParams]]:
    """Units that take every element at a multiple of the step (x, y), from the first on; none when all are taken."""
    steps: list[tuple[str, UnitParams]] = []
    if step == (2, 2):
        every_second = _subsample(before, after)
        steps, step = [("every second", every_second)], (1, 1)
        before = every_second.infer([before])
    if step[1] > 1 or after.height < before.height:
        steps.append(("rows", InputViewParams(Dimension.HEIGHT, 0, after.height, step[1])))
    if step[0] > 1 or after.width < before.width:
        steps.append(("columns", InputViewParams(Dimension.WIDTH, 0, after.width, step[0])))
    return steps


def _subsample(before: TensorShape, after: TensorShape) -> ConvParams:
    """A depthwise convolution of stride 2 that takes every second row and column, from the first on."""
    kernel = np.zeros((before.channels, 1, _SUBSAMPLE, _SUBSAMPLE), np.float32)
    kernel[:, :, 0, 0] = 1
    trailing = [
        2 * (extent - 1) + _SUBSAMPLE - source
        for extent, source in ((after.height, before.height), (after.width, before.width))
    ]
    return ConvParams(
        kernel, step=(2, 2), pads=Pads(0, max(trailing[0], 0), 0, max(trailing[1], 0)), groups=before.channels
    )


def _more_channels(site: UnitSite, fused: Fused, conv: ConvParams) -> Iterator[Form]:
    outputs, lanes = conv.kernel.shape[0], site.machine.lanes
    more = -outputs % lanes
    if conv.groups != 1 or outputs < lanes or not more:
        return
    kernel = np.concatenate([conv.kernel, np.zeros((more, *conv.kernel.shape[1:]), conv.kernel.dtype)])
    wide = replace(fused, main=replace(conv, kernel=kernel), scale=_longer(fused.scale, more, 1.0))
    wide = replace(wide, bias=_longer(fused.bias, more, 0.0))
    yield site.chain(("wide", _plain(wide)), ("channels", InputViewParams(Dimension.CHANNEL, 0, outputs)))


def _longer(values: np.ndarray | float, more: int, fill: float) -> np.ndarray | float:
    return np.concatenate([np.asarray(values), np.full(more, fill, np.float32)]) if np.ndim(values) else values


def products(site: UnitSite) -> Iterator[Form]:
    """A product by a constant with columns of zeros, so that all lanes have the same number."""
    params = site.unit.params
    fused = params if isinstance(params, Fused) else Fused(params, dimension=Dimension.WIDTH)
    linear = fused.main
    if not isinstance(linear, LinearParams):
        return
    outputs, lanes = linear.weight.shape[0], site.machine.lanes
    more = -outputs % lanes
    if more and outputs > lanes:
        weight = np.concatenate([linear.weight, np.zeros((more, linear.weight.shape[1]), linear.weight.dtype)])
        wide = replace(fused, main=replace(linear, weight=weight), scale=_longer(fused.scale, more, 1.0))
        wide = replace(wide, bias=_longer(fused.bias, more, 0.0))
        yield site.chain(("wide", _plain(wide)), ("columns", InputViewParams(Dimension.WIDTH, 0, outputs)))


# Sizes ---------------------------------------------------------------------------------------------------------------


def halves(site: UnitSite) -> Iterator[Form]:
    """A unit that works on each channel by itself, on two halves of the channels."""
    params, count = site.unit.params, site.shapes[site.unit.name].channels
    along: frozenset[Dimension] | None = None
    if isinstance(params, (GOCParams, NeuronParams, ElementWiseParams, FusedElementWise, PoolingParams)):
        along = frozenset()
    elif isinstance(params, (ReductionParams, LayerNormParams)):
        along = params.dimensions
    elif isinstance(params, SoftmaxParams):
        along = frozenset({params.dimension})
    if along is None or Dimension.CHANNEL in along or count < 2:
        return
    parts: list[Unit] = []
    joined: list[str] = []
    for number, (first, size) in enumerate(((0, count // 2), (count // 2, count - count // 2))):
        bottoms = []
        for position, name in enumerate(site.unit.bottoms):
            if site.shapes[name].channels == count:
                view = InputViewParams(Dimension.CHANNEL, first, size)
                parts.append(site.made(f"half{number}.{position}", view, (name,)))
                bottoms.append(parts[-1].name)
            else:
                bottoms.append(name)
        parts.append(site.made(f"half{number}", _of_channels(params, first, size), tuple(bottoms)))
        joined.append(parts[-1].name)
    yield (*parts, site.made("", ConcatParams(Dimension.CHANNEL), tuple(joined), last=True))


def _of_channels(params: UnitParams, first: int, size: int) -> UnitParams:
    """The unit for some of its channels."""
    if isinstance(params, FusedElementWise):
        return replace(params, shape=replace(params.shape, channels=size))
    if isinstance(params, GOCParams):
        scale, bias = (
            values[first : first + size] if isinstance(values, np.ndarray) and values.ndim else values
            for values in (params.scale, params.bias)
        )
        return GOCParams(scale, bias)
    return params
