"""The chips of H16 that were measured."""

from __future__ import annotations

from openane.targets.chip import Chip

M4 = Chip(
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

M4_MAX = Chip(
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
    evidence="fitted to 3 rows of matmul, regularized toward m4",
)

CHIPS = (M4, M4_MAX)
