"""Outputs measured on real chips, each compared with the simulator: matches, differs, or not applicable, and why."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import programs as make
from programs import Builder, Fields

from openane.backend.functions import tables
from openane.formats.anec import read_anec
from openane.formats.hwx import read_hwx
from openane.numerics.lookup import CompiledTable, from_halfwords, to_halfwords
from openane.program import Program, Role
from openane.targets import load_program
from openane.targets.h13.machine import machine
from openane.targets.target import RunOptions

MATCHES, DIFFERS, NOT_APPLICABLE = "matches", "differs", "not applicable"
Entry = dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What became of one entry."""

    status: str
    found: str
    reason: str


def same(found: float, expected: float, reason: str = "") -> Outcome:
    """Compares fp16 bits; the sign of zero counts."""
    bits = [int(np.float16(value).view(np.uint16)) for value in (found, expected)]
    status = MATCHES if bits[0] == bits[1] else DIFFERS
    return Outcome(status, f"{found:g} ({bits[0]:04x})", reason)


def absent(reason: str) -> Outcome:
    return Outcome(NOT_APPLICABLE, "", reason)


def number(entry: Entry) -> float:
    """The input, from its bits when they are given."""
    if entry.get("x_hex"):
        return float(np.uint16(int(entry["x_hex"], 16)).view(np.float16))
    return {"NaN": np.nan, "inf": np.inf, "-0.0": -0.0}.get(entry["x"], entry["x"])


def wanted(entry: Entry) -> float:
    if entry.get("y_hex") and isinstance(entry["y_hex"], str):
        return float(np.uint16(int(entry["y_hex"], 16)).view(np.float16))
    return {"inf": np.inf}.get(entry["y"], entry["y"])


# Small programs ----------------------------------------------------------------------------------------------------


def run(program: Program, *arrays: object, **options: object) -> np.ndarray:
    named = {
        surface.name: np.asarray(array, np.float16).reshape(surface.shape)
        for surface, array in zip(program.inputs, arrays, strict=True)
    }
    (output,) = machine(program, RunOptions(**options)).run(named).values()  # type: ignore[arg-type]
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


def dot(weights: np.ndarray) -> Program:
    """One output, the sum of products with given weights."""
    builder = Builder()
    count = len(weights)
    x = builder.surface("x", Role.INPUT, (1, 1, count, 1, 1))
    y = builder.surface("y", Role.OUTPUT, (1, 1, 1, 1, 1))
    lanes = builder.lanes(make.dense_streams(weights.astype(np.float16).reshape(1, count, 1, 1), None, 1, 1))
    builder.add(make.NEURAL, make.view(x.shape, y.shape), make.dram_source(x), make.dram_result(y), lanes)
    return builder.program()


def table_of(name: str) -> bytes:
    return getattr(tables, name)().encode()


def function(name: str, x: float) -> float:
    return float(run(unary(table_of(name)), x)[0])


def golden(shared: Path, name: str) -> Program:
    path = shared / "goldens" / "h13" / name
    return load_program(read_anec(path) if name.endswith("anec") else read_hwx(path))


def published(shared: Path, name: str, x: float) -> float:
    """The first output of one of the published full-size programs."""
    program = golden(shared, f"eiln-{name}.anec")
    return float(run(program, np.full(program.inputs[0].shape, x, np.float16))[0])


ADD: Fields = {"PE.Cfg.OpMode": 0}
MULTIPLY: Fields = {"PE.Cfg.OpMode": 1}
MAXIMUM: Fields = {"PE.Cfg.OpMode": 2}
SUM: Fields = {"Common.Cfg.TaskType": 5}

# Entries -----------------------------------------------------------------------------------------------------------


def tables_of_m5(entry: Entry, shared: Path) -> Outcome:
    x = number(entry)
    if entry["table"] in ("tanh", "sigmoid"):
        return same(function(entry["table"], x), wanted(entry), "table evaluation")
    both = function("tanh", x), function("sigmoid", x)
    return same(float(run(planar(MULTIPLY, 2), *both)[0]), wanted(entry), "two tables and a product")


def kill_tests(entry: Entry, shared: Path) -> Outcome:
    x, operation = number(entry), entry["op"]
    if operation.startswith("leaky_relu"):
        found = float(run(unary(tables.leaky_relu(0.0999755859375).encode()), x)[0])
    elif operation.startswith("clip"):
        found = float(run(unary(tables.clip(-0.5, 1.5).encode()), x)[0])
    elif operation == "x*x+0.5":
        found = float(run(planar({"PE.Cfg.OpMode": 4, "PE.BiasScale.Bias": make.half(0.5)}), x)[0])
    elif operation.startswith(("maximum", "minimum")):
        name = "maximum" if operation.startswith("max") else "minimum"
        found = float(run(unary(getattr(tables, name)(1.0).encode()), x)[0])
    elif operation == "floor":
        found = 0.0 - published(shared, "ceil", -x)
    else:
        found = published(shared, operation, x)
    return same(
        found, wanted(entry), "as on an M5" + (", by Apple's H13 program" if operation in ("ceil", "sign") else "")
    )


def patched_abs(entry: Entry, shared: Path) -> Outcome:
    return same(float(run(planar({"PE.Cfg.Condition": 1}), number(entry))[0]), wanted(entry), "planar engine")


def m1_linux(entry: Entry, shared: Path) -> Outcome:
    operation = entry["op"]
    if operation == "sigmoid":
        return same(function("sigmoid", 3.0), wanted(entry), "the centred table")
    if operation == "relu":
        x = np.full(77, entry["x"])
        return same(float(run(golden(shared, "tinygrad-relu.hwx"), x)[0]), wanted(entry), "Apple's program")
    if operation == "add":
        arrays = [np.full(64, value) for value in entry["x"]]
        return same(float(run(golden(shared, "tinygrad-sum.hwx"), *arrays)[0]), wanted(entry), "Apple's program")
    if operation == "gemm 512, zero weights":
        found = run(golden(shared, "tinygrad-gemm.hwx"), np.ones(512))
        return same(float(found.max()), wanted(entry), "Apple's program")
    if operation.startswith("conv1x1"):
        found = run(golden(shared, "tinygrad-conv.hwx"), np.array([1, 2, 3]))
        text = ", ".join(f"{value:g}" for value in found)
        status = MATCHES if found.tolist() == entry["y"] else DIFFERS
        return Outcome(status, text, "the source contradicts itself: its text says 12, 12, 12")
    return absent("where the source put its weights is not told")


def maccfg_sweep(entry: Entry, shared: Path) -> Outcome:
    word = int(entry["op"].split("MACCfg=")[1].split(",")[0], 16)
    fields: Fields = {
        "NE.MACCfg.OpMode": word & 7,
        "NE.MACCfg.KernelMode": word >> 3 & 1,
        "NE.MACCfg.NonlinearMode": word >> 16 & 3,
        "NE.MACCfg.BinaryPoint": 0,
        "NE.MACCfg.Unknown_20": word >> 20 & 1,
        "NE.KernelCfg.KernelFmt": 0,
    }
    program = unary(table_of("sigmoid"), fields)
    found = float(run(program, 3.0, permissive=True)[0])
    reason = "" if word >> 20 else "runs with --permissive only: bit 20 is clear"
    if word == 0x0002000C:
        reason = "the chip's 0.9995 with bit 20 clear is unexplained; refused without --permissive"
        return Outcome(DIFFERS, f"{found:g}", reason)
    return same(found, wanted(entry), reason)


def cfg_sweep(entry: Entry, shared: Path) -> Outcome:
    found = set()
    for pref, low, high, small in [(0, 0, 0, 0), (1, 1, 1, 1), (4, 4, 4, 0), (3, 0, 3, 1), (7, 7, 7, 1)]:
        fields: Fields = {"Common.Cfg.ShPref": pref, "Common.Cfg.ShMin": low, "Common.Cfg.ShMax": high}
        fields["Common.Cfg.SmallSourceMode"] = small
        found.add(float(run(unary(table_of("sigmoid"), fields), 3.0)[0]))
    (value,) = found
    return Outcome(
        MATCHES if abs(value - entry["y"]) < 1e-4 else DIFFERS, f"{value:g}", "these fields steer the schedule"
    )


def inf_cliff(entry: Entry, shared: Path) -> Outcome:
    below = [
        float(run(dot(np.array([1.0, 4, 2, 0.75] + [0] * (k - 4))), [32752, 1, 1, 1] + [0] * (k - 4))[0])
        for k in (4, 128)
    ]
    above = float(run(dot(np.ones(4)), [32752, 8, 0, 0])[0])
    status = MATCHES if below == [32752, 32752] and above == np.inf else DIFFERS
    return Outcome(status, "32758.75 gives 32752, 32760 gives inf", "what rounds to 32768 leaves as infinity")


def reduce_sum(entry: Entry, shared: Path) -> Outcome:
    found = float(run(planar(SUM, width=8), [2042, 1, 1, 1, 1, 1, 1, 1])[0])
    return same(found, wanted(entry), "ties of a planar reduction go away from zero")


def triples(magnitude: float, **options: object) -> float:
    values = np.array([magnitude, -magnitude, 1] * 16)
    return float(run(dot(np.ones(48)), values, **options)[0])


def accumulation(entry: Entry, shared: Path) -> Outcome:
    operation = entry["op"]
    tile4 = {"profile": {"accumulate": "tile4"}}
    if "triples" in operation or operation.startswith("same, B="):
        with_option = triples(entry["x"], **tile4)
        return options_outcome(triples(entry["x"]), with_option, entry["y"])
    if operation.startswith("sum [4096]"):
        values = np.array([4096] + [1] * 1024)
        found = [float(run(dot(np.ones(1025)), values, **options)[0]) for options in ({}, tile4)]
        return options_outcome(*found, wanted(entry))
    if operation.startswith("sixteen ones"):
        values = np.array([8192, 0, 0, 0] + [1] * 16 + [-8192, 0, 0, 0])
        found = [float(run(dot(np.ones(24)), values, **options)[0]) for options in ({}, tile4)]
        return options_outcome(*found, entry["y"])
    if operation.startswith("linear"):
        return same(float(run(dot(np.ones(4)), [32752, 0, 0, 0])[0]), wanted(entry), "")
    if operation.startswith("1x1 conv Cin=1"):
        return same(float(run(dot(np.ones(1)), [60000])[0]), wanted(entry), "one product has the full range")
    if operation.startswith("reduce_sum"):
        found = [float(run(planar(SUM, width=8), [value, *[32] * 7])[0]) for value in (65504 - 224, 65504)]
        status = MATCHES if found == [65504, np.inf] else DIFFERS
        return Outcome(status, f"{found}", "the planar engine has the full range")
    if operation == "square":
        return same(float(run(planar({"PE.Cfg.OpMode": 4}), 256.0)[0]), np.inf, "")
    if operation.startswith("partial 2049"):
        return same(float(run(dot(np.ones(2)), [2048, 1])[0]), wanted(entry), "sums of the MAC engine round to even")
    return absent("no program on record shows how a width offset is encoded")


def options_outcome(default: float, tile4: float, expected: float) -> Outcome:
    """An entry that decides between the options of the accumulator."""
    equal = [np.float16(value) == np.float16(expected) for value in (default, tile4)]
    found = f"wide {default:g}, tile4 {tile4:g}"
    if equal[0]:
        return Outcome(MATCHES, found, "with either accumulator" if equal[1] else "")
    return Outcome(
        DIFFERS, found, "matches with the option accumulate=tile4" if equal[1] else "with either accumulator"
    )


def special(entry: Entry, shared: Path) -> Outcome:
    operation, zero, one = entry["op"], 0.0, 1.0
    x = number(entry) if entry["x"] is not None else 0.0
    plain: dict[str, Callable[[], float]] = {
        "x+0": lambda: float(run(planar(ADD, 2), x, zero)[0]),
        "denormal x+0 2^-24": lambda: float(run(planar(ADD, 2), x, zero)[0]),
        "relu": lambda: float(run(unary(None, {"NE.MACCfg.NonlinearMode": 1}), x)[0]),
        "tanh": lambda: function("tanh", x),
        "max(x,1)": lambda: float(run(planar(MAXIMUM, 2), x, one)[0]),
        "0*inf": lambda: float(run(planar(MULTIPLY, 2), zero, np.inf)[0]),
        "sqrt(-1)": lambda: function("sqrt", -1.0),
        "log(-1)": lambda: published(shared, "log", -1.0),
        "log": lambda: published(shared, "log", x),
        "matmul of two denormals": lambda: float(run(dot(np.array([2.0**-24, 0])), [2.0**-24, 0])[0]),
        "reciprocal(-0)": lambda: function("reciprocal", x),
        "sqrt(-0)": lambda: function("sqrt", x),
        "softsign": lambda: float(run(planar(MULTIPLY, 2), x, function("reciprocal", x))[0]),
        "mul(+inf, x)": lambda: float(run(planar(MULTIPLY, 2), np.inf, -0.8)[0]),
        "matmul 1 next to 16000": lambda: float(run(dot(np.ones(2)), [16000, 1])[0]),
        "matmul sum of 16384 ones": lambda: float(run(dot(np.ones(16384)), np.ones(16384))[0]),
    }
    if operation == "matmul 1 next to 16000":
        found = float(run(dot(np.ones(3)), [16000, 1, -16000])[0])
        return Outcome(MATCHES if found == 1 else DIFFERS, f"16000 + 1 - 16000 = {found:g}", "")
    if operation.startswith("softmax"):
        return softmax_entry(entry, shared)
    if operation == "gelu(0)":
        found = function("gelu", 0.0)
        return Outcome(DIFFERS, f"{found:g}", "Apple's table (proved by hash) and a second source give -0.000754")
    if operation in plain:
        return same(plain[operation](), wanted(entry), "")
    return absent("no program for this function is on record")


def softmax_entry(entry: Entry, shared: Path) -> Outcome:
    program = golden(shared, "eiln-softmax.anec")
    shape = program.inputs[0].shape
    x = np.full(shape, -60000, np.float16)
    if entry["x"] == "NaN":
        x[:] = 1
        x[..., 0] = np.nan
        found = run(program, x)[:2]
        return Outcome(
            MATCHES if found.tolist() == [1, 0] else DIFFERS, f"{found[0]:g}, others {found[1]:g}", "Apple's program"
        )
    x[..., :4] = 1
    found = run(program, x)[:4].tolist()
    return Outcome(MATCHES if found == entry["y"] else DIFFERS, ", ".join(f"{v:g}" for v in found), "Apple's program")


def accuracy(entry: Entry, shared: Path) -> Outcome:
    name = entry["op"].split()[0]
    exact: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "sigmoid": lambda v: 1 / (1 + np.exp(-v)),
        "tanh": np.tanh,
        "gelu": lambda v: 0.5 * v * (1 + np.vectorize(math.erf)(v / np.sqrt(2))),
    }
    if name not in exact:
        return absent("no program for this function is on record")
    words = np.arange(0x10000, dtype=np.uint16)
    x = from_halfwords(words[np.abs(words.view(np.float16)) <= 12])
    y = from_halfwords(to_halfwords(CompiledTable.of(table_of(name)).evaluate(x)))
    worst = float(np.abs(y - exact[name](x.astype(np.float64))).max())
    status = MATCHES if abs(worst - entry["y"]) <= 0.05 * entry["y"] else DIFFERS
    return Outcome(status, f"{worst:.2g}", "largest error over all halfwords up to 12")


def denormals_m5(entry: Entry, shared: Path) -> Outcome:
    return absent("an M5; the profile's option denormals=keep is for it")


def other_chip(reason: str) -> Callable[[Entry, Path], Outcome]:
    return lambda entry, shared: absent(reason)


def conv_error(entry: Entry, shared: Path) -> Outcome:
    return absent("the data of the benchmark are not published; see the discussion below the table")


def identity(entry: Entry, shared: Path) -> Outcome:
    found = float(run(dot(np.ones(1)), [entry["x"]])[0])
    status = MATCHES if abs(found - entry["y"]) < 1e-4 else DIFFERS
    return Outcome(status, f"{found:.4f}", "")


def partial_m5(entry: Entry, shared: Path) -> Outcome:
    return absent("an M5; the M1 gives 2048 (slice_and_accum_m1 row 21)")


HANDLERS: dict[str, Callable[[Entry, Path], Outcome]] = {
    "tanh": tables_of_m5,
    "sigmoid": tables_of_m5,
    "tanh_x_sigmoid": tables_of_m5,
    "tanh_x_sigmoid_signature": tables_of_m5,
    "kill_tests": kill_tests,
    "patched_abs": patched_abs,
    "m1_linux_ops": m1_linux,
    "maccfg_sweep_m1": maccfg_sweep,
    "cfg_sweep_m1": cfg_sweep,
    "matmul_inf_cliff": inf_cliff,
    "slice_clamp": other_chip("no program on record shows how a width offset is encoded"),
    "reduce_sum_integer": reduce_sum,
    "slice_and_accum_m1": accumulation,
    "partial2049_m5": partial_m5,
    "special_m1": special,
    "special_aneforge": special,
    "special_m5": denormals_m5,
    "accuracy_bounds_m1": accuracy,
    "accuracy_m4": accuracy,
    "gemm_relerr": conv_error,
    "gemm_relerr_small": conv_error,
    "conv_relerr": conv_error,
    "small_relerr": other_chip("an error of a whole network or operation on unpublished data"),
    "maderix_identity": identity,
    "training_parity": other_chip("an accuracy after training"),
    "slice_train_sat": other_chip("counts of infinities in a training run on unpublished data"),
}


def outcomes(shared: Path) -> list[tuple[Entry, Outcome]]:
    """Every entry with its outcome, in the order of the file."""
    entries = json.loads((shared / "hw" / "measured-vectors.json").read_text())
    return [(entry, HANDLERS[entry["table"]](entry, shared)) for entry in entries]
