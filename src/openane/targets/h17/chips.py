"""The chips of H17 that were measured."""

from __future__ import annotations

from dataclasses import replace

from openane.targets.chip import Chip

M5_PRO = Chip(
    name="m5pro",
    machine="M5 Pro",
    engines=16,
    clock_mhz=2364,
    dispatch_us=72.84,
    task_us=0.4127,
    operand_bytes_per_us=39_170,
    result_bytes_per_us=28_490,
    dram_bytes_per_us=104_800,
    weight_bytes_per_us=156_100,
    convolution_macs_per_us=20_120_000,
    matmul_macs_per_us=12_830_000,
    elements_per_us=61_550,
    base_milliwatts=744.5,
    picojoules_per_mac=1.09,
    picojoules_per_byte=7.307,
    median_error=0.06127,
    spread=1.16,
    evidence="fitted to 75 rows; 3x3 convolutions exceed the peak of direct multiplication; tasks of H13",
)

M5 = replace(
    M5_PRO,
    name="m5",
    machine="M5",
    clock_mhz=2172,
    dispatch_us=69.72,
    operand_bytes_per_us=33_290,
    result_bytes_per_us=24_220,
    convolution_macs_per_us=18_480_000,
    matmul_macs_per_us=11_790_000,
    elements_per_us=56_550,
    evidence="fitted to 5 rows, the engine also to those of the M5 Pro; tasks of H13",
)

CHIPS = (M5, M5_PRO)
