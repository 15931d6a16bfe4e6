"""The lookup table in double precision, written from its description and from nothing else of the package."""

import math

import numpy as np


def reference(image: bytes, values: np.ndarray) -> np.ndarray:
    """Before the rounding of the result to fp16; one value at a time."""
    words = np.frombuffer(image, "<u2")
    numbers = words[:41].view("<f2").astype(np.float64)
    return np.array([_one(numbers, int(words[41].astype(np.int16)), int(words[42]), float(v)) for v in values])


def _one(numbers: np.ndarray, exponent: int, meta: int, given: float) -> float:
    mode, negate, magnitude, undefined = meta & 15, meta >> 5 & 1, meta >> 6 & 1, meta >> 7 & 1
    if undefined and given < 0:
        return 0.0
    v = abs(given) if magnitude else given
    result = _limited(numbers, exponent, mode, v)
    return -result if negate and given < 0 else result


def _limited(numbers: np.ndarray, exponent: int, mode: int, v: float) -> float:
    lo, hi, below, above = numbers[:4]
    if v <= lo:
        return float(below)
    if v >= hi:
        return float(above)
    if mode in (0, 1, 2):
        return _direct(numbers, exponent, {0: 0, 1: -16, 2: -32}[mode], v)
    if mode in (3, 4):
        return v - math.trunc(v) if mode == 3 else float(math.trunc(v))
    if mode == 10:
        whole = math.floor(v)
        return _between(numbers, (v - whole) * 32) * 2.0**whole
    significand, power = math.frexp(v)
    if mode == 7:
        return _between(numbers, (significand - 0.5) * 64) * 2.0**-power
    if mode == 9:
        return _between(numbers, (significand - 0.5) * 64) + power
    half = power // 2
    found = _between(numbers, v / 4.0**half * 16)
    return found * 2.0 ** (half if mode == 5 else -half)


def _direct(numbers: np.ndarray, exponent: int, first: int, v: float) -> float:
    left, right = numbers[37] * v + numbers[38], numbers[39] * v + numbers[40]
    if exponent == 64:
        return float(right if v > 0 else left)
    place = v * 2.0**exponent - first
    if place < 0:
        return float(left)
    return float(right) if place > 32 else _between(numbers, place)


def _between(numbers: np.ndarray, place: float) -> float:
    index = min(int(place), 31)
    low, high = numbers[4 + index], numbers[5 + index]
    return float(low + (high - low) * (place - index))
