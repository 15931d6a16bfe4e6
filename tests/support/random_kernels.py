"""Random weights in every format of the kernel, and the streams that hold them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from tests.support import programs as make
from tests.support.programs import Fields
from tests.support.random_tensors import Choices, Kernel, Network


def tanh_table() -> bytes:
    from tests.support.records import image

    knots = [float(np.tanh(i / 8)) for i in range(33)]
    return image([0, 4, 0, 1, *knots, 0, 0, 0, 1], 3, 0x60)


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
    small = net.flag() if kind == "sparse" else False
    pack = Packing(kind, bits, palette, order, 4 if small else 2)
    streams = [
        pack.lane(weights, bias, table, lane, 1 << engines, 1 << cap, form == "depthwise")
        for lane in range(1 << engines)
    ]
    code = {"int8": 1, "uint8": 0}.get(kind, 2)
    fields = net.builder.lanes(streams) | {
        "Common.Cfg.ActiveNE": engines,
        "Common.Cfg.SmallSourceMode": int(small),
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
        slots: what sparse rounds are filled up to a multiple of.
    """

    kind: str
    bits: int
    palette: np.ndarray | None
    order: list[tuple[int, int]] = field(default_factory=list)
    slots: int = 2

    def lane(
        self, weights: np.ndarray, bias: np.ndarray | None, table: bytes | None, lane: int, engines: int, cap: int,
        depthwise: bool,
    ) -> bytes:  # fmt: skip
        """The stream of one engine: [table][palette][per group: rounds of [bias][weights], filled up to 64 bytes]."""
        stream, outputs = bytearray(table or b""), weights.shape[1]
        if self.palette is not None and any(rounds(outputs, lane, engines, cap, depthwise)):
            stream += self.palette.astype("<f2").tobytes()
            stream += bytes(-len(stream) % 64)
        for group, kernel in enumerate(weights):
            for channels in rounds(outputs, lane, engines, cap, depthwise):
                if bias is not None:
                    values = [bias[group, c] if c < outputs else np.float16(0) for c in channels]
                    stream += np.array(values, "<f2").tobytes()
                stream += self.round(kernel, channels)
            stream += bytes(-len(stream) % 64)
        return bytes(stream) or bytes(64)

    def round(self, kernel: np.ndarray, channels: list[int]) -> bytes:
        """Weights of some channels: input channel, row, column, channel."""
        outputs, inputs, height, width = kernel.shape
        if self.kind == "sparse":
            channels = [*channels, *[outputs] * (-len(channels) % self.slots)]
        values = []
        for i in range(inputs):
            for y, x in self.order:
                for c in channels:
                    inside = c < outputs and y < height and x < width
                    values.append(kernel[c, i, y, x] if inside else kernel.dtype.type(0))
        if self.kind == "sparse":
            from tests.support import records

            return records.squeeze([float(value) for value in values])
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
