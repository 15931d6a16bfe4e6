"""Fits the constants of the chips in openane.cost.chips to the published timings of shared/hw, and prints them.

    python tools/calibrate_cost.py [CHIP ...]      constants
    python tools/calibrate_cost.py --errors        errors of each generation, fitted and cross-validated

The rows are those of bench/published_timings.py. All chips of a generation share the engine: products a cycle,
bandwidths, the start of a task, and how much longer a result takes to hand back than an operand; each machine has its
dispatch and its hand-over of operands. Minimized is the sum of |log(model / published)| over time, then the same over
power, with a pull towards a start from the vendor's numbers, which decides where the rows do not. Rates of products are
not limited by the peak: the model adds parts that the hardware overlaps, and faster products make up for that.

Cross-validation fits again without a network, on all machines, and asks for its times: what a user's network meets.
Deterministic: a pattern search without chance.
"""

from __future__ import annotations

import math
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bench"))
import published_timings
from published_timings import Row

from openane.cost.chips import CHIPS, Chip
from openane.cost.model import call_milliwatts, call_us

SPEEDS = (
    "operand_bytes_per_us",
    "result_bytes_per_us",
    "dram_bytes_per_us",
    "weight_bytes_per_us",
    "convolution_macs_per_us",
    "matmul_macs_per_us",
    "elements_per_us",
)
TIMES = ("dispatch_us", "task_us", *SPEEDS)
ENERGIES = ("base_milliwatts", "picojoules_per_mac", "picojoules_per_byte")
CLOCKED = ("convolution_macs_per_us", "matmul_macs_per_us", "elements_per_us")
"""A generation has these for each cycle."""
SHARED = ("task_us", "dram_bytes_per_us", "weight_bytes_per_us", *CLOCKED)
OWN = ("dispatch_us", "operand_bytes_per_us")
RESULT_RATIO = "result_ratio"
"""Time of a byte handed back over that of a byte handed in."""

MACHINES: Mapping[str, tuple[str, ...]] = {
    "h13": ("m1", "m1max"),
    "h14": ("m2pro", "m2max"),
    "h16": ("m4", "m4pro", "m4max"),
    "h17": ("m5", "m5pro"),
    "h18": ("m6",),
}
"""Chips with rows. A generation starts from the one before."""
DISPATCH_US: Mapping[str, float] = {"m1": 200, "m1max": 160, "m2pro": 100, "m2max": 110, "m6": 160}
"""Published floors of a call; 80 elsewhere."""
OPERAND_BYTES_PER_US: Mapping[str, float] = {"h13": 10_000, "h14": 10_000, "h16": 15_000, "h17": 35_000, "h18": 35_000}
ENGINES: Mapping[str, int] = {"m6": 2}
"""Whole engines of a chip, 1 elsewhere."""
FIRST_ENERGIES: Mapping[str, float] = {"base_milliwatts": 800, "picojoules_per_mac": 0.6, "picojoules_per_byte": 40}
PUBLISHED_ENERGIES: Mapping[str, Mapping[str, float]] = {"h18": {"picojoules_per_mac": 0.58, "picojoules_per_byte": 42}}
WITH_POWER = ("F M1 Max", "F M2 Pro", "F M5 Pro set")
"""Sources in openane.cost.measurements whose power the file does not have."""
PULL: Mapping[str, float] = dict.fromkeys((*TIMES, RESULT_RATIO), 1.0) | {"task_us": 0.2}
ENERGY_PULL = 0.3
FOUR_OF_FIVE = 0.8

Constants = dict[str, float]


class Rows:
    """Rows as numbers: the model is linear in times and in reciprocals of speeds.

    Args:
        rows: to fit, or to judge.
    """

    def __init__(self, rows: Sequence[Row]) -> None:
        self.chips = list(dict.fromkeys(row.chip for row in rows))
        self.chip = np.array([self.chips.index(row.chip) for row in rows])
        self.amounts = np.array([_amounts(row) for row in rows])
        self.time_us = np.array([row.time_us for row in rows])

    def errors(self, constants: Constants) -> np.ndarray:
        """log(model / published) of every row."""
        each = np.array([_reciprocals(name, constants) for name in self.chips])
        found: np.ndarray = np.log((self.amounts * each[self.chip]).sum(axis=1) / self.time_us)
        return found


def start(generation: str, before: Constants | None) -> Constants:
    """Where the search begins: the vendor's rates, the published bandwidths of the M1, or the generation before."""
    found = {
        "task_us": 0.4,
        "dram_bytes_per_us": 85_000.0,
        "weight_bytes_per_us": 51_000.0,
        "convolution_macs_per_us": 4096.0,
        "matmul_macs_per_us": 4096.0,
        "elements_per_us": 32.0,
        RESULT_RATIO: 2.0,
    }
    if before is not None:
        found = {key: before[key] for key in found}
    found |= {key: ENGINES.get(MACHINES[generation][0], 1) * found[key] for key in CLOCKED}
    for name in MACHINES[generation]:
        found[f"dispatch_us {name}"] = DISPATCH_US.get(name, 80.0)
        found[f"operand_bytes_per_us {name}"] = OPERAND_BYTES_PER_US[generation]
    return found


def times_of(name: str, constants: Constants) -> dict[str, float]:
    """The constants of time of a chip: those of its generation, and its own."""
    clock = CHIPS[name].clock_mhz
    values = {key: constants[key] * (clock if key in CLOCKED else 1.0) for key in SHARED}
    values |= {key: constants[f"{key} {name}"] for key in OWN}
    values["result_bytes_per_us"] = values["operand_bytes_per_us"] / constants[RESULT_RATIO]
    return values


def _reciprocals(name: str, constants: Constants) -> list[float]:
    values = times_of(name, constants)
    return [1 / values[key] if key in SPEEDS else values[key] for key in TIMES]


@cache
def _units(name: str) -> tuple[Chip, ...]:
    """A chip that does everything in no time but one thing, which takes a microsecond."""
    idle = replace(CHIPS[name], dispatch_us=0.0, task_us=0.0, **dict.fromkeys(SPEEDS, math.inf))
    return tuple(replace(idle, **{key: 1.0}) for key in TIMES)


@cache
def _amounts(row: Row) -> tuple[float, ...]:
    """How much a row takes of each constant."""
    return tuple(sum(call_us(works, unit) for works in row.calls) for unit in _units(row.chip))


def fit(rows: Sequence[Row], begin: Constants, at: Constants | None = None) -> Constants:
    """The constants with the least error; the pull is towards `begin`, the search starts `at`."""
    known = Rows(rows)

    def loss(constants: Constants) -> float:
        pull = sum(PULL[key.split()[0]] * math.log(constants[key] / begin[key]) ** 2 for key in begin)
        return float(np.abs(known.errors(constants)).sum()) + pull

    return search(dict(at or begin), loss)


def search(place: Constants, loss: Callable[[Constants], float]) -> Constants:
    """A pattern search over the logarithms of all constants."""
    best, step = loss(place), 0.2
    while step > 2e-3:
        improved = False
        for key in place:
            for sign in (1, -1):
                trial = place | {key: place[key] * math.exp(sign * step)}
                value = loss(trial)
                if value < best - 1e-7:
                    place, best, improved = trial, value, True
                    break
        if not improved:
            step /= 2
    return place


@cache
def rows_by_generation() -> Mapping[str, tuple[Row, ...]]:
    """The rows that are fitted."""
    rows = [row for row in published_timings.rows() if row.fitted]
    return {name: tuple(row for row in rows if row.generation == name) for name in MACHINES}


@cache
def fitted() -> Mapping[str, tuple[Constants, Constants]]:
    """The start and the constants of every generation."""
    found: dict[str, tuple[Constants, Constants]] = {}
    before: Constants | None = None
    for name, rows in rows_by_generation().items():
        begin = start(name, before)
        before = fit(rows, begin)
        found[name] = begin, before
    return found


@cache
def cross_validated(generation: str) -> tuple[float, ...]:
    """log(model / published) of every row of a generation, fitted without the row's network."""
    rows = rows_by_generation()[generation]
    begin, constants = fitted()[generation]
    without = {
        network: fit([row for row in rows if row.network != network], begin, constants)
        for network in dict.fromkeys(row.network for row in rows)
    }
    return tuple(float(Rows([row]).errors(without[row.network])[0]) for row in rows)


def spread(generation: str) -> float:
    """The factor that four of five cross-validated rows stay within."""
    sizes = sorted(abs(error) for error in cross_validated(generation))
    return math.exp(sizes[math.ceil(FOUR_OF_FIVE * len(sizes)) - 1])


@cache
def energies(generation: str) -> Constants:
    """The constants of power of a generation, at the times of its chips."""
    before = list(MACHINES)[list(MACHINES).index(generation) - 1] if generation != "h13" else None
    begin = dict(energies(before) if before else FIRST_ENERGIES) | dict(PUBLISHED_ENERGIES.get(generation, {}))
    others = (row for row in published_timings.held_back() if row.table in WITH_POWER)
    rows = [row for row in (*rows_by_generation()[generation], *others) if row.generation == generation]
    rows = [row for row in rows if row.milliwatts]
    chips = {row.chip: replace(CHIPS[row.chip], **times_of(row.chip, fitted()[generation][1])) for row in rows}

    def loss(constants: Constants) -> float:
        pull = ENERGY_PULL * sum(math.log(constants[key] / begin[key]) ** 2 for key in begin)
        powered = {name: replace(chip, **constants) for name, chip in chips.items()}
        found = (call_milliwatts(row.calls[0], powered[row.chip]) / row.milliwatts for row in rows)
        return sum(abs(math.log(ratio)) for ratio in found) + pull

    return search(dict(begin), loss)


def median(errors: Sequence[float]) -> float:
    """The middle one of |model / published - 1|."""
    return statistics.median(abs(math.expm1(each)) for each in errors)


def main() -> None:
    """Fits and prints."""
    show = sys.argv[1:] == ["--errors"]
    for generation, names in MACHINES.items():
        constants = fitted()[generation][1]
        if show:
            rows = rows_by_generation()[generation]
            ours, left_out = Rows(rows).errors(constants), cross_validated(generation)
            print(f"{generation}: {len(rows)} rows, {median(ours):.1%} fitted, {median(left_out):.1%} cross-validated")
            for row, error, without in zip(rows, ours, left_out, strict=True):
                errors = f"{math.expm1(error):+.0%} {math.expm1(without):+.0%}"
                print(f"  {row.chip:6} {row.table:18} {row.network:45} {row.time_us:9.0f} us {errors}")
            continue
        for name in names:
            if not sys.argv[1:] or name in sys.argv[1:]:
                found = times_of(name, constants) | energies(generation)
                found |= {"median_error": median(cross_validated(generation)), "spread": spread(generation)}
                print(name, {key: float(f"{value:.4g}") for key, value in found.items()})


if __name__ == "__main__":
    main()
