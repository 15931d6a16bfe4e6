"""Kernel streams in every format: what is put in comes out."""

from __future__ import annotations

import numpy as np
import pytest
from tests.support import programs as make
from tests.support import records
from tests.support.programs import Builder, Fields

from openane.core.errors import FaultError
from openane.program import Program, Role
from openane.sim.decoded_task import MacWork
from openane.targets.h13.machine import decode_program, machine

SHAPE = (1, 1, 3, 5, 6)
CHANNELS = 37


def program(streams: list[bytes], *fields: Fields, kernel: int = 2, stride: int = 1, cap: int = 1) -> Program:
    builder = Builder()
    out = [(extent - kernel) // stride + 1 for extent in SHAPE[3:]]
    x = builder.surface("x", Role.INPUT, SHAPE)
    y = builder.surface("y", Role.OUTPUT, (1, 1, CHANNELS, *out))
    task: Fields = {"Common.Cfg.ActiveNE": 4, "Common.ConvCfg.OCGSize": cap}
    window = make.window((kernel, kernel), (stride, stride))
    ends = make.dram_source(x), make.dram_result(y)
    builder.add(make.NEURAL, make.view(SHAPE, y.shape), *ends, window, builder.lanes(streams), task, *fields)
    return builder.program()


def weights_of(made: Program) -> np.ndarray:
    """The decoded weights as numbers, (channels, inputs * rows * columns) in stream order."""
    (task,) = decode_program(made)
    assert isinstance(task.engine, MacWork)
    assert task.engine.kernel is not None
    kernel = task.engine.kernel.read(np.frombuffer(made.constants, np.uint8))
    assert kernel.weights is not None
    return kernel.weights[0].view(np.float16)


def rounds(weights: np.ndarray, cap: int) -> list[list[np.ndarray]]:
    """Blocks (steps, g) of every lane and round, missing channels zero."""
    flat = weights.reshape(len(weights), -1)
    lanes: list[list[np.ndarray]] = [[] for _ in range(16)]
    left, first = -(-len(flat) // 16), 0
    while left:
        g = min(left, cap)
        for i, lane in enumerate(lanes):
            block = np.zeros((g, flat.shape[1]), flat.dtype)
            part = flat[first + i * g : first + (i + 1) * g]
            block[: len(part)] = part
            lane.append(block.T)
        first += 16 * g
        left -= g
    return lanes


@pytest.mark.parametrize(("code", "dtype"), [(0, np.uint8), (1, np.int8), (2, np.float16)])
@pytest.mark.parametrize("cap", [0, 1, 2])
def test_plain_formats(code: int, dtype: type, cap: int) -> None:
    rng = np.random.default_rng(cap)
    weights = rng.integers(-100, 100, (CHANNELS, 3, 2, 2)).astype(np.int16).astype(dtype)
    streams = [b"".join(np.ascontiguousarray(b).tobytes() for b in lane) for lane in rounds(weights, 1 << cap)]
    made = program(streams, {"NE.KernelCfg.KernelFmt": code}, cap=cap)
    assert (weights_of(made) == weights.reshape(CHANNELS, -1)).all()


@pytest.mark.parametrize("bits", [1, 2, 4, 6, 8])
def test_palettes(bits: int) -> None:
    rng = np.random.default_rng(bits)
    palette = rng.standard_normal(1 << bits).astype(np.float16)
    indices = rng.integers(0, 1 << bits, (CHANNELS, 3, 2, 2))
    streams = []
    for lane in rounds(indices, 2):
        stream = palette.tobytes()
        stream += bytes(-len(stream) % 64)
        for block in lane:
            digits = block.reshape(-1)[:, None] >> np.arange(bits) & 1
            stream += np.packbits(digits.astype(np.uint8).reshape(-1), bitorder="little").tobytes()
        streams.append(stream)
    made = program(streams, {"NE.KernelCfg.PalettizedEn": 1, "NE.KernelCfg.PalettizedBits": bits})
    assert (weights_of(made) == palette[indices].reshape(CHANNELS, -1)).all()


@pytest.mark.parametrize("stride", [1, 2])
def test_sparse(stride: int) -> None:
    rng = np.random.default_rng(stride)
    weights = rng.standard_normal((CHANNELS, 3, 3, 3)).astype(np.float16)
    weights[rng.random(weights.shape) < 0.6] = 0
    stored = records.phase_order(weights) if stride == 2 else weights.reshape(CHANNELS, 3, 9)
    streams = []
    for lane in rounds(stored.reshape(CHANNELS, -1), 2):
        even = [np.pad(block, ((0, 0), (0, block.shape[1] % 2))) for block in lane]  # 2 slots outside small-source mode
        streams.append(b"".join(records.squeeze(list(block.reshape(-1))) for block in even))
    sparse: Fields = {"NE.KernelCfg.SparseFmt": 1, "KernelDMASrc.MasterConfig.SparseEnable": 1}
    made = program(streams, sparse, kernel=3, stride=stride)
    (task,) = decode_program(made)
    assert isinstance(task.engine, MacWork)
    assert task.engine.kernel is not None
    steps = task.engine.kernel.steps
    assert (weights_of(made) == weights[:, steps[:, 0], steps[:, 1], steps[:, 2]]).all()
    x = rng.standard_normal(SHAPE).astype(np.float16)
    found = machine(made).run({"x": x})["y"][:, 0].astype(np.float64)
    padded = {"weight": weights, "strides": [stride], "groups": 1, "pad_type": "valid"}
    out = found.shape[2:]
    expected = convolution(x[0].astype(np.float64), padded, out)
    assert np.abs(found - expected).max() < 1e-2


def convolution(x: np.ndarray, a: dict, out: tuple[int, ...]) -> np.ndarray:
    """The plain sum, for images that are not square."""
    w, s = a["weight"].astype(np.float64), a["strides"][0]
    result = np.zeros((1, len(w), *out))
    for ky in range(w.shape[2]):
        for kx in range(w.shape[3]):
            part = x[:, :, ky : ky + (out[0] - 1) * s + 1 : s, kx : kx + (out[1] - 1) * s + 1 : s]
            result += np.einsum("oc,nchw->nohw", w[:, :, ky, kx], part)
    return result


def test_a_damaged_sparse_stream_is_a_fault() -> None:
    streams = [b"\x05\x00\x00" + b"\xff" * 61 for _ in range(16)]
    sparse: Fields = {"NE.KernelCfg.SparseFmt": 1, "KernelDMASrc.MasterConfig.SparseEnable": 1}
    with pytest.raises(FaultError, match="sparse kernel stream contradicts its length"):
        machine(program(streams, sparse))


def test_a_short_stream_is_a_fault() -> None:
    with pytest.raises(FaultError, match="shorter than the kernel"):
        machine(program([bytes(64)] * 16, cap=2))


def test_lanes_with_different_tables_are_a_fault() -> None:
    from tests.support.random_kernels import tanh_table

    other = bytearray(tanh_table())
    other[10] ^= 1
    builder = Builder()
    x, y = builder.surface("x", Role.INPUT, SHAPE), builder.surface("y", Role.OUTPUT, SHAPE)
    lanes = builder.lanes([tanh_table(), bytes(other)])
    ends = make.dram_source(x), make.dram_result(y)
    builder.add(make.PASS, make.view(SHAPE, SHAPE), *ends, lanes, {"NE.MACCfg.NonlinearMode": 2})
    with pytest.raises(FaultError, match="different tables"):
        machine(builder.program())
