"""A table of every mode, and the rule of the tables on whole arrays, written from the table of the format."""

from __future__ import annotations

import math

import numpy as np
import scalar_model as scalar
from records import image

INF = math.inf


def knots(function: object, first: float, step: float) -> list[float]:
    return [float(function(first + i * step)) for i in range(33)]  # type: ignore[operator]


def tables() -> dict[str, bytes]:
    """One table for each mode, and for each rule of the sign."""
    none = [0.0] * 33
    return {
        "direct": image([0, 4, 0, 1, *knots(math.tanh, 0, 1 / 8), 0, 0, 0.1, 0.5], 3, 0x60),
        "direct_even": image([0, 3, 2, 1, *knots(math.cos, 0, 1 / 4), 0.5, 1, -0.5, 2], 2, 0x40),
        "centred": image([-9, 8.5, 0, 1, *knots(math.sin, -8, 1 / 2), 0.25, 1, 0.5, -1], 1, 0x01),
        "ending_at_zero": image([-INF, INF, 0, INF, *knots(math.exp, -8, 1 / 4), 0.1, -1, 2, 1], 2, 0x02),
        "lines": image([-INF, INF, -INF, INF, *none, 0.01, 0.5, 1, 0.25], 0x40, 0x01),
        "fraction": image([-INF, INF, 0, 0, *none, 0, 0, 0, 0], 0x40, 0x03),
        "integer": image([-INF, INF, -INF, INF, *none, 0, 0, 0, 0], 0x40, 0x04),
        "sqrt": image([0, INF, 0, INF, *knots(math.sqrt, 0, 1 / 16), 0, 0, 0, 0], 4, 0xC5),
        "rsqrt": image([0, INF, INF, 0, *knots(lambda x: 1 / math.sqrt(x or 1), 0, 1 / 16), 0, 0, 0, 0], 4, 0xC6),
        "reciprocal": image([0, INF, INF, 0, *knots(lambda x: 1 / x, 0.5, 1 / 64), 0, 0, 0, 0], 6, 0x67),
        "log2": image([0, INF, -INF, INF, *knots(math.log2, 0.5, 1 / 64), 0, 0, 0, 0], 6, 0xC9),
        "exp2": image([-25, 16, 0, INF, *knots(lambda x: 2**x, 0, 1 / 32), 0, 0, 0, 0], 5, 0x0A),
    }


def reference(data: bytes, v: np.ndarray) -> np.ndarray:
    """The rule of the tables on whole arrays, float32, from the table of the format."""
    words = np.frombuffer(data, "<u2")
    n = np.array([scalar.number(int(word)) for word in words[:41]], np.float32)
    step, mode, sign = int(words[41].view(np.int16)), int(words[42]) & 15, int(words[42]) & 0xE0
    u = np.abs(v) if sign & 0x40 else v
    with np.errstate(all="ignore"):
        y = np.where(u <= n[0], n[2], np.where(u >= n[1], n[3], inside(n, step, mode, u)))
    y = np.where((v < 0) & bool(sign & 0x20), -y, y)
    return np.where((v < 0) & bool(sign & 0x80), np.float32(0), y).astype(np.float32)


def chord(n: np.ndarray, place: np.ndarray) -> np.ndarray:
    index = np.clip(np.nan_to_num(place), 0, 31.5).astype(int)
    rise = ((n[5 + index] - n[4 + index]) * (place - index.astype(np.float32))).astype(np.float16)
    return (n[4 + index] + rise.astype(np.float32)).astype(np.float16).astype(np.float32)


def inside(n: np.ndarray, step: int, mode: int, u: np.ndarray) -> np.ndarray:
    if mode <= 2:
        left, right = n[37] * u + n[38], n[39] * u + n[40]
        if step == 0x40:
            return np.where(u > 0, right, left)
        place = np.ldexp(u, step) + np.float32(16 * mode)
        return np.where(place < 0, left, np.where(place > 32, right, chord(n, place)))
    if mode in (3, 4):
        return u - np.trunc(u) if mode == 3 else np.trunc(u)
    if mode == 10:
        whole = np.floor(u)
        return np.ldexp(chord(n, (u - whole) * np.float32(32)), np.clip(whole, -300, 300).astype(int))
    m, e = np.frexp(u)
    half = e >> 1
    if mode in (5, 6):
        return np.ldexp(chord(n, np.ldexp(m, e - 2 * half) * np.float32(16)), half if mode == 5 else -half)
    y = chord(n, (m - np.float32(0.5)) * np.float32(64))
    return np.ldexp(y, -e) if mode == 7 else y + e.astype(np.float32)
