"""One question to the hardware: a network small enough that its output tells the answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

import numpy as np

from openane.core.types import DType
from openane.net import Net, TensorShape, Unit, UnitParams


class Standing(Enum):
    """What the encoding of a case rests on; cases that may hang the engine run last."""

    RECORDED = "recorded"
    """Apple's compiler writes the same words."""
    ASSUMED = "assumed"
    """No record shows the encoding; see docs/assumptions.md."""


Variants = Mapping[str, Mapping[str, str]]
"""Name of another hypothesis -> options of the numerics profile under which the simulator computes it."""


@dataclass(frozen=True, eq=False)
class Case:
    """A network, its inputs, and what the outputs would tell.

    Attributes:
        name: short and unique.
        group: the topic ("kernel order").
        question: what the device's output answers.
        net: compiled by this package's own compiler.
        inputs: (N, D, C, H, W) arrays by name.
        standing: what the encoding rests on.
        variants: other hypotheses about the arithmetic that the output may agree with.
    """

    name: str
    group: str
    question: str
    net: Net
    inputs: Mapping[str, np.ndarray]
    standing: Standing = Standing.RECORDED
    variants: Variants = field(default_factory=dict)


def chain(inputs: Mapping[str, np.ndarray], *units: UnitParams) -> Net:
    """A network of units one behind the other; the first reads all inputs, the last is the output "out".

    Args:
        inputs: arrays that give names, shapes and element types.
        units: in order.
    """
    made: list[Unit] = []
    bottoms = tuple(inputs)
    for number, params in enumerate(units):
        name = f"u{number}" if number + 1 < len(units) else "out"
        made.append(Unit(name, params, bottoms))
        bottoms = (name,)
    shapes = {name: TensorShape.of(array.shape) for name, array in inputs.items()}
    dtypes = {name: DType.of(array) for name, array in inputs.items() if array.dtype != np.float16}
    return Net("net", shapes, {"out": bottoms[0]}, tuple(made), input_dtypes=dtypes)


def halves(values: np.ndarray | list[float], shape: tuple[int, ...]) -> np.ndarray:
    """An fp16 array of (N, D, C, H, W); values repeat until the shape is full."""
    with np.errstate(over="ignore"):
        return np.resize(np.asarray(values, np.float64), shape).astype(np.float16)


def every_half() -> np.ndarray:
    """All 65536 bit patterns of fp16 as (1, 1, 1, 256, 256), NaNs included."""
    return np.arange(65536, dtype=np.uint32).astype(np.uint16).view(np.float16).reshape(1, 1, 1, 256, 256)


def impulses(channels: int, height: int, width: int) -> np.ndarray:
    """One 1 per channel and nothing else, each at its own place, far enough apart to keep windows distinct."""
    array = np.zeros((1, 1, channels, height, width), np.float16)
    for channel in range(channels):
        array[0, 0, channel, (3 + 5 * channel) % height, (2 + 7 * channel) % width] = 1
    return array


def numbered_kernel(out_channels: int, in_channels: int, rows: int, columns: int) -> np.ndarray:
    """Weights that all differ and are exact in fp16: an output value names its weight.

    Integers up to 2048 are exact; beyond that only multiples of 2, 4, ... are, up to 4095 * 16.
    """
    count = out_channels * in_channels * rows * columns
    order = np.arange(count)
    values = np.where(order < 1023, order + 1, -(order - 1022.0))
    if count > 2046:
        values = np.where(order < 2046, values, (order - 2045.0) / 2048)
    return values.astype(np.float16).reshape(out_channels, in_channels, rows, columns)
