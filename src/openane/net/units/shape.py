"""Units that move, repeat or make elements without arithmetic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, ClassVar

import numpy as np

from openane.core.errors import ModelError
from openane.net.net import TensorShape, UnitParams
from openane.net.schema.parameters import (
    ArrayKeys,
    ChoiceKey,
    IntegerKey,
    IntegerKeys,
    Keys,
    NumberKey,
    PermutationKey,
    ReadContext,
    TableKey,
)
from openane.net.units.dimensions import Dimension, one, positive

__all__ = [
    "BroadcastParams",
    "ConcatParams",
    "ConstantParams",
    "InputViewParams",
    "PadKind",
    "PadParams",
    "ReshapeParams",
    "TileParams",
    "TransposeParams",
]


@dataclass(frozen=True)
class BroadcastParams(UnitParams):
    """Repeats a tensor along dimensions of size 1.

    Attributes:
        sizes: the new size of each named dimension; others stay.
    """

    sizes: Annotated[Mapping[Dimension, int], TableKey("BroadcastInfo", Dimension, ("Size",), least=1)]
    plist_type: ClassVar[str] = "Broadcast"

    def infer(self, bottoms: Sequence[TensorShape]) -> TensorShape:
        """Only a dimension of size 1 may grow; naming one with its own size is allowed."""
        shape = one(bottoms)
        for dimension, size in self.sizes.items():
            positive(size, "the size of a broadcast")
            extent = dimension.extent(shape)
            if extent not in (1, size):
                raise ModelError(f"cannot broadcast {dimension.value}", value=f"{extent} to {size}", limit="from 1")
            shape = dimension.resize(shape, size)
        return shape

    def evaluate(self, bottoms: Sequence[np.ndarray]) -> np.ndarray:
        """A read-only view of the bottom."""
        (x,) = bottoms
        return np.broadcast_to(x, self.infer([TensorShape.of(x.shape)]).ndchw)


_EXTENT_KEYS = IntegerKeys(("Batch", "Depth", "Channel", "Height", "Width"), absent=1, least=1)


def _array_shape(context: ReadContext) -> list[int]:
    return _EXTENT_KEYS.integers(context.params)


def _array_keys(array: np.ndarray) -> Keys:
    return dict(zip(_EXTENT_KEYS.keys, array.shape, strict=True))


@dataclass(frozen=True, eq=False)
class ConstantParams(UnitParams):
    """A tensor known at compile time; no bottoms.

    Attributes:
        array: (N, D, C, H, W).
    """

    array: Annotated[np.ndarray, ArrayKeys("Data", _array_shape, _array_keys)]
    plist_type: ClassVar[str] = "Constant"

    def infer(self, bottoms: Sequence[TensorShape]) -> TensorShape:
        """The shape of the array."""
        if bottoms:
            raise ModelError("a constant reads nothing", value=f"{len(bottoms)} bottoms")
        if self.array.ndim != 5 or not self.array.size:
            raise ModelError("a constant needs five axes (N, D, C, H, W)", value=self.array.shape)
        return TensorShape.of(self.array.shape)

    def evaluate(self, bottoms: Sequence[np.ndarray]) -> np.ndarray:
        """The array itself."""
        return self.array


@dataclass(frozen=True)
class ConcatParams(UnitParams):
    """Joins tensors along one dimension, in the order of the bottoms.

    Attributes:
        dimension: along which; all others agree.
    """

    dimension: Annotated[Dimension, ChoiceKey("Dimension", Dimension)] = Dimension.CHANNEL
    plist_type: ClassVar[str] = "Concat"
    states_channels: ClassVar[bool] = True

    def infer(self, bottoms: Sequence[TensorShape]) -> TensorShape:
        """The sum of the extents along the dimension."""
        if not bottoms:
            raise ModelError("nothing to concatenate", value="0 bottoms", limit="at least 1")
        for shape in bottoms[1:]:
            if self.dimension.resize(shape, 1) != self.dimension.resize(bottoms[0], 1):
                raise ModelError(
                    f"the bottoms differ outside of {self.dimension.value}",
                    value=f"{bottoms[0].ndchw} and {shape.ndchw} (N, D, C, H, W)",
                )
        return self.dimension.resize(bottoms[0], sum(self.dimension.extent(shape) for shape in bottoms))

    def evaluate(self, bottoms: Sequence[np.ndarray]) -> np.ndarray:
        """A copy."""
        return np.concatenate(list(bottoms), axis=self.dimension.axis)


_RESHAPED_KEYS = IntegerKeys(
    ("ReshapedBatch", "ReshapedDepth", "ReshapedChannel", "ReshapedHeight", "ReshapedWidth"),
    make=TensorShape.of,
    take=lambda shape: shape.ndchw,
    absent=1,
    least=1,
)


@dataclass(frozen=True)
class ReshapeParams(UnitParams):
    """The same elements in the same row-major (N, D, C, H, W) order under other extents.

    Attributes:
        shape: of the result.
    """

    shape: Annotated[TensorShape, _RESHAPED_KEYS]
    plist_type: ClassVar[str] = "Reshape"

    def infer(self, bottoms: Sequence[TensorShape]) -> TensorShape:
        """The number of elements stays."""
        source = one(bottoms)
        for extent in self.shape.ndchw:
            positive(extent, "an extent")
        if source.size != self.shape.size:
            raise ModelError(
                "a reshape keeps the number of elements",
                value=f"{source.ndchw} to {self.shape.ndchw} (N, D, C, H, W)",
            )
        return self.shape

    def evaluate(self, bottoms: Sequence[np.ndarray]) -> np.ndarray:
        """A view where numpy can give one."""
        (x,) = bottoms
        return x.reshape(self.shape.ndchw)


@dataclass(frozen=True)
class TransposeParams(UnitParams):
    """Swaps dimensions.

    Attributes:
        permutation: for each axis of the (N, D, C, H, W) result the axis of the source, as in `numpy.transpose`.
    """

    permutation: Annotated[tuple[int, int, int, int, int], PermutationKey("Dimensions", Dimension)]
    plist_type: ClassVar[str] = "Transpose"

    def infer(self, bottoms: Sequence[TensorShape]) -> TensorShape:
        """The extents, permuted."""
        shape = one(bottoms)
        if sorted(self.permutation) != [0, 1, 2, 3, 4]:
            raise ModelError("not a permutation of five axes", value=self.permutation)
        return TensorShape.of([shape.ndchw[axis] for axis in self.permutation])

    def evaluate(self, bottoms: Sequence[np.ndarray]) -> np.ndarray:
        """A view."""
        (x,) = bottoms
        return x.transpose(self.permutation)


@dataclass(frozen=True)
class InputViewParams(UnitParams):
    """A slice: `size` elements from `offset` on, every `step`-th, along one dimension.

    Attributes:
        dimension: along which.
        offset: first element.
        size: number of elements of the result.
        step: distance of elements, at least 1.
    """

    dimension: Annotated[Dimension, ChoiceKey("Dimension", Dimension)]
    offset: Annotated[int, IntegerKey("Offset", absent=0)]
    size: Annotated[int, IntegerKey("Size", least=1)]
    step: Annotated[int, IntegerKey("Step", least=1, optional=True)] = 1
    plist_type: ClassVar[str] = "InputView"

    def infer(self, bottoms: Sequence[TensorShape]) -> TensorShape:
        """The slice must lie inside the bottom."""
        shape = one(bottoms)
        positive(self.size, "the size of a view")
        positive(self.step, "the step of a view")
        last = self.offset + (self.size - 1) * self.step
        if self.offset < 0 or last >= self.dimension.extent(shape):
            raise ModelError(
                f"the view leaves the tensor along {self.dimension.value}",
                value=f"elements {self.offset} to {last}",
                limit=f"0 to {self.dimension.extent(shape) - 1}",
            )
        return self.dimension.resize(shape, self.size)

    def evaluate(self, bottoms: Sequence[np.ndarray]) -> np.ndarray:
        """A view."""
        (x,) = bottoms
        chosen = [slice(None)] * 5
        chosen[self.dimension.axis] = slice(self.offset, self.offset + (self.size - 1) * self.step + 1, self.step)
        return x[tuple(chosen)]


class PadKind(Enum):
    """What new elements hold. The value is the name in a net.plist."""

    CONSTANT = "Constant"
    REFLECT = "Reflect"
    REPLICATE = "Replicate"
    SYMMETRIC = "Symmetric"


_NUMPY_PAD_MODES = {
    PadKind.REFLECT: "reflect",
    PadKind.REPLICATE: "edge",
    PadKind.SYMMETRIC: "symmetric",
}


@dataclass(frozen=True)
class PadParams(UnitParams):
    """Adds elements around a tensor.

    Attributes:
        amounts: (before, after) for each named dimension, 0 or more.
        mode: what the new elements hold: `value`, a mirror without (REFLECT) or with (SYMMETRIC) the edge, the edge.
        value: for CONSTANT.
    """

    amounts: Annotated[
        Mapping[Dimension, tuple[int, int]], TableKey("PadInfo", Dimension, ("Before", "After"), least=0)
    ]
    mode: Annotated[PadKind, ChoiceKey("PadMode", PadKind)] = PadKind.CONSTANT
    value: Annotated[float, NumberKey("PadValue")] = 0.0
    plist_type: ClassVar[str] = "Pad"

    def infer(self, bottoms: Sequence[TensorShape]) -> TensorShape:
        """Mirrors cannot reach further than the tensor."""
        shape = one(bottoms)
        for dimension, (before, after) in self.amounts.items():
            extent = dimension.extent(shape)
            reach = {PadKind.REFLECT: extent - 1, PadKind.SYMMETRIC: extent}.get(self.mode)
            if min(before, after) < 0 or (reach is not None and max(before, after) > reach):
                raise ModelError(
                    f"the padding along {dimension.value} does not fit",
                    value=f"{before} and {after}",
                    limit=f"0 to {reach}" if reach is not None else "0 or more",
                )
            shape = dimension.resize(shape, extent + before + after)
        return shape

    def evaluate(self, bottoms: Sequence[np.ndarray]) -> np.ndarray:
        """A copy."""
        (x,) = bottoms
        widths = [(0, 0)] * 5
        for dimension, amounts in self.amounts.items():
            widths[dimension.axis] = amounts
        if self.mode is PadKind.CONSTANT:
            return np.pad(x, widths, constant_values=self.value)
        return np.pad(x, widths, mode=_NUMPY_PAD_MODES[self.mode])  # type: ignore[call-overload]


@dataclass(frozen=True)
class TileParams(UnitParams):
    """Repeats the whole tensor.

    Attributes:
        repeats: how often along each named dimension, at least 1.
    """

    repeats: Annotated[Mapping[Dimension, int], TableKey("TileInfo", Dimension, ("Repeats",), least=1)]
    plist_type: ClassVar[str] = "Tile"

    def infer(self, bottoms: Sequence[TensorShape]) -> TensorShape:
        """Extents times repeats."""
        shape = one(bottoms)
        for dimension, count in self.repeats.items():
            positive(count, "the number of repeats")
            shape = dimension.resize(shape, dimension.extent(shape) * count)
        return shape

    def evaluate(self, bottoms: Sequence[np.ndarray]) -> np.ndarray:
        """A copy."""
        (x,) = bottoms
        counts = [1] * 5
        for dimension, count in self.repeats.items():
            counts[dimension.axis] = count
        return np.tile(x, counts)
