"""Convolutions of every kind: what the simulator computes from the encoded program is what the unit says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.h13_nets import between, check, compile_net, shape, single, weights

from openane.net.net import Net, Unit
from openane.net.units import ConvParams, GOCParams, NeuronKind, NeuronParams, Pads

SAME = Pads(1, 1, 1, 1)
CASES = {
    "dense": (ConvParams(weights(64, 16, 3, 3), pads=SAME), shape(16, 9, 11)),
    "inner product": (ConvParams(weights(10, 24, 1, 1)), shape(24, 1, 1)),
    "flattening": (ConvParams(weights(10, 8, 5, 6)), shape(8, 5, 6)),
    "channels that fill no lane": (ConvParams(weights(20, 7, 1, 1)), shape(7, 5, 5)),
    "1000 channels": (ConvParams(weights(1000, 64, 1, 1)), shape(64, 3, 3)),
    "three channels, stride 2": (ConvParams(weights(64, 3, 3, 3), (2, 2)), shape(3, 31, 33)),
    "seven by seven": (ConvParams(weights(16, 3, 7, 7), (2, 2), pads=Pads(3, 3, 3, 3)), shape(3, 32, 32)),
    "depthwise": (ConvParams(weights(24, 1, 3, 3), pads=SAME, groups=24), shape(24, 10, 10)),
    "depthwise, pairs of columns": (
        ConvParams(weights(24, 1, 9, 9), pads=Pads(4, 4, 4, 4), groups=24),
        shape(24, 10, 12),
    ),
    "depthwise, pairs, odd, narrower": (
        ConvParams(weights(24, 1, 9, 9), pads=Pads(4, 0, 4, 0), groups=24),
        shape(24, 11, 13),
    ),
    "depthwise, stride 2": (
        ConvParams(weights(24, 1, 3, 3), (2, 2), pads=Pads(0, 1, 0, 1), groups=24),
        shape(24, 10, 10),
    ),
    "grouped": (ConvParams(weights(24, 6, 3, 3), pads=SAME, groups=4), shape(24, 8, 8)),
    "grouped, stride 2": (ConvParams(weights(64, 16, 3, 3), (2, 2), pads=SAME, groups=4), shape(64, 8, 8)),
    "channel multiplier": (ConvParams(weights(48, 1, 3, 3), pads=SAME, groups=24), shape(24, 8, 8)),
    "asymmetric padding": (ConvParams(weights(9, 3, 3, 3), pads=Pads(2, 0, 1, 0)), shape(3, 9, 9)),
    "split over channels": (ConvParams(weights(512, 512, 3, 3), pads=SAME), shape(512, 16, 16)),
    "larger than L2": (ConvParams(weights(64, 256, 1, 1)), shape(256, 80, 64)),
    "batch and depth": (ConvParams(weights(8, 6, 3, 3), pads=SAME), shape(2, 2, 6, 5, 5)),
    "strides 2 and 1": (ConvParams(weights(16, 8, 3, 3), (2, 1), pads=SAME), shape(8, 9, 11)),
    "strides 1 and 2": (ConvParams(weights(16, 8, 3, 3), (1, 2), pads=SAME), shape(8, 9, 11)),
    "stride 4": (ConvParams(weights(16, 3, 11, 11), (4, 4), pads=Pads(2, 2, 2, 2)), shape(3, 39, 39)),
    "patches": (ConvParams(weights(8, 3, 16, 16), (16, 16)), shape(3, 32, 32)),
    "dilation 2": (ConvParams(weights(16, 8, 3, 3), dilation=(2, 2), pads=Pads(2, 2, 2, 2)), shape(8, 12, 13)),
    "dilation 12": (ConvParams(weights(8, 4, 3, 3), dilation=(12, 12), pads=Pads(12, 12, 12, 12)), shape(4, 16, 15)),
    "dilation 18 on a small image": (
        ConvParams(weights(8, 4, 3, 3), dilation=(18, 18), pads=Pads(18, 18, 18, 18)),
        shape(4, 14, 14),
    ),
    "high kernel": (ConvParams(weights(8, 4, 64, 1), (1, 4), pads=Pads(30, 30, 0, 0)), shape(4, 200, 1)),
    "wide kernel": (ConvParams(weights(8, 4, 1, 40), pads=Pads(0, 0, 20, 19)), shape(4, 3, 60)),
    "large kernel": (ConvParams(weights(8, 8, 15, 15), pads=Pads(7, 7, 7, 7)), shape(8, 20, 20)),
    "transposed": (ConvParams(weights(8, 6, 4, 4), (2, 2), pads=SAME, transposed=True), shape(6, 7, 9)),
    "transposed, batch": (ConvParams(weights(8, 6, 2, 2), (2, 2), transposed=True), shape(2, 1, 6, 4, 5)),
    "transposed, gaps": (ConvParams(weights(8, 6, 2, 2), (3, 3), transposed=True), shape(6, 4, 5)),
    "transposed, more at the end": (
        ConvParams(weights(8, 6, 3, 3), (2, 2), pads=SAME, transposed=True, output_padding=(1, 1)),
        shape(6, 4, 5),
    ),
    "transposed, groups": (
        ConvParams(weights(8, 2, 4, 4), (2, 2), pads=SAME, groups=4, transposed=True),
        shape(8, 5, 4),
    ),
    "transposed, dilation": (ConvParams(weights(8, 8, 3, 3), (2, 2), (2, 2), SAME, transposed=True), shape(8, 5, 4)),
    "nearest resize": (ConvParams(np.ones((8, 1, 3, 2)), (2, 3), groups=8, transposed=True), shape(8, 5, 4)),
}


@pytest.mark.parametrize("name", CASES)
def test_convolution(name: str) -> None:
    check(single(*CASES[name]))


@pytest.mark.parametrize("name", ["dense", "depthwise", "grouped", "split over channels", "stride 4", "transposed"])
def test_between_resident_values(name: str) -> None:
    check(between(*CASES[name]))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kind", [NeuronKind.RELU, NeuronKind.TANH, NeuronKind.CLAMP])
def test_bias_scale_and_function_are_one_task(stride: int, kind: NeuronKind) -> None:
    rng = np.random.default_rng(3)
    scale, bias = rng.uniform(0.5, 2, (2, 32)).astype(np.float32)
    units = (
        Unit("c", ConvParams(weights(32, 8, 3, 3), (stride, stride), pads=SAME), ("x",)),
        Unit("g", GOCParams(scale, bias), ("c",)),
        Unit("y", NeuronParams(kind, -0.5, 1.5), ("g",)),
    )
    program = check(Net("net", {"x": shape(8, 8, 8)}, {"out": "y"}, units), tolerance=6e-3)
    assert len(program.tasks) == 1


def test_slices_keep_their_input_in_l2() -> None:
    """Six slices of output channels read the image from DRAM once."""
    program = compile_net(single(*CASES["split over channels"]))
    assert len(program.tasks) == 6
    assert [task.registers()[0x13800] & 1 for task in program.tasks] == [1, 0, 0, 0, 0, 0]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_legal_convolution(data: st.DataObject) -> None:
    """Random geometry, with every output pixel touching the image or not."""
    number = st.integers
    groups = data.draw(st.sampled_from([1, 1, 2, 3]))
    inputs, outputs = data.draw(number(1, 5)), data.draw(number(1, 20))
    kernel = (data.draw(number(1, 5)), data.draw(number(1, 5)))
    step = (data.draw(number(1, 4)), data.draw(number(1, 4)))
    dilation = (data.draw(number(1, 3)), data.draw(number(1, 3)))
    reach = tuple((taps - 1) * apart + 1 for taps, apart in zip(kernel[::-1], dilation, strict=True))
    pads = Pads(
        *(data.draw(number(0, reach[1] - 1)) for _ in range(2)), *(data.draw(number(0, reach[0] - 1)) for _ in range(2))
    )
    transposed = data.draw(st.booleans())
    height, width = data.draw(number(1, 12)), data.draw(number(1, 12))
    if transposed:
        grown = [(extent - 1) * each + far for extent, each, far in zip((width, height), step, reach, strict=True)]
        if grown[0] <= pads.left + pads.right or grown[1] <= pads.top + pads.bottom:
            pads = Pads()
    elif height + pads.top + pads.bottom < reach[1] or width + pads.left + pads.right < reach[0]:
        height, width = reach[1] + height, reach[0] + width
    conv = ConvParams(weights(outputs * groups, inputs, *kernel), step, dilation, pads, groups, transposed)
    check(single(conv, shape(inputs * groups, height, width)))


@pytest.mark.parametrize("scale", [-1.0, 0.5, 3.0])
def test_a_scale_after_a_convolution_multiplies_its_sum(scale: float) -> None:
    """Without bias and function the scale is PostScale, and the weights stay as they are."""
    conv = ConvParams(weights(4, 3, 1, 1))
    units = Unit("c", conv, ("x",)), Unit("y", GOCParams(scale, 0.0), ("c",))
    scaled = compile_net(Net("net", {"x": shape(3, 4, 4)}, {"out": "y"}, units))
    plain = compile_net(single(conv, shape(3, 4, 4)))
    (task,) = scaled.tasks
    assert task.registers()[0xC810] == int(np.float16(scale).view(np.uint16))
    assert bytes(scaled.constants) == bytes(plain.constants)
