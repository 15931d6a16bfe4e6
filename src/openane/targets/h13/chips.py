"""The chips of H13 that were measured, or are like one that was."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from openane.targets.chip import Chip, like

M1 = Chip(
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

M1_MAX = Chip(
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
    evidence="fitted to 6 rows, regularized toward m1; clock of the base chip, other tables give 1.464 GHz",
)

CHIPS = (
    M1,
    like(M1_MAX, "m1pro", "M1 Pro", 1428, "m1max's constants; no rows of its own"),
    M1_MAX,
)

DEVICE_TREES: Mapping[str, str] = MappingProxyType(
    {
        "apple,t8103": "M1",
        "apple,t6000": "M1 Pro",
        "apple,t6001": "M1 Max",
        "apple,t6002": "M1 Ultra",
    }
)
"""Device-tree names of machines that Linux runs on."""
