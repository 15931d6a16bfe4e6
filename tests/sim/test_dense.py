"""Dense convolutions of many steps against a chain of fp32 additions in numpy: blocks of steps, pixels behind whole
vectors, tiles of channels that are not full, limits of the output."""

from __future__ import annotations

import numpy as np
import programs as make
import pytest
from programs import Builder, Fields

from openane.program import Role
from openane.targets.h13.machine import machine
from openane.targets.target import RunOptions

LIMIT = 32760
"""The smallest magnitude that rounds to 32768."""


def chain(weights: np.ndarray, pixels: np.ndarray, bias: np.ndarray, relu: bool) -> np.ndarray:
    """Bits of a 1x1 convolution: (outputs, inputs) times (inputs, pixels)."""
    sums = np.zeros((len(weights), pixels.shape[1]), np.float32)
    for k, row in enumerate(pixels.astype(np.float32)):
        sums += weights[:, k, None].astype(np.float32) * row
    sums[np.abs(sums) < 2.0**-14] = 0
    values = sums + bias.astype(np.float32)[:, None]
    values = np.where(np.abs(values) >= LIMIT, np.copysign(np.float32(np.inf), values), values)
    if relu:
        values = np.where(values > 0, values, np.float32(0))
    with np.errstate(over="ignore"):
        return values.astype(np.float16).view(np.uint16)


@pytest.mark.parametrize("plane", [(7, 7), (2, 11), (14, 14), (4, 40)])
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("fast", [False, True])
def test_blocks_never_change_the_chain(plane: tuple[int, int], relu: bool, fast: bool) -> None:
    inputs, outputs = 300, 97
    rng = np.random.default_rng(plane[1])
    builder = Builder()
    x = builder.surface("x", Role.INPUT, (1, 1, inputs, *plane))
    y = builder.surface("y", Role.OUTPUT, (1, 1, outputs, *plane))
    weights = rng.standard_normal((outputs, inputs, 1, 1)).astype(np.float16)
    weights[::7] *= np.float16(300)  # some sums are too large
    bias = rng.standard_normal(outputs).astype(np.float16)
    lanes = builder.lanes(make.dense_streams(weights, bias, 16, 1))
    task: Fields = {"Common.Cfg.ActiveNE": 4, "NE.MACCfg.BiasMode": 1, "NE.MACCfg.NonlinearMode": int(relu)}
    builder.add(make.NEURAL, make.view(x.shape, y.shape), make.dram_source(x), make.dram_result(y), lanes, task)
    pixels = (rng.standard_normal(x.shape) * 8).astype(np.float16)
    pixels[..., : plane[1] // 3] = 0
    found = machine(builder.program(), RunOptions(fast=fast)).run({"x": pixels})["y"]
    expected = chain(weights[..., 0, 0], pixels.reshape(inputs, -1), bias, relu)
    assert (found.view(np.uint16).reshape(outputs, -1) == expected).all()
    assert (expected & 0x7FFF == 0x7C00).any()
