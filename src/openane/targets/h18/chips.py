"""The chips of H18 that were measured."""

from __future__ import annotations

from openane.targets.chip import Chip

M6 = Chip(
    name="m6",
    machine="M6",
    engines=16,
    clock_mhz=2508,
    dispatch_us=129.8,
    task_us=0.3853,
    operand_bytes_per_us=28_660,
    result_bytes_per_us=16_490,
    dram_bytes_per_us=197_600,
    weight_bytes_per_us=170_900,
    convolution_macs_per_us=45_160_000,
    matmul_macs_per_us=39_110_000,
    elements_per_us=127_400,
    base_milliwatts=744.5,
    picojoules_per_mac=0.58,
    picojoules_per_byte=42,
    median_error=0.2875,
    spread=1.427,
    evidence="fitted to 12 rows of two sources that disagree; rates of two engines; energy as published; tasks of H13",
)

CHIPS = (M6,)
