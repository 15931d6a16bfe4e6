"""The MAC kit: single sums of the MAC array, the values that decide between the rules others have measured.

Every vector is one column of a 1x1 convolution with 64 input channels and constant weights: the accumulator's range,
step, ties, dropped products, bias, sticky infinity and special values. Cases with ordinary numbers come first, those
that overflow or hold infinities and NaN last.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from openane.net.units import ConvParams, ElementWiseKind, ElementWiseParams, GOCParams
from openane.numerics.fp16 import to_fp16
from openane.runtimes.verification.case import DeviceCase, Variants, halves, network, single

GROUP = "MAC kit"
CHANNELS = 64
_STEP = 2.0**-16
_TIE = 2.0**-11
_LARGE_SUMS = ([16384.0], [32752.0], [16384.0, 16352.0], [16384.0, 16368.0], [16384.0] * 2, [16384.0] * 3)
_WEIGHTS = (2.0**-12, 2.0**-8, 2.0**-4, 1.0, 16.0, 256.0)
_POWERS = tuple(2.0**exponent for exponent in range(-12, 5))
_BIASES = (0.25, 2.0**-12, _STEP, _STEP / 2, 1.5 * _STEP, _STEP / 4, _STEP / 16, 1000.5, 2049.0, -0.1, -16384.0)
_OVERFLOW: Variants = {"only the complete sum may overflow": {"overflow_order": "total"}}

Vector = Sequence[float]


def kit_cases() -> Iterator[DeviceCase]:
    """All cases of the kit, in running order."""
    yield _sums("small", "Is the step 2^-16, and are products rounded to it, ties away from zero?", _small())
    yield _sums("rounding", "Is the sum rounded to fp16 with ties away from zero?", _rounding())
    yield _sums("survivors", "Does a small term survive next to two large ones that cancel?", _survivors())
    yield _products("step", "How is a product near the step rounded, whatever its factors are?", _POWERS, _near_step())
    mantissas = (0.375, 0.75, 1.5, 3.0)
    yield _products("mantissas", "Does the mantissa of a weight matter for rounding?", mantissas, _mantissas())
    yield _products("drop", "Is a product dropped by its exponents alone, even one of 1.98 steps?", *_dropped())
    yield _biases("bias", _BIASES)
    for kind in (ElementWiseKind.ADD, ElementWiseKind.SUB, ElementWiseKind.MULT):
        yield _planar(kind)
    yield _sums("range", "Where does a sum become infinite: at 32768, whatever its terms are?", _range())
    yield _products("scaled-range", "Do range and step depend on the weight?", _WEIGHTS, _large())
    yield _sums("sticky", "Does a sum that was infinite once remain infinite?", _sticky())
    yield _biases("bias-overflow", (32.0, -32.0, 16384.0, -32768.0))
    yield _special()


def vectors(case: DeviceCase) -> int:
    """The number of single sums in a case of the kit: one for each output channel and column."""
    return int(np.prod(case.net.shapes["out"].ndchw))


def _sums(name: str, question: str, columns: Sequence[Vector]) -> DeviceCase:
    """Sums of values, all with weight 1."""
    inputs = {"x": _columns(columns)}
    unit = ConvParams(np.ones((1, CHANNELS, 1, 1), np.float16))
    return DeviceCase(f"kit-{name}", GROUP, question, single(inputs, unit), inputs, variants=_OVERFLOW)


def _products(name: str, question: str, weights: Sequence[float], values: Sequence[float]) -> DeviceCase:
    """Each value times each weight, alone in its sum."""
    inputs = {"x": _columns([[value] for value in values])}
    kernel = np.zeros((len(weights), CHANNELS, 1, 1), np.float16)
    kernel[:, 0, 0, 0] = weights
    return DeviceCase(f"kit-{name}", GROUP, question, single(inputs, ConvParams(kernel)), inputs, variants=_OVERFLOW)


def _biases(name: str, biases: Sequence[float]) -> DeviceCase:
    question = "Is the bias the initial value of the accumulator, rounded to its step, and part of its range?"
    inputs = {"x": _columns([*([value] for value in (0.0, _STEP / 2, _STEP, 0.25, 1.0)), *_LARGE_SUMS])}
    ones = np.ones((len(biases), CHANNELS, 1, 1), np.float16)
    scale = GOCParams(np.ones(len(biases), np.float16), to_fp16(np.array(biases, np.float64)))
    net = network(inputs, [(ConvParams(ones), ("x",)), (scale, ("u0",))])
    return DeviceCase(f"kit-{name}", GROUP, question, net, inputs, variants=_OVERFLOW)


def _planar(kind: ElementWiseKind) -> DeviceCase:
    pairs = np.array(
        [(2048.0, 1.0), (-2048.0, -1.0), (2050.0, 1.0), (1.0, _TIE), (16384.0, 16384.0), (32752.0, 16.0),
         (65504.0, 1.0), (40000.0, 1.0), (2.0**-14, 0.0), (2.0**-15, 0.0), (2.0**-20, 0.0), (2.0**-24, 0.0),
         (2.0**-12, 2.0**-12), (256.0, 256.0), (200.0, 200.0)]
    )  # fmt: skip
    inputs = {name: halves(pairs[:, i], (1, 1, 1, 1, len(pairs))) for i, name in enumerate("xy")}
    question = "Does the planar engine round once, ties away from zero, over the whole range of fp16?"
    return DeviceCase(
        f"kit-planar-{kind.name.lower()}", GROUP, question, single(inputs, ElementWiseParams(kind)), inputs
    )


def _special() -> DeviceCase:
    """Infinity, NaN and minus zero, alone in their sums."""
    words = np.array([0x7C00, 0x7C01, 0x7E00, 0x7FFF, 0xFC00, 0xFE00, 0xFFFF, 0x8000], np.uint16).view(np.float16)
    inputs = {"x": np.zeros((1, 1, CHANNELS, 1, len(words)), np.float16)}
    inputs["x"][0, 0, 0, 0] = words
    kernel = np.zeros((4, CHANNELS, 1, 1), np.float16)
    kernel[:, 0, 0, 0] = (2.0**-12, 2.0**-8, 2.0**-4, 1.0)
    question = "Is exponent 31 an ordinary exponent: infinity 65536, NaN 65600 to 131008?"
    return DeviceCase("kit-special", GROUP, question, single(inputs, ConvParams(kernel)), inputs)


def _small() -> list[Vector]:
    powers = [[2.0**-exponent] for exponent in range(13, 25)]
    return [*powers, *([1.5 * value] for (value,) in powers[:11])]


def _rounding() -> list[Vector]:
    large = [[2048.0, 1.0], [2050.0, 1.0], [4096.0, 2.0], [4096.0, 6.0], [1.0, _TIE], [1.0 + 2 * _TIE, _TIE]]
    mixed = [[1.0, _TIE, 2.0**-13], [1.0, _TIE, -(2.0**-13)], [1.0, _TIE / 2, 2.0**-13], [1.0, _TIE, -_STEP]]
    both = [*large, *mixed]
    return [*both, *([-value for value in each] for each in both)]


def _survivors() -> list[Vector]:
    return [[base, 2.0**-exponent, -base] for base in (1024.0, 16384.0) for exponent in range(25)]


def _near_step() -> list[float]:
    """Values of few mantissas whose products with powers of two reach from a quarter of a step to some steps."""
    mantissas = (1.0, 1.25, 1.5, 1.75)
    values = [m * 2.0**exponent for m in mantissas for exponent in range(-22, -2)]
    return [sign * value for value in values if float(to_fp16(value)) == value for sign in (1, -1)]


def _mantissas() -> list[float]:
    targets = [share * _STEP / weight for weight in (0.375, 0.75, 1.5, 3.0) for share in (0.25, 0.5, 0.75, 1.5, 2.5)]
    return [float(to_fp16(sign * value)) for value in targets for sign in (1, -1)]


def _dropped() -> tuple[list[float], list[float]]:
    """Weights and values whose exponents sum to -16 and below, with the largest mantissas."""
    weights = [mantissa * 2.0**-exponent for exponent in (3, 4, 5, 8) for mantissa in (1.5, 1.875, 1.990234375)]
    mantissas = (1.0, 1.25, 1.5, 1.875, 1.9375, 1.990234375)
    return weights, [mantissa * 2.0**-exponent for exponent in range(8, 16) for mantissa in mantissas]


def _range() -> list[Vector]:
    alone = [[value] for value in (16384.0, 24576.0, 32000.0, 32736.0, 32752.0, 32768.0, 40000.0, 65504.0)]
    pairs = [[16000.0] * 2, [16376.0] * 2, [16384.0, 16376.0], [16384.0] * 2, [30000.0, 2752.0], [30000.0, 2768.0]]
    return [*alone, *([-value] for (value,) in alone), *pairs]


def _large() -> list[float]:
    return [3.0, 127.0, 127.9375, 128.125, 32752.0, *(2.0**exponent for exponent in range(-24, 16))]


def _sticky() -> list[Vector]:
    return [
        [16384.0, 16384.0, -16384.0, -16384.0, 1.0],
        [30000.0, 30000.0, -30000.0, -30000.0, 1.0],
        [-16384.0, -16384.0, 16384.0, 16384.0, 1.0],
        [16384.0] * 3 + [-16384.0] * 3 + [1.0],
        [16384.0, 16384.0, 1.0, *([0.0] * (CHANNELS - 5)), -16384.0, -16384.0],
    ]


def _columns(vectors_of: Sequence[Vector]) -> np.ndarray:
    """One column per vector; the channels after its values are zero."""
    array = np.zeros((1, 1, CHANNELS, 1, len(vectors_of)), np.float16)
    for column, values in enumerate(vectors_of):
        array[0, 0, : len(values), 0, column] = values
    return array
