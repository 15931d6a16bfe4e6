"""The reference machine: outputs of real chips through tasks, options of the profile, kernels read from streams."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.support import programs as make
from tests.support.programs import Builder, Fields
from tests.support.random_programs import random_program
from tests.support.random_tensors import Seeded

from openane.core.errors import InputError
from openane.core.types import DType
from openane.numerics.profile import Profile
from openane.program import Program, Role
from openane.sim.reference import ReferenceMachine
from openane.targets.h13.machine import BUFFERS, decode_program, reference
from openane.targets.registry import GENERATIONS
from openane.targets.target import RunOptions


def run(program: Program, *arrays: object, **profile: str) -> np.ndarray:
    named = {
        surface.name: np.asarray(array, surface.dtype.numpy).reshape(surface.shape)
        for surface, array in zip(program.inputs, arrays, strict=True)
    }
    (output,) = reference(program, RunOptions(profile=profile)).run(named).values()
    return output


def convolution(
    weights: np.ndarray, shape: tuple[int, int, int], fields: Fields | None = None, bias: np.ndarray | None = None,
    dtype: DType = DType.FLOAT16,
) -> Program:  # fmt: skip
    """A dense convolution of stride 1 that keeps the size, (outputs, inputs, rows, columns) weights, one lane."""
    builder, (outputs, _, rows, columns) = Builder(), weights.shape
    x = builder.surface("x", Role.INPUT, (1, 1, *shape), dtype)
    y = builder.surface("y", Role.OUTPUT, (1, 1, outputs, *shape[1:]))
    lanes = builder.lanes(make.dense_streams(weights.astype(np.float16), bias, 1, 1))
    window: Fields = {
        "Common.ConvCfg.Kh": rows, "Common.ConvCfg.Kw": columns,
        "Common.ConvCfg.Py": rows // 2, "Common.ConvCfg.Px": columns // 2,
        "NE.MACCfg.BiasMode": int(bias is not None), "NE.MACCfg.BinaryPoint": 0x1C,
    }  # fmt: skip
    ends = make.dram_source(x), make.dram_result(y)
    builder.add(make.NEURAL, make.view(x.shape, y.shape), *ends, lanes, window, fields or {})
    return builder.program()


def dot(weights: object, fields: Fields | None = None) -> Program:
    """One output, the sum of products with given weights."""
    row = np.asarray(weights, np.float16).reshape(1, -1, 1, 1)
    return convolution(row, (row.shape[1], 1, 1), fields)


def words(texts: list[str]) -> np.ndarray:
    return np.array([int(text, 16) for text in texts], np.uint16).view(np.float16)


def test_the_mac_array_as_measured(shared: Path) -> None:
    entries = json.loads((shared / "hw" / "measured-2026-12.json").read_text())
    chosen = [entry for entry in entries if entry["table"].startswith("mac_") and "x_hex" in entry]
    for entry in chosen[::3]:
        x, weights = words(entry["x_hex"]), words(entry["w_hex"]).reshape(1, -1, 1, 1)
        bias = words([entry["bias_hex"]]) if "bias_hex" in entry else None
        found = run(convolution(weights, (len(x), 1, 1), bias=bias), x)
        assert f"{int(found.view(np.uint16)[0, 0, 0, 0, 0]):04x}" == entry["y_hex"], entry


def test_kernels_are_read_as_they_were_packed() -> None:
    checked = 0
    for seed in range(40):
        made = random_program(Seeded(seed), "convolution")
        constants = np.frombuffer(made.program.constants, np.uint8)
        for task, packed in zip(decode_program(made.program), made.kernels, strict=True):
            if packed is None or packed.at_run_time is not None or getattr(task.engine, "kernel", None) is None:
                continue
            source = task.engine.kernel
            weights = source.read(constants).weights.view(np.float16)
            order = [tuple(step) for step in source.steps.tolist()]
            assert packed.order is None or order == packed.order
            for number, (i, y, x) in enumerate(order):
                assert np.array_equal(weights[:, :, number], packed.weights[:, :, i, y, x])
            checked += 1
    assert checked > 30


# Options of the profile --------------------------------------------------------------------------------------------


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(InputError, match="unknown option of the numerics profile"):
        reference(dot([1]), RunOptions(profile={"order": "any"}))
    with pytest.raises(InputError, match="fp16-pairs"):
        reference(dot([1]), RunOptions(profile={"reduction": "any"}))
    with pytest.raises(InputError, match="pass_steps is negative"):
        reference(dot([1]), RunOptions(profile={"pass_steps": "-1"}))
    with pytest.raises(InputError, match="unknown value of the option 'pass_steps'"):
        reference(dot([1]), RunOptions(profile={"pass_steps": "many"}))


def test_the_order_that_decides_an_overflow() -> None:
    weights = np.zeros((1, 2, 1, 3), np.float16)
    weights[0, :, 0, 1:] = 1  # stream: a1 a2 b1 b2; taps: a1 b1 a2 b2
    program, x = convolution(weights, (2, 1, 2)), [20000, 20000, -20000, -20000]
    assert run(program, x)[..., 0].item() == np.inf
    assert run(program, x, overflow_order="taps")[..., 0].item() == 0
    assert run(program, x, overflow_order="total")[..., 0].item() == 0
    assert run(dot([1, 1]), [20000, 20000], overflow_order="total").item() == np.inf


def test_what_binary_point_0_may_mean() -> None:
    program, x = dot([1, 1], {"NE.MACCfg.BinaryPoint": 0}), [2000, 2.0**-18]
    assert run(program, [0, 2.0**-18]).item() == 0
    assert run(program, [0, 2.0**-18], zero_binary_point="smaller-step").item() == 2.0**-18
    assert run(program, [2000, 48], zero_binary_point="smaller-step").item() == np.inf
    assert run(program, [40000, 16], zero_binary_point="larger-range").item() == 40032
    assert run(dot([1, 1]), x, zero_binary_point="smaller-step").item() == 2000  # binary point -4 is not concerned


def test_what_binary_point_0_may_mean_without_weights() -> None:
    builder = Builder()
    x, y = (builder.surface(name, role, (1, 1, 1, 1, 3)) for name, role in (("x", Role.INPUT), ("y", Role.OUTPUT)))
    point: Fields = {"NE.MACCfg.BinaryPoint": 0}
    builder.add(make.PASS, make.view(x.shape, y.shape), make.dram_source(x), make.dram_result(y), point)
    program, values = builder.program(), [60000, 2.0**-20, 3]
    assert run(program, values).reshape(-1).tolist() == [60000, 2.0**-20, 3]
    assert run(program, values, zero_binary_point="smaller-step").reshape(-1).tolist() == [np.inf, 2.0**-20, 3]
    assert run(program, values, zero_binary_point="larger-range").reshape(-1).tolist() == [60000, 0, 3]


def test_passes_round_to_fp16_in_between() -> None:
    program, x = dot(np.ones(4)), [2048, 1, 1, 0]
    assert run(program, x).item() == 2050
    assert run(program, x, pass_steps="2").item() == 2052  # 2049 becomes 2050, 2051 becomes 2052
    assert run(dot(np.ones(3)), [20000, 20000, -20000], pass_steps="1").item() == np.inf


def test_sums_without_weights_in_the_accumulator_and_outside() -> None:
    builder = Builder()
    x, y = (builder.surface(name, role, (1, 1, 1, 1, 3)) for name, role in (("x", Role.INPUT), ("y", Role.OUTPUT)))
    constant: Fields = {"NE.MACCfg.OpMode": 0, "NE.AccBias.AccBias": make.half(1e-4)}
    builder.add(make.PASS, make.view(x.shape, y.shape), make.dram_source(x), make.dram_result(y), constant)
    program, values = builder.program(), [60000, 0, 1]
    assert run(program, values).reshape(-1).tolist() == [60000, np.float16(1e-4), 1]
    found = run(program, values, without_weights="accumulator").reshape(-1).tolist()
    assert found == [np.inf, np.float16(7 * 2.0**-16), 1]


def test_the_int8_path_of_h18() -> None:
    builder = Builder()
    x = builder.surface("x", Role.INPUT, (1, 1, 4, 1, 1), DType.INT8)
    y = builder.surface("y", Role.OUTPUT, (1, 1, 1, 1, 1))
    lanes = builder.lanes([np.array([127, 127, 127, 3], np.int8).tobytes()])
    fields: Fields = {"NE.KernelCfg.KernelFmt": 1, "NE.PostScale.PostScale": make.half(0.5)}
    source = make.dram_source(x) | {"Common.ChCfg.InFmt": 1, "TileDMASrc.Fmt.MemFmt": 1, "TileDMASrc.Fmt.FmtMode": 0}
    source |= {"TileDMASrc.Fmt.Truncate": 0}
    builder.add(make.NEURAL, make.view(x.shape, y.shape), source, make.dram_result(y), lanes, fields)
    program, values = builder.program(), [127, 127, 127, 3]
    assert run(program, values).item() == np.inf  # 48396 leaves the range of the fp16 accumulator
    assert run(program, values, integers="integer").item() == 24192  # 24198 in steps of 16


def test_winograd_by_columns_against_numpy() -> None:
    rng = np.random.default_rng(3)
    weights = rng.standard_normal((3, 4, 3, 3)).astype(np.float16)
    image = rng.standard_normal((4, 5, 7)).astype(np.float16)
    found = run(convolution(weights, (4, 5, 7)), image, winograd="columns")
    padded = np.pad(image.astype(np.float64), ((0, 0), (1, 1), (1, 2)))
    pixels = np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]], np.float64)
    taps = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
    u = np.einsum("vk,oiyk->oiyv", taps, weights.astype(np.float64)).astype(np.float16).astype(np.float64)
    for row in range(5):
        for pair in range(4):
            window = padded[:, row : row + 3, 2 * pair : 2 * pair + 4]
            v = np.einsum("vk,iyk->iyv", pixels, window).astype(np.float16).astype(np.float64)
            m = np.einsum("oiyv,iyv->ov", u, v)
            for column, factors in enumerate(([1, 1, 1, 0], [0, 1, -1, -1])):
                if 2 * pair + column < 7:
                    wanted, close = m @ np.array(factors), 2**-7  # numpy breaks ties to even
                    assert np.allclose(found[0, 0, :, row, 2 * pair + column], wanted, atol=close)
    assert not np.array_equal(found, run(convolution(weights, (4, 5, 7)), image))


def test_every_generation_has_a_profile() -> None:
    for each in GENERATIONS.values():
        machine = ReferenceMachine(dot([1]), decode_program(dot([1])), BUFFERS, each.arithmetic)
        (found,) = machine.run({"x": np.full((1, 1, 1, 1, 1), 3, np.float16)}).values()
        assert found.item() == 3 and each.measured
    assert GENERATIONS["h13"].arithmetic == Profile()
