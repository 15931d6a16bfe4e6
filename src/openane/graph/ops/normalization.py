"""Normalizations and softmax. Channels are axis 1."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from openane.graph.operation import Operation, OperationCase, TensorType
from openane.graph.ops.support import (
    Arrays,
    Results,
    Types,
    array,
    operand,
    optional,
    optional_array,
    require,
    require_axes,
    require_axis,
    require_broadcast_to,
    require_float,
    require_same_dtype,
    result_dtype,
    sample,
    widen,
)
from openane.graph.ops.unary import Unary

__all__ = [
    "BatchNorm",
    "GroupNorm",
    "Hardmax",
    "InstanceNorm",
    "LayerNorm",
    "LocalResponseNorm",
    "LogSoftmax",
    "LpNorm",
    "RmsNorm",
    "Softmax",
]


def standardize(x: np.ndarray, axes: Sequence[int], epsilon: float) -> np.ndarray:
    """(x - mean) / sqrt(variance + epsilon) over `axes`, with the biased variance."""
    centered = x - np.mean(x, tuple(axes), keepdims=True)
    variance = np.mean(centered * centered, tuple(axes), keepdims=True)
    return centered / np.sqrt(variance + epsilon)


def per_channel(values: np.ndarray, rank: int) -> np.ndarray:
    """One value per channel, shaped to broadcast along axis 1 of `rank` axes, computed in at least float32."""
    return widen(values).reshape(-1, *(1,) * (rank - 2))


@dataclass(frozen=True)
class _AlongAxis(Unary, abstract=True):
    """Base of the softmax family.

    Attributes:
        axis: counted from the front.
    """

    axis: int

    def infer(self, inputs: Types) -> tuple[TensorType, ...]:
        x = operand(inputs, 0, "x")
        require_float(x)
        require_axis(self.axis, len(x.shape))
        return (x,)

    def _shifted(self, x: np.ndarray) -> np.ndarray:
        return x - np.max(x, self.axis, keepdims=True, initial=-np.inf)

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        yield OperationCase(cls(1), (sample(2, 5, 3, 3),))
        yield OperationCase(cls(2), (sample(2, 3, 6),))


@dataclass(frozen=True)
class Softmax(_AlongAxis):
    """e^x / sum of e^x along an axis."""

    prepares_positions: ClassVar[bool] = False
    result_range: ClassVar[tuple[float, float] | None] = (0, 1)

    def apply(self, x: np.ndarray) -> np.ndarray:
        powers = np.exp(self._shifted(x))
        return powers / np.sum(powers, self.axis, keepdims=True)


@dataclass(frozen=True)
class LogSoftmax(_AlongAxis):
    """The logarithm of the softmax along an axis."""

    prepares_positions: ClassVar[bool] = False

    def apply(self, x: np.ndarray) -> np.ndarray:
        shifted = self._shifted(x)
        return shifted - np.log(np.sum(np.exp(shifted), self.axis, keepdims=True))


@dataclass(frozen=True)
class Hardmax(_AlongAxis):
    """1 at the first largest value of an axis, 0 elsewhere."""

    result_range: ClassVar[tuple[float, float] | None] = (0, 1)

    def apply(self, x: np.ndarray) -> np.ndarray:
        y = np.zeros_like(x)
        np.put_along_axis(y, np.argmax(x, self.axis, keepdims=True), 1, self.axis)
        return y


@dataclass(frozen=True)
class BatchNorm(Operation):
    """y = (x - mean) / sqrt(variance + epsilon) * scale + bias, with one given value of each per channel.

    Attributes:
        epsilon: keeps the divisor away from zero.
    """

    epsilon: float = 1e-5

    input_names: ClassVar[tuple[str, ...]] = ("x", "scale", "bias", "mean", "variance")
    is_spatial: ClassVar[bool] = True

    def infer(self, inputs: Types) -> tuple[TensorType, ...]:
        x = operand(inputs, 0, "x")
        require_float(x)
        require(len(x.shape) >= 2, "input 'x' has no channel axis", value=x)
        for index, name in enumerate(self.input_names[1:], 1):
            values = operand(inputs, index, name)
            fits = values.shape == (x.shape[1],)
            require(fits, f"input {name!r} needs one value per channel", value=values, limit=x.shape[1])
            require_float(values, name)
        return (x,)

    def evaluate(self, inputs: Arrays) -> Results:
        x = array(inputs, 0)
        dtype = result_dtype(*inputs) if x.dtype == np.float64 else x.dtype
        scale, bias, mean, variance = (per_channel(array(inputs, i), x.ndim) for i in range(1, 5))
        factor = scale / np.sqrt(variance + self.epsilon)
        return (((widen(x) - mean) * factor + bias).astype(dtype, copy=False),)

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        rest = (sample(3), sample(3, seed=1), sample(3, seed=2), sample(3, seed=3, low=0.5))
        yield OperationCase(cls(), (sample(2, 3, 4, 4), *rest))
        yield OperationCase(cls(0.01), (sample(2, 3), *rest))


@dataclass(frozen=True)
class _Normalization(Operation, abstract=True):
    """Base of the normalizations with an optional scale and bias."""

    input_names: ClassVar[tuple[str, ...]] = ("x", "scale?", "bias?")

    def _check_affine(self, inputs: Types, shape: tuple[int, ...] | None) -> TensorType:
        """`x`; scale and bias must have `shape`, or broadcast to x where it is None."""
        x = operand(inputs, 0, "x")
        require_float(x)
        require_same_dtype(inputs)
        for index, name in ((1, "scale"), (2, "bias")):
            values = optional(inputs, index)
            if values is None:
                continue
            if shape is None:
                require_broadcast_to(values.shape, x.shape, name)
            else:
                fits = values.shape == shape
                require(fits, f"input {name!r} has the wrong shape", value=values, limit=list(shape))
        return x

    def _affine(self, inputs: Arrays, y: np.ndarray, channels: bool) -> Results:
        """`y` scaled and shifted, in the precision of the inputs."""
        for index, apply in ((1, np.multiply), (2, np.add)):
            values = optional_array(inputs, index)
            if values is not None:
                y = apply(y, per_channel(values, y.ndim) if channels else widen(values))
        return (y.astype(result_dtype(*inputs), copy=False),)


@dataclass(frozen=True)
class LayerNorm(_Normalization):
    """x standardized over axes, times scale, plus bias; both broadcast to x by numpy's rule.

    Attributes:
        axes: over which mean and variance are taken, counted from the front.
        epsilon: is added to the variance.
    """

    axes: tuple[int, ...]
    epsilon: float = 1e-5

    def infer(self, inputs: Types) -> tuple[TensorType, ...]:
        x = self._check_affine(inputs, None)
        require_axes(self.axes, len(x.shape))
        return (x,)

    def evaluate(self, inputs: Arrays) -> Results:
        return self._affine(inputs, standardize(widen(array(inputs, 0)), self.axes, self.epsilon), False)

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        yield OperationCase(cls((2,)), (sample(2, 3, 6), sample(6, seed=1), sample(6, seed=2)))
        yield OperationCase(cls((1, 2), 0.01), (sample(2, 3, 6), sample(3, 1, seed=1), None))
        yield OperationCase(cls((1,)), (sample(1, 8, 1, 4), None, None))


@dataclass(frozen=True)
class RmsNorm(_Normalization):
    """x / sqrt(mean of x^2 + epsilon) over axes, times scale, which broadcasts to x.

    Attributes:
        axes: over which the mean is taken, counted from the front.
        epsilon: is added to the mean.
    """

    axes: tuple[int, ...]
    epsilon: float = 1e-5

    input_names: ClassVar[tuple[str, ...]] = ("x", "scale?")

    def infer(self, inputs: Types) -> tuple[TensorType, ...]:
        x = self._check_affine(inputs, None)
        require_axes(self.axes, len(x.shape))
        return (x,)

    def evaluate(self, inputs: Arrays) -> Results:
        x = widen(array(inputs, 0))
        mean = np.mean(x * x, self.axes, keepdims=True)
        return self._affine(inputs, x / np.sqrt(mean + self.epsilon), False)

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        yield OperationCase(cls((2,)), (sample(2, 3, 6), sample(6, seed=1)))
        yield OperationCase(cls((1, 2), 0.01), (sample(2, 3, 6), None))


@dataclass(frozen=True)
class InstanceNorm(_Normalization):
    """Every channel of every item standardized over its spatial axes, times scale, plus bias, per channel.

    Attributes:
        epsilon: is added to the variance.
    """

    epsilon: float = 1e-5

    is_spatial: ClassVar[bool] = True

    def infer(self, inputs: Types) -> tuple[TensorType, ...]:
        x = operand(inputs, 0, "x")
        require(len(x.shape) >= 3, "input 'x' has no spatial axes", value=x)
        return (self._check_affine(inputs, (x.shape[1],)),)

    def evaluate(self, inputs: Arrays) -> Results:
        x = widen(array(inputs, 0))
        return self._affine(inputs, standardize(x, range(2, x.ndim), self.epsilon), True)

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        yield OperationCase(cls(), (sample(2, 3, 4, 5), sample(3), sample(3, seed=1)))
        yield OperationCase(cls(0.01), (sample(2, 3, 7), None, None))


@dataclass(frozen=True)
class GroupNorm(_Normalization):
    """Groups of channels of every item standardized, times scale, plus bias, per channel.

    Attributes:
        groups: number of groups.
        epsilon: is added to the variance.
    """

    groups: int
    epsilon: float = 1e-5

    is_spatial: ClassVar[bool] = True

    def infer(self, inputs: Types) -> tuple[TensorType, ...]:
        x = operand(inputs, 0, "x")
        require(len(x.shape) >= 2, "input 'x' has no channel axis", value=x)
        divides = self.groups >= 1 and x.shape[1] % self.groups == 0
        require(divides, "groups must divide the channels", value=f"{x.shape[1]} in {self.groups}")
        return (self._check_affine(inputs, (x.shape[1],)),)

    def evaluate(self, inputs: Arrays) -> Results:
        x = widen(array(inputs, 0))
        grouped = x.reshape(x.shape[0], self.groups, -1)
        return self._affine(inputs, standardize(grouped, (2,), self.epsilon).reshape(x.shape), True)

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        yield OperationCase(cls(2), (sample(2, 6, 4, 3), sample(6), sample(6, seed=1)))
        yield OperationCase(cls(3, 0.01), (sample(2, 6, 4), None, None))


@dataclass(frozen=True)
class LpNorm(Operation):
    """x divided by its norm over axes: sum of |x| (p = 1), or sqrt(sum of x^2 + epsilon) (p = 2).

    Attributes:
        axes: counted from the front.
        p: 1 or 2.
        epsilon: is added under the root, or to the sum; where the divisor is 0 the result is 0.
    """

    axes: tuple[int, ...]
    p: int = 2
    epsilon: float = 0.0

    def infer(self, inputs: Types) -> tuple[TensorType, ...]:
        x = operand(inputs, 0, "x")
        require_float(x)
        require_axes(self.axes, len(x.shape))
        require(self.p in (1, 2), "the norm must be of order 1 or 2", value=self.p)
        return (x,)

    def evaluate(self, inputs: Arrays) -> Results:
        x = array(inputs, 0)
        wide = widen(x)
        total = np.sum(np.abs(wide) if self.p == 1 else wide * wide, self.axes, keepdims=True) + self.epsilon
        norm = total if self.p == 1 else np.sqrt(total)
        y = np.divide(wide, norm, out=np.zeros_like(wide), where=norm != 0)
        return (y.astype(x.dtype, copy=False),)

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        yield OperationCase(cls((1,)), (sample(2, 5, 3),))
        yield OperationCase(cls((1, 2), 1), (sample(2, 5, 3),))
        yield OperationCase(cls((2,), epsilon=0.1), (sample(2, 5, 3),))
        yield OperationCase(cls((0,)), (np.zeros((2, 3), np.float32),))


@dataclass(frozen=True)
class LocalResponseNorm(Operation):
    """y = x / (bias + alpha/size * sum of x^2 over `size` neighboring channels)^beta.

    Attributes:
        size: channels in the window: (size - 1) // 2 before, the rest after.
        alpha, beta, bias: of the formula.
    """

    size: int
    alpha: float = 1e-4
    beta: float = 0.75
    bias: float = 1.0

    is_spatial: ClassVar[bool] = True

    def infer(self, inputs: Types) -> tuple[TensorType, ...]:
        x = operand(inputs, 0, "x")
        require_float(x)
        require(len(x.shape) >= 2, "input 'x' has no channel axis", value=x)
        require(self.size >= 1, "the window must not be empty", value=self.size)
        return (x,)

    def evaluate(self, inputs: Arrays) -> Results:
        x = array(inputs, 0)
        wide, channels = widen(x), x.shape[1]
        before = (self.size - 1) // 2
        pads = [(0, 0), (before, self.size - 1 - before), *[(0, 0)] * (x.ndim - 2)]
        squares = np.pad(wide * wide, pads)
        total = np.zeros_like(wide)
        for offset in range(self.size):
            total += squares[:, offset : offset + channels]
        y = wide / (self.bias + self.alpha / self.size * total) ** self.beta
        return (y.astype(x.dtype, copy=False),)

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        yield OperationCase(cls(3), (sample(2, 7, 3, 3),))
        yield OperationCase(cls(4, 0.5, 0.6, 2.0), (sample(2, 7, 3),))
