"""Fits the constants of the chips in openane.cost.chips to every other published row, and prints them.

    python tools/calibrate_cost.py [CHIP ...]

Minimised is the sum of |log(model / published)| over time, then the same over power, with a weak pull towards a
parent chip (or round numbers), which decides where the rows do not. Matrix products do not pass the peak; 3x3
convolutions may, the vendor has a Winograd form. Deterministic: a pattern search without chance.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace

from openane.cost.chips import Chip
from openane.cost.measurements import Measurement, split
from openane.cost.model import call_milliwatts, call_us

TIMES = (
    "dispatch_us",
    "task_us",
    "surface_bytes_per_us",
    "dram_bytes_per_us",
    "weight_bytes_per_us",
    "convolution_macs_per_us",
    "matmul_macs_per_us",
    "elements_per_us",
)
ENERGIES = ("base_milliwatts", "picojoules_per_mac", "picojoules_per_byte")
PUBLISHED = {"m1": ("weight_bytes_per_us", "dram_bytes_per_us"), "m1max": ("weight_bytes_per_us", "dram_bytes_per_us")}
"""Constants that a source states directly and that are not fitted."""

ONE_RAIL = {"m1": ("m1", "m1max"), "m1max": ("m1", "m1max"), "m4": ("m4", "m4max"), "m4max": ("m4", "m4max")}
"""Chips whose rows of power are fitted together, for want of rows."""


def _start(name: str, clock_mhz: float, dispatch_us: float, surface: float, dram: float, weights: float) -> Chip:
    """A chip at its vendor's numbers, with the bandwidths (bytes a microsecond) and dispatch that the sources state."""
    peak = 16 * 256 * clock_mhz
    speeds = (surface, dram, weights, peak, peak, 32 * clock_mhz)
    return Chip(name, "", 16, clock_mhz, dispatch_us, 0.3, *speeds, 800, 0.6, 40, "")


STARTS: Mapping[str, Callable[[Mapping[str, Chip]], Chip]] = {
    "m1": lambda done: _start("m1", 1428, 200, 10_000, 85_000, 51_000),
    "m1max": lambda done: done["m1"],
    "m2pro": lambda done: _start("m2pro", 1938, 110, 10_000, 85_000, 51_000),
    "m4": lambda done: _start("m4", 2160, 95, 7_700, 85_000, 85_000),
    "m4max": lambda done: replace(done["m4"], surface_bytes_per_us=23_000.0),
    "m5pro": lambda done: _start("m5pro", 2364, 80, 24_000, 130_000, 130_000),
}
"""In order; a chip may start from one that is done."""


def main() -> None:
    """Fits and prints."""
    wanted = sys.argv[1:] or list(STARTS)
    done: dict[str, Chip] = {}
    for name, start in STARTS.items():
        rows, _ = split(name)
        names = tuple(each for each in TIMES if each not in PUBLISHED.get(name, ()))
        fitted = fit(start(done), names, lambda chip, rows=rows: _log_errors(rows, chip, _time))
        powered = tuple(row for each in ONE_RAIL.get(name, (name,)) for row in split(each)[0] if row.milliwatts)
        fitted = fit(fitted, ENERGIES, lambda chip, rows=powered: _log_errors(rows, chip, _power))
        done[name] = replace(fitted, name=name)
        if name in wanted:
            print(name, {key: float(f"{getattr(fitted, key):.4g}") for key in (*TIMES, *ENERGIES)})


def _time(row: Measurement, chip: Chip) -> float:
    return math.log(call_us((row.work,), chip) / row.time_us)


def _power(row: Measurement, chip: Chip) -> float:
    return math.log(call_milliwatts((row.work,), chip) / row.milliwatts)


def _log_errors(rows: tuple[Measurement, ...], chip: Chip, error: Callable[[Measurement, Chip], float]) -> float:
    return sum(abs(error(row, chip)) for row in rows)


def fit(start: Chip, names: tuple[str, ...], loss: Callable[[Chip], float]) -> Chip:
    """A pattern search over the logarithms of the named constants."""
    origin = [math.log(getattr(start, name)) for name in names]

    def chip_at(place: list[float]) -> Chip:
        found = replace(start, **{name: math.exp(value) for name, value in zip(names, place, strict=True)})
        return replace(found, matmul_macs_per_us=min(found.matmul_macs_per_us, found.peak_macs_per_us))

    def judged(place: list[float]) -> float:
        pull = sum((value - begin) ** 2 for value, begin in zip(place, origin, strict=True))
        return loss(chip_at(place)) + 0.3 * pull

    place, best, step = list(origin), judged(list(origin)), 0.5
    while step > 1e-3:
        improved = False
        for index in range(len(place)):
            for sign in (1, -1):
                trial = list(place)
                trial[index] += sign * step
                value = judged(trial)
                if value < best - 1e-9:
                    place, best, improved = trial, value, True
                    break
        if not improved:
            step /= 2
    return chip_at(place)


if __name__ == "__main__":
    main()
