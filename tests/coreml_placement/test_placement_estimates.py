"""Estimates of single operations in the published analysis files of the M4, in microseconds: engine and BNNS.

The rates of the leaves were taken from some of these rows. The rows marked *unseen* were read after the bounds between
the leaves had been set, and judge them.
"""

from __future__ import annotations

import pytest
from tests.support.placement_recipes import RECIPES, Builder, Shape, model, scalar, weight

from openane.coreml_placement.cost import estimate
from openane.coreml_placement.platforms import Backend, platform
from openane.coreml_placement.prediction import predict


def convolution(x: Shape, kernel: int, out: Shape, groups: int = 1, width: int = 0) -> Builder:
    builder = Builder()
    builder.conv(builder.input(x), out[1], (kernel, width or kernel), out, groups)
    return builder


def linear(x: Shape, out: int) -> Builder:
    builder = Builder()
    builder.linear(builder.input(x), out)
    return builder


def recipe(name: str) -> Builder:
    builder = Builder()
    RECIPES[name](builder)
    return builder


IMAGE: Shape = (1, 64, 32, 32)
ROWS = [
    (convolution(IMAGE, 3, IMAGE), 4.6742807655, 100.0638817526),
    (convolution((1, 64, 16, 16), 3, (1, 64, 16, 16)), 1.1685701914, 25.0159704382),
    (convolution((1, 64, 6, 6), 3, (1, 64, 6, 6)), 0.3706564701, 6.8396593475),
    (convolution(IMAGE, 5, (1, 64, 6, 6)), 1.0296013059, 18.9990537431),
    (convolution(IMAGE, 7, (1, 64, 16, 16)), 6.3622154864, 136.1980612744),
    (convolution(IMAGE, 3, IMAGE, 64), 2.5035988926, 43.5532115896),
    (convolution(IMAGE, 3, IMAGE, 4), 1.1685701914, 25.0159704382),
    (convolution(IMAGE, 3, IMAGE, 16), 0.6589448358, 12.1593943956),
    (convolution(IMAGE, 3, IMAGE, 32), 5.0071977852, 87.1064231792),
    (convolution(IMAGE, 8, (1, 64, 4, 4)), 1.1714574859, 21.6167011477),
    (convolution((8, 64, 16, 16), 3, (8, 64, 16, 16)), 9.3485615310, 200.1277635052),  # unseen
    (convolution((64, 8, 16, 16), 3, (64, 8, 16, 16)), 2.6357793432, 48.6375775823),  # unseen
    (convolution((1, 8, 128, 64), 3, (1, 8, 128, 64)), 1.3178896716, 24.3187887912),  # unseen
    (convolution((1, 64, 32, 4), 3, (1, 64, 32, 4)), 0.5842850957, 12.5079852191),  # unseen
    (convolution((1, 1, 128, 128), 3, (1, 1, 128, 128)), 0.6258997232, 10.8883028974),  # unseen
    (convolution(IMAGE, 13, IMAGE), 87.7726054859, 1878.9773351323),  # unseen
    (convolution(IMAGE, 24, IMAGE, width=1), 12.4647487081, 266.8370180070),  # unseen
    (convolution(IMAGE, 28, IMAGE, width=1), 14.5422068261, 311.3098543415),  # unseen
    (linear((1, 64, 256), 256), 14.4523361719, 372.1031822933),
    (linear((1, 128, 128), 128), 7.2261680859, 186.0515911466),
    (linear((1, 128, 256), 512), 3.1711198941, 100.0113134305),
    (linear((1, 128, 512), 512), 12.6841892606, 400.0360976922),
    (linear((16, 1, 64), 64), 1.2258781210, 1.9040930843),
    (recipe("conv_transpose"), 8.8271895869, 2125.6315741899),
    (recipe("conv_transpose_k3s2"), 19.8611765706, 4782.6710419274),
    (recipe("conv_transpose_3d"), 0.2217333878, 39.6324007644),
    (recipe("add"), 7.2857181805, 12.4108328931),
    (recipe("add_bc_ch"), 3.6464165698, 6.2114764236),
    (recipe("mul"), 6.0963720930, 22.7908004446),
    (recipe("floor_div"), 5.3854549632, 6.4625462459),
    (recipe("transpose_cw"), 3.8063330765, 2.9965827631),
    (recipe("transpose_nc"), 11.4694473801, 139.7792077861),
    (recipe("transpose_r5"), 0.9518155751, 0.7493285765),
    (recipe("upsample_bilinear"), 3.3051344335, 499.6351026359),
    (recipe("softmax_c"), 3.5903580925, 4.3084299044),
    (recipe("layer_norm_w"), 1.7951516544, 2.1541820820),
    (recipe("matmul_const"), 6.2830307904, 44.4698540764),
    (recipe("matmul_batched4d"), 7.1806066176, 22.2349270382),
    (recipe("sdpa_mask"), 7.6293945313, 9.1552738484),
    (recipe("stack"), 5.3855097469, 6.4626119863),
    (recipe("tile"), 8.9759774068, 10.7711733715),
    (recipe("topk_w"), 2.0196962663, 2.4236356284),
]


@pytest.mark.parametrize(("builder", "engine_us", "bnns_us"), ROWS)
def test_estimates_of_the_analysis_files(builder: Builder, engine_us: float, bnns_us: float) -> None:
    operation = builder.operations[-1]
    for backend, expected in ((Backend.ANE, engine_us), (Backend.BNNS, bnns_us)):
        found = estimate(operation, platform("M4"), backend).ms
        assert found is not None and found * 1e3 == pytest.approx(expected, rel=1e-3), backend


@pytest.mark.parametrize(
    ("name", "device"),
    [
        ("conv_k24x1", "ANE"),  # measured: saves 0.254 ms, 0.004 more than it needs
        ("conv_k28x1", "ANE"),
        ("conv_k13", "ANE"),
        ("conv7x7_s2", "CPU"),
        ("conv_transpose_1d", "CPU"),
    ],
)
def test_single_operations_near_the_threshold(name: str, device: str) -> None:
    (found,) = predict(model(name), platform("M4")).placements
    assert found.device.value == device


def test_linear_layers_with_fewer_outputs_are_assumed() -> None:
    found = estimate(linear((1, 64, 1024), 256).operations[0], platform("M4"), Backend.ANE)
    assert found.evidence == "assumed"


def test_constant_weights_do_not_have_to_be_known() -> None:
    builder = Builder()
    x = builder.input(IMAGE)
    builder.op("conv", IMAGE, x=x, weight=weight(64, 64, 3, 3), groups=scalar(1))
    assert estimate(builder.operations[0], platform("M4"), Backend.ANE).evidence == "measured"
