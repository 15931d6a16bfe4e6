"""One question to the hardware: a network small enough that its output reports the answer."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

import numpy as np

from openane.core.types import DType
from openane.net import Net, TensorShape, Unit, UnitParams
from openane.numerics.fp16 import to_fp16
from openane.program import Program


class Standing(Enum):
    """What the encoding of a case rests on; cases that may hang the engine run last."""

    RECORDED = "recorded"
    """Apple's compiler writes the same words."""
    ASSUMED = "assumed"
    """No record shows the encoding; see docs/assumptions.md."""


Variants = Mapping[str, Mapping[str, str]]
"""Name of another hypothesis -> options of the numerics profile under which the simulator computes it."""


Edit = Callable[[Program], Program]
"""Changes a compiled program."""


@dataclass(frozen=True, eq=False)
class DeviceCase:
    """A network, its inputs, and what the outputs would tell.

    Attributes:
        name: short and unique.
        group: the topic ("kernel order").
        question: what the device's output answers.
        net: compiled by this package's own compiler.
        inputs: (N, D, C, H, W) arrays by name.
        standing: what the encoding rests on.
        variants: other hypotheses about the arithmetic that the output may agree with.
        dialect: of the compiler; None takes the target's default.
        edit: changes the program, for encodings that the compiler does not write.
    """

    name: str
    group: str
    question: str
    net: Net
    inputs: Mapping[str, np.ndarray]
    standing: Standing = Standing.RECORDED
    variants: Variants = field(default_factory=dict)
    dialect: str | None = None
    edit: Edit | None = None


def network(inputs: Mapping[str, np.ndarray], units: Sequence[tuple[UnitParams, tuple[str, ...]]]) -> Net:
    """A network whose last unit is the output "out"; the unit at position n before it is called "un".

    Args:
        inputs: arrays that give names, shapes and element types.
        units: parameters and what each unit reads.
    """
    names = [*(f"u{number}" for number in range(len(units) - 1)), "out"]
    made = tuple(Unit(name, params, bottoms) for name, (params, bottoms) in zip(names, units, strict=True))
    shapes = {name: TensorShape.of(array.shape) for name, array in inputs.items()}
    dtypes = {name: DType.of(array) for name, array in inputs.items() if array.dtype != np.float16}
    return Net("net", shapes, {"out": "out"}, made, input_dtypes=dtypes)


def single(inputs: Mapping[str, np.ndarray], params: UnitParams) -> Net:
    """A network of one unit that reads all inputs."""
    return network(inputs, [(params, tuple(inputs))])


def halves(values: np.ndarray | list[float], shape: tuple[int, ...]) -> np.ndarray:
    """An fp16 array of (N, D, C, H, W); values repeat until the shape is full."""
    with np.errstate(over="ignore"):
        return to_fp16(np.resize(np.asarray(values, np.float64), shape))


def every_half() -> np.ndarray:
    """All 65536 bit patterns of fp16 as (1, 1, 1, 256, 256), NaNs included."""
    return np.arange(65536, dtype=np.uint32).astype(np.uint16).view(np.float16).reshape(1, 1, 1, 256, 256)


def impulses(channels: int, rows: int, columns: int) -> np.ndarray:
    """One 1 per channel and nothing else, so far apart that windows of (rows, columns) never see two of them."""
    across = math.ceil(math.sqrt(channels))
    down = -(-channels // across)
    array = np.zeros((1, 1, channels, (down + 1) * rows, (across + 1) * columns), np.float16)
    for channel in range(channels):
        row, column = divmod(channel, across)
        array[0, 0, channel, (row + 1) * rows - 1, (column + 1) * columns - 1] = 1
    return array


def small_integers(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Repeatable integers from -5 to 5: sums of their products are exact under every hypothesis."""
    return to_fp16(np.random.default_rng(seed).integers(-5, 6, shape))


def numbered_kernel(out_channels: int, in_channels: int, rows: int, columns: int) -> np.ndarray:
    """Weights that all differ and are exact in fp16, up to 4095 of them: an output value names its weight."""
    values = np.arange(1, out_channels * in_channels * rows * columns + 1)
    kernel = to_fp16(np.where(values <= 2048, values, 2048 - values))
    return kernel.reshape(out_channels, in_channels, rows, columns)
