"""Questions about encodings that the compiler does not write: programs of other units with some fields changed."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from openane.net.units import (
    ConvParams,
    Dimension,
    GOCParams,
    LayerNormParams,
    NeuronKind,
    NeuronParams,
    Pads,
    PoolingKind,
    PoolingParams,
    ReductionKind,
    ReductionParams,
    TransposeParams,
)
from openane.program import Program
from openane.program.fields import Value
from openane.runtimes.verification.case import (
    DeviceCase,
    Edit,
    Standing,
    halves,
    impulses,
    network,
    numbered_kernel,
    single,
    small_integers,
)

RAMP = [float(value) for value in range(1, 200)]
_MACOS11 = "macos-11"
_LANE_BYTES = 64
"""Least size of a coefficient stream."""
_KERNEL = "KernelDMASrc"
_SWAP = (0, 1, 4, 3, 2)
"""Exchanges channels and columns."""


def encoding_cases() -> Iterator[DeviceCase]:
    """All cases of this file."""
    yield from _kernels()
    yield from _sums()
    yield from _windows()
    yield from _places()


def _changed(fields: Mapping[str, Value], task: int = 0) -> Edit:
    """Changes fields of one task."""

    def edit(program: Program) -> Program:
        for path, value in fields.items():
            program = program.set(task, path, value)
        return program

    return edit


def _with_lanes(fields: Mapping[str, Value], lanes: list[bytes]) -> Edit:
    """Changes fields of the only task and stores other coefficient streams, one per lane."""

    def edit(program: Program) -> Program:
        size = max(-(-len(lane) // _LANE_BYTES) * _LANE_BYTES for lane in lanes)
        constants = b"".join(lane.ljust(size, b"\0") for lane in lanes)
        for number in range(len(lanes)):
            program = program.set(0, f"{_KERNEL}.CoeffBaseAddr[{number}].Addr", number * size)
            program = program.set(0, f"{_KERNEL}.CoeffBfrSize[{number}].MemBfrSize", size)
        program = replace(program, constants=constants.ljust(len(program.constants), b"\0"))
        return _changed(fields)(program)

    return edit


def _kernels() -> Iterator[DeviceCase]:
    """A 1x1 convolution of two channels in two lanes, its weights in other formats."""
    inputs = {"x": small_integers((1, 1, 2, 4, 8), 3)}
    unit = ConvParams(np.array([[1, 2], [-3, 4]], np.float16).reshape(2, 2, 1, 1))

    def case(name: str, question: str, fields: Mapping[str, Value], lanes: list[bytes]) -> DeviceCase:
        edit = _with_lanes(fields, lanes)
        return DeviceCase(name, "kernel formats", question, single(inputs, unit), inputs, Standing.ASSUMED, edit=edit)

    question = "Is an 8-bit weight one byte in the order of the fp16 stream (A8)?"
    config = "NE.KernelCfg"
    yield case("kernel-uint8", question, {f"{config}.KernelFmt": "uint8"}, [bytes([1, 2]), bytes([248, 4])])
    yield case("kernel-int8", question, {f"{config}.KernelFmt": "int8"}, [bytes([1, 2]), bytes([0xFD, 4])])
    question = "Does a lane begin with its palette, filled up to 64 bytes, then indices from the lowest bit on (A9)?"
    palettes = [struct.pack("<4e", *values).ljust(_LANE_BYTES, b"\0") for values in ((1, 2, 5, 7), (4, -3, 5, 7))]
    lanes = [palettes[0] + bytes([0b0100]), palettes[1] + bytes([0b0001])]
    fields: dict[str, Value] = {f"{config}.PalettizedEn": 1, f"{config}.PalettizedBits": 2}
    yield case("kernel-palette", question, fields, lanes)
    question = "Has a sparse kernel of stride 1 the plain order, with masks (A18)?"
    fields = {f"{config}.SparseFmt": 1, f"{_KERNEL}.MasterConfig.SparseEnable": 1}
    yield case("kernel-sparse", question, fields, [_sparse([1, 2]), _sparse([-3, 4])])
    sources = {"x": impulses(2, 3, 3)}
    unit = ConvParams(numbered_kernel(48, 2, 3, 3), (2, 2))
    question = "Is a sparse round of three channels filled up to a multiple of two (A18)?"
    net = single(sources, unit)
    yield DeviceCase("order-48x2x3x3-stride-2", "kernel order", question, net, sources)
    inputs = {"x": small_integers((1, 1, 4, 4, 8), 4)}
    grouped = single(inputs, ConvParams(small_integers((4, 2, 1, 1), 5), groups=2))
    question = "With GroupKernelReuse, is the first kernel that of all groups (A12)?"
    edit = _changed({"NE.KernelCfg.GroupKernelReuse": 1})
    yield DeviceCase("kernel-reuse", "kernel formats", question, grouped, inputs, Standing.ASSUMED, edit=edit)
    question = "Does a kernel that is loaded without a use change anything (A30)?"
    net = network(inputs, [(ConvParams(small_integers((4, 4, 1, 1), 6)), ("x",)), (TransposeParams(_SWAP), ("u0",))])
    yield DeviceCase("kernel-unused", "kernel formats", question, net, inputs, Standing.ASSUMED, dialect=_MACOS11,
                     edit=_loads_too)  # fmt: skip


def _sparse(values: list[float]) -> bytes:
    """One round of a lane: its length, masks of eight values, the values that are not zero; four slots a channel."""
    slots = [number for value in values for number in (value, 0, 0, 0)]
    body = b""
    for start in range(0, len(slots), 8):
        part = slots[start : start + 8]
        body += bytes([sum(1 << bit for bit, number in enumerate(part) if number)])
        body += struct.pack(f"<{sum(map(bool, part))}e", *filter(None, part))
    return len(body).to_bytes(3, "little") + body


def _loads_too(program: Program) -> Program:
    """The second task, a copy, loads the kernel of the first one."""
    names = ["MasterConfig.MasterEnable"]
    for lane in range(4):
        names += [f"CoeffDMAConfig[{lane}].En", f"CoeffBaseAddr[{lane}].Addr", f"CoeffBfrSize[{lane}].MemBfrSize"]
    fields = [f"{_KERNEL}.{name}" for name in names] + ["Header.KernelBases.KBase0", "Header.KernelBases.KBE0"]
    for field in fields:
        program = program.set(1, field, program.tasks[0].get(field))
    return program


def _sums() -> Iterator[DeviceCase]:
    inputs = {"x": small_integers((1, 1, 8, 4, 8), 7)}
    image = frozenset({Dimension.HEIGHT, Dimension.WIDTH})
    question = "Is PoolMode 3 the minimum (A13)?"
    net = single(inputs, ReductionParams(ReductionKind.MAX, image))
    edit = _changed({"PE.Cfg.PoolMode": "min"})
    yield DeviceCase("reduce-min-mode", "planar engine", question, net, inputs, Standing.ASSUMED, edit=edit)
    kernel = small_integers((8, 8, 1, 1), 8)
    scales = np.array([1, 0.5, -2, 4, 1, 3, 0.25, -1], np.float32)
    question = "Are the scales of channels in the weights (A7)?"
    net = network(inputs, [(ConvParams(kernel), ("x",)), (GOCParams(scales, 0.0), ("u0",))])
    yield DeviceCase("scale-per-channel", "epilogue", question, net, inputs)
    question = "Does a lane begin with its table, then bias and weights of each round (A10)?"
    small = {"x": halves(list(np.linspace(-1, 1, 97)), (1, 1, 8, 4, 8))}
    units = [
        (ConvParams(kernel), ("x",)),
        (GOCParams(1.0, scales / 4), ("u0",)),
        (NeuronParams(NeuronKind.SIGMOID), ("u1",)),
    ]
    yield DeviceCase("table-bias", "epilogue", question, network(small, units), small)
    question = "How exact are reciprocal root and division of a layer norm (A23), and how are pairs of rows read (A29)?"
    rows = {"x": halves(list(np.random.default_rng(3).standard_normal(199)), (1, 1, 1, 4, 64))}
    net = single(rows, LayerNormParams(frozenset({Dimension.WIDTH})))
    yield DeviceCase("layer-norm", "reduction", question, net, rows)


def _windows() -> Iterator[DeviceCase]:
    inputs = {"x": small_integers((1, 1, 2, 9, 11), 1)}
    unit = ConvParams(small_integers((2, 2, 3, 3), 2), pads=Pads(1, 1, 1, 1))
    question = "Is OpMode 5 a convolution of the spread source with the stored taps (A6; here with stride 1)?"
    edit = _changed({"NE.MACCfg.OpMode": "transposed_conv"})
    yield DeviceCase("transposed-mode", "padding and stride", question, single(inputs, unit), inputs, Standing.ASSUMED,
                     edit=edit)  # fmt: skip
    for kind in (PoolingKind.MAX, PoolingKind.AVERAGE):
        pooling = PoolingParams(kind, (3, 3), (3, 3), Pads(1, 1, 1, 1))
        question = "Do the stride fields hold a stride of 3 (A4), and does an average leave out the padding (A2)?"
        name = f"pool-{'max' if kind is PoolingKind.MAX else 'average'}-stride-3"
        values = {"x": -halves(RAMP, (1, 1, 2, 9, 11))}
        yield DeviceCase(name, "pooling", question, single(values, pooling), values, Standing.ASSUMED)


def _places() -> Iterator[DeviceCase]:
    inputs = {"x": halves(RAMP, (1, 1, 4, 5, 9))}
    question = "Is depth an axis like the others (A14; a reduction of everything reads channels as depth)?"
    everything = frozenset({Dimension.CHANNEL, Dimension.HEIGHT, Dimension.WIDTH})
    net = single(inputs, ReductionParams(ReductionKind.MAX, everything))
    yield DeviceCase("reduce-depth", "layout", question, net, inputs)
    inputs = {"x": small_integers((1, 1, 4, 4, 8), 9)}
    question = "Does a chained value reach the next task without L2 (A25)?"
    net = network(inputs, [(NeuronParams(NeuronKind.ABS), ("x",)), (GOCParams(2.0, 0.0), ("u0",))])
    yield DeviceCase("chain", "staging", question, net, inputs, Standing.ASSUMED, edit=_chained)
    question = "Is a result that states neither base nor row stride kept apart from the staged source (A27)?"
    net = single(inputs, TransposeParams(_SWAP))
    edit = _changed({"L2.ResultBase.Addr": 0})
    yield DeviceCase("stage-undescribed", "staging", question, net, inputs, Standing.ASSUMED, edit=edit)
    large = {"x": small_integers((1, 1, 16, 600, 100), 10)}
    question = "Is a result staged in as many rows as fit before the end of L2 (A26)?"
    net = single(large, ConvParams(small_integers((16, 16, 1, 1), 11)))
    yield DeviceCase("stage-many-rows", "staging", question, net, large)


def _chained(program: Program) -> Program:
    program = program.set(0, "L2.ResultCfg.ResultType", "chain")
    return program.set(1, "L2.SourceCfg.SourceType", "chain")
