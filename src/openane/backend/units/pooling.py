"""Windowed pooling on the planar engine, averages as depthwise convolutions, and whole images as reductions.

No program on record pools windows. Maximum pooling follows assumption A1 (docs/assumptions.md) and is marked "simulator
only"; an average is a depthwise convolution with equal weights wherever that is exact, since those are on record.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from openane.backend.ir.plan import (
    Axis,
    PeArithmetic,
    PeMode,
    PePool,
    PeWork,
    TaskOperand,
    TaskPlan,
    TensorPlace,
    View,
)
from openane.backend.machine import MachineSpec
from openane.backend.rules import Family, Query, RuleKind, rule
from openane.backend.units.conv import ConvolutionJob, conv_task, image
from openane.backend.units.copy import copy_task
from openane.backend.units.functions import NeFunction
from openane.net.net import TensorShape, Unit
from openane.net.units import PoolingKind, PoolingParams

if TYPE_CHECKING:
    from openane.backend.lowering import UnitLowering


@rule(
    "pool-window",
    family="pooling",
    kind=RuleKind.ENGINE,
    limit=lambda machine: f"1 to {machine.max_window} rows and columns",
    hint="Pool twice with smaller windows.",
    evidence="encoding.md#common-block: fields of ConvCfg; no record, assumption A1",
)
def window(query: Query) -> object | None:
    """The pooling window is larger than the engine supports."""
    params = query.params
    assert isinstance(params, PoolingParams)
    fits = max(params.kernel) <= query.machine.max_window or covers_image(params, query.bottoms[0])
    return None if fits else params.kernel


@rule(
    "pool-stride",
    family="pooling",
    kind=RuleKind.ENGINE,
    limit=lambda machine: f"1 to {machine.max_pool_stride}",
    hint="Pool twice with smaller strides.",
    evidence="limits.md#sizes: 3 in the register",
)
def stride(query: Query) -> object | None:
    """The pooling stride is larger than the engine supports."""
    params = query.params
    assert isinstance(params, PoolingParams)
    whole = covers_image(params, query.bottoms[0])
    single = (query.result.width == 1 or params.step[0] <= query.machine.max_pool_stride) and (
        query.result.height == 1 or params.step[1] <= query.machine.max_pool_stride
    )
    return None if whole or single else params.step


@rule(
    "pool-padding",
    family="pooling",
    kind=RuleKind.ENGINE,
    limit=lambda machine: f"0 to {machine.max_pad} at the left and the top",
    hint="Pad in a layer of its own.",
    evidence="limits.md#sizes",
)
def padding(query: Query) -> object | None:
    """The pooling window has more padding than the engine supports."""
    params = query.params
    assert isinstance(params, PoolingParams)
    return params.pads if max(params.pads.left, params.pads.top) > query.machine.max_pad else None


@rule(
    "pool-dilation",
    family="pooling",
    kind=RuleKind.ENGINE,
    limit="1",
    hint="Pool without dilation.",
    evidence="encoding.md#common-block: no field holds it",
)
def dilation(query: Query) -> object | None:
    """The pooling window is dilated."""
    params = query.params
    assert isinstance(params, PoolingParams)
    return None if params.dilation == (1, 1) else params.dilation


def covers_image(params: PoolingParams, shape: TensorShape) -> bool:
    """Whether one window takes the whole image and nothing else."""
    return params.kernel == (shape.width, shape.height) and not any(params.pads)


def global_task(kind: PoolingKind, shape: TensorShape, source: TaskOperand, result: TaskOperand) -> TaskPlan:
    """The whole image of each channel to one number (encoding.md#reductions: H,W in one planar task)."""
    view = View.of(shape)
    average = kind is PoolingKind.AVERAGE
    work = PeWork(
        PeMode.REDUCTION,
        pool=PePool.SUM if average else PePool.MAX,
        final_scale=1.0 / (shape.width * shape.height) if average else 1.0,
    )
    return TaskPlan(work, view, view, (source,), result)


def window_task(
    params: PoolingParams, shape: TensorShape, pooled: TensorShape, source: TaskOperand, result: TaskOperand
) -> TaskPlan:
    """Windows on the planar engine: assumptions A1 to A3."""
    pool, scale = PePool.MAX, 1.0
    if params.kind is PoolingKind.AVERAGE:
        pool = PePool.SUM if params.count_include_pad else PePool.AVERAGE
        scale = 1.0 / (params.kernel[0] * params.kernel[1]) if params.count_include_pad else 1.0
    # A single column or row of results takes no step; the field then holds the smallest.
    steps = tuple(
        step if extent > 1 else 1 for step, extent in zip(params.step, (pooled.width, pooled.height), strict=True)
    )
    work = PeWork(
        PeMode.POOLING,
        pool=pool,
        final_scale=scale,
        kernel=params.kernel,
        stride=(steps[0], steps[1]),
        pad=(params.pads.left, params.pads.top),
    )
    return TaskPlan(work, View.of(shape), View.of(pooled), (source,), result)


def lower_pooling(unit: Unit, lowering: UnitLowering) -> Iterator[TaskPlan]:
    """A reduction, a depthwise convolution, or windows."""
    params = unit.params
    assert isinstance(params, PoolingParams)
    (bottom,) = unit.bottoms
    value = lowering.value(bottom)
    result = lowering.result(unit)
    pooled = lowering.shape(unit.name)
    if covers_image(params, value.shape):
        yield global_task(params.kind, value.shape, value.operand, result)
    elif params.kind is PoolingKind.AVERAGE and _is_convolution(lowering.machine, params):
        yield from _average(unit.name, params, value.shape, pooled, value.operand, result, lowering)
    else:
        yield window_task(params, value.shape, pooled, value.operand, result)


def _is_convolution(machine: MachineSpec, params: PoolingParams) -> bool:
    kx, ky = params.kernel
    return kx <= machine.max_kernel_width and ky <= machine.max_kernel_height and params.step in ((1, 1), (2, 2))


def _average(
    name: str,
    params: PoolingParams,
    shape: TensorShape,
    pooled: TensorShape,
    source: TaskOperand,
    result: TaskOperand,
    lowering: UnitLowering,
) -> Iterator[TaskPlan]:
    """Equal weights; averages that leave out the padding are corrected by a constant image."""
    weights, correction = np.float32(1.0 / (params.kernel[0] * params.kernel[1])), _correction(params, shape)
    kernel = np.full((shape.channels, 1, params.kernel[1], params.kernel[0]), weights, np.float32)
    job = ConvolutionJob(
        kernel,
        None,
        params.step,
        params.pads.left,
        params.pads.top,
        shape.channels,
        NeFunction(),
    )
    target = result if correction is None else lowering.tensor(f"{name}/sum", pooled, TensorPlace.AUTO)
    for batch in range(shape.batch):
        for depth in range(shape.depth):
            images = image(source, batch, depth), image(target, batch, depth)
            yield conv_task(lowering, job, shape, pooled, *images, slice(0, shape.channels))
    if correction is None:
        return
    constant = lowering.constant(f"{name}/correction", correction)
    factor = lowering.tensor(f"{name}/factor", TensorShape(1, 1, pooled.height, pooled.width), TensorPlace.RESIDENT)
    yield copy_task(constant, TensorShape(1, 1, pooled.height, pooled.width), factor)
    repeats = frozenset(
        axis
        for axis, extent in ((Axis.CHANNEL, shape.channels), (Axis.DEPTH, shape.depth), (Axis.GROUP, shape.batch))
        if extent > 1
    )
    view = View.of(pooled)
    work = PeWork(PeMode.BINARY, PeArithmetic.MULTIPLY)
    sources = (target, replace(factor, repeats=repeats))
    yield TaskPlan(work, view, view, sources, result)


def _correction(params: PoolingParams, shape: TensorShape) -> np.ndarray | None:
    """Window size over number of elements inside the image, for each result; None when it is 1 everywhere."""
    if params.count_include_pad:
        return None
    ones = np.ones((1, 1, 1, shape.height, shape.width), np.float32)
    inside = replace(params, count_include_pad=True).evaluate([ones])
    return None if np.all(inside == 1.0) else (1.0 / inside).astype(np.float32)


FAMILIES = (Family("pooling", (PoolingParams,), lower_pooling, (window, stride, padding, dilation)),)
