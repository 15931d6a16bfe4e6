"""Endings that the micro-kernel does in registers against `finish_row`, which is checked against the scalar model."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from openane.numerics import rows as column
from openane.numerics.finish import finish_row
from openane.numerics.jit import NATIVE_HALF, ROWS, VECTOR, compiled
from openane.numerics.knots import ABOVE, BELOW, HI, LEFT, LO, RIGHT
from openane.numerics.lookup import CompiledTable
from openane.numerics.micro import CLAMPED, LINED, NO_STRAIGHT, SCALED, finish_tile
from openane.sim.ending import Ending

PLAIN = (-0.0, 1.0, 2.0**-14, 32760.0)
LINES = {
    "relu6": ([1, 0, 1, 0], [0, 6, 0, 6], CLAMPED),
    "relu6 with a flat line": ([0, 0, 1, 0], [-100, 6, 0, 6], CLAMPED),
    "from one to four": ([1, 0, 1, 0], [1, 4, 1, 4], CLAMPED),
    "up to infinity": ([1, 0, 1, 0], [0, 65536, 0, 65536], CLAMPED),
    "negative limit": ([1, 0, 1, 0], [-1, 1, -1, 1], LINED),
    "negative zero": ([0, -0.0, 1, 0], [-100, 6, 0, 6], LINED),
    "leaky": ([0.1, 0, 1, 0], [-65536, 65536, -6552, 65536], LINED),
    "hard sigmoid": ([0.2, 0.5, 0.2, 0.5], [-2.5, 2.5, 0, 1], LINED),
}


class Floats:
    """Stands for a schedule: keeps the numbers."""

    def floats(self, numbers: np.ndarray) -> int:
        self.numbers = numbers
        return 0


@compiled
def end(sums: np.ndarray, bias: np.ndarray, straight: int, numbers: np.ndarray, words: np.ndarray) -> None:
    finish_tile(sums, 0, sums, 0, 0, sums, 0, VECTOR, False, bias, 0, straight, numbers, words, 0, VECTOR)


def sums() -> np.ndarray:
    """Around every number that matters, both signs."""
    points = [
        0,
        2.0**-24,
        2.0**-14,
        1e-3,
        0.1,
        1,
        2.5,
        4,
        6,
        1000,
        32752,
        32760,
        32768,
        40000,
        65504,
        65520,
        65536,
        1e9,
    ]
    found = [np.nextafter(np.float32(p), np.float32(d)) for p in points for d in (-np.inf, p, np.inf)]
    found += [(a + b) / 2 for a, b in pairwise(points)]
    values = np.array([*found, *(-np.array(found))], np.float32)
    return np.resize(values, (-(-values.size // (ROWS * VECTOR)), ROWS, VECTOR))


def same(ending: Ending, flags: int) -> None:
    schedule = Floats()
    straight = ending.straight_columns(schedule, False)[column.STRAIGHT]
    assert straight & (CLAMPED | LINED | SCALED) == flags and straight != NO_STRAIGHT
    for tile in sums():
        for bias in (np.full(ROWS, -0.0, np.float32), np.linspace(-3, 3, ROWS).astype(np.float32)):
            found, expected = np.zeros((ROWS, VECTOR), np.uint16), np.zeros((ROWS, VECTOR), np.uint16)
            end(tile.reshape(-1), bias, straight, schedule.numbers, found.reshape(-1))
            for row in range(ROWS):
                finish_row(tile[row].copy(), VECTOR, bias[row], *ending.arguments, expected[row])
            assert (found == expected).all()


@pytest.mark.skipif(not NATIVE_HALF, reason="the processor does not convert halfwords")
@pytest.mark.parametrize("function", [0, 1])
@pytest.mark.parametrize("factors", [PLAIN, (-0.0, 1.0, 0.0, np.inf), (0.25, -1.5, 2.0**-14, 32760.0)])
def test_linear_and_relu(function: int, factors: tuple[float, ...]) -> None:
    flags = CLAMPED * function | SCALED * (factors[1] != 1)
    same(Ending(np.array(factors, np.float32), function, CompiledTable.none()), flags)


@pytest.mark.skipif(not NATIVE_HALF, reason="the processor does not convert halfwords")
@pytest.mark.parametrize("name", LINES)
@pytest.mark.parametrize("limit", [32760.0, np.inf])
def test_lines(name: str, limit: float) -> None:
    lines, limits, flags = LINES[name]
    numbers = np.zeros(41, np.float32)
    numbers[[LEFT, LEFT + 1, RIGHT, RIGHT + 1]], numbers[[LO, HI, BELOW, ABOVE]] = lines, limits
    table = CompiledTable(numbers, np.array([0x40, 0, 0], np.int64))
    same(Ending(np.array([-0.0, 1.0, 2.0**-14, limit], np.float32), 2, table), flags)


@pytest.mark.parametrize("limit", [1.0, 1.0 + 2.0**-11, 3.7, float("nan")])
def test_a_limit_between_halfwords_is_left_to_the_rows(limit: float) -> None:
    """Magnitudes that round to one halfword cannot be told apart behind the rounding."""
    ending = Ending(np.array([-0.0, 1.0, 0.0, limit], np.float32), 0, CompiledTable.none())
    assert ending.straight_columns(Floats(), False)[column.STRAIGHT] == NO_STRAIGHT
