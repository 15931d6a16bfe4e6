"""The M6 as Core ML sees it: measured, with the estimates of the M4 (placement.md#constants)."""

from __future__ import annotations

from openane.targets.core_ml import CoreMl, Platform
from openane.targets.h16 import core_ml as h16

CORE_ML = CoreMl(
    platforms=(
        Platform("h18g", "M6", ("m6",), "h18", h16.THROUGHPUT, h16.LEAVES, True, h16.OF_THE_FILE),
        Platform(
            "a19",
            "A19, A19 Pro",
            ("a19pro", "iphone17", "iphoneair", "iphone17pro", "iphone17promax"),
            "h18",
        ),
    ),
    evidence=h16.MEASURED,
    rule=h16.RULE,
    follows_measurement=True,
    limits=h16.large(h16.MEASURED),
    decomposed=h16.CATALOG_DECOMPOSED,
    long_chain=h16.LONG_CHAIN,
    slow_kernels=h16.SLOW_KERNELS,
)
