"""Random programs of one to many tasks, with everything that a reference needs to know about them.

A generator asks a `Choices` for every decision, so hypothesis can shrink what it finds and a seed can repeat it.
Tensors lie in surfaces, in the scratch buffer or in L2, in random order and with gaps; each knows the register fields
that make it a source or a result. Kernels are packed here from the prose of the rules and kept as numbers too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import numpy as np
import programs as make
from programs import Builder, Fields

from openane.core.types import DType
from openane.program import Program, Role

T = TypeVar("T")
Shape = tuple[int, int, int, int, int]
FP16, INT8, UINT8 = DType.FLOAT16, DType.INT8, DType.UINT8
CODES = {UINT8: 0, INT8: 1, FP16: 2}
SCRATCH, CONSTANTS = 3, 1
RESIDENT, KEPT, DRAM, CHAIN = range(4)
PRODUCTS = 6000
"""Most multiplications of a convolution, so that a scalar model does them in time."""
SPECIAL = np.array([0x7C00, 0xFC00, 0x7E01, 0xFE00, 0x0001, 0x8001, 0x0000, 0x8000, 0x7BFF, 0x03FF], np.uint16)


class Choices(Protocol):
    """Where decisions come from."""

    def integer(self, low: int, high: int) -> int: ...

    def pick(self, among: Sequence[T]) -> T: ...


class Seeded:
    """Decisions of a generator of numbers."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def integer(self, low: int, high: int) -> int:
        return int(self._rng.integers(low, high + 1))

    def pick(self, among: Sequence[T]) -> T:
        return among[self.integer(0, len(among) - 1)]


def random_values(rng: np.random.Generator, shape: tuple[int, ...], dtype: DType = FP16) -> np.ndarray:
    """Values of all kinds, some of them special."""
    if dtype is not FP16:
        bounds = np.iinfo(dtype.value)
        return rng.integers(bounds.min, bounds.max + 1, shape).astype(dtype.numpy)
    scale = 2.0 ** rng.integers(-6, 9)
    values = (rng.standard_normal(shape) * scale).astype(np.float16)
    chosen = rng.random(shape) < 0.03
    return np.where(chosen, rng.choice(SPECIAL, shape).view(np.float16), values)


# Tensors -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tensor:
    """A tensor in memory as a task names it.

    Attributes:
        kind: RESIDENT (in L2), DRAM or CHAIN.
        buffer: index for DRAM.
        base: byte offset.
        extent: as stored, (groups, depth, channels, rows, columns).
        strides: of group, depth, channel group and row, as the registers hold them.
        dtype: of the elements.
        interleave: channels in memory that lie side by side.
        swapped: channels in memory are the columns of the task.
    """

    kind: int
    extent: Shape
    buffer: int = 0
    base: int = 0
    strides: tuple[int, int, int, int] = (0, 0, 0, 0)
    dtype: DType = FP16
    interleave: int = 1
    swapped: bool = False

    def source(self, number: int = 1, kept: Tensor | None = None) -> Fields:
        """Fields of source `number`; a source that is kept has its place in L2."""
        second, code = number == 2, CODES[self.dtype]
        fields: Fields = {f"Common.ChCfg.{'Src2InFmt' if second else 'InFmt'}": code}
        if self.kind == RESIDENT:
            fields["L2.SourceCfg.Source2Dram" if second else "L2.SourceCfg.SourceType"] = 0
            return fields | make.l2("Source2" if second else "Source", self.base, self.strides)
        if self.kind == CHAIN:
            return fields | {"L2.SourceCfg.SourceType": CHAIN}
        prefix = "TileDMASrc.Src2" if second else "TileDMASrc."
        fields |= {
            f"Header.Bases.RBase{number - 1}": self.buffer,
            f"Header.Bases.RBE{number - 1}": 1,
            "TileDMASrc.DMAConfig.En": 1,
            f"{prefix}BaseAddr.Addr": self.base,
            f"{prefix}Fmt.FmtMode": int(self.dtype is FP16 and not second),
            f"{prefix}Fmt.Truncate": 3 if self.dtype is FP16 else 0,
            f"{prefix}Fmt.MemFmt": code,
            f"{prefix}Fmt.Interleave": 0 if second else self.interleave,
        }
        names = ("GroupStride", "DepthStride", "PlaneStride", "RowStride")
        fields |= {f"{prefix}{name}.Stride": stride for name, stride in zip(names, self.strides, strict=True)}
        if kept is not None:
            return fields | {"L2.SourceCfg.SourceType": KEPT} | make.l2("Source", kept.base, kept.strides)
        return fields | ({"L2.SourceCfg.Source2Dram": 1} if second else {"L2.SourceCfg.SourceType": DRAM})

    def result(self) -> Fields:
        """Fields of a result, without the exchange of channels and columns."""
        code = CODES[self.dtype]
        fields: Fields = {"Common.ChCfg.OutFmt": code, "L2.ResultCfg.ResultType": self.kind}
        if self.kind == RESIDENT:
            return fields | make.l2("Result", self.base, self.strides)
        if self.kind == CHAIN:
            return fields
        names = ("GroupStride", "DepthStride", "PlaneStride", "RowStride")
        return fields | {
            "Header.Bases.WBase": self.buffer,
            "Header.Bases.WBE": 1,
            "TileDMADst.DMAConfig.En": 1,
            "TileDMADst.BaseAddr.Addr": self.base,
            **{f"TileDMADst.{name}.{name}": stride for name, stride in zip(names, self.strides, strict=True)},
            "TileDMADst.Fmt.FmtMode": int(self.dtype is FP16),
            "TileDMADst.Fmt.Truncate": 3 if self.dtype is FP16 else 0,
            "TileDMADst.Fmt.MemFmt": code,
            "TileDMADst.Fmt.Interleave": self.interleave,
        }


@dataclass
class Kernel:
    """The kernel of a task as numbers.

    Attributes:
        weights: (groups, output channels, input channels, rows, columns).
        bias: (groups, output channels).
        table: 128 bytes.
        order: input channel, row, column of each step, in the order of the stream.
        at_run_time: of a kernel in scratch: byte offset of weight (group, output, input).
    """

    weights: np.ndarray | None = None
    bias: np.ndarray | None = None
    table: bytes | None = None
    order: list[tuple[int, int, int]] | None = None
    at_run_time: Callable[[int, int, int], int] | None = None


@dataclass
class Made:
    """A program, its inputs, and the kernel of each task (None without one)."""

    program: Program
    arrays: dict[str, np.ndarray]
    kernels: list[Kernel | None]


class Network:
    """A program being made.

    Args:
        choices: decides.
    """

    def __init__(self, choices: Choices) -> None:
        self.choices = choices
        self.rng = np.random.default_rng(choices.integer(0, 1 << 20))
        self.builder = Builder()
        self.arrays: dict[str, np.ndarray] = {}
        self.kernels: list[Kernel | None] = []
        self._l2 = 0x400 * choices.integer(0, 3)
        self._scratch = 0

    def flag(self) -> bool:
        return bool(self.choices.integer(0, 1))

    def made(self) -> Made:
        self.builder.scratch_bytes = -(-self._scratch // 0x4000) * 0x4000
        return Made(self.builder.program(), self.arrays, self.kernels)

    def add(self, *parts: Fields, kernel: Kernel | None = None) -> None:
        """A task."""
        self.builder.add(*parts)
        self.kernels.append(kernel)

    # Places

    def surface(self, role: Role, extent: Shape, dtype: DType = FP16, swapped: bool = False) -> Tensor:
        """A surface, with random values when it is an input."""
        g, d, c, h, w = extent
        name = f"s{len(self.builder.surfaces)}"
        made = self.builder.surface(name, role, (g, d, w, h, c) if swapped else extent, dtype)
        if role is Role.INPUT:
            self.arrays[name] = random_values(self.rng, made.shape, dtype)
        batch, depth, plane, row, _ = made.strides_bytes
        return Tensor(DRAM, extent, made.buffer, 0, (batch, depth, plane, row), dtype, 1, swapped)

    def place(
        self, kind: int, extent: Shape, dtype: DType = FP16, interleave: int = 1, swapped: bool = False
    ) -> Tensor:
        """Room in L2 or scratch, axes in random order and with gaps."""
        if kind == CHAIN:
            return Tensor(CHAIN, extent)
        g, d, c, h, w = extent
        channels, columns = (w, c) if swapped else (c, w)
        unit = 16 if kind == RESIDENT else 64
        step = -(-columns * dtype.numpy.itemsize * interleave // unit) * unit + unit * self.choices.integer(0, 1)
        counts = {"group": g, "depth": d, "plane": -(-channels // interleave), "row": h}
        strides: dict[str, int] = {}
        order = ["row", "plane", "depth", "group"]
        if self.flag():
            order = [order.pop(self.choices.integer(0, len(order) - 1)) for _ in range(4)]
        for axis in order:
            strides[axis] = step
            step = step * counts[axis] + unit * self.choices.integer(0, 1)
        named = strides["group"], strides["depth"], strides["plane"], strides["row"]
        if kind == RESIDENT:
            base, self._l2 = self._l2, self._l2 + step + 16
            return Tensor(RESIDENT, extent, 0, base, named, dtype, 1, swapped)
        base, self._scratch = self._scratch, self._scratch + step + 64
        return Tensor(DRAM, extent, SCRATCH, base, named, dtype, interleave, swapped)

    def copy(self, source: Tensor, target: Tensor) -> None:
        """A task that passes values on."""
        swap: Fields = {"Common.Cfg.Transpose": int(target.swapped)}
        self.add(make.PASS, make.view(source.extent, source.extent), source.source(), target.result(), swap)

    def keep(self, source: Tensor) -> Tensor:
        """A task that copies a source to a surface nobody asks for and leaves its bits in L2."""
        kept = self.place(RESIDENT, source.extent, source.dtype)
        ignored = self.surface(Role.OUTPUT, source.extent)
        view = make.view(source.extent, source.extent)
        self.add(make.PASS, view, source.source(kept=kept), ignored.result())
        return kept

    def operand(self, extent: Shape, dtype: DType, number: int = 1, swap: bool = False, chain: bool = False) -> Tensor:
        """A source with random values: a surface, or what an earlier task left somewhere.

        Args:
            number: of the source; the second one has no interleave.
            swap: whether channels and columns may be exchanged.
            chain: whether the value may come straight from the task before.
        """
        swapped = swap and self.flag()
        kinds = ["surface", "surface", "scratch", "l2", "kept"]
        kind = self.choices.pick([*kinds, "chain"] if chain and dtype is FP16 else kinds)
        if kind == "surface":
            return self.surface(Role.INPUT, extent, dtype, swapped)
        if kind == "kept":
            return self.keep(self.surface(Role.INPUT, extent, dtype))
        source = self.surface(Role.INPUT, extent, self.choices.pick([FP16, FP16, dtype]))
        if kind == "chain":
            target = self.place(CHAIN, extent)
        elif kind == "l2":
            target = self.place(RESIDENT, extent, dtype, 1, swapped)
        else:
            interleave = 1 if number == 2 or swapped else self.choices.pick([1, 1, 2, 3, 4, 8])
            target = self.place(DRAM, extent, dtype, interleave, swapped)
        self.copy(source, target)
        return target

    def target(self, extent: Shape, swap: bool = True) -> Tensor:
        """Where a result may go."""
        dtype = self.choices.pick([FP16, FP16, FP16, INT8, UINT8])
        swapped = swap and self.flag()
        kind = self.choices.pick(["surface", "surface", "scratch", "l2", "chain"])
        if kind == "surface":
            return self.surface(Role.OUTPUT, extent, dtype, swapped)
        if kind == "chain":
            return self.place(CHAIN, extent)
        interleave = self.choices.pick([1, 1, 2, 3, 4, 8]) if kind == "scratch" else 1
        return self.place(RESIDENT if kind == "l2" else DRAM, extent, dtype, interleave, swapped)

    def show(self, tensor: Tensor) -> None:
        """Brings a result to a surface, when it is not there and this can be said."""
        shown = tensor.kind != DRAM or tensor.buffer == SCRATCH
        if not shown:
            return
        if tensor.swapped:  # the neural engine has no exchanged source: copy the memory as it lies
            g, d, c, h, w = tensor.extent
            tensor = Tensor(
                tensor.kind, (g, d, w, h, c), tensor.buffer, tensor.base, tensor.strides, tensor.dtype,
                tensor.interleave,
            )  # fmt: skip
        self.copy(tensor, self.surface(Role.OUTPUT, tensor.extent, self.choices.pick([FP16, tensor.dtype])))


def shape(choices: Choices, largest: int = 6, depth: int = 2, channels: int = 5) -> Shape:
    return (
        choices.integer(1, 2), choices.integer(1, depth), choices.integer(1, channels), choices.integer(1, largest),
        choices.integer(1, largest),
    )  # fmt: skip


def stored(extent: Shape, flags: int) -> Shape:
    """Extents of a source that is repeated on some axes: W 1, H 2, D 4, C 8."""
    g, d, c, h, w = extent
    return g, 1 if flags & 4 else d, 1 if flags & 8 else c, 1 if flags & 2 else h, 1 if flags & 1 else w


# Planar engine -----------------------------------------------------------------------------------------------------


def planar_numbers(net: Network) -> Fields:
    """Scales, signs and functions."""
    pick = net.choices.pick
    return {
        "PE.BiasScale.Scale": make.half(pick([1, 0.5, -3])),
        "PE.BiasScale.Bias": make.half(pick([0, 0.25])),
        "PE.PreScale.PreScale": make.half(pick([1, -1, 0.3, float("inf")])),
        "PE.PreScale.Epsilon": make.half(pick([0, 1e-3])),
        "PE.FinalScale.FinalScale": make.single(pick([1, 1 / 3, 1e-40])),
        "PE.Cfg.NLMode": pick([0, 0, 1, 2]),
        "PE.Cfg.ReluEn": pick([0, 1]),
        "PE.Cfg.Condition": pick([0, 1]),
        "PE.Cfg.FirstSrc": pick([0, 1]),
        "L2.L2Cfg.InputReLU": pick([0, 1]),
        "L2.L2Cfg.Source2ReLU": pick([0, 1]),
    }


def planar_task(net: Network, extent: Shape, sources: list[Tensor], target: Tensor, *fields: Fields) -> None:
    """A task of the planar engine over sources that may be exchanged."""
    swaps: Fields = {"Common.PECfg.OutTranspose": int(target.swapped)}
    parts: list[Fields] = []
    for number, source in enumerate(sources, 1):
        swaps[f"Common.PECfg.Src{number}Transpose"] = int(source.swapped)
        parts.append(source.source(number))
    view = make.view(extent, extent)
    net.add(make.PLANAR, view, *parts, target.result(), planar_numbers(net), swaps, *fields)


def elementwise(net: Network, pairs: bool = False) -> None:
    """One or two sources, repeated and exchanged; `pairs` are rows of scale and bias (task type 4)."""
    choices, extent = net.choices, shape(net.choices)
    double = pairs or choices.integer(0, 3) > 0
    dtype = choices.pick([FP16, FP16, FP16, INT8, UINT8])
    flags = [choices.integer(0, 15) * choices.integer(0, 1) for _ in range(2)]
    second = None
    if double:
        held = (1, 1, extent[2], 2, 1) if pairs else stored(extent, flags[1])
        second = net.operand(held, dtype, 2, swap=not pairs)
    first = net.operand(stored(extent, flags[0]), dtype, swap=True, chain=True)
    target = net.target(extent)
    kind: Fields = {"Common.PECfg.Src1Broadcast": flags[0], "Common.Cfg.TaskType": 4 if pairs else 3 if double else 2}
    if double:
        kind |= {"Common.PECfg.Src2Broadcast": 0 if pairs else flags[1], "PE.Cfg.SecSrc": choices.pick([2, 3])}
    kind["PE.Cfg.OpMode"] = choices.pick([0, 1, 2, 3, 4] if double else [0, 4])
    planar_task(net, extent, [first] if second is None else [first, second], target, kind)
    net.show(target)


def rows(net: Network) -> None:
    elementwise(net, pairs=True)


def reduction(net: Network) -> None:
    """Sums, means, extremes and variances over depth, height and width."""
    choices, extent = net.choices, shape(net.choices, depth=3)
    dtype = choices.pick([FP16, FP16, FP16, INT8, UINT8])
    variance = net.flag()
    flags = choices.pick([7, 0, 3]) if variance else choices.pick([0, 0, 0, 2])
    second = net.operand(extent, dtype, 2, swap=True) if variance else None
    first = net.operand(stored(extent, flags), dtype, swap=True, chain=True)
    target = net.target((extent[0], 1, extent[2], 1, 1))
    kind: Fields = {
        "Common.Cfg.TaskType": 6 if variance else 5,
        "PE.Cfg.OpMode": choices.pick([0, 1, 2, 3, 4] if variance else [0, 4]),
        "PE.Cfg.SecSrc": choices.pick([2, 3]) if variance else 0,
        "PE.Cfg.PoolMode": choices.integer(0, 3),
        "Common.PECfg.Src1Broadcast": flags,
    }
    planar_task(net, extent, [first] if second is None else [first, second], target, kind)
    net.show(target)


def windows(net: Network) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    """Kernel, stride and pad, all of them different in rows and columns."""
    choices = net.choices
    kernel = choices.integer(1, 4), choices.integer(1, 4)
    stride = choices.integer(1, 3), choices.integer(1, 3)
    pad = choices.integer(0, kernel[0] - 1), choices.integer(0, kernel[1] - 1)
    return kernel, stride, pad


def pooling(net: Network) -> None:
    """Windows of all sizes."""
    choices, (n, d, c, h, w) = net.choices, shape(net.choices, largest=9)
    kernel, stride, pad = windows(net)
    behind = choices.integer(0, 1)
    sizes = zip((h, w), kernel, stride, pad, strict=True)
    out = [max(1, (extent + p * (1 + behind) - k) // s + 1) for extent, k, s, p in sizes]
    extent, result = (n, d, c, h, w), (n, d, c, out[0], out[1])
    first = net.operand(extent, choices.pick([FP16, FP16, INT8, UINT8]), swap=True, chain=True)
    target = net.target(result)
    fields: Fields = {
        "Common.Cfg.TaskType": 1,
        "PE.Cfg.PoolMode": choices.integer(0, 3),
        "PE.Cfg.OpMode": choices.pick([0, 0, 4]),
    }
    view = make.view(extent, result)
    planar_task(net, extent, [first], target, fields, make.window(kernel, stride, pad), view)
    net.show(target)


# Neural engine -----------------------------------------------------------------------------------------------------


def tanh_table() -> bytes:
    from records import image

    knots = [float(np.tanh(i / 8)) for i in range(33)]
    return image([0, 4, 0, 1, *knots, 0, 0, 0, 1], 3, 0x60)


def neural_numbers(net: Network, function: int) -> Fields:
    pick = net.choices.pick
    return {
        "NE.MACCfg.NonlinearMode": function,
        "NE.AccBias.AccBias": make.half(pick([0, 0.5])),
        "NE.PostScale.PostScale": make.half(pick([1, -0.25, 3, float("inf")])),
        "L2.L2Cfg.InputReLU": pick([0, 1]),
    }


def without_weights(net: Network) -> None:
    """Sums, products, extremes over channels, and channels passed on."""
    choices = net.choices
    operation = choices.pick([0, 2, 3, 4])
    inputs = {2: choices.integer(2, 3), 4: 1}.get(operation, choices.integer(1, 4))
    n, d, c, h, w = shape(choices)
    all_of_them = operation != 4 and net.flag()
    c = 1 if all_of_them else c
    source = net.operand((n, d, c * inputs, h, w), choices.pick([FP16, FP16, INT8, UINT8]), chain=True)
    target = net.target((n, d, c, h, w))
    function = choices.integer(0, 2)
    table = tanh_table() if function == 2 else None
    fields: Fields = {
        "NE.MACCfg.OpMode": operation,
        "NE.MACCfg.KernelMode": 1,
        "Common.GroupConvCfg.UnicastEn": int(not all_of_them),
        "Common.GroupConvCfg.UnicastCin": 1 if all_of_them else inputs,
        "Common.GroupConvCfg.ElemMultMode": int(operation == 2),
        "Common.Cfg.Transpose": int(target.swapped),
    }
    net.add(
        make.NEURAL, make.view(source.extent, target.extent), source.source(), target.result(),
        net.builder.lanes([table]) if table else {}, neural_numbers(net, function), fields, kernel=Kernel(table=table),
    )  # fmt: skip
    net.show(target)


def run_time_table(net: Network) -> None:
    """Channels passed on or added through a table that an earlier task wrote to scratch."""
    choices, table = net.choices, tanh_table()
    image = Tensor(DRAM, (1, 1, 1, 1, len(table) // 2), SCRATCH, net._scratch, (0, 0, 0, len(table)))
    net._scratch += len(table)
    given = net.surface(Role.INPUT, image.extent)
    net.arrays[f"s{len(net.builder.surfaces) - 1}"] = np.frombuffer(table, np.float16).reshape(image.extent).copy()
    net.copy(given, image)
    inputs, operation = choices.pick([(1, 4), (2, 0)])
    n, d, c, h, w = shape(choices)
    source = net.operand((n, d, c * inputs, h, w), FP16, chain=True)
    target = net.target((n, d, c, h, w))
    fields: Fields = {
        "NE.MACCfg.OpMode": operation,
        "NE.MACCfg.KernelMode": 1,
        "Common.GroupConvCfg.UnicastEn": 1,
        "Common.GroupConvCfg.UnicastCin": inputs,
        "Common.Cfg.Transpose": int(target.swapped),
        "KernelDMASrc.MasterConfig.MasterEnable": 1,
        "Header.KernelBases.KBase0": SCRATCH,
        "Header.KernelBases.KBE0": 1,
        "KernelDMASrc.CoeffDMAConfig[0].En": 1,
        "KernelDMASrc.CoeffBaseAddr[0].Addr": image.base,
        "KernelDMASrc.CoeffBfrSize[0].MemBfrSize": len(table),
    }
    net.add(
        make.NEURAL, make.view(source.extent, target.extent), source.source(), target.result(), neural_numbers(net, 2),
        fields, kernel=Kernel(table=table),
    )  # fmt: skip
    net.show(target)


def convolution(net: Network) -> None:
    """Dense, grouped, depthwise, strided, padded, transposed; every format of the kernel."""
    choices = net.choices
    form = choices.pick(["dense", "dense", "groups", "batch", "depthwise", "transposed"])
    kernel, stride, pad = windows(net)
    if choices.integer(0, 2) == 0:
        stride = choices.pick([(1, 1), (2, 2)])
    height, width = choices.integer(1, 6), choices.integer(1, 12)
    groups = 2 if form in ("groups", "batch") else 1
    outputs = choices.integer(1, 20) if form == "depthwise" else choices.integer(1, 40)
    inputs = choices.integer(1, 3 if form == "depthwise" else 5)

    def sizes() -> list[int]:
        found = []
        for extent, k, s, p in zip((height, width), kernel, stride, pad, strict=True):
            size = (extent - 1) * s + 1 + 2 * p - k + 1 if form == "transposed" else (extent + 2 * p - k) // s + 1
            found.append(max(1, size))
        return found

    products = groups * outputs * inputs * math.prod(kernel)
    while products * math.prod(sizes()) > PRODUCTS and max(height, width) > 1:
        height, width = (height - 1, width) if height > width else (height, width - 1)
    out = sizes()
    source = net.operand(
        (groups, 1, inputs * outputs if form == "depthwise" else inputs, height, width),
        choices.pick([FP16, FP16, FP16, UINT8, INT8]), chain=True,
    )  # fmt: skip
    target = net.target((groups, 1, outputs, out[0], out[1]))
    made, fields = packed_kernel(net, form, groups, outputs, inputs, kernel, stride)
    function = 2 if made.table else choices.integer(0, 1)
    fields |= {
        "NE.MACCfg.OpMode": 5 if form == "transposed" else 0,
        "NE.KernelCfg.GroupKernelReuse": int(form == "batch"),
        "Common.GroupConvCfg.UnicastEn": int(form == "depthwise"),
        "Common.GroupConvCfg.UnicastCin": inputs if form == "depthwise" else 1,
        "Common.Cfg.Transpose": int(target.swapped),
    }
    net.add(
        make.NEURAL, make.view(source.extent, target.extent), source.source(), target.result(),
        make.window(kernel, stride, pad), neural_numbers(net, function), fields, kernel=made,
    )  # fmt: skip
    net.show(target)


def run_time_kernel(net: Network) -> None:
    """A kernel that an earlier task wrote to scratch: lane i reads [input][g channels]."""
    choices = net.choices
    groups, inputs, per_lane = 1, choices.integer(1, 9), 1 << choices.integer(0, 2)
    if net.flag():
        groups, inputs, per_lane = 2, 8 * choices.integer(1, 2), 4  # a block fills its 64 bytes
    engines = choices.integer(0, 4)
    lanes = 1 << engines
    outputs = per_lane * lanes
    block = -(-inputs * 2 * per_lane // 64) * 64
    plane = block * groups
    weights = Tensor(DRAM, (groups, 1, outputs, 1, inputs), SCRATCH, net._scratch, (block, 0, plane, 0), FP16, per_lane)
    net._scratch += plane * lanes
    given = net.surface(Role.INPUT, weights.extent)
    net.copy(given, weights)
    columns = min(choices.integer(1, 9), max(1, PRODUCTS // (groups * outputs * inputs)))
    source = net.operand((groups, 1, inputs, choices.integer(1, 4), columns), FP16, chain=True)
    target = net.target((groups, 1, outputs, *source.extent[3:]))
    fields: Fields = {
        "Common.Cfg.ActiveNE": engines,
        "Common.ConvCfg.OCGSize": per_lane.bit_length() - 1,
        "KernelDMASrc.MasterConfig.MasterEnable": 1,
        "Header.KernelBases.KBase0": SCRATCH,
        "Header.KernelBases.KBE0": 1,
        "Common.Cfg.Transpose": int(target.swapped),
    }
    for lane in range(lanes):
        fields[f"KernelDMASrc.CoeffDMAConfig[{lane}].En"] = 1
        fields[f"KernelDMASrc.CoeffBaseAddr[{lane}].Addr"] = weights.base + lane * plane
        fields[f"KernelDMASrc.CoeffBfrSize[{lane}].MemBfrSize"] = plane

    def offset(group: int, output: int, step: int) -> int:
        lane, place = divmod(output, per_lane)
        return weights.base + lane * plane + group * block + (step * per_lane + place) * 2

    net.add(
        make.NEURAL, make.view(source.extent, target.extent), source.source(), target.result(),
        neural_numbers(net, choices.integer(0, 1)), fields, kernel=Kernel(at_run_time=offset),
    )  # fmt: skip
    net.show(target)


# Several tasks -----------------------------------------------------------------------------------------------------


def network(net: Network) -> None:
    """Tasks over tensors of one shape that stay in L2 or scratch, some of them computed in place."""
    choices = net.choices
    extent = choices.integer(1, 2), 1, choices.integer(1, 6), choices.integer(1, 4), choices.integer(1, 5)
    live = [net.operand(extent, FP16, 2) for _ in range(choices.integer(1, 2))]
    for _ in range(choices.integer(2, 6)):
        step = choices.pick([pass_on, join, join, centre, convolve_same])
        live = step(net, extent, live)
    for tensor in live:
        net.show(tensor)


def resident(net: Network, extent: Shape, live: list[Tensor], replaced: Tensor | None = None) -> Tensor:
    """Where a result goes: somewhere new, or over the source that it replaces."""
    inside = replaced is not None and (replaced.kind == RESIDENT or replaced.buffer == SCRATCH)
    if replaced is not None and inside and replaced.extent == extent and net.choices.integer(0, 2) == 0:
        live.remove(replaced)
        return replaced
    return net.place(net.choices.pick([RESIDENT, RESIDENT, DRAM]), extent)


def pass_on(net: Network, extent: Shape, live: list[Tensor]) -> list[Tensor]:
    """A copy with a factor and a function."""
    source = net.choices.pick(live)
    target = resident(net, extent, live, source)
    view = make.view(extent, extent)
    net.add(make.PASS, view, source.source(), target.result(), neural_numbers(net, net.choices.integer(0, 1)))
    return [*live, target]


def join(net: Network, extent: Shape, live: list[Tensor]) -> list[Tensor]:
    """Two tensors, element by element; they may be the same."""
    first, second = net.choices.pick(live), net.choices.pick(live)
    target = resident(net, extent, live, net.choices.pick([first, second]))
    kind: Fields = {
        "Common.Cfg.TaskType": 3, "PE.Cfg.OpMode": net.choices.integer(0, 4), "PE.Cfg.SecSrc": net.choices.pick([2, 3])
    }  # fmt: skip
    planar_task(net, extent, [first, second], target, kind)
    return [*live, target]


def centre(net: Network, extent: Shape, live: list[Tensor]) -> list[Tensor]:
    """A tensor without its mean over rows and columns."""
    source = net.choices.pick(live)
    mean = net.place(RESIDENT, (extent[0], 1, extent[2], 1, 1))
    kind: Fields = {"Common.Cfg.TaskType": 5, "PE.Cfg.PoolMode": net.choices.integer(0, 3)}
    planar_task(net, extent, [source], mean, kind)
    target = resident(net, extent, live, source)
    kind = {"Common.Cfg.TaskType": 3, "PE.Cfg.SecSrc": 3, "Common.PECfg.Src2Broadcast": 3}
    planar_task(net, extent, [source, mean], target, kind)
    return [*live, target]


def convolve_same(net: Network, extent: Shape, live: list[Tensor]) -> list[Tensor]:
    """A convolution that keeps the shape."""
    source, size = net.choices.pick(live), net.choices.pick([1, 3])
    target = resident(net, extent, live)
    channels = extent[2]
    made, fields = packed_kernel(net, "batch", extent[0], channels, channels, (size, size), (1, 1))
    fields["NE.KernelCfg.GroupKernelReuse"] = 1
    net.add(
        make.NEURAL, make.view(extent, extent), source.source(), target.result(), fields,
        make.window((size, size), pad=(size // 2, size // 2)), neural_numbers(net, 2 if made.table else 0), kernel=made,
    )  # fmt: skip
    return [*live, target]


# Kernel streams ----------------------------------------------------------------------------------------------------


def packed_kernel(
    net: Network, form: str, groups: int, outputs: int, inputs: int, kernel: tuple[int, int], stride: tuple[int, int]
) -> tuple[Kernel, Fields]:
    """Random weights in a random format, and the fields that load them."""
    choices, rng = net.choices, net.rng
    kernels = 1 if form == "batch" else groups
    formats = ["fp16", "fp16", "int8", "uint8", "palette"]
    kind = choices.pick([*formats, "sparse"] if stride in ((1, 1), (2, 2)) else formats)
    extents = (kernels, outputs, inputs, *kernel)
    weights, bits, palette = random_weights(rng, kind, extents, choices)
    dilation = choices.integer(1, 2)
    if dilation > 1 and kind != "palette":
        weights[:, :, :, [y for y in range(kernel[0]) if y % dilation]] = 0
        weights[..., [x for x in range(kernel[1]) if x % dilation]] = 0
    bias = rng.standard_normal((kernels, outputs)).astype(np.float16) if net.flag() else None
    table = tanh_table() if choices.integer(0, 2) == 0 else None
    order = tap_order(kernel, kind == "sparse" and stride == (2, 2))
    engines, cap = make.log2_engines(outputs), choices.pick([0, 1, 2, 4])
    pack = Packing(kind, bits, palette, order)
    streams = [
        pack.lane(weights, bias, table, lane, 1 << engines, 1 << cap, form == "depthwise")
        for lane in range(1 << engines)
    ]
    code = {"int8": 1, "uint8": 0}.get(kind, 2)
    fields = net.builder.lanes(streams) | {
        "Common.Cfg.ActiveNE": engines,
        "Common.ConvCfg.OCGSize": cap,
        "NE.MACCfg.BiasMode": int(bias is not None),
        "NE.KernelCfg.KernelFmt": code,
        "NE.KernelCfg.PalettizedEn": int(kind == "palette"),
        "NE.KernelCfg.PalettizedBits": bits or 8,
        "NE.KernelCfg.SparseFmt": int(kind == "sparse"),
        "KernelDMASrc.MasterConfig.SparseEnable": int(kind == "sparse"),
    }
    steps = [(i, y, x) for i in range(inputs) for y, x in order if y < kernel[0] and x < kernel[1]]
    numbers = None if bias is None else bias.astype(np.float32)
    return Kernel(weights.astype(np.float32), numbers, table, steps), fields


def random_weights(
    rng: np.random.Generator, kind: str, extents: tuple[int, ...], choices: Choices
) -> tuple[np.ndarray, int, np.ndarray | None]:
    """Weights as they are stored, bits of a palette index, and the palette."""
    if kind == "palette":
        bits = choices.pick([1, 2, 4, 6, 8])
        palette = (rng.standard_normal(1 << bits) * 4).astype(np.float16)
        return palette[rng.integers(0, 1 << bits, extents)], bits, palette
    if kind in ("int8", "uint8"):
        bounds = np.iinfo(kind)
        return rng.integers(bounds.min, bounds.max + 1, extents).astype(kind), 0, None
    weights = (rng.standard_normal(extents) * 4).astype(np.float16)
    weights[rng.random(extents) < 0.3] = 0
    return weights, 0, None


def tap_order(kernel: tuple[int, int], phases: bool) -> list[tuple[int, int]]:
    """Rows and columns of a kernel as stored; by phase, the window is made even."""
    if not phases:
        return [(y, x) for y in range(kernel[0]) for x in range(kernel[1])]
    rows, columns = (-(-extent // 2) for extent in kernel)
    return [(2 * a + y, 2 * b + x) for y in (0, 1) for x in (0, 1) for a in range(rows) for b in range(columns)]


@dataclass
class Packing:
    """How weights become bytes.

    Attributes:
        kind: "fp16", "int8", "uint8", "palette" or "sparse".
        bits: of a palette index.
        palette: its numbers.
        order: of the taps.
    """

    kind: str
    bits: int
    palette: np.ndarray | None
    order: list[tuple[int, int]] = field(default_factory=list)

    def lane(
        self, weights: np.ndarray, bias: np.ndarray | None, table: bytes | None, lane: int, engines: int, cap: int,
        depthwise: bool,
    ) -> bytes:  # fmt: skip
        """The stream of one engine: [table][per group: rounds of [bias][weights], filled up to 64 bytes]."""
        stream, with_palette = bytearray(table or b""), self.palette is not None
        outputs = weights.shape[1]
        for group, kernel in enumerate(weights):
            for channels in rounds(outputs, lane, engines, cap, depthwise):
                if bias is not None:
                    values = [bias[group, c] if c < outputs else np.float16(0) for c in channels]
                    stream += np.array(values, "<f2").tobytes()
                if with_palette and self.palette is not None:
                    stream += self.palette.astype("<f2").tobytes()
                    stream += bytes(-len(stream) % 64)
                    with_palette = False
                stream += self.round(kernel, channels, depthwise)
            stream += bytes(-len(stream) % 64)
        return bytes(stream) or bytes(64)

    def round(self, kernel: np.ndarray, channels: list[int], depthwise: bool) -> bytes:
        """Weights of some channels: input channel, row, column, channel."""
        outputs, inputs, height, width = kernel.shape
        values = []
        for i in range(inputs):
            for y, x in self.order:
                for c in channels:
                    inside = c < outputs and y < height and x < width
                    values.append(kernel[c, i, y, x] if inside else kernel.dtype.type(0))
        if self.kind == "sparse":
            import records

            slots = [v for value in values for v in (value, 0, 0, 0)] if depthwise else values
            return records.squeeze([float(value) for value in slots])
        if self.palette is None:
            return np.array(values, kernel.dtype).tobytes()
        numbers = self.palette.view(np.uint16).tolist()
        indices = [numbers.index(np.float16(v).view(np.uint16)) if v in self.palette else 0 for v in values]
        digits = [index >> bit & 1 for index in indices for bit in range(self.bits)]
        return np.packbits(np.array(digits, np.uint8), bitorder="little").tobytes()


def rounds(outputs: int, lane: int, engines: int, cap: int, depthwise: bool) -> list[list[int]]:
    """Output channels of a lane, round after round; those past the end are stored as zeros."""
    if depthwise:
        return [[channel] for channel in range(lane, outputs, engines)]
    found, first, left = [], 0, -(-outputs // engines)
    while left:
        size = min(left, cap)
        found.append([first + lane * size + i for i in range(size)])
        first += engines * size
        left -= size
    return found


KINDS: dict[str, Callable[[Network], None]] = {
    "elementwise": elementwise,
    "rows": rows,
    "reduction": reduction,
    "pooling": pooling,
    "without_weights": without_weights,
    "convolution": convolution,
    "run_time_kernel": run_time_kernel,
    "run_time_table": run_time_table,
    "network": network,
}


def random_program(choices: Choices, kind: str) -> Made:
    """A program of one kind, with the tasks that bring its sources and fetch its result."""
    net = Network(choices)
    KINDS[kind](net)
    return net.made()


def elements(made: Made) -> int:
    """Of all surfaces."""
    return sum(math.prod(surface.shape) for surface in made.program.surfaces)
