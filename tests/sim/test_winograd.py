"""Convolutions of the fast mode that are computed tile by tile: within their bound of the exact mode, and no others."""

from __future__ import annotations

import numpy as np
import programs as make
import pytest
from programs import Builder, Fields

from openane.numerics import rows as column
from openane.numerics.winograd import PIXELS, SIDE, SUMS, WEIGHTS, error_bound
from openane.program import Program, Role
from openane.targets.h13.machine import machine
from openane.targets.target import RunOptions

RELU: Fields = {"NE.MACCfg.NonlinearMode": 1}


def convolution(
    shape: tuple[int, int, int, int], outputs: int, *fields: Fields, bias: bool = True, stride: int = 1
) -> tuple[Program, np.ndarray, np.ndarray]:
    """A 3x3 convolution that keeps the size of its input, its weights and its bias."""
    groups, inputs, height, width = shape
    rng = np.random.default_rng(sum(shape) + outputs)
    builder = Builder()
    x = builder.surface("x", Role.INPUT, (groups, 1, inputs, height, width))
    y = builder.surface("y", Role.OUTPUT, (groups, 1, outputs, -(-height // stride), -(-width // stride)))
    weights = rng.standard_normal((outputs, inputs, 3, 3)).astype(np.float16)
    biases = rng.standard_normal(outputs).astype(np.float16)
    lanes = builder.lanes(make.dense_streams(weights, biases if bias else None, 16, 1))
    task: Fields = {"Common.Cfg.ActiveNE": 4, "NE.MACCfg.BiasMode": int(bias)}
    task |= {"NE.KernelCfg.GroupKernelReuse": int(groups > 1)}
    window = make.window((3, 3), (stride, stride), (1, 1))
    parts = make.view(x.shape, y.shape), make.dram_source(x), make.dram_result(y), lanes, window, task
    builder.add(make.NEURAL, *parts, *fields)
    return builder.program(), weights, biases


def values(shape: tuple[int, int, int, int]) -> dict[str, np.ndarray]:
    groups, inputs, height, width = shape
    rng = np.random.default_rng(7)
    return {"x": rng.standard_normal((groups, 1, inputs, height, width)).astype(np.float16)}


def in_tiles(program: Program, fast: bool = True) -> bool:
    loaded = machine(program, RunOptions(fast=fast))
    return column.CONVOLVE_TILES in loaded._schedule.rows[:, column.KIND]


def test_the_matrices_convolve() -> None:
    rng = np.random.default_rng(1)
    pixels, weights = rng.standard_normal((6, 6)), rng.standard_normal((3, 3))
    found = SUMS @ ((WEIGHTS @ weights @ WEIGHTS.T) * (PIXELS @ pixels @ PIXELS.T)) @ SUMS.T
    expected = [[(pixels[y : y + 3, x : x + 3] * weights).sum() for x in range(SIDE)] for y in range(SIDE)]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize(
    "shape, outputs", [((1, 40, 13, 13), 33), ((1, 16, 28, 27), 64), ((2, 24, 14, 55), 30), ((1, 130, 21, 12), 97)]
)
@pytest.mark.parametrize("fields", [{}, RELU])
def test_fast_stays_within_its_bound(shape: tuple[int, int, int, int], outputs: int, fields: Fields) -> None:
    """The error of the sum, that of the exact mode, and a step of the final rounding."""
    program, weights, _ = convolution(shape, outputs, fields)
    assert in_tiles(program) and not in_tiles(program, fast=False)
    arrays = values(shape)
    exact, fast = (machine(program, RunOptions(fast=f)).run(arrays)["y"] for f in (False, True))
    magnitudes = np.abs(weights.astype(np.float64)).sum((1, 2, 3)) * np.abs(arrays["x"]).max()
    bound = (error_bound(shape[1]) + 9 * shape[1] * 2.0**-24) * magnitudes[:, None, None]
    difference = np.abs(exact.astype(np.float64) - fast)
    assert (difference <= bound + np.spacing(np.abs(exact)).astype(np.float64)).all()
    assert np.median(difference) == 0 and (difference > np.spacing(np.abs(exact))).mean() < 0.01
