"""What the chips cost: their constants, each with where it comes from.

Constants marked *fitted* come from `tools/calibrate_cost.py`: it minimises the error of the model on every other row of
`openane.cost.measurements`; the rows between are held out and judge it (`bench/cost.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from openane.core.errors import InputError
from openane.program.fields import suggest

PRODUCTS_PER_CYCLE = 256
"""Multiply-accumulates of one engine a cycle: Apple's header estimate has it on H13; with 16 engines and the clock of
its tables it gives Apple's rated numbers (11.7 of 11 tera-operations on M1, 15.9 of 15.8 on M2)."""


@dataclass(frozen=True, slots=True)
class Chip:
    """One chip as the model sees it.

    Attributes:
        name: as on the command line.
        machine: whose measurements the constants rest on.
        engines: multiply-accumulate engines.
        clock_mhz: from the vendor's tables.
        dispatch_us: one call from user space and back, nothing to do.
        task_us: each task after the first.
        surface_bytes_per_us: handing the caller's inputs and outputs over, in and out together.
        dram_bytes_per_us: tensors between DRAM and the engine.
        weight_bytes_per_us: kernel streams.
        convolution_macs_per_us, matmul_macs_per_us: sustained multiply-accumulates; a 3x3 convolution may pass the peak
            (the vendor has a Winograd form).
        elements_per_us: values through the planar engine or a table.
        base_milliwatts: the rail when the engine is on.
        picojoules_per_mac, picojoules_per_byte: energy above that; bytes of all DRAM traffic.
        evidence: what the fitted constants rest on, one sentence.
    """

    name: str
    machine: str
    engines: int
    clock_mhz: float
    dispatch_us: float
    task_us: float
    surface_bytes_per_us: float
    dram_bytes_per_us: float
    weight_bytes_per_us: float
    convolution_macs_per_us: float
    matmul_macs_per_us: float
    elements_per_us: float
    base_milliwatts: float
    picojoules_per_mac: float
    picojoules_per_byte: float
    evidence: str

    @property
    def peak_macs_per_us(self) -> float:
        """Engines times products a cycle times clock."""
        return self.engines * PRODUCTS_PER_CYCLE * self.clock_mhz


_M1 = Chip(
    name="m1",
    machine="M1, M1 Air",
    engines=16,
    clock_mhz=1428,
    dispatch_us=202.8,
    task_us=0.3,
    surface_bytes_per_us=6_927,
    dram_bytes_per_us=85_000,
    weight_bytes_per_us=51_000,
    convolution_macs_per_us=5_112_000,
    matmul_macs_per_us=5_849_000,
    elements_per_us=44_550,
    base_milliwatts=848.3,
    picojoules_per_mac=0.7323,
    picojoules_per_byte=51.56,
    evidence="fitted to 11 rows; weight and DRAM bandwidth as published (51 and 85 GB/s); energy with the M1 Max rows",
)

_M1_MAX = Chip(
    name="m1max",
    machine="M1 Max",
    engines=16,
    clock_mhz=1428,
    dispatch_us=147.8,
    task_us=0.3162,
    surface_bytes_per_us=5_544,
    dram_bytes_per_us=85_000,
    weight_bytes_per_us=51_000,
    convolution_macs_per_us=5_410_000,
    matmul_macs_per_us=5_495_000,
    elements_per_us=39_470,
    base_milliwatts=815.8,
    picojoules_per_mac=0.6974,
    picojoules_per_byte=66.21,
    evidence="fitted to 6 rows, pulled towards m1; the clock is the base chip's, tables also name 1.464 GHz",
)

_M2_PRO = Chip(
    name="m2pro",
    machine="M2 Pro",
    engines=16,
    clock_mhz=1938,
    dispatch_us=97.26,
    task_us=0.3269,
    surface_bytes_per_us=8_470,
    dram_bytes_per_us=83_190,
    weight_bytes_per_us=39_560,
    convolution_macs_per_us=8_384_000,
    matmul_macs_per_us=7_785_000,
    elements_per_us=54_620,
    base_milliwatts=1_506,
    picojoules_per_mac=0.6947,
    picojoules_per_byte=78.93,
    evidence="fitted to 6 rows, pulled towards the vendor's clock and M1's bandwidths: weakly founded",
)

_M4 = Chip(
    name="m4",
    machine="M4 Air",
    engines=16,
    clock_mhz=2160,
    dispatch_us=64.03,
    task_us=0.3012,
    surface_bytes_per_us=9_002,
    dram_bytes_per_us=62_190,
    weight_bytes_per_us=91_190,
    convolution_macs_per_us=14_030_000,
    matmul_macs_per_us=8_847_000,
    elements_per_us=66_080,
    base_milliwatts=640.3,
    picojoules_per_mac=1.005,
    picojoules_per_byte=62.44,
    evidence="fitted to 9 rows; energy with the M4 Max rows",
)

_M4_MAX = Chip(
    name="m4max",
    machine="M4 Max",
    engines=16,
    clock_mhz=2160,
    dispatch_us=56.51,
    task_us=0.3024,
    surface_bytes_per_us=23_730,
    dram_bytes_per_us=61_100,
    weight_bytes_per_us=92_450,
    convolution_macs_per_us=14_030_000,
    matmul_macs_per_us=8_847_000,
    elements_per_us=66_080,
    base_milliwatts=474.9,
    picojoules_per_mac=0.9439,
    picojoules_per_byte=64.42,
    evidence="fitted to 3 rows of matmul, pulled towards m4",
)

_M5_PRO = Chip(
    name="m5pro",
    machine="M5 Pro",
    engines=16,
    clock_mhz=2364,
    dispatch_us=74.28,
    task_us=0.5123,
    surface_bytes_per_us=36_740,
    dram_bytes_per_us=114_300,
    weight_bytes_per_us=155_900,
    convolution_macs_per_us=18_740_000,
    matmul_macs_per_us=9_367_000,
    elements_per_us=33_310,
    base_milliwatts=706,
    picojoules_per_mac=0.5132,
    picojoules_per_byte=53.09,
    evidence="fitted to 40 rows; convolutions of 3x3 pass the peak of plain multiplication",
)


def _like(known: Chip, name: str, machine: str, clock_mhz: float, evidence: str) -> Chip:
    """A chip without rows of its own: another's constants, the engines scaled with the clock."""
    scale = clock_mhz / known.clock_mhz
    return replace(
        known,
        name=name,
        machine=machine,
        clock_mhz=clock_mhz,
        convolution_macs_per_us=known.convolution_macs_per_us * scale,
        matmul_macs_per_us=known.matmul_macs_per_us * scale,
        elements_per_us=known.elements_per_us * scale,
        evidence=evidence,
    )


_CHIPS = (
    _M1,
    _like(_M1_MAX, "m1pro", "M1 Pro", 1428, "m1max's constants; no rows of its own"),
    _M1_MAX,
    _like(_M2_PRO, "m2", "M2", 1938, "m2pro's constants; no rows of its own"),
    _M2_PRO,
    _like(_M2_PRO, "m3", "M3", 2064, "a guess: m2pro's constants at the M3's clock; no rows of its own"),
    _M4,
    _M4_MAX,
    _like(_M5_PRO, "m5", "M5", 2172, "m5pro's constants at the M5's clock; no rows of its own"),
    _M5_PRO,
)

CHIPS: Mapping[str, Chip] = MappingProxyType({chip.name: chip for chip in _CHIPS})


def chip(name: str) -> Chip:
    """The chip of that name.

    Raises:
        InputError: there is none.
    """
    found = CHIPS.get(name.lower().replace(" ", "").replace("-", ""))
    if found is None:
        raise InputError(f"there is no chip {name!r}", limit=", ".join(CHIPS), hint=suggest(name, CHIPS))
    return found
