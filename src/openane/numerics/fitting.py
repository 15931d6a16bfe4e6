"""Choosing the knots and lines of a lookup table for a function that nobody has published a table for.

The aim is the smallest maximum error under the evaluation rule of the engine, with every number an fp16 value.
Deterministic and pure numpy in double precision; a table takes a few milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from openane.core.errors import InputError
from openane.numerics.fp16 import rounded, to_fp16
from openane.numerics.tables import FIRST_KNOT_AT, KNOT_COUNT, LookupTable, SignRule, StraightLine, TableMode

Array = npt.NDArray[np.float64]
Function = Callable[[Array], Array]

_SAMPLES = 24
"""Points of comparison within one interval between knots."""

_THRESHOLDS = 2.0 ** np.linspace(0.02, 8, 96)
"""Candidates for the place where a line gives way to a constant, in units of the end of the knots."""


@dataclass(frozen=True, slots=True)
class Tail:
    """What the function comes near to outside the knots: the line slope * x + intercept.

    A constant (slope 0) is reached through a fitted line and a limit; any other line is used as it is.
    """

    slope: float = 0.0
    intercept: float = 0.0


@dataclass(frozen=True, slots=True)
class Fit:
    """A table and how far it is from its function, before the result is rounded to fp16."""

    table: LookupTable
    largest_error: float


def fit_table(
    function: Function,
    *,
    mode: TableMode,
    left: Tail | None = None,
    right: Tail | None = None,
    sign: SignRule = SignRule.NONE,
    exponents: Iterable[int] = range(-2, 8),
) -> Fit:
    """The best table over the candidate distances of knots.

    Args:
        function: float64 array -> float64 array of the same shape; with a MAGNITUDE sign rule only arguments
            from 0 up are asked for.
        mode: DIRECT, CENTERED or ENDING_AT_ZERO.
        left: what the function comes near to below the knots; None: nothing is asked for there.
        right: the same above the knots.
        sign: what the table does with the sign.
        exponents: candidates for k, knots are 2^-k apart.

    Raises:
        InputError: the mode splits its argument, or the function is not finite where it is sampled.
    """
    if mode not in FIRST_KNOT_AT:
        raise InputError("only tables that look up the argument itself are fitted", value=mode.name)
    fits = [_fit(function, mode, k, left, right, sign) for k in exponents]
    return min(fits, key=lambda fit: fit.largest_error)


def _fit(
    function: Function, mode: TableMode, exponent: int, left: Tail | None, right: Tail | None, sign: SignRule
) -> Fit:
    step = 2.0**-exponent
    positions = np.asarray((FIRST_KNOT_AT[mode] + np.arange(KNOT_COUNT)) * step, dtype=np.float64)
    odd = bool(sign & SignRule.NEGATE)
    knots, error = _fit_knots(function, positions, odd=odd)
    low = _Outside(StraightLine(), -np.inf, -np.inf, 0.0)
    if odd:
        low = _Outside(StraightLine(), 0.0, float(rounded(function(np.zeros(1)))[0]), 0.0)
    elif left is not None and not sign & SignRule.MAGNITUDE:
        low = _fit_tail(function, float(positions[0]), left, -1)
    high = _Outside(StraightLine(), np.inf, np.inf, 0.0)
    if right is not None:
        high = _fit_tail(function, float(positions[-1]), right, 1)
    table = LookupTable(
        mode,
        tuple(float(knot) for knot in knots),
        exponent,
        lo=low.limit,
        hi=high.limit,
        below=low.value,
        above=high.value,
        left=low.line,
        right=high.line,
        sign=sign,
    )
    return Fit(table, max(error, low.error, high.error))


def _fit_knots(function: Function, positions: Array, *, odd: bool) -> tuple[Array, float]:
    """fp16 knots with nearly the least maximum error of linear interpolation, and that error.

    A function that passes through 0 at a knot does so in the table; that of an odd one is its first.
    """
    place = np.arange(_SAMPLES + 1) / _SAMPLES
    step = positions[1] - positions[0]
    wanted = function(positions[:-1, None] + place * step)
    if not np.isfinite(wanted).all():
        raise InputError("the function is not finite between the knots")
    exact = np.append(wanted[:, 0], wanted[-1, -1])
    # A chord is off to one side; half its largest deviation, added at both ends, is the best line of the interval.
    deviation = wanted - (wanted[:, :1] + (wanted[:, -1:] - wanted[:, :1]) * place)
    widest = np.take_along_axis(deviation, np.abs(deviation).argmax(axis=1)[:, None], axis=1)[:, 0] / 2
    before, after = np.append(widest[0], widest), np.append(widest, widest[-1])
    same_side = np.sign(before) == np.sign(after)
    larger = np.where(np.abs(before) > np.abs(after), before, after)
    knots = rounded(exact + np.where(same_side, larger, before + after))
    fixed = (positions == 0) & ((exact == 0) | odd)
    knots[fixed] = rounded(exact[fixed])
    for _ in range(3):
        for first in (0, 1):
            _improve(knots, wanted, place, np.flatnonzero(~fixed[first::2]) * 2 + first)
    return knots, float(_interval_errors(knots[:-1], knots[1:], wanted, place).max())


def _interval_errors(low: Array, high: Array, wanted: Array, place: Array) -> Array:
    """Largest error in each interval."""
    line = low[:, None] + (high - low)[:, None] * place
    return np.asarray(np.abs(line - wanted).max(axis=1), dtype=np.float64)


def _improve(knots: Array, wanted: Array, place: Array, chosen: npt.NDArray[np.intp]) -> None:
    """Moves knots, of which no two are neighbors, to whichever fp16 number nearby makes their two intervals best."""
    best = np.full(len(chosen), np.inf)
    result = knots[chosen]
    for steps in (0, -1, 1, -2, 2):
        trial = _neighbor(knots[chosen], steps)
        error = np.zeros(len(chosen))
        has_left, has_right = chosen > 0, chosen < KNOT_COUNT - 1
        left, right = chosen[has_left], chosen[has_right]
        error[has_left] = _interval_errors(knots[left - 1], trial[has_left], wanted[left - 1], place)
        beyond = _interval_errors(trial[has_right], knots[right + 1], wanted[right], place)
        error[has_right] = np.maximum(error[has_right], beyond)
        better = error < best
        best, result = np.where(better, error, best), np.where(better, trial, result)
    knots[chosen] = result


def _neighbor(values: Array, steps: int) -> Array:
    """The fp16 number so many representable numbers away."""
    moved = to_fp16(values)
    end = to_fp16(np.inf if steps > 0 else -np.inf)
    for _ in range(abs(steps)):
        moved = np.nextafter(moved, end)
    return moved.astype(np.float64)


@dataclass(frozen=True, slots=True)
class _Outside:
    """One side of the table outside its knots: a line up to a limit, a constant from there."""

    line: StraightLine
    limit: float
    value: float
    error: float


def _fit_tail(function: Function, end: float, tail: Tail, direction: int) -> _Outside:
    """The line beyond the last knot at `end`, and where the constant takes over."""
    far = direction * 65504.0
    if tail.slope:
        line = StraightLine(float(rounded(tail.slope)), float(rounded(tail.intercept)))
        x = end + direction * np.append(0.0, np.geomspace(2.0**-6, 64 + abs(end), 48))
        error = float(np.abs(function(x) - (line.slope * x + line.intercept)).max())
        return _Outside(line, direction * np.inf, direction * np.inf * np.sign(tail.slope), error)
    constant = float(rounded(tail.intercept))
    at_once = np.abs(function(np.array([end, far])) - constant).max()
    best = _Outside(StraightLine(0.0, constant), float(rounded(end)), constant, float(at_once))
    thresholds = rounded(end + direction * max(abs(end), 1.0) * (_THRESHOLDS - 1))
    thresholds = thresholds[(np.abs(thresholds) <= 65504) & (thresholds != end)]
    lines, errors = _lines_to(function, end, thresholds)
    errors = np.maximum(errors, np.abs(function(thresholds) - constant))
    chosen = int(errors.argmin())
    error = max(float(errors[chosen]), float(np.abs(function(np.array([far])) - constant)[0]))
    if error < best.error:
        best = _Outside(StraightLine(*map(float, lines[chosen])), float(thresholds[chosen]), constant, error)
    return best


def _lines_to(function: Function, end: float, thresholds: Array) -> tuple[Array, Array]:
    """The minimax line from `end` to each threshold (slope, intercept) and its error.

    The function is taken to bend one way there, so the best slope is that of the chord.
    """
    x = end + (thresholds[:, None] - end) * np.linspace(0, 1, 33)
    wanted = function(x)
    slope = rounded((wanted[:, -1] - wanted[:, 0]) / (thresholds - end))
    rest = wanted - slope[:, None] * x
    intercept = rounded((rest.max(axis=1) + rest.min(axis=1)) / 2)
    error = np.abs(rest - intercept[:, None]).max(axis=1)
    return np.stack([slope, intercept], axis=1), error
