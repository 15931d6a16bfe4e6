"""Positions (of ArgMax, TopK) are compared by the values that they select: near ties are not errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from openane.analysis.stages import LevelStep
from openane.graph import Operation

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True, eq=False, slots=True)
class Selection:
    """What the positions of one value select from the reference's operand, flat.

    Attributes:
        wanted, ideal, engine: float64; NaN for a position outside of the axis.
        near_ties: positions of the engine that differ from those of the reference.
    """

    wanted: np.ndarray
    ideal: np.ndarray
    engine: np.ndarray
    near_ties: int


def positions_of(step: LevelStep) -> tuple[int, ...]:
    """The numbers of the results of a step that hold positions."""
    return step.settings.position_results if isinstance(step.settings, Operation) else ()


def selections(step: LevelStep, reference: Arrays, ideal: Arrays, engine: Arrays) -> dict[str, Selection]:
    """The results of a step that hold positions, by name.

    Args:
        step: of a graph.
        reference, ideal, engine: the values of the three runs, with the step's operands and results.
    """
    found = {}
    for number in positions_of(step):
        name = step.makes[number]
        if not name or step.reads[0] not in reference:
            continue
        operand = np.asarray(reference[step.reads[0]], np.float64)
        axis: int = getattr(step.settings, "axis")  # noqa: B009 (every operation with position_results has it)
        wanted, rounded, computed = (_selected(operand, run[name], axis) for run in (reference, ideal, engine))
        differing = int(np.count_nonzero(np.ravel(engine[name]) != np.ravel(reference[name])))
        found[name] = Selection(wanted, rounded, computed, differing)
    return found


def passed_on(step: LevelStep, known: Mapping[str, Selection], *runs: Arrays) -> dict[str, Selection]:
    """The results of a step that hold the same positions as one of its operands, in all runs (reshaped or cast)."""
    found = {}
    for source in filter(known.__contains__, step.reads):
        for name in step.makes:
            if (
                name
                and name not in known
                and all(np.array_equal(np.ravel(run[source]), np.ravel(run[name])) for run in runs)
            ):
                found[name] = known[source]
    return found


def _selected(operand: np.ndarray, positions: np.ndarray, axis: int) -> np.ndarray:
    """The values at some positions along an axis; `positions` may lack the axis."""
    if positions.ndim < operand.ndim:
        positions = np.expand_dims(positions, axis)
    outside = (positions < 0) | (positions >= operand.shape[axis])
    places = np.where(outside, 0, positions).astype(np.int64)
    values = np.take_along_axis(operand, places, axis)
    return np.where(outside, np.nan, values).reshape(-1)
