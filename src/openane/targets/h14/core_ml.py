"""The M2 as Core ML sees it: constants of its estimator file, and one rate that it shares with the M4."""

from __future__ import annotations

from openane.targets.core_ml import ESTIMATOR_FILE, CoreMl, Platform, throughputs
from openane.targets.h13 import core_ml as h13
from openane.targets.h16 import core_ml as h16

ASSUMED_WIDTH = "ANEForge's targets file has it for H13; assumed (placement.md#limits)"
_PHONES = ("iphone13", "iphone13mini", "iphone13pro", "iphone13promax", "iphone14", "iphone14plus", "iphonese3")

CORE_ML = CoreMl(
    platforms=(
        Platform(
            "h14g",
            "M2",
            ("m2", "ipadair6", "ipadpro2022", "visionpro"),
            "h14",
            throughputs((17200, 68), (754.54, 56.667), (656, 56.667)),
            {"conv": h16.LEAVES["conv"][:1]},
            evidence=ESTIMATOR_FILE,
        ),
        Platform("a15", "A15", (*_PHONES, "ipadmini6"), "h14"),
        Platform("m2pro", "M2 Pro", (), "h14"),
        Platform("m2max", "M2 Max", (), "h14"),
        Platform("m2ultra", "M2 Ultra", (), "h14"),
    ),
    evidence=h16.ASSUMED,
    rule=h16.RULE,
    follows_measurement=False,
    limits=h13.small(ASSUMED_WIDTH, 31),
    refused=h13.refusals("H14"),
    decomposed=h13.OLD_DECOMPOSED | h16.CATALOG_DECOMPOSED,
    long_chain=h16.LONG_CHAIN,
)
