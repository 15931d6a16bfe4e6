"""A chip as the cost model sees it: its constants, each with where it comes from.

Each generation lists its chips in its own folder. The constants come from
`tools/calibrate_cost.py`: it minimizes the error of the model on published timings of compiled networks, and fits again
without each network in turn to judge it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

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
        operand_bytes_per_us, result_bytes_per_us: handing the caller's inputs over to the engine, and its results back.
        dram_bytes_per_us: tensors between DRAM and the engine.
        weight_bytes_per_us: kernel streams.
        convolution_macs_per_us, matmul_macs_per_us: sustained multiply-accumulates; a 3x3 convolution may pass the peak
            (the vendor has a Winograd form).
        elements_per_us: values through the planar engine or a table.
        base_milliwatts: the rail when the engine is on.
        picojoules_per_mac, picojoules_per_byte: energy above that; bytes of all DRAM traffic.
        median_error: of the times of networks that the constants were not fitted to; those of the whole generation.
        spread: four of five of these times are within this factor of the estimate, above or below.
        evidence: what the fitted constants rest on, one sentence.
    """

    name: str
    machine: str
    engines: int
    clock_mhz: float
    dispatch_us: float
    task_us: float
    operand_bytes_per_us: float
    result_bytes_per_us: float
    dram_bytes_per_us: float
    weight_bytes_per_us: float
    convolution_macs_per_us: float
    matmul_macs_per_us: float
    elements_per_us: float
    base_milliwatts: float
    picojoules_per_mac: float
    picojoules_per_byte: float
    median_error: float
    spread: float
    evidence: str

    @property
    def peak_macs_per_us(self) -> float:
        """Engines times products a cycle times clock."""
        return self.engines * PRODUCTS_PER_CYCLE * self.clock_mhz

    @property
    def surface_bytes_per_us(self) -> float:
        """The caller's tensors, as many bytes in as out."""
        return 2 / (1 / self.operand_bytes_per_us + 1 / self.result_bytes_per_us)


def like(known: Chip, name: str, machine: str, clock_mhz: float, evidence: str) -> Chip:
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
