"""The M1 as Core ML sees it: constants and some rates of its estimator file; limits that ANEForge probed."""

from __future__ import annotations

from collections.abc import Mapping

from openane.targets.core_ml import (
    ESTIMATOR_FILE,
    CoreMl,
    CoreMlLimit,
    CoreMlRefusal,
    Leaf,
    Leaves,
    Limits,
    Platform,
    throughputs,
)
from openane.targets.h16 import core_ml as h16

PROBED = "probed by ANEForge on H13 and H14 (placement.md#limits)"
CATALOG = "ANEForge's catalog for Apple's compiler 9.509, macOS 15 and 26 (placement.md#operations)"
_TARGETS_FILE = "ANEForge's targets file (placement.md#limits)"
_LEAVES: Leaves = {
    "conv": (
        Leaf(h16.CONV_HIGH, 11582.92, 729.2046, 633.9690),
        Leaf(h16.CONV_MIDDLE, 5979.05, 298.1026, 259.1716),
    ),
    "relu": h16.RELU,
    "add": (Leaf(0, 16.4746, 7.27774, 6.32709),),
    "transpose": (Leaf(0, 15.51243, 14.58389, 12.67943),),
    "upsample_bilinear": (Leaf(0, 66.36557, 0.445750, 0.387535),),
    "gather": (Leaf(0, None, 11.50218, 10),),
}
_PHONES = ("iphone12", "iphone12mini", "iphone12pro", "iphone12promax", "ipadair4", "ipad10")
OLD_DECOMPOSED = frozenset(
    {
        "random_uniform",
        "reduce_argmin",
        "cos",
        "sin",
        "dropout",
        "constexpr_blockwise_shift_scale",
        "constexpr_sparse_blockwise_shift_scale",
        "constexpr_sparse_to_dense",
    }
)
_SOFTWARE = frozenset(
    {
        "resize",
        "resize_bilinear",
        "resize_nearest_neighbor",
        "upsample_bilinear",
        "upsample_nearest_neighbor",
        "gather_nd",
    }
)


def refusals(generation: str) -> Mapping[str, CoreMlRefusal]:
    """What Core ML places on no engine before H15 or H16."""
    return {
        "topk": CoreMlRefusal("topk", "H16 and newer", generation, "Core ML's estimator files of h13g and h14g"),
        "sin": CoreMlRefusal("the engine has no sin", "H15 and newer", generation, CATALOG),
        "cos": CoreMlRefusal("the engine has no cos", "H15 and newer", generation, CATALOG),
    }


def small(width_evidence: str, average: int) -> Limits:
    """The limits that H13, H14 and, as far as known, H15 share."""
    return Limits(
        spatial=CoreMlLimit(16384, PROBED),
        extent=CoreMlLimit(65536, PROBED),
        matmul_inner=CoreMlLimit(16384, PROBED),
        kernel_width=CoreMlLimit(13, width_evidence),
        square_kernel_width=CoreMlLimit(13, width_evidence),
        kernel_height=CoreMlLimit(29, CATALOG),
        max_pool_width=None,
        average_window=CoreMlLimit(average, _TARGETS_FILE),
    )


CORE_ML = CoreMl(
    platforms=(
        Platform(
            "h13g",
            "M1",
            ("m1", "ipadair5", "ipadpro2021"),
            "h13",
            throughputs((12000, 68), (729.24, 56.667), (634, 56.667)),
            _LEAVES,
            evidence=ESTIMATOR_FILE,
        ),
        Platform("a14", "A14", _PHONES, "h13"),
        Platform("m1pro", "M1 Pro", (), "h13"),
        Platform("m1max", "M1 Max", (), "h13"),
        Platform("m1ultra", "M1 Ultra", (), "h13"),
    ),
    evidence=h16.ASSUMED,
    rule=h16.RULE,
    follows_measurement=False,
    limits=small(_TARGETS_FILE, 29),
    refused={
        **refusals("H13"),
        "gather": CoreMlRefusal("gather", "H14 and newer", "H13", "Core ML's estimator file of h13g"),
    },
    refused_pad_modes=dict.fromkeys(("reflect", "symmetric"), CATALOG),
    impossible=frozenset(["argsort", "sort", "topk", "affine", "crop_resize", "resample", "dynamic_slice", "range_1d"]),
    decomposed=OLD_DECOMPOSED | _SOFTWARE,
    long_chain=h16.LONG_CHAIN,
    wide_offset=(
        4096,
        "offsets from 4096 on overflow on H13 and give wrong values; slice another axis (placement.md#traps)",
    ),
)
