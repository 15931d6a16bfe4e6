"""Small programs that ask one question of the machine, and the machine that answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tests.support import programs as make
from tests.support.programs import Builder, Fields

from openane.backend.functions import tables
from openane.core.types import DType
from openane.formats.anec import read_anec
from openane.formats.hwx import read_hwx
from openane.program import Program, Role
from openane.targets import load_program
from openane.targets.h13.machine import machine, reference
from openane.targets.target import RunOptions

_SCALAR_ELEMENTS = 300_000
"""Programs with fewer elements run on the reference machine."""

ADD: Fields = {"PE.Cfg.OpMode": 0}
MULTIPLY: Fields = {"PE.Cfg.OpMode": 1}
MAXIMUM: Fields = {"PE.Cfg.OpMode": 2}
SUBTRACT: Fields = {"PE.Cfg.OpMode": 0, "PE.Cfg.SecSrc": 3}
SUM: Fields = {"Common.Cfg.TaskType": 5}


def run(program: Program, *arrays: object, permissive: bool = False, **profile: str) -> np.ndarray:
    """The only output, flat; small programs run on the reference machine."""
    named = {
        surface.name: np.asarray(array).astype(surface.dtype.numpy).reshape(surface.shape)
        for surface, array in zip(program.inputs, arrays, strict=True)
    }
    options = RunOptions(permissive=permissive, profile=profile)
    small = sum(array.size for array in named.values()) < _SCALAR_ELEMENTS
    loaded = reference(program, options) if small else machine(program, options)
    (output,) = loaded.run(named).values()
    return output.reshape(-1)


def unary(table: bytes | None, fields: Fields | None = None) -> Program:
    """A one-element task of the neural engine, with a table or without."""
    builder = Builder()
    one = (1, 1, 1, 1, 1)
    x, y = builder.surface("x", Role.INPUT, one), builder.surface("y", Role.OUTPUT, one)
    loaded = builder.lanes([table]) if table else {}
    function: Fields = {"NE.MACCfg.NonlinearMode": 2 if table else 0}
    ends = make.dram_source(x), make.dram_result(y)
    builder.add(make.PASS, make.view(one, one), *ends, loaded, function, fields or {})
    return builder.program()


def planar(fields: Fields, sources: int = 1, width: int = 1) -> Program:
    """A task of the planar engine."""
    builder = Builder()
    shape = (1, 1, 1, 1, width)
    surfaces = [builder.surface(f"s{i}", Role.INPUT, shape) for i in range(sources)]
    result = (1, 1, 1, 1, 1) if fields.get("Common.Cfg.TaskType") == 5 else shape
    y = builder.surface("y", Role.OUTPUT, result)
    ends = [make.dram_source(surface, second=i == 1) for i, surface in enumerate(surfaces)]
    kind: Fields = {"Common.Cfg.TaskType": 3, "PE.Cfg.SecSrc": 2} if sources == 2 else {"Common.Cfg.TaskType": 2}
    builder.add(make.PLANAR, make.view(shape, shape), *ends, make.dram_result(y), kind, fields)
    return builder.program()


def convolution(
    weights: np.ndarray, shape: tuple[int, int, int], fields: Fields | None = None, bias: np.ndarray | None = None
) -> Program:
    """A dense convolution of stride 1 that keeps the size; weights (outputs, inputs, rows, columns), one lane."""
    builder, (outputs, _, rows, columns) = Builder(), weights.shape
    x = builder.surface("x", Role.INPUT, (1, 1, *shape))
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


def dot(weights: object, fields: Fields | None = None, bias: np.ndarray | None = None) -> Program:
    """One output, the sum of products with given weights."""
    row = np.asarray(weights, np.float16).reshape(1, -1, 1, 1)
    return convolution(row, (row.shape[1], 1, 1), fields, bias)


def convolved(image: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """fp16 results of a convolution on the fast machine: (C, H, W) and (O, C, KH, KW) give (O, H, W)."""
    program = convolution(weights, image.shape)
    (output,) = machine(program).run({"x": image.reshape(1, 1, *image.shape)}).values()
    return output[0, 0]


def multiplied(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """fp16 results of a product with constant weights on the fast machine: (M, K) and (N, K) give (M, N)."""
    return convolved(x.T[:, None, :], weights[..., None, None])[:, 0].T


def integer_dot(weights: np.ndarray, post_scale: float) -> Program:
    """One output, the scaled sum of int8 products with (channels, rows) weights."""
    builder, (channels, rows) = Builder(), weights.shape
    x = builder.surface("x", Role.INPUT, (1, 1, channels, rows, 1), DType.INT8)
    y = builder.surface("y", Role.OUTPUT, (1, 1, 1, 1, 1))
    lanes = builder.lanes([weights.astype(np.int8).tobytes()])
    fields: Fields = {
        "NE.KernelCfg.KernelFmt": 1, "NE.PostScale.PostScale": make.half(post_scale), "Common.ConvCfg.Kh": rows,
        "Common.ChCfg.InFmt": 1, "TileDMASrc.Fmt.MemFmt": 1, "TileDMASrc.Fmt.FmtMode": 0, "TileDMASrc.Fmt.Truncate": 0,
    }  # fmt: skip
    ends = make.dram_source(x), make.dram_result(y)
    builder.add(make.NEURAL, make.view(x.shape, y.shape), *ends, lanes, fields)
    return builder.program()


def table_of(name: str) -> bytes:
    return getattr(tables, name)().encode()


def function(name: str, x: float) -> float:
    """A table of the package, applied to one value."""
    return float(run(unary(table_of(name)), x)[0])


def golden(shared: Path, name: str) -> Program:
    path = shared / "goldens" / "h13" / name
    return load_program(read_anec(path) if name.endswith("anec") else read_hwx(path))


def published(shared: Path, name: str, x: float) -> float:
    """The first output of one of the published full-size programs."""
    program = golden(shared, f"eiln-{name}.anec")
    return float(run(program, np.full(program.inputs[0].shape, x, np.float16))[0])
