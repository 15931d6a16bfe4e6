"""The chips of H13 that were measured, or are like one that was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from openane.targets.chip import Chip, like

M1 = Chip(
    name="m1",
    machine="M1, M1 Air",
    engines=16,
    clock_mhz=1428,
    dispatch_us=196.3,
    task_us=0.3454,
    operand_bytes_per_us=11_090,
    result_bytes_per_us=4_317,
    dram_bytes_per_us=86_880,
    weight_bytes_per_us=62_290,
    convolution_macs_per_us=7_557_000,
    matmul_macs_per_us=7_510_000,
    elements_per_us=42_530,
    base_milliwatts=884.1,
    picojoules_per_mac=0.8278,
    picojoules_per_byte=40.63,
    median_error=0.1211,
    spread=1.233,
    evidence="fitted to 26 rows of two machines, the engine also to 16 rows of the M1 Max",
)

M1_MAX = replace(
    M1,
    name="m1max",
    machine="M1 Max",
    dispatch_us=176.8,
    operand_bytes_per_us=13_330,
    result_bytes_per_us=5_191,
    evidence="fitted to 16 rows, the engine also to those of the M1; clock of the base chip, other tables have 1.464",
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
