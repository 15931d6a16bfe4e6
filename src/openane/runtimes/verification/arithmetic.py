"""Questions about numbers: accumulators, rounding, saturation, denormals, NaN, tables, reductions."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from openane.net.units import (
    GOC,
    Conv,
    Dimension,
    ElementWise,
    ElementWiseKind,
    Linear,
    Neuron,
    NeuronKind,
    Reduction,
    ReductionKind,
    Softmax,
)
from openane.runtimes.verification.case import Case, Standing, Variants, every_half, halves, single

ACCUMULATORS: Variants = {"adder tree of 4 in 12 bits": {"accumulate": "tile4"}}
DENORMALS: Variants = {"denormal sums are kept": {"denormals": "keep"}}
SATURATION: Variants = {"sums are not limited": {"output_limit": "0"}}
TIES: Variants = {"reductions round ties to even": {"reduction_ties": "even"}}

HALVES = np.finfo(np.float16)
SMALLEST = float(HALVES.smallest_subnormal)
SMALLEST_NORMAL = float(HALVES.smallest_normal)

SPECIAL = (
    *(0.0, -0.0, 1.0, -1.0, 0.5, 1 / 3, 300.0, 2048.0),
    *(65504.0, -65504.0, SMALLEST, -SMALLEST, SMALLEST_NORMAL),
    *(float("inf"), float("-inf"), float("nan")),
)
"""Values at the edges of fp16, paired with one another."""

TABLE_FUNCTIONS = (
    NeuronKind.SIGMOID,
    NeuronKind.TANH,
    NeuronKind.GELU,
    NeuronKind.SILU,
    NeuronKind.EXP2,
    NeuronKind.EXP,
    NeuronKind.LOG2,
    NeuronKind.SQRT,
    NeuronKind.RSQRT,
    NeuronKind.RECIPROCAL,
)


def arithmetic_cases() -> Iterator[Case]:
    """All cases of this file."""
    yield from _accumulator()
    yield from _saturation()
    yield from _denormals()
    yield from _products()
    yield from _planar()
    yield from _reductions()
    yield from _tables()
    yield from _bytes()


def _sum_of(values: list[float], weights: list[float] | None = None) -> tuple[Conv, dict[str, np.ndarray]]:
    """A 1x1 convolution that adds `values` (times `weights`) in channel order, one output channel."""
    count = len(values)
    kernel = halves(weights or [1.0], (1, count, 1, 1)).copy()
    return Conv(kernel), {"x": halves(values, (1, 1, count, 1, 1))}


def _accumulator() -> Iterator[Case]:
    question = "How wide is the MAC accumulator, and how many products are added before rounding?"
    probes = {
        "ones-4096": [1.0] * 4096,
        "ones-after-2048": [2048.0] + [1.0] * 63,
        "cancel-next": [2048.0, 1.0, -2048.0, 1.0] * 8,
        "cancel-far": [2048.0] + [1.0] * 30 + [-2048.0],
        "cancel-in-tile": [4096.0, 1.0, 1.0, -4096.0],
        "cancel-across-tiles": [4096.0, 1.0, 1.0, 1.0, -4096.0, 1.0, 1.0, 1.0],
        "fp32-limit": [32000.0, SMALLEST_NORMAL, -32000.0, 0.0],
        "thirds": [1 / 3] * 999,
    }
    for name, values in probes.items():
        unit, inputs = _sum_of(values)
        yield Case(f"sum-{name}", "accumulator", question, single(inputs, unit), inputs, variants=ACCUMULATORS)


def _saturation() -> Iterator[Case]:
    question = "At which magnitude does a sum of products leave the MAC engine as infinity?"
    for name, values in {
        "32752": [16376.0, 16376.0],
        "32768": [16384.0, 16384.0],
        "minus-32768": [-16384.0, -16384.0],
        "40000": [20000.0, 20000.0],
        "70000": [35000.0, 35000.0],
        "through-infinity": [60000.0, 60000.0, -60000.0],
    }.items():
        unit, inputs = _sum_of(values)
        yield Case(f"limit-{name}", "saturation", question, single(inputs, unit), inputs, variants=SATURATION)
    inputs = {"x": every_half()}
    question = "What does one product, or a ReLU without weights, make of every fp16 value, NaN and infinity included?"
    yield Case("relu-every-half", "saturation", question, single(inputs, Neuron(NeuronKind.RELU)), inputs)
    one = Conv(np.ones((1, 1, 1, 1), np.float16))
    yield Case("times-one-every-half", "saturation", question, single(inputs, one), inputs, variants=SATURATION)


def _denormals() -> Iterator[Case]:
    question = "Are sums below the smallest normal fp16 flushed to zero?"
    small = [SMALLEST, 3 * SMALLEST, SMALLEST_NORMAL / 2, SMALLEST_NORMAL - SMALLEST, SMALLEST_NORMAL]
    inputs = {"x": halves([*small, *small, *(-value for value in small)], (3, 1, 2, 5, 1))}
    kernel = Conv(np.ones((1, 2, 1, 1), np.float16))
    yield Case("denormal-sums", "denormals", question, single(inputs, kernel), inputs, variants=DENORMALS)
    inputs = {"x": halves([SMALLEST_NORMAL] * 8, (1, 1, 1, 1, 8)), "y": halves([0.5, 0.25, -0.5, 1], (1, 1, 1, 1, 8))}
    question = "Does the planar engine keep them?"
    product = ElementWise(ElementWiseKind.MULT)
    yield Case("denormal-products", "denormals", question, single(inputs, product), inputs)


def _products() -> Iterator[Case]:
    """The same sums as a convolution and as a matrix product: published errors of the two disagree."""
    generator = np.random.default_rng(11)
    data = generator.standard_normal((16, 512)).astype(np.float16)
    weight = generator.standard_normal((64, 512)).astype(np.float16) / np.float16(16)
    question = "Do convolutions and matrix products add alike, and like which accumulator?"
    rows = {"x": data.reshape(1, 1, 1, 16, 512)}
    yield Case("sums-linear", "accumulator", question, single(rows, Linear(weight)), rows, variants=ACCUMULATORS)
    channels = {"x": np.ascontiguousarray(data.T).reshape(1, 1, 512, 1, 16)}
    unit = Conv(weight.reshape(64, 512, 1, 1))
    yield Case("sums-conv", "accumulator", question, single(channels, unit), channels, variants=ACCUMULATORS)


def _planar() -> Iterator[Case]:
    generator = np.random.default_rng(7)
    bits = generator.integers(0, 65536, (2, 4096), dtype=np.uint16).view(np.float16)
    pairs = {name: row.reshape(1, 1, 4, 16, 64) for name, row in zip("xy", bits, strict=True)}
    special = np.array(SPECIAL, np.float16)
    grid = np.meshgrid(special, special, indexing="ij")
    corners = {name: array.reshape(1, 1, 1, *array.shape) for name, array in zip("xy", grid, strict=True)}
    kinds = ElementWiseKind
    for kind in (kinds.ADD, kinds.SUB, kinds.MULT, kinds.MAX, kinds.MIN):
        net = single(pairs, ElementWise(kind))
        question = "What does the planar engine make of any two fp16 values?"
        yield Case(f"planar-{kind.name.lower()}", "planar engine", question, net, pairs)
        question = "And of zeros with signs, infinities, NaN, the largest and the smallest?"
        yield Case(
            f"planar-{kind.name.lower()}-special",
            "planar engine",
            question,
            single(corners, ElementWise(kind)),
            corners,
        )
    alone = {"x": pairs["x"]}
    question = "Is scale before bias, with one rounding?"
    yield Case("planar-scale-bias", "planar engine", question, single(alone, GOC(1.0009765625, 0.333)), alone)
    yield Case("planar-abs", "planar engine", "And the magnitude?", single(alone, Neuron(NeuronKind.ABS)), alone)


def _reductions() -> Iterator[Case]:
    question = "How wide is the planar accumulator, and how does it round?"
    for name, values in {
        "2049": [1.0] * 2049,
        "2051": [1.0] * 2051,
        "cancel": [30000.0, 1.0, -30000.0, 0.25],
        "overflow": [60000.0, 60000.0, -60000.0, -60000.0],
        "thirds": [1 / 3] * 600,
    }.items():
        inputs = {"x": halves(values, (1, 1, 1, 1, len(values)))}
        unit = Reduction(ReductionKind.SUM, frozenset({Dimension.WIDTH}))
        yield Case(f"reduce-{name}", "reduction", question, single(inputs, unit), inputs, variants=TIES)
    inputs = {"x": halves([float(value) for value in range(-30, 31)], (1, 1, 2, 5, 6))}
    for kind in (ReductionKind.MEAN, ReductionKind.MAX, ReductionKind.MIN):
        unit = Reduction(kind, frozenset({Dimension.HEIGHT, Dimension.WIDTH}))
        question = "Does a reduction fold height and width together, and where does the mean's factor act?"
        net = single(inputs, unit)
        yield Case(f"reduce-image-{kind.name.lower()}", "reduction", question, net, inputs, variants=TIES)
    inputs = {"x": halves([0.0, 1.0, -4.0, 11.0, 3.5], (1, 1, 6, 1, 40))}
    unit_softmax = Softmax(Dimension.WIDTH)
    question = "Does a whole chain (reduce, subtract, table, sum, reciprocal, product) agree?"
    yield Case("softmax", "reduction", question, single(inputs, unit_softmax), inputs)


def _tables() -> Iterator[Case]:
    inputs = {"x": every_half()}
    question = (
        "What does the table give for every fp16 value: thresholds, values outside the domain, negative arguments, "
        "NaN, infinities, rounding of the interpolation?"
    )
    for kind in TABLE_FUNCTIONS:
        name = f"table-{kind.name.lower()}"
        yield Case(name, "tables", question, single(inputs, Neuron(kind)), inputs)


def _bytes() -> Iterator[Case]:
    question = "Is an 8-bit input the integer itself (A11)?"
    for dtype in (np.uint8, np.int8):
        codes = np.arange(256, dtype=np.uint8).view(dtype).reshape(1, 1, 1, 8, 32)
        inputs = {"x": codes}
        net = single(inputs, GOC(0.5, 1.0))
        yield Case(f"bytes-{np.dtype(dtype).name}", "8-bit tensors", question, net, inputs, Standing.ASSUMED)
