"""The M4 as Core ML sees it: the chip on which lists, placements and estimates were measured (placement.md)."""

from __future__ import annotations

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

MEASURED = "measured on M4 and M6, macOS 27.0.1 (placement.md#single-operations)"
RULE = "rule measured on M4 and M6, macOS 27.0.1 (placement.md#decision-rule)"
ASSUMED = f"{MEASURED}; assumed for this chip"
LONG_CHAIN = (386, "longer chains crash, hang or run on the CPU on an M6 (placement.md#traps)")
SLOW_KERNELS = {(16, 16): "a 16x16 kernel takes 212 to 229 s and 11.7 GB to compile on an M4"}
CATALOG_DECOMPOSED = frozenset({"range_1d"})

# Bounds between leaves are the geometric mean of the nearest operations seen on either side: convolutions of 8.8, 12.8,
# 42.7 and 67 FLOPs per byte; linear layers of 8, 32, 128 and 256 KiB; transposes of 65,540 and 131,076 elements;
# transposed convolutions of 17 (in one dimension, which stays on the CPU) and 134 million FLOPs.
CONV_HIGH, CONV_MIDDLE = 53.6, 10.6
RELU = (Leaf(0, 25, 25, 25),)
_ADD = (Leaf(0, 17.9902, 10.56110, 9.18182),)
LEAVES: Leaves = {
    "conv": (
        Leaf(CONV_HIGH, 16151.67, 754.4927, 655.9559),
        Leaf(CONV_MIDDLE, 7160.83, 388.0614, 337.3806),
        Leaf(0, 471.181, 27.08522, 23.54789),
    ),
    "conv_transpose": (Leaf(47.4e6, 15205.03, 63.14248, 54.89607), Leaf(0, 37832.0, 211.6604, 184.0177)),
    "linear": (
        Leaf(185_364, 5290.790, 167.7583, 145.8492),
        Leaf(16_384, 580.4503, 22.54379, 19.59956),
        Leaf(0, 106.9733, 68.87059, 59.87608),
    ),
    "relu": RELU,
    "add": _ADD,
    "sub": _ADD,
    "mul": (Leaf(0, 21.5, 5.751092, 5),),
    "concat": (Leaf(0, 50, 5.751092, 5),),
    "transpose": (Leaf(92_687, 11.42828, 0.937736, 0.815268), Leaf(0, 17.21867, 21.87158, 19.01515)),
    "upsample_bilinear": (Leaf(0, 79.31417, 0.524671, 0.456149),),
    "gather": (Leaf(0, None, 11.50218, 10),),
}
THROUGHPUT = throughputs((19400, 68), (754.54, 56.667), (656, 56.667))
"""The files of h16g and h18g are alike."""
OF_THE_FILE = f"{ESTIMATOR_FILE}; placements measured on macOS 27.0.1"


def large(evidence: str) -> Limits:
    """The limits that H16 and its successors share."""
    return Limits(
        spatial=CoreMlLimit(65536, evidence),
        extent=CoreMlLimit(65536, evidence),
        matmul_inner=CoreMlLimit(32768, evidence),
        kernel_width=CoreMlLimit(15, evidence),
        square_kernel_width=CoreMlLimit(16, evidence),
        kernel_height=CoreMlLimit(31, evidence),
        max_pool_width=CoreMlLimit(8, evidence),
        average_window=CoreMlLimit(31, "ANEForge's targets file; measured to 14 (placement.md#limits)"),
    )


_TOPK = "Core ML lists topk for the engine, the compiler fails with status 22"

CORE_ML = CoreMl(
    platforms=(
        Platform("h16g", "M4", ("m4", "ipadpro2024"), "h16", THROUGHPUT, LEAVES, True, OF_THE_FILE),
        Platform("a17pro", "A17 Pro", ("iphone15pro", "iphone15promax", "ipadmini7"), "h16"),
        Platform("m4pro", "M4 Pro", (), "h16"),
        Platform("m4max", "M4 Max", (), "h16"),
    ),
    evidence=MEASURED,
    rule=RULE,
    follows_measurement=True,
    limits=large(MEASURED),
    listed_but_failing={"topk": CoreMlRefusal(_TOPK, "H18", "H16", MEASURED)},
    decomposed=CATALOG_DECOMPOSED,
    long_chain=LONG_CHAIN,
    late={"topk": "the M4's compiler fails on topk, and Core ML then runs it 6 to 10 ms late (placement.md#traps)"},
    slow_kernels=SLOW_KERNELS,
)
