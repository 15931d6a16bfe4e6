"""The chips of H16 that were measured."""

from __future__ import annotations

from dataclasses import replace

from openane.targets.chip import Chip

M4 = Chip(
    name="m4",
    machine="M4, M4 Air",
    engines=16,
    clock_mhz=2160,
    dispatch_us=63.48,
    task_us=0.4825,
    operand_bytes_per_us=12_280,
    result_bytes_per_us=7_224,
    dram_bytes_per_us=71_130,
    weight_bytes_per_us=73_510,
    convolution_macs_per_us=13_830_000,
    matmul_macs_per_us=14_230_000,
    elements_per_us=60_620,
    base_milliwatts=881.4,
    picojoules_per_mac=0.884,
    picojoules_per_byte=18.66,
    median_error=0.05507,
    spread=1.513,
    evidence="fitted to 16 rows, the engine also to those of the M4 Pro and M4 Max; tasks of H13",
)

M4_PRO = replace(
    M4,
    name="m4pro",
    machine="M4 Pro",
    dispatch_us=64.68,
    operand_bytes_per_us=18_550,
    result_bytes_per_us=10_910,
    evidence="fitted to 8 rows, the engine also to those of the M4; tasks of H13",
)

M4_MAX = replace(
    M4,
    name="m4max",
    machine="M4 Max",
    dispatch_us=65.7,
    operand_bytes_per_us=19_080,
    result_bytes_per_us=11_220,
    evidence="fitted to 4 rows, the engine also to those of the M4; tasks of H13",
)

CHIPS = (M4, M4_PRO, M4_MAX)
