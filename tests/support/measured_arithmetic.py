"""Single outputs and table figures of measured-2026-12.json, each compared with the reference machine."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
from tests.support.outcome import DIFFERS, MATCHES, Entry, Outcome, absent, same, wanted
from tests.support.probes import ADD, MULTIPLY, SUBTRACT, SUM, dot, integer_dot, planar, run

from openane.backend.functions import tables
from openane.numerics.definition.accumulator import sum_of_products
from openane.numerics.definition.epilogue import scaled, tabulated
from openane.numerics.definition.fp16 import value
from openane.numerics.profile import Profile
from openane.targets.registry import GENERATIONS

Array = np.ndarray
H18 = GENERATIONS["h18"].arithmetic
ONE, LOG2_E, EPSILON = 0x3C00, 0x3DC5, 0x068E
"""fp16 words: PostScale of exp, and what Apple's reciprocal adds to its argument."""
_GRID = 1 << 19
"""Points of the source's grid over a domain with both signs; their fp16 values are used once each."""

EXACT: dict[str, Callable[[Array], Array]] = {
    "sigmoid": lambda v: 1 / (1 + np.exp(-v)),
    "tanh": np.tanh,
    "gelu": lambda v: 0.5 * v * (1 + np.vectorize(math.erf)(v / np.sqrt(2))),
    "gelu (tanh mode)": lambda v: 0.5 * v * (1 + np.tanh(np.sqrt(2 / np.pi) * (v + 0.044715 * v**3))),
    "silu": lambda v: v / (1 + np.exp(-v)),
    "exp": np.exp,
    "sqrt": np.sqrt,
    "rsqrt": lambda v: 1 / np.sqrt(v),
    "inverse": lambda v: 1 / v,
}
_TABLES = {"gelu (tanh mode)": "gelu", "exp": "exp2", "inverse": "reciprocal"}


def halves(texts: list[str]) -> Array:
    return np.array([int(text, 16) for text in texts], np.uint16).view(np.float16)


def mac_vector(entry: Entry, shared: Path) -> Outcome:
    bias = halves([entry["bias_hex"]]) if "bias_hex" in entry else None
    program = dot(halves(entry["w_hex"]), bias=bias)
    return same(float(run(program, halves(entry["x_hex"]))[0]), wanted(entry), "")


def integer_vector(entry: Entry, shared: Path) -> Outcome:
    channels, rows = entry["n"], entry.get("kh", 1)
    x, weights = entry.get("x_int", 127), np.full((channels, rows), entry.get("w_int", 127))
    if "half -127*127" in entry["op"]:
        weights[: channels // 2] *= -1
    elif "x_int" not in entry:
        x, weights[:] = -128, (-128, 127, -128)  # a total of 1082130432, as the source has it
    total = x * int(weights.sum())
    assert total == entry["sum_int"], total
    program = integer_dot(weights, 2.0 ** (2 * entry["scale_log2"]))
    found = run(program, np.full((channels, rows), x), integers="integer")
    return same(float(found[0]), wanted(entry), "with the profile of H18")


def planar_vector(entry: Entry, shared: Path) -> Outcome:
    fields = {"add": ADD, "mul": MULTIPLY, "sub": SUBTRACT}[entry["op"]]
    x, y = halves(entry["x_hex"])
    return same(float(run(planar(fields, 2), [x], [y])[0]), wanted(entry), "")


def reduction(entry: Entry, shared: Path) -> Outcome:
    return same(float(run(planar(SUM, width=8), [2042, 1, 1, 1, 1, 1, 1, 1])[0]), wanted(entry), "")


def inf_cliff(entry: Entry, shared: Path) -> Outcome:
    """The source's bisection, which gives the largest T with a finite result."""
    found = []
    for count in (4, 8, 32, 64, 128):
        low, high = 30000.0, 40000.0
        program = dot(np.ones(count))
        while high - low > 2:
            middle = (low + high) / 2
            infinite = np.isinf(run(program, np.full(count, middle / count, np.float16))[0])
            low, high = (low, middle) if infinite else (middle, high)
        found.append(low)
    status = MATCHES if {f"{each:.1f}" for each in found} == {f"{entry['y']:.1f}"} else DIFFERS
    return Outcome(status, ", ".join(f"{each:.1f}" for each in sorted(set(found))), "the same bisection")


# Tables ------------------------------------------------------------------------------------------------------------


def table_outputs(name: str, low: float, high: float, profile: Profile = H18) -> tuple[Array, Array]:
    """fp16 arguments and outputs of a function of one table, as float64."""
    words = np.arange(1 << 16, dtype=np.uint16)
    x = words[np.isfinite(words.view(np.float16))].view(np.float16)
    if low < 0:
        x = np.linspace(low, high, _GRID).astype(np.float16)
    x = np.unique(x[(x >= np.float16(low)) & (x <= np.float16(high))])
    table = getattr(tables, _TABLES.get(name, name))()
    scale, bias = value(LOG2_E if name == "exp" else ONE), value(EPSILON) if name == "inverse" else Fraction(0)
    found = [
        tabulated(scaled(sum_of_products([(int(word), ONE)], bias) if bias else value(int(word)), scale, profile),
                  table, profile)
        for word in x.view(np.uint16)
    ]  # fmt: skip
    return x.astype(np.float64), np.array(found, np.uint16).view(np.float16).astype(np.float64)


def domain(text: str) -> tuple[float, float]:
    low, high = (2.0 ** float(part[2:]) if part.startswith("2^") else float(part) for part in text[1:-1].split(","))
    return low, high


@functools.cache
def errors(name: str, low: float, high: float) -> tuple[Array, Array, Array, Array]:
    """Arguments, outputs, errors, and errors in units of the last place of the exact value."""
    x, y = table_outputs(name, low, high)
    exact = EXACT[name](x)
    _, power = np.frexp(np.abs(exact))
    error = np.abs(y - exact)
    return x, y, error, error / np.ldexp(1.0, np.maximum(power, -13) - 11)


def largest_error(entry: Entry, shared: Path) -> Outcome:
    if entry["op"] not in EXACT:
        return absent("no program for this function is on record")
    x, _, error, ulps = errors(entry["op"], *domain(entry["domain"]))
    digits = len(str(entry["y"]).replace(".", "").lstrip("0"))
    alike = (
        f"{error.max():.{digits}g}" == f"{entry['y']:.{digits}g}" and f"{ulps.max():.1f}" == f"{entry['max_ulp']:.1f}"
    )
    found = f"{error.max():.4g}, {ulps.max():.1f} ulp, {x.size} points"
    return Outcome(MATCHES if alike and x.size == entry["points"] else DIFFERS, found, "to the printed digits")


DOMAINS = {
    "sigmoid": (-12, 12), "tanh": (-6, 6), "gelu (tanh mode)": (-8, 8), "silu": (-12, 12), "exp": (-12, 10),
    "sqrt": (2.0**-10, 1000), "rsqrt": (2.0**-6, 1000), "inverse": (2.0**-6, 1000),
}  # fmt: skip


def worst_point(entry: Entry, shared: Path) -> Outcome:
    if entry["op"] not in DOMAINS:
        return absent("no program for this function is on record")
    x, y, _, ulps = errors(entry["op"], *DOMAINS[entry["op"]])
    worst = int(ulps.argmax())
    alike = f"{x[worst]:.4g}" == f"{entry['x']:.4g}" and f"{y[worst]:.3g}" == f"{entry['y']:.3g}"
    return Outcome(MATCHES if alike else DIFFERS, f"at {x[worst]:.4g}: {y[worst]:.3g}", "to the printed digits")


def knot(entry: Entry, shared: Path) -> Outcome:
    name, number = entry["op"].split()[0], {"gelu": 17, "silu": 17}
    found = getattr(tables, name)().knots[number[name]]
    digits = len(str(entry["y"])) - 2
    return Outcome(
        MATCHES if round(found, digits) == entry["y"] else DIFFERS, f"{found:.{digits}f}", "Apple's H13 table"
    )


def slice_cliff(entry: Entry, shared: Path) -> Outcome:
    return absent("no program on record shows how a width offset is encoded")


HANDLERS: dict[str, Callable[[Entry, Path], Outcome]] = {
    **dict.fromkeys(
        ("mac_single", "mac_sum2", "mac_small", "mac_small15", "mac_round", "mac_survivor_1024", "mac_survivor_16384",
         "mac_sticky", "mac_w256", "mac_w2m8", "mac_scaled", "mac_special_bits", "mac_bias", "mac_lsb",
         "mac_lsb_mantissa", "mac_drop_rule"),
        mac_vector,
    ),
    **dict.fromkeys(("pe_add", "pe_mul", "pe_sub"), planar_vector),
    **dict.fromkeys(("mac_int8", "mac_int8_range"), integer_vector),
    "lut_max_abs_error_m6": largest_error,
    "lut_worst_ulp_point_m6": worst_point,
    "lut_fitted_nodes_m6": knot,
    "reduce_sum_2049": reduction,
    "matmul_inf_cliff": inf_cliff,
    "slice_cliff": slice_cliff,
}  # fmt: skip
