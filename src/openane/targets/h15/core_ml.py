"""The M3 as Core ML sees it: nothing was measured and no constants are known; limits are assumed as on H14."""

from __future__ import annotations

from openane.targets.core_ml import CoreMl, Platform
from openane.targets.h13 import core_ml as h13
from openane.targets.h14.core_ml import ASSUMED_WIDTH
from openane.targets.h16 import core_ml as h16

CORE_ML = CoreMl(
    platforms=(
        Platform("h15g", "M3", ("m3",), "h15"),
        Platform("a16", "A16", ("iphone14pro", "iphone14promax", "iphone15", "iphone15plus", "ipad11"), "h15"),
        Platform("m3pro", "M3 Pro", (), "h15"),
        Platform("m3max", "M3 Max", (), "h15"),
        Platform("m3ultra", "M3 Ultra", (), "h15"),
    ),
    evidence=h16.ASSUMED,
    rule=h16.RULE,
    follows_measurement=False,
    limits=h13.small(ASSUMED_WIDTH, 31),
    refused={"topk": h13.refusals("H15")["topk"]},
    decomposed=h16.CATALOG_DECOMPOSED,
    long_chain=h16.LONG_CHAIN,
)
