"""Questions about numbers outside of the accumulator: the planar engine, range, tables, reductions, bytes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from openane.net.units import (
    Dimension,
    ElementWiseKind,
    ElementWiseParams,
    GOCParams,
    NeuronKind,
    NeuronParams,
    ReductionKind,
    ReductionParams,
    SoftmaxParams,
)
from openane.runtimes.verification.case import DeviceCase, Standing, Variants, every_half, halves, single

ORDERS: Variants = {
    "every partial sum of a reduction is fp16, one after the other": {"reduction": "fp16-sequence"},
    "every partial sum of a reduction is fp16, in pairs": {"reduction": "fp16-pairs"},
}
TABLE_INDEX: Variants = {"a table sees the fp16 value of its scaled argument": {"table_index": "fp16"}}

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


def arithmetic_cases() -> Iterator[DeviceCase]:
    """All cases of this file."""
    yield from _range()
    yield from _planar()
    yield from _reductions()
    yield from _tables()
    yield from _bytes()


def _range() -> Iterator[DeviceCase]:
    inputs = {"x": every_half()}
    question = "What does a ReLU without weights return for every fp16 value, including NaN and infinity?"
    yield DeviceCase("relu-every-half", "range", question, single(inputs, NeuronParams(NeuronKind.RELU)), inputs)
    small = {"x": halves([SMALLEST_NORMAL] * 8, (1, 1, 1, 1, 8)), "y": halves([0.5, 0.25, -0.5, 1], (1, 1, 1, 1, 8))}
    question = "Does the planar engine keep subnormal products?"
    yield DeviceCase(
        "subnormal-products", "range", question, single(small, ElementWiseParams(ElementWiseKind.MULT)), small
    )


def _planar() -> Iterator[DeviceCase]:
    generator = np.random.default_rng(7)
    bits = generator.integers(0, 65536, (2, 4096), dtype=np.uint16).view(np.float16)
    pairs = {name: row.reshape(1, 1, 4, 16, 64) for name, row in zip("xy", bits, strict=True)}
    special = np.array(SPECIAL, np.float16)
    grid = np.meshgrid(special, special, indexing="ij")
    corners = {name: array.reshape(1, 1, 1, *array.shape) for name, array in zip("xy", grid, strict=True)}
    kinds = ElementWiseKind
    for kind in (kinds.ADD, kinds.SUB, kinds.MULT, kinds.MAX, kinds.MIN):
        net = single(pairs, ElementWiseParams(kind))
        question = "What does the planar engine compute for pairs of fp16 values?"
        yield DeviceCase(f"planar-{kind.name.lower()}", "planar engine", question, net, pairs)
        question = "What does it compute for signed zeros, infinities, NaN, and the largest and smallest values?"
        yield DeviceCase(
            f"planar-{kind.name.lower()}-special",
            "planar engine",
            question,
            single(corners, ElementWiseParams(kind)),
            corners,
        )
    alone = {"x": pairs["x"]}
    question = "Is the scale applied before the bias, with one rounding?"
    yield DeviceCase(
        "planar-scale-bias", "planar engine", question, single(alone, GOCParams(1.0009765625, 0.333)), alone
    )
    yield DeviceCase(
        "planar-abs", "planar engine", "And the magnitude?", single(alone, NeuronParams(NeuronKind.ABS)), alone
    )


def _reductions() -> Iterator[DeviceCase]:
    question = "How wide is the planar accumulator, and how does it round?"
    for name, values in {
        "2049": [1.0] * 2049,
        "2051": [1.0] * 2051,
        "cancel": [30000.0, 1.0, -30000.0, 0.25],
        "overflow": [60000.0, 60000.0, -60000.0, -60000.0],
        "thirds": [1 / 3] * 600,
        "normal": list(np.random.default_rng(11).standard_normal(4096)),
        "pairs": [2048.0, 1.0] * 4,
    }.items():
        inputs = {"x": halves(values, (1, 1, 1, 1, len(values)))}
        unit = ReductionParams(ReductionKind.SUM, frozenset({Dimension.WIDTH}))
        yield DeviceCase(f"reduce-{name}", "reduction", question, single(inputs, unit), inputs, variants=ORDERS)
    inputs = {"x": halves([float(value) for value in range(-30, 31)], (1, 1, 2, 5, 6))}
    for kind in (ReductionKind.MEAN, ReductionKind.MAX, ReductionKind.MIN):
        unit = ReductionParams(kind, frozenset({Dimension.HEIGHT, Dimension.WIDTH}))
        question = "Does a reduction combine height and width, and where does the factor of the mean apply?"
        net = single(inputs, unit)
        yield DeviceCase(f"reduce-image-{kind.name.lower()}", "reduction", question, net, inputs, variants=ORDERS)
    inputs = {"x": halves([0.0, 1.0, -4.0, 11.0, 3.5], (1, 1, 6, 1, 40))}
    unit_softmax = SoftmaxParams(Dimension.WIDTH)
    question = "Does a whole chain (reduce, subtract, table, sum, reciprocal, product) agree?"
    yield DeviceCase("softmax", "reduction", question, single(inputs, unit_softmax), inputs)


def _tables() -> Iterator[DeviceCase]:
    inputs = {"x": every_half()}
    question = (
        "What does the table return for every fp16 value: thresholds, values outside the domain, negative arguments, "
        "NaN, infinities, rounding of the interpolation?"
    )
    for kind in TABLE_FUNCTIONS:
        name = f"table-{kind.name.lower()}"
        yield DeviceCase(name, "tables", question, single(inputs, NeuronParams(kind)), inputs)
    question = "Is the argument of the exp table the scaled value or its fp16 value, as on a later chip?"
    inputs = {"x": halves(list(np.linspace(6, 10, 128)), (1, 1, 1, 4, 32))}
    net = single(inputs, NeuronParams(NeuronKind.EXP))
    yield DeviceCase("table-index", "tables", question, net, inputs, variants=TABLE_INDEX)


def _bytes() -> Iterator[DeviceCase]:
    question = "Is an 8-bit input the integer itself (A11)?"
    for dtype in (np.uint8, np.int8):
        codes = np.arange(256, dtype=np.uint8).view(dtype).reshape(1, 1, 1, 8, 32)
        inputs = {"x": codes}
        net = single(inputs, GOCParams(0.5, 1.0))
        yield DeviceCase(f"bytes-{np.dtype(dtype).name}", "8-bit tensors", question, net, inputs, Standing.ASSUMED)
