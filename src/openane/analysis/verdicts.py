"""When a layer or an output counts as wrong: error measured against the error that is expected, not a percentage."""

from __future__ import annotations

import math
from collections.abc import Iterable
from enum import Enum

from openane.analysis.measure import Error
from openane.numerics.limits import HALF_SMALLEST

SLACK = 4.0
"""Times the expected error that is still explained. A correct layer is at 2.5 at most in the development models: the
expectation is one sample, and compositions of tables round more often than the ideal."""

_FRACTION = 2.0**-10
_UNIFORM = 1 / math.sqrt(12)
"""Root mean square of a rounding error, in units of the last place."""


class Verdict(Enum):
    """What is to be said of a layer.

    Attributes:
        RIGHT: within what ideal fp16 and the engine's arithmetic give.
        NEAR_TIE: other positions are selected, whose values differ by no more than the expected error.
        PROGRAM: the program stores other values than the layer computes alone on the same operands.
        UNEXPLAINED: alone on the reference's operands, the layer is further off than its arithmetic explains.
        PRECISION: the program is right, but the engine's arithmetic spoils an output.
        INHERITED: the layer is right, its operands are not.
    """

    RIGHT = "right"
    NEAR_TIE = "near tie"
    PROGRAM = "program differs"
    UNEXPLAINED = "not explained"
    PRECISION = "precision"
    INHERITED = "inherited"

    @property
    def is_wrong(self) -> bool:
        """Whether the comparison fails by it."""
        return self not in (Verdict.RIGHT, Verdict.NEAR_TIE)


def is_explained(found: Error, expected: Iterable[Error], peak: float) -> bool:
    """Whether an error is one of a correct program.

    Args:
        found: of the engine.
        expected: of models of its arithmetic, against the same reference; the largest counts.
        peak: largest magnitude of the reference, where fp16 rounds coarsest.
    """
    expected = list(expected)
    step = _step(peak)
    rms = math.hypot(max(each.rms for each in expected), _floor(found, step))
    largest = max(each.max_abs for each in expected) + step
    return found.rms <= SLACK * rms and found.max_abs <= SLACK * largest


def is_spoiled(engine: Error, ideal: Error, peak: float, tolerance: float) -> bool:
    """Whether an accumulated error makes a value wrong.

    It does when values are not finite that should be, or when the error is noticeable and far beyond that of ideal
    fp16: what half precision itself loses is not the engine's fault.

    Args:
        engine: accumulated error.
        ideal: the same in ideal fp16.
        peak: largest magnitude of the reference.
        tolerance: noticeable error: root mean square as a share of the value's, or largest error as a share of the
            peak.
    """
    if engine.not_finite:
        return True
    noticeable = engine.relative_rms > tolerance or engine.relative > tolerance
    return noticeable and not is_explained(engine, [ideal], peak)


def _step(peak: float) -> float:
    """The distance of fp16 numbers at a magnitude."""
    return max(2.0 ** math.floor(math.log2(peak)) * _FRACTION, HALF_SMALLEST) if peak else HALF_SMALLEST


def _floor(error: Error, step: float) -> float:
    """The root mean square error of one rounding, by the value's own size."""
    size = error.rms / error.relative_rms if error.relative_rms and math.isfinite(error.relative_rms) else 0.0
    return _UNIFORM * min(step, max(size * _FRACTION, HALF_SMALLEST))
