"""Dense convolutions of many steps against integer sums in numpy: blocks of steps, tiles and panels that are not full,
products that vanish, sums that overflow, every instruction set."""

from __future__ import annotations

import numpy as np
import pytest
from tests.support import programs as make
from tests.support.programs import Builder, Fields

from openane.program import Program, Role
from openane.sim.kernels.library import instruction_sets
from openane.sim.machine import ExecutionOptions, Simulator
from openane.targets.h13.machine import BUFFERS, PROFILE, decode_program, machine
from openane.targets.target import RunOptions

STEPS = 1 << 16
"""Of the accumulator, in 1."""
LIMIT = 1 << 31
"""Steps that do not fit."""


def steps(numbers: np.ndarray) -> np.ndarray:
    """Whole steps, ties away from zero."""
    scaled = numbers * STEPS
    return np.copysign(np.floor(np.abs(scaled) + 0.5), scaled).astype(np.int64)


def exponents(halves: np.ndarray) -> np.ndarray:
    return np.maximum((halves.view(np.uint16) >> 10 & 31).astype(np.int64), 1) - 15


def accumulated(weights: np.ndarray, pixels: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums of a 1x1 convolution, (outputs, inputs) times (inputs, pixels), in steps, and the sign of each overflow."""
    total = np.repeat(steps(bias.astype(np.float64))[:, None], pixels.shape[1], axis=1)
    overflow = np.sign(total) * (np.abs(total) >= LIMIT)
    for k, row in enumerate(pixels):
        product = steps(weights[:, k, None].astype(np.float64) * row.astype(np.float64))
        total += np.where(exponents(weights[:, k])[:, None] + exponents(row) <= -17, 0, product)
        overflow = np.where((overflow == 0) & (np.abs(total) >= LIMIT), np.sign(total), overflow)
    return total, overflow


def ended(total: np.ndarray, overflow: np.ndarray, relu: bool) -> np.ndarray:
    """Words of sums, from their decimal places: fp16 has 11 bits, ties go away from zero."""
    size = np.abs(total)
    unit = 1 << np.maximum(np.frexp(size.astype(np.float64))[1].astype(np.int64) - 11, 0)
    rounded = (size + unit // 2) // unit * unit / STEPS
    with np.errstate(over="ignore"):
        value = np.where(overflow != 0, np.copysign(np.inf, overflow), np.copysign(rounded, total))
        value = np.where(value > 0, value, 0) if relu else value
        return (value + 0.0).astype(np.float16).view(np.uint16)


def convolution(weights: np.ndarray, bias: np.ndarray, shape: tuple[int, ...], relu: bool = False) -> Program:
    outputs = len(weights)
    builder = Builder()
    x = builder.surface("x", Role.INPUT, shape)
    y = builder.surface("y", Role.OUTPUT, (1, 1, outputs, *shape[3:]))
    lanes = builder.lanes(make.dense_streams(weights[:, :, None, None], bias, 16, 1))
    task: Fields = {"Common.Cfg.ActiveNE": 4, "NE.MACCfg.BiasMode": 1, "NE.MACCfg.NonlinearMode": int(relu)}
    builder.add(make.NEURAL, make.view(x.shape, y.shape), make.dram_source(x), make.dram_result(y), lanes, task)
    return builder.program()


def made(plane: tuple[int, int], scale: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights (97, 300), bias and pixels (1, 1, 300, *plane) of very different sizes."""
    rng = np.random.default_rng(plane[1])
    weights = (rng.standard_normal((97, 300)) * np.exp2(rng.integers(-12, 2, (97, 300)))).astype(np.float16)
    pixels = rng.standard_normal((1, 1, 300, *plane)) * np.exp2(rng.integers(-14, 3, (1, 1, 300, *plane))) * scale
    pixels[..., : plane[1] // 3] = 0
    return weights, rng.standard_normal(97).astype(np.float16), pixels.astype(np.float16)


PLANES = [(1, 1), (7, 7), (2, 11), (14, 14), (4, 40), (1, 700)]


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("scale", [0.01, 1.0, 30.0, 1000.0])
@pytest.mark.parametrize("instruction_set", instruction_sets())
def test_sums_are_those_of_integers(plane: tuple[int, int], scale: float, instruction_set: str) -> None:
    weights, bias, pixels = made(plane, scale)
    relu = plane[0] == 7
    program = convolution(weights, bias, pixels.shape, relu)
    execution = ExecutionOptions(PROFILE, threads=2, instruction_set=instruction_set)
    found = Simulator(program, decode_program(program), BUFFERS, execution).run({"x": pixels})["y"]
    expected = ended(*accumulated(weights, pixels.reshape(300, -1), bias), relu)
    assert (found.view(np.uint16).reshape(97, -1) == expected).all()
    if scale == 1000:
        assert (expected & 0x7FFF == 0x7C00).any()


@pytest.mark.parametrize("plane", PLANES)
def test_fast_sums_are_within_their_bound(plane: tuple[int, int]) -> None:
    """Half a step, and 2^-24 of the magnitudes for each of the additions in float32 (docs/simulator.md)."""
    weights, bias, pixels = made(plane, 1.0)
    found = machine(convolution(weights, bias, pixels.shape), RunOptions(fast=True)).run({"x": pixels})["y"]
    exact = weights.astype(np.float64) @ pixels.reshape(300, -1).astype(np.float64) + bias.astype(np.float64)[:, None]
    magnitudes = np.abs(weights.astype(np.float64)) @ np.abs(pixels.reshape(300, -1).astype(np.float64))
    bound = 2.0**-17 + (magnitudes + np.abs(bias.astype(np.float64))[:, None]) * 302 * 2.0**-24
    error = np.abs(found.reshape(97, -1).astype(np.float64) - exact)
    assert (error <= bound + np.abs(exact) * 2.0**-11 + bound * 2.0**-10).all()


@pytest.mark.parametrize("plane", PLANES)
def test_fast_sums_are_the_same_on_every_instruction_set_and_thread(plane: tuple[int, int]) -> None:
    weights, bias, pixels = made(plane, 1.0)
    program = convolution(weights, bias, pixels.shape)
    found = set()
    for instruction_set in instruction_sets():
        for threads in (1, 3):
            execution = ExecutionOptions(PROFILE, fast=True, threads=threads, instruction_set=instruction_set)
            loaded = Simulator(program, decode_program(program), BUFFERS, execution)
            found.add(loaded.run({"x": pixels})["y"].tobytes())
            loaded.close()
    assert len(found) == 1
