"""The chips of H14 that were measured, or are like one that was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from openane.targets.chip import Chip, like

M2_PRO = Chip(
    name="m2pro",
    machine="M2 Pro",
    engines=16,
    clock_mhz=1938,
    dispatch_us=96.32,
    task_us=0.4994,
    operand_bytes_per_us=11_330,
    result_bytes_per_us=4_938,
    dram_bytes_per_us=86_880,
    weight_bytes_per_us=71_470,
    convolution_macs_per_us=12_100_000,
    matmul_macs_per_us=10_750_000,
    elements_per_us=55_590,
    base_milliwatts=1_753,
    picojoules_per_mac=0.6549,
    picojoules_per_byte=40.38,
    median_error=0.1821,
    spread=1.577,
    evidence="fitted to 10 rows, the engine also to 5 rows of the M2 Max: weak evidence; a slow host is left out",
)

M2_MAX = replace(
    M2_PRO,
    name="m2max",
    machine="M2 Max",
    dispatch_us=110,
    operand_bytes_per_us=12_210,
    result_bytes_per_us=5_322,
    evidence="fitted to 5 rows, the engine also to those of the M2 Pro: weak evidence",
)

CHIPS = (
    like(M2_PRO, "m2", "M2", 1938, "m2pro's constants; no rows of its own"),
    M2_PRO,
    M2_MAX,
)

DEVICE_TREES: Mapping[str, str] = MappingProxyType(
    {
        "apple,t8112": "M2",
        "apple,t6020": "M2 Pro",
        "apple,t6021": "M2 Max",
        "apple,t6022": "M2 Ultra",
    }
)
"""Device-tree names of machines that Linux runs on."""
