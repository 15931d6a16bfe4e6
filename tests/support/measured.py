"""Outputs measured on real chips, each compared with the simulator: matches, differs, or not applicable, and why."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tests.support import measured_arithmetic, measured_statistics
from tests.support import programs as make
from tests.support.outcome import DIFFERS, MATCHES, Entry, Outcome, absent, number, same, wanted
from tests.support.probes import (
    ADD,
    MAXIMUM,
    MULTIPLY,
    SUM,
    dot,
    function,
    golden,
    planar,
    published,
    run,
    table_of,
    unary,
)
from tests.support.programs import Fields

from openane.backend.functions import tables

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
        return same(function("sigmoid", 3.0), wanted(entry), "the centered table")
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
    return absent("where the source put its weights is not known")


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


def reduce_sum(entry: Entry, shared: Path) -> Outcome:
    found = float(run(planar(SUM, width=8), [2042, 1, 1, 1, 1, 1, 1, 1])[0])
    return same(found, wanted(entry), "ties of a planar reduction go away from zero")


OTHER_PATH = (
    "the rule gives 16 (5120): the source's matmul with run-time ones is likely a product and a reduction of the planar"
    " engine, not the MAC array (mac-arithmetic 6a)"
)


def accumulation(entry: Entry, shared: Path) -> Outcome:
    operation = entry["op"]
    if "triples" in operation or operation.startswith("same, B="):
        values = np.array([entry["x"], -entry["x"], 1] * 16)
        return same(float(run(dot(np.ones(48)), values)[0]), entry["y"], OTHER_PATH if entry["y"] != 16 else "")
    if operation.startswith("sum [4096]"):
        return same(float(run(dot(np.ones(1025)), [4096] + [1] * 1024)[0]), wanted(entry), OTHER_PATH)
    if operation.startswith("sixteen ones"):
        values = np.array([8192] + [1] * 16 + [-8192])
        return same(float(run(dot(np.ones(18)), values)[0]), entry["y"], "")
    if operation.startswith("linear"):
        return same(float(run(dot(np.ones(4)), [32752, 0, 0, 0])[0]), wanted(entry), "")
    if operation.startswith("1x1 conv Cin=1"):
        return same(float(run(unary(None), 60000)[0]), wanted(entry), "as a copy, which a weight of 1 is folded to")
    if operation.startswith("reduce_sum"):
        found = [float(run(planar(SUM, width=8), [value, *[32] * 7])[0]) for value in (65504 - 224, 65504)]
        status = MATCHES if found == [65504, np.inf] else DIFFERS
        return Outcome(status, f"{found}", "the planar engine has the full range")
    if operation == "square":
        return same(float(run(planar({"PE.Cfg.OpMode": 4}), 256.0)[0]), np.inf, "")
    if operation.startswith("partial 2049"):
        reason = "an M1 Air and an M1 Max give 2050 in reductions; the path of this probe is not known (6d)"
        return same(float(run(dot(np.ones(2)), [2048, 1])[0]), wanted(entry), reason)
    return absent("no program on record shows how a width offset is encoded")


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
    if name not in measured_arithmetic.EXACT:
        return absent("no program for this function is on record")
    x, y = measured_arithmetic.table_outputs(name, -12, 12)
    worst = float(np.abs(y - measured_arithmetic.EXACT[name](x)).max())
    if entry["table"] == "accuracy_bounds_m1":
        alike = math.ceil(worst * 10000) == round(entry["y"] * 10000)
        return Outcome(MATCHES if alike else DIFFERS, f"{worst:.6f}", "a bound, rounded up; all fp16 values up to 12")
    status = MATCHES if abs(worst - entry["y"]) <= 0.05 * entry["y"] else DIFFERS
    return Outcome(status, f"{worst:.2g}", "largest error over all fp16 values up to 12")


def denormals_m5(entry: Entry, shared: Path) -> Outcome:
    return absent("an M5 of which the path is not known; the rule drops the product, as the M1 does (6h)")


def other_chip(reason: str) -> Callable[[Entry, Path], Outcome]:
    return lambda entry, shared: absent(reason)


def identity(entry: Entry, shared: Path) -> Outcome:
    found = float(run(dot(np.ones(1)), [entry["x"]])[0])
    status = MATCHES if abs(found - entry["y"]) < 1e-4 else DIFFERS
    return Outcome(status, f"{found:.4f}", "")


def partial_m5(entry: Entry, shared: Path) -> Outcome:
    return same(float(run(dot(np.ones(2)), [2048, 1])[0]), 2050.0, "")


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
    "slice_clamp": other_chip("no program on record shows how a width offset is encoded"),
    "reduce_sum_integer": reduce_sum,
    "slice_and_accum_m1": accumulation,
    "partial2049_m5": partial_m5,
    "special_m1": special,
    "special_aneforge": special,
    "special_m5": denormals_m5,
    "accuracy_bounds_m1": accuracy,
    "accuracy_m4": accuracy,
    "maderix_identity": identity,
    "training_parity": other_chip("an accuracy after training"),
    "slice_train_sat": other_chip("counts of infinities in a training run on unpublished data"),
}


def outcomes(shared: Path, limit: float = math.inf) -> list[tuple[Entry, Outcome]]:
    """Every entry with its outcome, in the order of the files.

    Args:
        limit: entries that take more work than this are left out; see `measured_statistics.work`.
    """
    handlers = HANDLERS | measured_arithmetic.HANDLERS | measured_statistics.HANDLERS
    found = []
    for name in ("measured-vectors.json", "measured-2026-12.json"):
        for entry in json.loads((shared / "hw" / name).read_text()):
            if measured_statistics.work(entry) <= limit:
                found.append((entry, handlers[entry["table"]](entry, shared)))
    return found
