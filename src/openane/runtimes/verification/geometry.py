"""Questions about where values come from and go to: kernel order, padding, strides, pooling windows, broadcasting."""

from __future__ import annotations

from collections.abc import Iterator

from openane.net.units import (
    BroadcastParams,
    ConcatParams,
    ConvParams,
    Dimension,
    ElementWiseKind,
    ElementWiseParams,
    InputViewParams,
    Pads,
    PoolingKind,
    PoolingParams,
)
from openane.runtimes.verification.case import (
    DeviceCase,
    Standing,
    halves,
    impulses,
    network,
    numbered_kernel,
    single,
    small_integers,
)

RAMP = [float(value) for value in range(1, 200)]


def geometry_cases() -> Iterator[DeviceCase]:
    """All cases of this file."""
    yield from _layout()
    yield from _views()
    yield from _kernel_order()
    yield from _windows()
    yield from _pooling()
    yield from _broadcasts()


def _layout() -> Iterator[DeviceCase]:
    add = ElementWiseParams(ElementWiseKind.ADD)
    for name, shape in (
        ("rows", (1, 1, 1, 7, 77)),
        ("channels", (1, 1, 70, 1, 1)),
        ("image", (1, 1, 5, 9, 33)),
        ("batch", (3, 1, 4, 2, 5)),
    ):
        inputs = {"x": halves(RAMP, shape), "y": halves([1000.0, -1000.0, 0.5], shape)}
        question = "Are surfaces laid out and bound as the program specifies?"
        yield DeviceCase(f"add-{name}", "layout", question, single(inputs, add), inputs)
    inputs = {"x": halves(RAMP, (1, 1, 3, 4, 5)), "y": halves([-1.0, -2.0, -3.0], (1, 1, 2, 4, 5))}
    question = "Can two tasks write parts of one output?"
    yield DeviceCase("concat", "layout", question, single(inputs, ConcatParams(Dimension.CHANNEL)), inputs)


def _views() -> Iterator[DeviceCase]:
    inputs = {"x": halves([1.0, -2.0, 100.0, 4094.0, 4096.0, -5000.0, 0.25], (1, 1, 4, 6, 8))}
    for dimension, size in ((Dimension.CHANNEL, 2), (Dimension.HEIGHT, 3), (Dimension.WIDTH, 4)):
        question = (
            "Does a view start at its offset, with values unchanged (A16: a factor of 16 was observed for width)?"
        )
        net = single(inputs, InputViewParams(dimension, offset=2, size=size))
        yield DeviceCase(f"view-{dimension.value.lower()}", "views", question, net, inputs, Standing.ASSUMED)


def _kernel_order() -> Iterator[DeviceCase]:
    question = "In which order are kernel rows, columns, input and output channels in the coefficient stream?"
    for out_channels, in_channels, rows, columns in (
        (3, 3, 1, 1),
        (48, 20, 1, 1),
        (5, 4, 3, 3),
        (33, 3, 3, 3),
        (2, 3, 2, 5),
    ):
        inputs = {"x": impulses(in_channels, rows, columns)}
        unit = ConvParams(numbered_kernel(out_channels, in_channels, rows, columns))
        name = f"order-{out_channels}x{in_channels}x{rows}x{columns}"
        yield DeviceCase(name, "kernel order", question, single(inputs, unit), inputs)
    inputs = {"x": impulses(6, 3, 3)}
    unit = ConvParams(numbered_kernel(12, 2, 3, 3), groups=3)
    yield DeviceCase(
        "order-groups", "kernel order", "Are grouped kernels one block per group?", single(inputs, unit), inputs
    )
    unit = ConvParams(numbered_kernel(6, 1, 3, 3), groups=6, pads=Pads(1, 1, 1, 1))
    yield DeviceCase("order-depthwise", "kernel order", "And with one channel per group?", single(inputs, unit), inputs)


def _windows() -> Iterator[DeviceCase]:
    inputs = {"x": small_integers((1, 1, 2, 9, 11), 1)}
    kernel = small_integers((2, 2, 3, 3), 2)
    for name, question, unit, standing in (
        (
            "pad-same",
            "Is the padding of a convolution zero?",
            ConvParams(kernel, pads=Pads(1, 1, 1, 1)),
            Standing.RECORDED,
        ),
        (
            "pad-one-side",
            "Do Px and Py count from the left and top, with right and bottom following from the result's size?",
            ConvParams(kernel, pads=Pads(2, 0, 0, 1)),
            Standing.ASSUMED,
        ),
        ("stride-2", "Where do windows of stride 2 begin?", ConvParams(kernel, step=(2, 2)), Standing.RECORDED),
        (
            "stride-2-odd",
            "And with odd padding?",
            ConvParams(kernel, step=(2, 2), pads=Pads(1, 1, 1, 1)),
            Standing.RECORDED,
        ),
        ("dilation-2", "Are spread taps read as spread?", ConvParams(kernel, dilation=(2, 2)), Standing.ASSUMED),
        (
            "transposed-2",
            "Is a transposed convolution a convolution of the spread source?",
            ConvParams(kernel, step=(2, 2), transposed=True),
            Standing.ASSUMED,
        ),
    ):
        yield DeviceCase(name, "padding and stride", question, single(inputs, unit), inputs, standing)


def _pooling() -> Iterator[DeviceCase]:
    values = {"x": -halves(RAMP, (1, 1, 2, 8, 10))}
    fractions = {"x": halves([1 / 3, -2 / 3, 5.0, 1 / 7], (1, 1, 2, 8, 10))}
    padded = Pads(1, 1, 1, 1)
    for name, question, unit, inputs in (
        (
            "max-2x2",
            "Is windowed pooling encoded as assumed (A1)?",
            PoolingParams(PoolingKind.MAX, (2, 2), (2, 2)),
            values,
        ),
        (
            "max-3x3-padded",
            "Is the padding of a maximum neutral, so that negative borders survive?",
            PoolingParams(PoolingKind.MAX, (3, 3), (2, 2), padded),
            values,
        ),
        ("average-2x2", "How is an average rounded?", PoolingParams(PoolingKind.AVERAGE, (2, 2), (2, 2)), fractions),
        (
            "average-3x3-inside",
            "Does PoolMode 1 divide by the pixels inside the image (A2)?",
            PoolingParams(PoolingKind.AVERAGE, (3, 3), (1, 1), padded),
            fractions,
        ),
        (
            "average-3x3-padded",
            "Does PoolMode 0 with a final scale count the padding (A2)?",
            PoolingParams(PoolingKind.AVERAGE, (3, 3), (1, 1), padded, count_include_pad=True),
            fractions,
        ),
    ):
        yield DeviceCase(f"pool-{name}", "pooling", question, single(inputs, unit), inputs, Standing.ASSUMED)


def _broadcasts() -> Iterator[DeviceCase]:
    full = (1, 1, 3, 4, 5)
    for dimension, shape in (
        (Dimension.WIDTH, (1, 1, 3, 4, 1)),
        (Dimension.HEIGHT, (1, 1, 3, 1, 5)),
        (Dimension.CHANNEL, (1, 1, 1, 4, 5)),
    ):
        inputs = {"x": halves(RAMP, full), "y": halves([0.25, 1000.0, -0.5], shape)}
        repeat = BroadcastParams({dimension: full[shape.index(1, 2)]})
        net = network(inputs, [(repeat, ("y",)), (ElementWiseParams(ElementWiseKind.ADD), ("x", "u0"))])
        question = f"Which broadcast flag repeats a tensor along {dimension.value}?"
        yield DeviceCase(f"broadcast-{dimension.value.lower()}", "broadcast", question, net, inputs)
