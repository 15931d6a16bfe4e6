"""Convolutions over any number of spatial axes, channels in front: (N, C, spatial...)."""

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
    product_of,
    require,
    require_same_dtype,
    result_dtype,
    sample,
    taps,
    widen,
)

__all__ = [
    "Conv",
    "ConvTranspose",
]

#: Columns gathered at a time, in elements; bounds the memory of the reference convolution.
_COLUMN_LIMIT = 1 << 24


@dataclass(frozen=True)
class _Convolution(Operation, abstract=True):
    """What both convolutions share.

    Attributes:
        strides: step of the kernel per spatial axis.
        pads: zeros before every spatial axis, then after every one.
        dilations: distance of kernel elements per spatial axis.
        groups: channels are split in so many independent groups.
    """

    strides: tuple[int, ...] = (1, 1)
    pads: tuple[int, ...] = (0, 0, 0, 0)
    dilations: tuple[int, ...] = (1, 1)
    groups: int = 1

    input_names: ClassVar[tuple[str, ...]] = ("x", "weight", "bias?")
    is_spatial: ClassVar[bool] = True
    sums_products: ClassVar[bool] = True
    is_linear: ClassVar[bool] = True

    def _check(self, inputs: Types) -> tuple[TensorType, TensorType]:
        x, weight = operand(inputs, 0, "x"), operand(inputs, 1, "weight")
        require_same_dtype(inputs)
        rank = len(self.strides)
        require(len(x.shape) == rank + 2, "input 'x' has the wrong rank", value=x, limit=f"rank {rank + 2}")
        require(len(weight.shape) == rank + 2, "input 'weight' has the wrong rank", value=weight)
        require(len(self.pads) == 2 * rank, "pads must name both sides of every axis", value=self.pads)
        require(len(self.dilations) == rank, "one dilation is needed per axis", value=self.dilations)
        require(self.groups >= 1, "groups must be positive", value=self.groups)
        for name, values in (("strides", self.strides), ("dilations", self.dilations)):
            require(all(v >= 1 for v in values), f"{name} must be positive", value=values)
        require(all(v >= 1 for v in weight.shape), "the weight is empty", value=weight)
        require(all(v >= 0 for v in self.pads), "pads must not be negative", value=self.pads)
        return x, weight

    def _check_bias(self, inputs: Types, channels: int) -> None:
        bias = optional(inputs, 2)
        if bias is not None:
            require(bias.shape == (channels,), "bias needs one value per channel", value=bias, limit=channels)


@dataclass(frozen=True)
class Conv(_Convolution):
    """Cross-correlation: y[n,o,p] = bias[o] + sum over c, k of x[n, c, p*stride + k*dilation - pad] * weight[o,c,k].

    x is (N, Cin, spatial...), weight (Cout, Cin / groups, kernel...), bias (Cout,). Positions outside x are 0.
    """

    def infer(self, inputs: Types) -> tuple[TensorType, ...]:
        x, weight = self._check(inputs)
        out, channels = weight.shape[0], weight.shape[1] * self.groups
        require(x.shape[1] == channels, "channels of x and weight differ", value=x.shape[1], limit=channels)
        require(out % self.groups == 0, "groups must divide the channels", value=f"{out} in {self.groups}")
        self._check_bias(inputs, out)
        spatial = self._spatial(x.shape[2:], weight.shape[2:])
        require(all(e >= 1 for e in spatial), "the kernel is larger than the padded input", value=x)
        return (TensorType((x.shape[0], out, *spatial), x.dtype),)

    def _spatial(self, extents: Sequence[int], kernel: Sequence[int]) -> tuple[int, ...]:
        rank = len(self.strides)
        return tuple(
            (e + b + a - (k - 1) * d - 1) // s + 1
            for e, b, a, k, d, s in zip(
                extents, self.pads[:rank], self.pads[rank:], kernel, self.dilations, self.strides, strict=True
            )
        )

    def macs(self, inputs: Types, outputs: Sequence[TensorType]) -> int:
        return outputs[0].size * product_of(operand(inputs, 1, "weight").shape[1:])

    def evaluate(self, inputs: Arrays) -> Results:
        x, weight, bias = array(inputs, 0), array(inputs, 1), optional_array(inputs, 2)
        dtype, rank = result_dtype(x, weight, bias), len(self.strides)
        spatial = self._spatial(x.shape[2:], weight.shape[2:])
        pads = list(zip(self.pads[:rank], self.pads[rank:], strict=True))
        x = np.pad(widen(x.astype(dtype, copy=False)), [(0, 0), (0, 0), *pads])
        weight = widen(weight.astype(dtype, copy=False))
        groups, out = self.groups, weight.shape[0] // self.groups
        x = x.reshape(x.shape[0], groups, x.shape[1] // groups, *x.shape[2:])
        if weight.shape[1] == 1:
            y = self._by_taps(x, weight.reshape(groups, out, *weight.shape[2:]), spatial)
        else:
            y = self._by_columns(x, weight.reshape(groups, out, -1), weight.shape[2:], spatial)
        y = y.reshape(x.shape[0], groups * out, *spatial)
        if bias is not None:
            y = y + widen(bias).reshape(-1, *(1,) * rank)
        return (y.astype(dtype, copy=False),)

    def _by_taps(self, x: np.ndarray, weight: np.ndarray, spatial: tuple[int, ...]) -> np.ndarray:
        """One input channel per group: a sum of scaled views."""
        y = np.zeros((x.shape[0], *weight.shape[:2], *spatial), x.dtype)
        views = taps(x, spatial, weight.shape[2:], self.strides, self.dilations)
        factors = weight.reshape(*weight.shape[:2], -1, *(1,) * len(spatial))
        for number, view in enumerate(views):
            y += view * factors[:, :, number]
        return y

    def _by_columns(
        self, x: np.ndarray, weight: np.ndarray, kernel: tuple[int, ...], spatial: tuple[int, ...]
    ) -> np.ndarray:
        """Matrix products of the kernel (groups, out, in * taps) with gathered columns, some rows at a time."""
        batch, groups, channels = x.shape[:3]
        y = np.empty((batch, *weight.shape[:2], *spatial), x.dtype)
        inner = product_of(spatial[1:])
        row_size = batch * groups * weight.shape[2] * inner
        rows = max(1, _COLUMN_LIMIT // max(row_size, 1))
        for start in range(0, spatial[0], rows):
            count = min(rows, spatial[0] - start)
            block = x[:, :, :, start * self.strides[0] :]
            columns = np.empty((batch, groups, channels, product_of(kernel), count, *spatial[1:]), x.dtype)
            views = taps(block, (count, *spatial[1:]), kernel, self.strides, self.dilations)
            for number, view in enumerate(views):
                columns[:, :, :, number] = view
            product = weight @ columns.reshape(batch, groups, weight.shape[2], count * inner)
            y[:, :, :, start : start + count] = product.reshape(batch, *weight.shape[:2], count, *spatial[1:])
        return y

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        x, weight = sample(2, 4, 7, 6), sample(6, 4, 3, 2, seed=1)
        yield OperationCase(cls(), (x, weight, None))
        yield OperationCase(cls((2, 1), (1, 0, 2, 1), (1, 2)), (x, weight, sample(6, seed=2)))
        yield OperationCase(cls(groups=2), (x, sample(6, 2, 3, 3, seed=3), None))
        yield OperationCase(cls(groups=4), (x, sample(8, 1, 3, 3, seed=4), sample(8, seed=5)))
        yield OperationCase(cls((2,), (3, 3), (1,)), (sample(1, 3, 9), sample(5, 3, 4, seed=6), None))
        yield OperationCase(cls((1, 2, 1), (1,) * 6, (1, 1, 1)), (sample(1, 2, 4, 5, 4), sample(3, 2, 2, 3, 1), None))


@dataclass(frozen=True)
class ConvTranspose(_Convolution):
    """The gradient of Conv with respect to its input: every x value adds its scaled kernel to the result.

    x is (N, Cin, spatial...), weight (Cin, Cout / groups, kernel...), bias (Cout,); `pads` are cut off the result:
    extent = (in - 1)*stride + (kernel - 1)*dilation + 1 + output_padding - begin - end.

    Attributes:
        output_padding: extra positions after each spatial axis, () for none.
    """

    output_padding: tuple[int, ...] = ()

    def _spatial(self, extents: Sequence[int], kernel: Sequence[int]) -> tuple[int, ...]:
        rank = len(self.strides)
        extra = self.output_padding or (0,) * rank
        return tuple(
            (e - 1) * s + (k - 1) * d + 1 + o - b - a
            for e, s, k, d, o, b, a in zip(
                extents,
                self.strides,
                kernel,
                self.dilations,
                extra,
                self.pads[:rank],
                self.pads[rank:],
                strict=True,
            )
        )

    def infer(self, inputs: Types) -> tuple[TensorType, ...]:
        x, weight = self._check(inputs)
        require(x.shape[1] == weight.shape[0], "channels of x and weight differ", value=f"{x} and {weight}")
        divides = x.shape[1] % self.groups == 0
        require(divides, "groups must divide the channels", value=f"{x.shape[1]} in {self.groups}")
        extra = self.output_padding
        require(len(extra) in (0, len(self.strides)), "one output padding is needed per axis", value=extra)
        require(all(e >= 0 for e in extra), "output padding must not be negative", value=extra)
        out = weight.shape[1] * self.groups
        self._check_bias(inputs, out)
        spatial = self._spatial(x.shape[2:], weight.shape[2:])
        require(all(e >= 1 for e in spatial), "pads cut the whole result off", value=spatial)
        return (TensorType((x.shape[0], out, *spatial), x.dtype),)

    def macs(self, inputs: Types, outputs: Sequence[TensorType]) -> int:
        return operand(inputs, 0, "x").size * product_of(operand(inputs, 1, "weight").shape[1:])

    def evaluate(self, inputs: Arrays) -> Results:
        x, weight, bias = array(inputs, 0), array(inputs, 1), optional_array(inputs, 2)
        dtype, rank, groups = result_dtype(x, weight, bias), len(self.strides), self.groups
        spatial, extents, kernel = self._spatial(x.shape[2:], weight.shape[2:]), x.shape[2:], weight.shape[2:]
        x, weight = widen(x.astype(dtype, copy=False)), widen(weight.astype(dtype, copy=False))
        x = x.reshape(x.shape[0], groups, x.shape[1] // groups, -1)
        weight = weight.reshape(groups, x.shape[2], weight.shape[1], -1)
        begins, ends = self.pads[:rank], self.pads[rank:]
        whole = [o + b + a for o, b, a in zip(spatial, begins, ends, strict=True)]
        y = np.zeros((x.shape[0], groups, weight.shape[2], *whole), x.dtype)
        for number, view in enumerate(taps(y, extents, kernel, self.strides, self.dilations)):
            part = weight[:, :, :, number].swapaxes(1, 2) @ x
            view += part.reshape(view.shape)
        y = y.reshape(x.shape[0], groups * weight.shape[2], *whole)
        inside = (slice(b, b + o) for b, o in zip(begins, spatial, strict=True))
        y = y[(slice(None), slice(None), *inside)]
        if bias is not None:
            y = y + widen(bias).reshape(-1, *(1,) * rank)
        return (y.astype(dtype, copy=False),)

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        x, weight = sample(1, 4, 5, 4), sample(4, 3, 3, 2, seed=1)
        yield OperationCase(cls(), (x, weight, None))
        yield OperationCase(cls((2, 2), (1, 0, 0, 1), (1, 2), output_padding=(1, 0)), (x, weight, sample(3, seed=2)))
        yield OperationCase(cls((2, 1), groups=2), (x, sample(4, 3, 2, 2, seed=3), sample(6, seed=4)))
        yield OperationCase(cls((2,), (1, 1), (1,)), (sample(1, 3, 6), sample(3, 2, 4, seed=5), None))
