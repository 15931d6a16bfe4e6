"""What the chips cost: their constants, each with where it comes from.

Constants marked *fitted* come from `tools/calibrate_cost.py`: it minimises the error of the model on every other row of
`openane.cost.measurements`; the rows between are held out and judge it (`bench/cost.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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
        surface_bytes_per_us: inputs and outputs, both directions together.
        weight_bytes_per_us: kernel streams.
        scratch_bytes_per_us: intermediates in DRAM.
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
    weight_bytes_per_us: float
    scratch_bytes_per_us: float
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


_SCRATCH = 34_130.0
"""Apple's own estimate divides DRAM bytes by this; no measurement separates intermediates."""

_CHIPS = ()

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
