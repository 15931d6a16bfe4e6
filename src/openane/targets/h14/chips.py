"""The chips of H14 that were measured, or are like one that was."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from openane.targets.chip import Chip, like

M2_PRO = Chip(
    name="m2pro",
    machine="M2 Pro",
    engines=16,
    clock_mhz=1938,
    dispatch_us=97.26,
    task_us=0.3269,
    surface_bytes_per_us=8_470,
    dram_bytes_per_us=83_190,
    weight_bytes_per_us=39_560,
    convolution_macs_per_us=8_384_000,
    matmul_macs_per_us=7_785_000,
    elements_per_us=54_620,
    base_milliwatts=1_506,
    picojoules_per_mac=0.6947,
    picojoules_per_byte=78.93,
    evidence="fitted to 6 rows, regularized toward the vendor's clock and the M1's bandwidths: weak evidence",
)

CHIPS = (
    like(M2_PRO, "m2", "M2", 1938, "m2pro's constants; no rows of its own"),
    M2_PRO,
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
