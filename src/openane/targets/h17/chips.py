"""The chips of H17 that were measured, or are like one that was."""

from __future__ import annotations

from openane.targets.chip import Chip, like

M5_PRO = Chip(
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
    evidence="fitted to 40 rows; 3x3 convolutions exceed the peak of direct multiplication",
)

CHIPS = (
    like(M5_PRO, "m5", "M5", 2172, "m5pro's constants at the M5's clock; no rows of its own"),
    M5_PRO,
)
