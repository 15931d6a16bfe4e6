"""The compiled engines against the scalar model, bit for bit, on random tasks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import programs as make
import scalar_model as scalar
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from programs import Builder, Fields

from openane.core.types import DType
from openane.program import Program, Role, Surface
from openane.program.layout import read_surface, write_surface
from openane.sim.work import MacWork
from openane.targets.h13.machine import PROFILE, decode_program, machine
from openane.targets.target import RunOptions

RANDOM = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
SPECIAL = np.array([0x7C00, 0xFC00, 0x7E01, 0xFE00, 0x0001, 0x8001, 0x0000, 0x8000, 0x7BFF, 0x03FF], np.uint16)


def random_values(rng: np.random.Generator, shape: tuple[int, ...], dtype: DType = DType.FLOAT16) -> np.ndarray:
    """Values of all kinds, some of them special."""
    if dtype is not DType.FLOAT16:
        bounds = np.iinfo(dtype.value)
        return rng.integers(bounds.min, bounds.max + 1, shape).astype(dtype.numpy)
    scale = 2.0 ** rng.integers(-6, 9)
    values = (rng.standard_normal(shape) * scale).astype(np.float16)
    chosen = rng.random(shape) < 0.03
    return np.where(chosen, rng.choice(SPECIAL, shape).view(np.float16), values)


def memory_of(surface: Surface, array: np.ndarray) -> bytes:
    memory = bytearray(surface.size_bytes)
    write_surface(surface, memory, array)
    return bytes(memory)


def check(program: Program, arrays: dict[str, np.ndarray], kernel: Kernel | None = None) -> None:
    """Runs the only task of a program on both."""
    (task,) = decode_program(program)
    memories = [memory_of(surface, arrays[surface.name]) for surface in program.inputs]
    if isinstance(task.engine, MacWork):
        k = kernel or Kernel()
        bits = scalar.mac_task(task, memories[0], k.weights, k.bias, k.table, PROFILE)
    else:
        bits = scalar.planar_task(task, memories, PROFILE)
    (output,) = program.outputs
    expected = bytearray(output.size_bytes)
    for index, word in bits.items():
        at = scalar.address(task.result, index)
        expected[at : at + 2] = word.to_bytes(2, "little")
    found = machine(program, RunOptions(threads=2)).run(arrays)[output.name]
    wanted = read_surface(output, expected)
    assert (found.view(np.uint16) == wanted.view(np.uint16)).all(), (found, wanted)


@dataclass
class Kernel:
    """Kernel of a random task as numbers."""

    weights: np.ndarray | None = None
    bias: np.ndarray | None = None
    table: bytes | None = None


@st.composite
def shapes(draw: st.DrawFn, largest: int = 6, depth: int = 2) -> tuple[int, int, int, int, int]:
    n, d = draw(st.integers(1, 2)), draw(st.integers(1, depth))
    return n, d, draw(st.integers(1, 5)), draw(st.integers(1, largest)), draw(st.integers(1, largest))


@RANDOM
@given(shapes(), st.sampled_from([0, 1, 2, 3, 4]), st.integers(0, 2**20), st.booleans(), st.booleans())
def test_two_sources(shape: tuple[int, ...], operation: int, seed: int, swap: bool, minus: bool) -> None:
    rng = np.random.default_rng(seed)
    builder = Builder()
    flags = [int(rng.integers(0, 16)), int(rng.integers(0, 16))]
    fields: list[Fields] = []
    arrays = {}
    for number, flag in enumerate(flags, 1):
        g, d, c, h, w = shape
        own = (g, 1 if flag & 4 else d, 1 if flag & 8 else c, 1 if flag & 2 else h, 1 if flag & 1 else w)
        held = (own[0], own[1], own[4], own[3], own[2]) if swap else own
        surface = builder.surface(f"s{number}", Role.INPUT, held)
        arrays[surface.name] = random_values(rng, held)
        fields.append(make.dram_source(surface, second=number == 2))
        fields.append({f"Common.PECfg.Src{number}Broadcast": flag, f"Common.PECfg.Src{number}Transpose": int(swap)})
    result = builder.surface("y", Role.OUTPUT, shape)
    numbers: Fields = {
        "PE.BiasScale.Scale": make.half(rng.choice([1, 0.5, -3])),
        "PE.BiasScale.Bias": make.half(rng.choice([0, 0.25])),
        "PE.PreScale.PreScale": make.half(rng.choice([1, -1, 0.3])),
        "PE.FinalScale.FinalScale": make.single(rng.choice([1, 1 / 3])),
        "PE.Cfg.NLMode": int(rng.integers(0, 3)),
        "PE.Cfg.ReluEn": int(rng.integers(0, 2)),
        "PE.Cfg.Condition": int(rng.integers(0, 2)),
        "PE.Cfg.FirstSrc": int(rng.integers(0, 2)),
        "L2.L2Cfg.InputReLU": int(rng.integers(0, 2)),
        "L2.L2Cfg.Source2ReLU": int(rng.integers(0, 2)),
    }
    kind: Fields = {"Common.Cfg.TaskType": 3, "PE.Cfg.OpMode": operation, "PE.Cfg.SecSrc": 3 if minus else 2}
    builder.add(make.PLANAR, make.view(shape, shape), *fields, make.dram_result(result), numbers, kind)
    check(builder.program(), arrays)


@RANDOM
@given(shapes(depth=3), st.integers(0, 3), st.booleans(), st.booleans(), st.integers(0, 2**20))
def test_reduction(shape: tuple[int, ...], pool: int, variance: bool, swap: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    builder = Builder()
    x = builder.surface("x", Role.INPUT, shape)
    arrays = {"x": random_values(rng, shape)}
    fields = [make.dram_source(x)]
    kind: Fields = {"Common.Cfg.TaskType": 5, "PE.Cfg.OpMode": int(rng.choice([0, 4]))}
    if variance:
        mean = builder.surface("m", Role.INPUT, (shape[0], 1, shape[2], 1, 1))
        arrays["m"] = random_values(rng, mean.shape)
        fields = [make.dram_source(mean), make.dram_source(x, second=True), {"Common.PECfg.Src1Broadcast": 7}]
        kind = {"Common.Cfg.TaskType": 6, "PE.Cfg.OpMode": 4, "PE.Cfg.SecSrc": 2, "PE.Cfg.FirstSrc": 1}
    held = (shape[0], 1, 1, 1, shape[2]) if swap else (shape[0], 1, shape[2], 1, 1)
    result = builder.surface("y", Role.OUTPUT, held)
    if variance:
        arrays = {"x": arrays["x"], "m": arrays["m"]}
    numbers: Fields = {
        "PE.Cfg.PoolMode": pool,
        "PE.Cfg.NLMode": int(rng.integers(0, 3)),
        "PE.FinalScale.FinalScale": make.single(rng.choice([1, 1 / 7])),
        "PE.PreScale.Epsilon": make.half(rng.choice([0, 1e-3])),
        "Common.PECfg.OutTranspose": int(swap),
    }
    builder.add(make.PLANAR, make.view(shape, shape), *fields, make.dram_result(result), kind, numbers)
    program = builder.program()
    if variance:  # source 1 is the mean: the order of memories follows the sources
        (task,) = decode_program(program)
        memories = [memory_of(s, arrays[s.name]) for s in (mean, x)]
        bits = scalar.planar_task(task, memories, PROFILE)
        expected = bytearray(result.size_bytes)
        for index, word in bits.items():
            at = scalar.address(task.result, index)
            expected[at : at + 2] = word.to_bytes(2, "little")
        found = machine(program).run(arrays)["y"]
        assert (found.view(np.uint16) == read_surface(result, expected).view(np.uint16)).all()
    else:
        check(program, arrays)


@RANDOM
@given(shapes(largest=9), st.integers(0, 3), st.integers(1, 3), st.integers(1, 3), st.integers(0, 2**20))
def test_pooling(shape: tuple[int, ...], pool: int, size: int, stride: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    builder = Builder()
    n, d, c, h, w = shape
    pad = int(rng.integers(0, size))
    out = [max(1, (extent + 2 * pad - size) // stride + 1) for extent in (h, w)]
    x = builder.surface("x", Role.INPUT, shape)
    y = builder.surface("y", Role.OUTPUT, (n, d, c, *out))
    kind: Fields = {"Common.Cfg.TaskType": 1, "PE.Cfg.PoolMode": pool}
    builder.add(
        make.PLANAR, make.view(shape, y.shape), make.dram_source(x), make.dram_result(y), kind,
        make.window((size, size), (stride, stride), (pad, pad)),
        {"PE.FinalScale.FinalScale": make.single(1 / size**2 if pool == 0 else 1)},
    )  # fmt: skip
    check(builder.program(), {"x": random_values(rng, shape)})


@st.composite
def convolutions(draw: st.DrawFn) -> dict[str, int]:
    return {
        "inputs": draw(st.integers(1, 5)),
        "outputs": draw(st.integers(1, 40)),
        "groups": draw(st.sampled_from([1, 1, 2])),
        "kernel": draw(st.integers(1, 4)),
        "stride": draw(st.integers(1, 3)),
        "pad": draw(st.integers(0, 2)),
        "height": draw(st.integers(1, 6)),
        "width": draw(st.integers(1, 7)),
        "cap": draw(st.sampled_from([0, 1, 2, 4])),
        "function": draw(st.integers(0, 2)),
        "seed": draw(st.integers(0, 2**20)),
    }


def tanh_table() -> bytes:
    from records import image

    knots = [float(np.tanh(i / 8)) for i in range(33)]
    return image([0, 4, 0, 1, *knots, 0, 0, 0, 1], 3, 0x60)


def convolution_program(
    p: dict[str, int], transposed: bool = False, depthwise: bool = False, dtype: DType = DType.FLOAT16
) -> tuple[Program, dict[str, np.ndarray], Kernel]:
    """A random convolution with its kernel."""
    rng = np.random.default_rng(p["seed"])
    builder = Builder()
    k, s, groups = p["kernel"], p["stride"], 1 if depthwise else p["groups"]
    pad = min(p["pad"], k - 1)
    inputs = p["inputs"] * p["outputs"] if depthwise else p["inputs"]
    if transposed:
        out = [(extent - 1) * s + 1 + 2 * pad - k + 1 for extent in (p["height"], p["width"])]
    else:
        out = [(extent + 2 * pad - k) // s + 1 for extent in (p["height"], p["width"])]
    out = [max(1, extent) for extent in out]
    x = builder.surface("x", Role.INPUT, (groups, 1, inputs, p["height"], p["width"]), dtype)
    y = builder.surface("y", Role.OUTPUT, (groups, 1, p["outputs"], *out))
    weights = (rng.standard_normal((groups, p["outputs"], p["inputs"], k, k)) * 4).astype(np.float16)
    weights[rng.random(weights.shape) < 0.3] = 0
    bias = rng.standard_normal((groups, p["outputs"])).astype(np.float16) if p["seed"] % 2 else None
    table = tanh_table() if p["function"] == 2 else None
    engines = make.log2_engines(p["outputs"])
    streams = lane_streams(weights, bias, table, 1 << engines, 1 << p["cap"], depthwise)
    fields: Fields = {
        "Common.Cfg.ActiveNE": engines,
        "Common.ConvCfg.OCGSize": p["cap"],
        "NE.MACCfg.OpMode": 5 if transposed else 0,
        "NE.MACCfg.BiasMode": int(bias is not None),
        "NE.MACCfg.NonlinearMode": p["function"],
        "NE.AccBias.AccBias": make.half(rng.choice([0, 0.5])),
        "NE.PostScale.PostScale": make.half(rng.choice([1, -0.25])),
        "L2.L2Cfg.InputReLU": p["seed"] // 2 % 2,
        "Common.GroupConvCfg.UnicastEn": int(depthwise),
        "Common.GroupConvCfg.UnicastCin": p["inputs"] if depthwise else 1,
    }
    builder.add(
        make.NEURAL, make.view(x.shape, y.shape), make.dram_source(x), make.dram_result(y),
        make.window((k, k), (s, s), (pad, pad)), builder.lanes(streams), fields,
    )  # fmt: skip
    numbers = None if bias is None else bias.astype(np.float32)
    return builder.program(), {"x": random_values(rng, x.shape, dtype)}, Kernel(weights, numbers, table)


def lane_streams(
    weights: np.ndarray, bias: np.ndarray | None, table: bytes | None, engines: int, cap: int, depthwise: bool
) -> list[bytes]:
    """Lanes [table][group blocks]; a lane that holds no channel stays, with zeros."""
    lanes = [bytearray(table or b"") for _ in range(engines)]
    for group, kernel in enumerate(weights):
        own = None if bias is None else bias[group]
        if depthwise:
            parts = [bytearray() for _ in range(engines)]
            for channel, taps in enumerate(kernel):
                parts[channel % engines] += b"" if own is None else own[channel].tobytes()
                parts[channel % engines] += np.ascontiguousarray(taps).tobytes()
        else:
            parts = [bytearray(lane) for lane in make.dense_streams(kernel, own, engines, cap)]
        for lane, part in zip(lanes, parts, strict=True):
            lane += part + bytes(-(len(lane) + len(part)) % 64)
    return [bytes(lane) or bytes(64) for lane in lanes]


@RANDOM
@given(convolutions(), st.sampled_from([DType.FLOAT16, DType.FLOAT16, DType.UINT8, DType.INT8]))
def test_convolution(p: dict[str, int], dtype: DType) -> None:
    check(*convolution_program(p, dtype=dtype))


@settings(RANDOM, max_examples=15)
@given(convolutions())
def test_depthwise(p: dict[str, int]) -> None:
    check(*convolution_program(p | {"outputs": 1 + p["outputs"] % 20}, depthwise=True))


@settings(RANDOM, max_examples=15)
@given(convolutions())
def test_transposed(p: dict[str, int]) -> None:
    check(*convolution_program(p, transposed=True))


@RANDOM
@given(
    st.sampled_from([0, 2, 3, 4]), st.integers(1, 4), shapes(), st.integers(0, 2), st.booleans(), st.integers(0, 2**20)
)
def test_without_weights(
    operation: int, inputs: int, shape: tuple[int, ...], function: int, swap: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    n, d, c, h, w = shape
    inputs = {2: 2, 4: 1}.get(operation, inputs)
    builder = Builder()
    x = builder.surface("x", Role.INPUT, (n, d, c * inputs, h, w))
    y = builder.surface("y", Role.OUTPUT, (n, d, w, h, c) if swap else shape)
    table = tanh_table() if function == 2 else None
    loaded = builder.lanes([table]) if table else {}
    fields: Fields = {
        "NE.MACCfg.OpMode": operation,
        "NE.MACCfg.KernelMode": 1,
        "NE.MACCfg.NonlinearMode": function,
        "NE.AccBias.AccBias": make.half(rng.choice([0, 0.5])),
        "NE.PostScale.PostScale": make.half(rng.choice([1, 3, float("inf")])),
        "Common.GroupConvCfg.UnicastEn": 1,
        "Common.GroupConvCfg.UnicastCin": inputs,
        "Common.GroupConvCfg.ElemMultMode": int(operation == 2),
        "Common.Cfg.Transpose": int(swap),
        "L2.L2Cfg.InputReLU": int(rng.integers(0, 2)),
    }
    ends = make.dram_source(x), make.dram_result(y)
    builder.add(make.NEURAL, make.view(x.shape, shape), *ends, loaded, fields)
    check(builder.program(), {"x": random_values(rng, x.shape)}, Kernel(table=table))
