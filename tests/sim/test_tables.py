"""Every table mode over all 65,536 fp16 words, in each way in which the MAC engine applies a table."""

from __future__ import annotations

import numpy as np
import pytest
from tests.support import programs as make
from tests.support.programs import Builder, Fields
from tests.support.table_rule import tables

from openane.numerics.lookup import CompiledTable, from_fp16_words, to_fp16_words
from openane.program import Role
from openane.targets.h13.machine import machine

ALL = np.arange(1 << 16).astype(np.uint16)
HALVES = ALL.view(np.float16)
STEP, LIMIT = 2.0**-16, 2.0**15
"""Of the accumulator."""
TABLE: Fields = {"NE.MACCfg.NonlinearMode": 2}


def passed(table: bytes, shape: tuple[int, ...], numbers: Fields) -> np.ndarray:
    """All fp16 words through a task that passes channels, in runs of one loaded program."""
    builder = Builder()
    x, y = builder.surface("x", Role.INPUT, shape), builder.surface("y", Role.OUTPUT, shape)
    ends = make.dram_source(x), make.dram_result(y)
    builder.add(make.PASS, make.view(shape, shape), *ends, builder.lanes([table]), TABLE, numbers)
    loaded = machine(builder.program())
    parts = HALVES.reshape(-1, *shape)
    return np.concatenate([loaded.run({"x": part})["y"].reshape(-1) for part in parts]).view(np.uint16)


def wanted(table: bytes, sums: np.ndarray) -> np.ndarray:
    return to_fp16_words(CompiledTable.of(table).evaluate(sums.astype(np.float32)))


@pytest.mark.parametrize("shape", [(1, 1, 1, 256, 256), (1, 1, 16, 4, 64), (2, 1, 8, 16, 1)])
@pytest.mark.parametrize("name", tables())
def test_channels_that_are_passed(name: str, shape: tuple[int, ...]) -> None:
    """Large and small images; with a scale and a bias the function sees what is not an fp16 number."""
    table = tables()[name]
    values = from_fp16_words(ALL)
    if shape[-1] > 1:
        assert (passed(table, shape, {}) == wanted(table, values)).all()
    numbers: Fields = {"NE.PostScale.PostScale": make.half(-0.3), "NE.AccBias.AccBias": make.half(0.7)}
    scaled = (values + np.float32(np.float16(0.7))) * np.float32(np.float16(-0.3))
    if shape[-1] == 256:
        assert (passed(table, shape, numbers) == wanted(table, scaled)).all()


def convolved(table: bytes, form: str) -> tuple[np.ndarray, np.ndarray]:
    """All fp16 words through a convolution with two channels of sums, and these sums in float32."""
    values, other = from_fp16_words(ALL), np.float32(2.0**-11)
    inputs = 2 if form == "dense" else 1
    source, result = (1, 1, 2, 256, 256), (1, 1, 2, 256, 256)
    builder = Builder()
    x, y = builder.surface("x", Role.INPUT, source), builder.surface("y", Role.OUTPUT, result)
    weights = np.array([[1.0, other], [-0.5, 1.0]] if inputs == 2 else [[1.0], [-0.5]], np.float16)
    bias = np.array([0, 3], np.float16)
    streams = [table + bias[i : i + 1].tobytes() + weights[i].tobytes() for i in range(2)]
    fields: Fields = {
        "Common.Cfg.ActiveNE": 1,
        "NE.MACCfg.BiasMode": 1,
        "Common.GroupConvCfg.UnicastEn": int(form == "depthwise"),
    }
    ends = make.dram_source(x), make.dram_result(y)
    builder.add(make.NEURAL, make.view(source, result), *ends, builder.lanes(streams), TABLE, fields)
    mixed = values[::-1]
    first, second = values.reshape(256, 256), mixed.reshape(256, 256)
    array = np.stack([HALVES.reshape(256, 256), HALVES[::-1].reshape(256, 256)])[None, None]
    found = machine(builder.program()).run({"x": array})["y"][0, 0].view(np.uint16)
    if form == "dense":
        sums = np.stack(
            [accumulated(own, [(first, w[0]), (second, w[1])]) for own, w in zip(bias, weights, strict=True)]
        )
    else:
        sums = np.stack(
            [accumulated(bias[0], [(first, weights[0, 0])]), accumulated(bias[1], [(second, weights[1, 0])])]
        )
    return found, sums


def accumulated(bias: np.float16, products: list[tuple[np.ndarray, np.float16]]) -> np.ndarray:
    """Sums in the accumulator, in whole steps of it; 2^64 means infinity."""
    total = np.full(products[0][0].shape, float(bias) / STEP)
    for pixels, weight in products:
        product = pixels.astype(np.float64) * float(weight) / STEP
        lost = np.maximum(np.frexp(pixels)[1] - 1, -14) + int(np.frexp(weight)[1]) - 1 <= -17
        rounded = np.where(lost, 0, np.copysign(np.floor(np.abs(product) + 0.5), product))
        total = np.where(np.abs(total) < LIMIT / STEP, total + rounded, total)
    return np.where(np.abs(total) < LIMIT / STEP, total * STEP, np.copysign(2.0**64, total))


@pytest.mark.parametrize("form", ["dense", "depthwise"])
@pytest.mark.parametrize("name", tables())
def test_sums_of_a_convolution(name: str, form: str) -> None:
    table = tables()[name]
    found, sums = convolved(table, form)
    assert (found == wanted(table, sums)).all()


@pytest.mark.parametrize("name", tables())
def test_sums_and_extremes_of_channels(name: str) -> None:
    table = tables()[name]
    values = from_fp16_words(ALL).reshape(256, 256)
    array = np.stack([HALVES.reshape(256, 256), HALVES[::-1].reshape(256, 256)])[None, None]
    for operation, expected in ((0, values + values[::-1, ::-1]), (3, np.maximum(values, values[::-1, ::-1]))):
        builder = Builder()
        x = builder.surface("x", Role.INPUT, (1, 1, 2, 256, 256))
        y = builder.surface("y", Role.OUTPUT, (1, 1, 1, 256, 256))
        kind: Fields = {"NE.MACCfg.OpMode": operation, "NE.MACCfg.KernelMode": 1}
        ends = make.dram_source(x), make.dram_result(y)
        builder.add(make.NEURAL, make.view(x.shape, y.shape), *ends, builder.lanes([table]), TABLE, kind)
        found = machine(builder.program()).run({"x": array})["y"].view(np.uint16).reshape(256, 256)
        assert (found == wanted(table, expected.astype(np.float32))).all()
