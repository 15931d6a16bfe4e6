"""The M5 as Core ML sees it: no constants are known, two estimates were read out (placement.md#estimates)."""

from __future__ import annotations

from openane.targets.core_ml import CoreMl, Leaf, Leaves, Platform
from openane.targets.h16 import core_ml as h16

_LEAVES: Leaves = {
    "conv": (Leaf(h16.CONV_HIGH, 8609.6, 1192.750, None),),
    "matmul": (Leaf(0, 11244.8, 359.2552, None),),
}
_TWO = "no constants are known for this chip, two estimates only (placement.md#estimates)"
_IPHONES = ("a18pro", "iphone16", "iphone16plus", "iphone16e", "iphone16pro", "iphone16promax")

CORE_ML = CoreMl(
    platforms=(
        Platform("h17g", "M5", ("m5",), "h17", leaves=_LEAVES, evidence=_TWO),
        Platform("a18", "A18, A18 Pro", _IPHONES, "h17"),
        Platform("m5pro", "M5 Pro", (), "h17"),
        Platform("m5max", "M5 Max", (), "h17"),
    ),
    evidence=h16.ASSUMED,
    rule=h16.RULE,
    follows_measurement=True,
    limits=h16.large(h16.ASSUMED),
    decomposed=h16.CATALOG_DECOMPOSED,
    long_chain=h16.LONG_CHAIN,
    slow_kernels=h16.SLOW_KERNELS,
)
