"""Questions about the accumulator of the MAC array: what an M1 has to show, and the open options of the profile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from openane.net import UnitParams
from openane.net.units import ConvParams, GOCParams, LinearParams, MatMulParams, NeuronKind, NeuronParams, Pads
from openane.numerics.fp16 import to_fp16
from openane.runtimes.verification.case import DeviceCase, Variants, halves, network, single

OVERFLOW: Variants = {
    "sums run over the taps first": {"overflow_order": "taps"},
    "only the complete sum may overflow": {"overflow_order": "total"},
}
PASSES: Variants = {
    f"a sum leaves the accumulator as fp16 after every {steps} products": {"pass_steps": str(steps)}
    for steps in (64, 256, 1024)
}
POST_SCALE: Variants = {"PostScale multiplies the fp16 value of the sum": {"post_scale": "fp16-sum"}}
TABLE_INDEX: Variants = {"a table sees the fp16 value of its argument": {"table_index": "fp16"}}
RUN_TIME: Variants = {"run-time tensors are multiplied by the planar engine": {"run_time_kernel": "planar"}}
CONSTANT: Variants = {"a constant is added in the accumulator": {"without_weights": "accumulator"}}
BINARY_POINT: Variants = {
    "binary point 0: range 2048, step 2^-20": {"zero_binary_point": "smaller-step"},
    "binary point 0: range 524288, step 2^-12": {"zero_binary_point": "larger-range"},
}
WINOGRAD: Variants = {"F(2, 3) along the columns": {"winograd": "columns"}}

_EXPONENTS = range(-14, 5)
"""Of the weights of the drop rule's grid."""
_MANTISSAS = (1.0, 1.25, 1.5, 1.9990234375)
_MACOS11 = "macos-11"


def accumulation_cases() -> Iterator[DeviceCase]:
    """All cases of this file."""
    yield from _sums()
    yield from _products()
    yield from _bias()
    yield from _overflow()
    yield from _passes()
    yield from _epilogue()
    yield from _other_paths()


def columns(cases: Sequence[Sequence[float]], channels: int = 64) -> np.ndarray:
    """Each case in a column of its own, its values in the first channels."""
    array = np.zeros((1, 1, channels, 1, len(cases)), np.float16)
    for column, values in enumerate(cases):
        array[0, 0, : len(values), 0, column] = values
    return array


def ones(channels: int = 64) -> ConvParams:
    """A 1x1 convolution that adds all channels, in two outputs."""
    return ConvParams(np.ones((2, channels, 1, 1), np.float16))


def _sums() -> Iterator[DeviceCase]:
    step, tie = 2.0**-16, 2.0**-11
    probes: dict[str, list[list[float]]] = {
        "range": [[16384.0], [32752.0], [32768.0], [16384.0, 16368.0], [16384.0, 16376.0], [16384.0] * 2,
                  [-16384.0, -16384.0], [30000.0, 2752.0], [30000.0, 2768.0], [60000.0]],
        "step": [[step * factor] for factor in (2, 1, 0.5, 0.25, 1.5, 0.75, 0.375)],
        "ties": [[2048.0, 1.0], [-2048.0, -1.0], [2050.0, 1.0], [1.0, tie], [-1.0, -tie], [1.0, tie / 2]],
        "survivors": [[base, 2.0**-k, -base] for base in (1024.0, 16384.0) for k in (0, 8, 14, 16, 18)],
        "sticky": [[16384.0, 16384.0, -16384.0, -16384.0, 1.0], [30000.0, 30000.0, -30000.0, -30000.0, 1.0]],
        "triples": [[base, -base, 1.0] * 16 for base in (1024.0, 3000.0, 4096.0, 8000.0, 30000.0)],
    }  # fmt: skip
    question = "Does the sum have the step 2^-16, the range 32768 and ties away from zero, as other chips have shown?"
    for name, cases in probes.items():
        inputs = {"x": columns(cases)}
        group = "saturation" if name in ("range", "sticky") else "accumulator"
        yield DeviceCase(f"sum-{name}", group, question, single(inputs, ones()), inputs, variants=OVERFLOW)
    generator = np.random.default_rng(11)
    rows = {"x": to_fp16(generator.standard_normal((1, 1, 1, 4, 512)))}
    weight = to_fp16(generator.standard_normal((8, 512)) / 16)
    question = "Do matmuls and convolutions accumulate in the same way?"
    yield DeviceCase("sum-linear", "accumulator", question, single(rows, LinearParams(weight)), rows, variants=PASSES)
    channels = {"x": np.ascontiguousarray(rows["x"].reshape(4, 512).T).reshape(1, 1, 512, 1, 4)}
    unit = ConvParams(weight.reshape(8, 512, 1, 1))
    yield DeviceCase("sum-conv", "accumulator", question, single(channels, unit), channels, variants=PASSES)


def _products() -> Iterator[DeviceCase]:
    question = "Which products are dropped because of their exponents, and how are the others rounded to the step?"
    weights = halves([2.0**e * m for e in _EXPONENTS for m in _MANTISSAS], (76, 1, 1, 1))
    values = halves([2.0**e * m for e in range(-24, 6) for m in _MANTISSAS], (1, 1, 1, 1, 120))
    kernel = np.concatenate([weights, np.zeros_like(weights)], axis=1)
    inputs = {"x": np.concatenate([values, values], axis=2)}
    yield DeviceCase("product-exponents", "accumulator", question, single(inputs, ConvParams(kernel)), inputs)
    question = "Is exponent 31 an ordinary exponent: infinity 65536, NaN 65600 to 131008?"
    words = np.array([0x7C00, 0x7C01, 0x7E00, 0x7FFF, 0xFC00, 0xFE00, 0x8000, 0x0001], np.uint16).view(np.float16)
    inputs = {"x": np.stack([words, np.zeros_like(words)]).reshape(1, 1, 2, 1, 8)}
    kernel = halves([2.0**-12, 0, 2.0**-4, 0, 1, 0, -0.5, 0], (4, 2, 1, 1))
    yield DeviceCase("product-special", "accumulator", question, single(inputs, ConvParams(kernel)), inputs)


def _bias() -> Iterator[DeviceCase]:
    question = "Is the bias the initial value of the accumulator, rounded to its step?"
    inputs = {"x": columns([[16384.0, 16384.0], [32736.0], [2.0**-16], [0.0]], 2)}
    biases = np.array([-16384.0, 32.0, 2.0**-17, 2.0**-18, 1.5 * 2.0**-16, 2049.0, -32768.0, 0.1], np.float16)
    units = [
        (ConvParams(np.ones((8, 2, 1, 1), np.float16)), ("x",)),
        (GOCParams(np.ones(8, np.float16), biases), ("u0",)),
    ]
    yield DeviceCase("bias-start", "accumulator", question, network(inputs, units), inputs, variants=OVERFLOW)


def _overflow() -> Iterator[DeviceCase]:
    question = "Which order of additions decides whether a running total leaves the range?"
    image = np.zeros((1, 1, 2, 1, 8), np.float16)
    image[0, 0, 0], image[0, 0, 1] = 20000, -20000
    kernel = np.ones((2, 2, 1, 3), np.float16)
    inputs = {"x": image}
    unit = ConvParams(kernel, pads=Pads(1, 1, 0, 0))
    yield DeviceCase("overflow-taps", "overflow order", question, single(inputs, unit), inputs, variants=OVERFLOW)


def _passes() -> Iterator[DeviceCase]:
    question = "Does a long sum leave the accumulator before it is complete?"
    for channels in (1024, 4096):
        part = [0.1] * (channels // 2 - 1)
        inputs = {"x": columns([[2048.0, *part, -2048.0, *part]], channels)}
        net = single(inputs, ones(channels))
        yield DeviceCase(f"passes-{channels}", "passes", question, net, inputs, variants=PASSES)


def _epilogue() -> Iterator[DeviceCase]:
    question = "Does PostScale multiply the sum or its fp16 value?"
    rows = halves([2048.0, 1.0, 2050.0, 1.0, 1.0, 2.0**-11, 4097.0, 2.0, 1 / 3, 2.0**-13], (1, 1, 1, 5, 2))
    both = {"x": rows, "y": np.ones((1, 1, 1, 2, 4), np.float16)}
    units: list[tuple[UnitParams, tuple[str, ...]]] = [(MatMulParams(), ("x", "y")), (GOCParams(3.0, 0.0), ("u0",))]
    yield DeviceCase("post-scale", "epilogue", question, network(both, units), both, variants=POST_SCALE)
    question = "Does PostScale exactly undo a kernel factor of 2^10, as rescaled kernels require?"
    generator = np.random.default_rng(16)
    inputs = {"x": to_fp16(generator.standard_normal((1, 1, 32, 2, 8)) / 64)}
    kernel = to_fp16(generator.standard_normal((4, 32, 1, 1)) * 2.0**7)
    units = [(ConvParams(kernel), ("x",)), (GOCParams(2.0**-10, 0.0), ("u0",))]
    yield DeviceCase("post-scale-power", "epilogue", question, network(inputs, units), inputs, variants=POST_SCALE)
    question = "Is the argument of a table after a convolution the sum or its fp16 value?"
    values = np.linspace(-4, 4, 128)
    inputs = {"x": to_fp16(np.stack([values, values * 2.0**-9])).reshape(1, 1, 2, 4, 32)}
    tanh = [(ConvParams(np.ones((2, 2, 1, 1), np.float16)), ("x",)), (NeuronParams(NeuronKind.TANH), ("u0",))]
    yield DeviceCase("table-of-sum", "epilogue", question, network(inputs, tanh), inputs, variants=TABLE_INDEX)


def _other_paths() -> Iterator[DeviceCase]:
    question = "Does the MAC array multiply two run-time tensors, with the same arithmetic as constant weights?"
    triples = np.array([[base, -base, 1.0] * 16 for base in (1024.0, 3000.0, 4096.0, 8000.0)], np.float16)
    factors = halves([1.0, 1.0, 1.0, *np.random.default_rng(5).standard_normal(45)], (1, 1, 1, 48, 4))
    both = {"x": triples.reshape(1, 1, 1, 4, 48), "y": factors}
    yield DeviceCase("run-time-matmul", "other paths", question, single(both, MatMulParams()), both, variants=RUN_TIME)
    question = "Is the constant of 1 / (x + 1e-4) added in the accumulator, as on a later chip?"
    inputs = {"x": halves(list(np.linspace(2.0**-6, 2, 128)), (1, 1, 1, 4, 32))}
    net = single(inputs, NeuronParams(NeuronKind.RECIPROCAL, alpha=1e-4))
    yield DeviceCase("constant-sum", "other paths", question, net, inputs, variants=CONSTANT)
    question = "What does binary point 0 of macOS 11 programs mean?"
    inputs = {"x": halves([2.0**-18, 2.0**-16, 2.0**-13, 2000.0, 3000.0, 60000.0], (1, 1, 1, 1, 6))}
    net = single(inputs, NeuronParams(NeuronKind.RELU))
    yield DeviceCase("binary-point-0", "other paths", question, net, inputs, variants=BINARY_POINT, dialect=_MACOS11)
    question = "Are 3x3 convolutions computed with a Winograd transform, as on later chips?"
    generator = np.random.default_rng(1)
    inputs = {"x": to_fp16(generator.standard_normal((1, 1, 4, 4, 6)))}
    kernel = to_fp16(generator.standard_normal((4, 4, 3, 3)) / 9)
    unit = ConvParams(kernel, pads=Pads(1, 1, 1, 1))
    yield DeviceCase("winograd", "other paths", question, single(inputs, unit), inputs, variants=WINOGRAD)
