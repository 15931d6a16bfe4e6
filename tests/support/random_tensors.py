"""What random programs are made of: decisions, tensors in their places, kernels as numbers, the program being made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from tests.support import programs as make
from tests.support.programs import Builder, Fields

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
        if tensor.swapped:  # the neural engine has no exchanged source: copy the memory as it is
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


def windows(net: Network) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    """Kernel, stride and pad, all of them different in rows and columns."""
    choices = net.choices
    kernel = choices.integer(1, 4), choices.integer(1, 4)
    stride = choices.integer(1, 3), choices.integer(1, 3)
    pad = choices.integer(0, kernel[0] - 1), choices.integer(0, kernel[1] - 1)
    return kernel, stride, pad
