"""Convolutions: dense, grouped, depthwise; strides, dilation, any padding; bias and function fused."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from openane.backend.alloc.residency import staged_bytes
from openane.backend.ir.fused import Fused
from openane.backend.ir.plan import (
    Axis,
    KernelPlan,
    NeMode,
    NeWork,
    Nonlinearity,
    TaskOperand,
    TaskPlan,
    TensorPlace,
    View,
)
from openane.backend.machine import MachineSpec
from openane.backend.rules import Query, RuleKind, rule
from openane.backend.target import KernelPacking
from openane.backend.units.copy import part
from openane.backend.units.functions import NeFunction, ne_function, with_table
from openane.core.types import DType
from openane.net.net import TensorShape, UnitParams
from openane.net.units import ConvParams

if TYPE_CHECKING:
    from openane.backend.lowering import UnitLowering


def parts(params: UnitParams) -> tuple[ConvParams, Fused]:
    """The convolution and its epilogue."""
    fused = params if isinstance(params, Fused) else Fused(params)
    assert isinstance(fused.main, ConvParams)
    return fused.main, fused


@rule(
    "kernel-padding",
    family="convolution",
    kind=RuleKind.ENGINE,
    limit=lambda machine: f"0 to {machine.max_pad} at the left and the top",
    hint="Pad in a layer of its own.",
    evidence="limits.md#sizes: 31 columns and rows; Px and Py of ConvCfg have 5 bits",
)
def padding(query: Query) -> object | None:
    """The kernel has more padding than the engine supports."""
    conv, _ = parts(query.params)
    front = (conv.pads.left, conv.pads.top)
    bad = min(conv.pads) < 0 or (not conv.transposed and max(front) > query.machine.max_pad)
    return f"left {conv.pads.left}, top {conv.pads.top}" if bad else None


@rule(
    "conv-groups",
    family="convolution",
    kind=RuleKind.ENGINE,
    limit=lambda machine: f"1 to {machine.max_groups}, or depthwise",
    hint="Split the layer.",
    evidence="encoding.md#common-block: NumGroups of GroupConvCfg has 13 bits",
)
def groups(query: Query) -> object | None:
    """The convolution has more groups than the engine supports."""
    conv, _ = parts(query.params)
    depthwise = conv.kernel.shape[0] == conv.groups and conv.kernel.shape[1] == 1
    return conv.groups if conv.groups > query.machine.max_groups and not depthwise else None


@rule(
    "kernel-reach",
    family="convolution",
    kind=RuleKind.COMPILER,
    limit=lambda machine: f"{machine.max_kernel_height}x{machine.max_kernel_width}",
    hint="Use less padding, or pad in a layer of its own.",
    evidence="limits.md#sizes: fp16 kernels",
)
def reach(query: Query) -> object | None:
    """The padding needs a larger kernel than the engine supports, so that every window touches the image."""
    conv, _ = parts(query.params)
    if conv.transposed:
        return None
    (image,) = query.bottoms
    needed = []
    for extent, results, taps, step, pad in (
        (image.height, query.result.height, conv.reach[1], conv.step[1], conv.pads.top),
        (image.width, query.result.width, conv.reach[0], conv.step[0], conv.pads.left),
    ):
        outside = max((results - 1) * step - pad - extent + 1, 0) + max(pad - taps + 1, 0)
        needed.append(taps + outside if outside else 1)
    large = needed[0] > query.machine.max_kernel_height or needed[1] > query.machine.max_kernel_width
    return f"a kernel of {needed[0]}x{needed[1]} with zeros" if large else None


RULES = (padding, groups, reach)


@dataclass(frozen=True, slots=True)
class ConvolutionJob:
    """A convolution in the engine's terms, for one image.

    Attributes:
        kernel: (Cout, Cin/groups, Kh, Kw) with scale folded in, fp32.
        bias: (Cout,) or None.
        stride: (x, y).
        pad_left, pad_top: zeros in front.
        groups: independent groups.
        function: the last step.
        dilation: (x, y).
    """

    kernel: np.ndarray
    bias: np.ndarray | None
    stride: tuple[int, int]
    pad_left: int
    pad_top: int
    groups: int
    function: NeFunction
    dilation: tuple[int, int] = (1, 1)

    def is_native(self, machine: MachineSpec) -> bool:
        """Whether the engine has this convolution as it is."""
        height, width = self.kernel.shape[2:]
        size = height <= machine.max_kernel_height and width <= machine.max_kernel_width
        return size and self.dilation == (1, 1) and self.stride in ((1, 1), (2, 2))

    def stuffed(self) -> ConvolutionJob:
        """The same with zeros between the taps in place of dilation."""
        return replace(self, kernel=dilate(self.kernel, self.dilation), dilation=(1, 1))

    @property
    def depthwise(self) -> bool:
        """Every channel for itself."""
        return self.kernel.shape[1] == 1 and self.kernel.shape[0] == self.groups > 1


def dilate(kernel: np.ndarray, dilation: tuple[int, int]) -> np.ndarray:
    """The kernel with zeros between its taps."""
    dx, dy = dilation
    if (dx, dy) == (1, 1):
        return kernel
    outputs, inputs, height, width = kernel.shape
    wide = np.zeros((outputs, inputs, (height - 1) * dy + 1, (width - 1) * dx + 1), kernel.dtype)
    wide[:, :, ::dy, ::dx] = kernel
    return wide


def job(conv: ConvParams, fused: Fused) -> ConvolutionJob:
    """Folds scale and rescaling into the kernel and finds the function's form."""
    outputs = conv.kernel.shape[0]
    kernel = conv.kernel.astype(np.float32)
    function = ne_function(fused.function) if fused.function else NeFunction()
    assert function is not None, "fusion takes only functions of one NE task"
    scalar = not np.ndim(fused.scale)
    has_bias = bool(np.any(fused.bias))
    if scalar and not has_bias and function.nonlinearity is Nonlinearity.NONE:
        function = replace(function, post_scale=function.post_scale * float(fused.scale))
    elif np.any(np.asarray(fused.scale) != 1.0):
        kernel = kernel * np.broadcast_to(np.float32(fused.scale), outputs)[:, None, None, None]
    bias = np.broadcast_to(np.float32(fused.bias), outputs) if has_bias else None
    if fused.rescale:
        kernel = np.ldexp(kernel, fused.rescale)
        bias = None if bias is None else np.ldexp(bias, fused.rescale)
        function = replace(function, post_scale=math.ldexp(function.post_scale, -fused.rescale))
    return ConvolutionJob(kernel, bias, conv.step, conv.pads.left, conv.pads.top, conv.groups, function, conv.dilation)


def pack(lowering: UnitLowering, task: ConvolutionJob, view: View, result_view: View, channels: slice) -> KernelPlan:
    """The coefficient streams of the output channels of one task."""
    packing = lowering.packing
    kernel = task.kernel[channels]
    bias = None if task.bias is None else task.bias[channels]
    sparse = task.stride != (1, 1)
    capacity = packing.round_capacity(view.channels, view.width, view.height, matrix=False)
    group = 1 if task.depthwise else min(lowering.machine.channels_per_lane(len(kernel) // task.groups), capacity)
    slots = packing.sparse_slots(view.channels, result_view.width, result_view.height, group)
    if task.depthwise:
        lanes = packing.pack_sparse_depthwise(kernel, bias, slots) if sparse else packing.pack_depthwise(kernel, bias)
    elif task.groups > 1 and sparse:
        lanes = packing.pack_sparse_grouped(kernel, bias, task.groups, capacity, slots)
    elif task.groups > 1:
        lanes = packing.pack_grouped(kernel, bias, task.groups, capacity)
    elif sparse:
        lanes = packing.pack_sparse(kernel, bias, capacity, slots)
    else:
        lanes = packing.pack_dense(kernel, bias, capacity)
    return KernelPlan(lanes, sparse=sparse, bias=bias is not None, group_channels=group)


def conv_task(
    lowering: UnitLowering,
    task: ConvolutionJob,
    shape: TensorShape,
    result_shape: TensorShape,
    source: TaskOperand,
    result: TaskOperand,
    channels: slice,
    *,
    pairs: bool = False,
) -> TaskPlan:
    """One task of a convolution of one image.

    Args:
        lowering: of the network.
        task: the convolution.
        shape: of the input image.
        result_shape: of the whole result; `channels` are those of this task.
        source, result: operands.
        channels: output channels of this task.
        pairs: two neighboring outputs at a time.
    """
    count = channels.stop - channels.start
    per_group = 1 if task.depthwise else task.groups
    view = View(shape.width, shape.height, shape.channels // per_group, groups=per_group)
    result_view = View(result_shape.width, result_shape.height, count // per_group, groups=per_group)
    if pairs:
        lanes, sparse = lowering.packing.pack_pairs(task.kernel, task.bias)
        kernel = KernelPlan(lanes, sparse=sparse, bias=task.bias is not None)
    else:
        kernel = pack(lowering, task, view, result_view, channels)
    if task.function.table is not None:
        kernel = with_table(kernel, task.function.table, len(kernel.lanes))
    work = NeWork(
        NeMode.CONVOLUTION,
        task.function.nonlinearity,
        post_scale=task.function.post_scale,
        kernel_width=task.kernel.shape[3],
        kernel_height=task.kernel.shape[2],
        stride=task.stride,
        pad_left=task.pad_left,
        pad_top=task.pad_top,
        pairs=pairs,
    )
    if per_group > 1:
        source = replace(source, group_channels=view.channels)
        result = replace(result, group_channels=result_view.channels)
    return TaskPlan(work, view, result_view, (source,), result, kernel, unicast=task.depthwise)


def slices(packing: KernelPacking, task: ConvolutionJob, result_shape: TensorShape) -> tuple[slice, ...]:
    """Output channels of each task, as the weight memory allows (encoding.md#splitting-channels)."""
    outputs, inputs, height, width = task.kernel.shape
    if task.groups > 1:
        return (slice(0, outputs),)
    size = 2 * inputs * height * width
    if task.stride != (1, 1):
        size = packing.sparse_bytes_per_channel(inputs, height, width)
    pixels = result_shape.height * result_shape.width
    return tuple(slice(first, first + count) for first, count in packing.split_channels(outputs, size, pixels))


def image_tasks(
    task: ConvolutionJob,
    shape: TensorShape,
    result_shape: TensorShape,
    source: TaskOperand,
    result: TaskOperand,
    lowering: UnitLowering,
) -> Iterator[TaskPlan]:
    """All tasks of a convolution of one image; slices of channels share the staged input."""
    machine = lowering.machine
    plans = []
    for number, channels in enumerate(slices(lowering.packing, task, result_shape)):
        target = part(result, Axis.CHANNEL, channels.start)
        plan = conv_task(lowering, task, shape, result_shape, source, target, channels)
        assert plan.kernel is not None
        plans.append(replace(plan, kernel=replace(plan.kernel, part=number)))
    if len(plans) == 1:
        yield plans[0]
        return
    largest = max(staged_bytes(machine, plan) for plan in plans)
    if largest <= machine.l2_bytes and lowering.tensors[source.tensor].dtype is DType.FLOAT16:
        kept = lowering.tensor(f"{result.tensor}/input{result.offset}{result.step}", shape, TensorPlace.RESIDENT)
        yield replace(plans[0], sources=(replace(source, keep=kept.tensor),))
        yield from (replace(plan, sources=(kept,)) for plan in plans[1:])
        return
    for index, plan in enumerate(plans):
        last = index + 1 == len(plans)
        operand = replace(source, read_again=not last, reread=index > 0)
        yield replace(plan, sources=(operand,), new_group=index > 0)


def image(operand: TaskOperand, batch: int, depth: int) -> TaskOperand:
    """One image of a batch and depth."""
    group, plane, channel, row = operand.offset
    return replace(operand, offset=(group + batch * operand.step[0], plane + depth * operand.step[1], channel, row))
