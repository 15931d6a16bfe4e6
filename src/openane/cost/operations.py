"""The work of single operations, for measurements that were published without a program."""

from __future__ import annotations

from dataclasses import replace

from openane.backend.machine import MachineSpec
from openane.backend.task_cost import Engine, Work, WorkKind
from openane.targets import DEFAULT_TARGET, get

_HALF_BYTES = 2


TASKS_OF_SOFTMAX = 5
TASKS_OF_LAYER_NORM = 5
TASKS_OF_RMS_NORM = 8
TASKS_OF_L2_NORM = 4
"""Tasks of Apple's programs for H13; other generations are taken to be alike."""


def _machine() -> MachineSpec:
    """The generation that operations without a program are counted for."""
    return get(DEFAULT_TARGET).spec


def _reads(input_bytes: int, weight_bytes: int) -> int:
    """How often an input is read: one that does not stay in L2 for each part of the weights that all lanes hold."""
    machine = _machine()
    resident = machine.lanes * machine.kernel_bytes_per_lane
    return max(1, -(-weight_bytes // resident)) if input_bytes > machine.l2_bytes else 1


def matmul(rows: int, inner: int, columns: int) -> Work:
    """[rows, inner] x [inner, columns] with constant weights."""
    read, written, weights = (_HALF_BYTES * a * b for a, b in ((rows, inner), (rows, columns), (inner, columns)))
    return Work(
        f"matmul {rows}x{inner}x{columns}",
        Engine.NEURAL,
        WorkKind.MATMUL,
        macs=rows * inner * columns,
        surface_bytes=read + written,
        result_bytes=written,
        input_bytes=read * _reads(read, weights),
        output_bytes=written,
        weight_bytes=weights,
        engines=_machine().lanes,
    )


def convolution(
    channels: int,
    channels_out: int,
    side: int,
    kernel: int,
    *,
    stride: int = 1,
    batch: int = 1,
    layers: int = 1,
) -> Work:
    """A stack of square convolutions on square images; only the first input and the last output leave the engine."""
    side_out = side // stride
    read, written = _HALF_BYTES * batch * channels * side**2, _HALF_BYTES * batch * channels_out * side_out**2
    weights = _HALF_BYTES * channels * channels_out * kernel**2
    name = f"conv {kernel}x{kernel} {channels}->{channels_out} at {side}"
    return Work(
        name + (f" batch {batch}" if batch > 1 else "") + (f", {layers} layers" if layers > 1 else ""),
        Engine.NEURAL,
        WorkKind.CONVOLUTION,
        macs=channels * channels_out * kernel**2 * side_out**2 * batch * layers,
        surface_bytes=read + written,
        result_bytes=written,
        input_bytes=read * _reads(read, weights),
        output_bytes=written,
        weight_bytes=weights * layers,
        engines=_machine().lanes,
        tasks=layers,
    )


def elementwise(elements: int, *, name: str = "unary") -> Work:
    """One operation of one operand."""
    return Work(
        f"{name} {elements}",
        Engine.PLANAR,
        WorkKind.ELEMENTWISE,
        elements=elements,
        surface_bytes=2 * _HALF_BYTES * elements,
        result_bytes=_HALF_BYTES * elements,
        input_bytes=_HALF_BYTES * elements,
        output_bytes=_HALF_BYTES * elements,
    )


def rowwise(name: str, rows: int, columns: int, tasks: int) -> Work:
    """Softmax or a norm over rows: each task passes over everything."""
    elements = rows * columns
    return Work(
        f"{name} {rows}x{columns}",
        Engine.PLANAR,
        WorkKind.REDUCTION,
        elements=elements * tasks,
        surface_bytes=2 * _HALF_BYTES * elements,
        result_bytes=_HALF_BYTES * elements,
        input_bytes=_HALF_BYTES * elements,
        output_bytes=_HALF_BYTES * elements,
        tasks=tasks,
    )


def attention(heads: int, length: int, head_width: int) -> Work:
    """softmax(q k / sqrt(d)) v on run-time tensors, all heads.

    Apple's programs for H13 have 9 tasks for one head of up to 128 rows, 3 more a head, 2 more for each 128 rows.
    """
    tasks = 9 + 3 * (heads - 1) + 2 * (-(-length // 128) - 1)
    moved = _HALF_BYTES * heads * length * head_width
    return Work(
        f"attention {heads} heads, {length} x {head_width}",
        Engine.NEURAL,
        WorkKind.MATMUL,
        macs=2 * heads * length**2 * head_width,
        elements=TASKS_OF_SOFTMAX * heads * length**2,
        surface_bytes=4 * moved,
        result_bytes=moved,
        input_bytes=3 * moved,
        output_bytes=moved,
        engines=_machine().lanes,
        tasks=tasks,
    )


def attention_block(heads: int, length: int, head_width: int) -> Work:
    """Attention between products by constants: query, key, value and result are [length, heads * head_width]."""
    width = heads * head_width
    inner, moved = attention(heads, length, head_width), 2 * _HALF_BYTES * length * width
    return replace(
        inner,
        name=f"{inner.name}, with its four products",
        macs=inner.macs + 4 * length * width**2,
        surface_bytes=moved,
        result_bytes=moved // 2,
        input_bytes=moved // 2,
        output_bytes=moved // 2,
        weight_bytes=4 * _HALF_BYTES * width**2,
    )
