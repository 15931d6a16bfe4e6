"""Conv: the unit the engine was built for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

import numpy as np

from openane.core.errors import FormatError, ModelError, UnsupportedError
from openane.net.net import TensorShape, UnitParams
from openane.net.schema.parameters import EXTENT_LIMIT, ArrayKeys, IntegerKey, Keys, PairKey, ReadContext, WordKey
from openane.net.units.dimensions import PAD_KEYS, Pads, compute_dtype, one, positive, storage_dtype

__all__ = ["ConvParams"]


def _kernel_shape(context: ReadContext) -> tuple[int, int, int, int]:
    """(Cout, Cin / groups, Kh, Kw) of the kernel in a file."""
    params = context.params
    if params.text("Type", "Conv") not in ("Conv", "Deconv") or params.text("KernelMode", "Dense") != "Dense":
        raise UnsupportedError("only dense kernels of Type Conv are supported", where=params.where)
    if params.integer("KernelDepth", 1, least=1) != 1:
        raise UnsupportedError("kernels over Depth are not supported", where=params.where)
    params.skip("KernelGroupReuse")  # how the kernel is fetched, without effect on the result
    outputs = context.unit.integer("OutputChannels", least=1, most=EXTENT_LIMIT)
    groups = params.integer("NumGroups", 1, least=1, most=EXTENT_LIMIT)
    channels = context.bottom.channels
    if channels % groups or outputs % groups:
        raise FormatError(
            "channels do not divide by NumGroups",
            where=params.where,
            value=f"{channels} to {outputs} channels in {groups} groups",
        )
    height = params.integer("KernelHeight", 1, least=1, most=EXTENT_LIMIT)
    width = params.integer("KernelWidth", 1, least=1, most=EXTENT_LIMIT)
    return outputs, channels // groups, height, width


def _kernel_keys(kernel: np.ndarray) -> Keys:
    height, width = kernel.shape[2:]
    return {"KernelGroupReuse": False, "KernelHeight": height, "KernelMode": "Dense", "KernelWidth": width}


@dataclass(frozen=True, eq=False)
class ConvParams(UnitParams):
    """Convolution (cross-correlation) of each (batch, depth) image, without bias.

    y[co, h, w] = sum over ci, kh, kw of x[ci, h*step_y + kh*dilation_y - top, w*step_x + kw*dilation_x - left]
    * kernel[co, ci, kh, kw]. Transposed: every x[ci, h, w] adds x * kernel[co, ci, kh, kw] to
    y[co, h*step_y + kh*dilation_y - top, w*step_x + kw*dilation_x - left].

    Attributes:
        kernel: (Cout, Cin / groups, Kh, Kw); output channel co belongs to group co // (Cout / groups). The same
            order when transposed.
        step: stride as (x, y), the order of a net.plist.
        dilation: distance of taps as (x, y).
        pads: rows and columns of zeros around the input; cut off the result when transposed.
        groups: input and output channels fall into this many independent groups.
        transposed: the gradient of a convolution (deconvolution).
        output_padding: further columns and rows of the result at the right and the bottom, as (x, y); transposed only.
    """

    kernel: Annotated[np.ndarray, ArrayKeys("Kernel", _kernel_shape, _kernel_keys)]
    step: Annotated[tuple[int, int], PairKey("Step")] = (1, 1)
    dilation: Annotated[tuple[int, int], PairKey("Dilation", optional=True)] = (1, 1)
    pads: Annotated[Pads, PAD_KEYS] = field(default=Pads())
    groups: Annotated[int, IntegerKey("NumGroups", least=1, optional=True)] = 1
    transposed: Annotated[bool, WordKey("Type", ("Conv", "Deconv"), optional=True)] = False
    output_padding: Annotated[tuple[int, int], PairKey("OutputPadding", least=0, optional=True)] = (0, 0)
    plist_type: ClassVar[str] = "Conv"
    states_channels: ClassVar[bool] = True

    @property
    def kernel_size(self) -> tuple[int, int]:
        """Taps as (x, y)."""
        return (self.kernel.shape[3], self.kernel.shape[2])

    @property
    def reach(self) -> tuple[int, int]:
        """Columns and rows that one output sees, as (x, y): (taps - 1) * dilation + 1."""
        (kw, kh), (dx, dy) = self.kernel_size, self.dilation
        return ((kw - 1) * dx + 1, (kh - 1) * dy + 1)

    def infer(self, bottoms: Sequence[TensorShape]) -> TensorShape:
        """Checks channels and groups; the result has Cout channels."""
        shape = one(bottoms)
        if self.kernel.ndim != 4 or not self.kernel.size:
            raise ModelError("the kernel needs four axes (Cout, Cin / groups, Kh, Kw)", value=self.kernel.shape)
        for value in (*self.step, *self.dilation, self.groups):
            positive(value, "step, dilation and groups")
        outputs, inputs = self.kernel.shape[:2]
        if inputs * self.groups != shape.channels or outputs % self.groups:
            raise ModelError(
                f"kernel {self.kernel.shape} in {self.groups} groups does not fit the input",
                value=f"{shape.channels} channels",
                limit=f"{inputs * self.groups} channels, outputs a multiple of {self.groups}",
            )
        if self.output_padding != (0, 0) and not self.transposed:
            raise ModelError("output padding belongs to transposed convolutions")
        height = self._extent(shape.height, 1, self.pads.top + self.pads.bottom)
        width = self._extent(shape.width, 0, self.pads.left + self.pads.right)
        if height < 1 or width < 1:
            raise ModelError(
                "the kernel is larger than the padded image",
                value=f"kernel {self.reach[1]}x{self.reach[0]}, image {shape.height}x{shape.width}, {self.pads}",
            )
        return TensorShape(shape.batch, outputs, height, width, shape.depth)

    def _extent(self, extent: int, axis: int, pads: int) -> int:
        if self.transposed:
            return (extent - 1) * self.step[axis] + self.reach[axis] - pads + self.output_padding[axis]
        return (extent + pads - self.reach[axis]) // self.step[axis] + 1

    def evaluate(self, bottoms: Sequence[np.ndarray]) -> np.ndarray:
        """Sums tap by tap; half precision and integers are added up in float32."""
        (source,) = bottoms
        batch, depth, channels, height, width = source.shape
        result = self.infer([TensorShape.of(source.shape)])
        dtype = compute_dtype(source)
        images = source.astype(dtype, copy=False).reshape(
            batch * depth, self.groups, channels // self.groups, height, width
        )
        kernel = self.kernel.astype(dtype, copy=False)
        kernel = kernel.reshape(self.groups, -1, *kernel.shape[1:])
        run = self._scatter if self.transposed else self._gather
        summed = run(images, kernel, result)
        return summed.reshape(result.ndchw).astype(storage_dtype(source), copy=False)

    def _gather(self, images: np.ndarray, kernel: np.ndarray, result: TensorShape) -> np.ndarray:
        top, bottom, left, right = self.pads
        images = np.pad(images, [(0, 0)] * 3 + [(max(top, 0), max(bottom, 0)), (max(left, 0), max(right, 0))])
        (sx, sy), (dx, dy) = self.step, self.dilation
        out = np.zeros((*images.shape[:2], kernel.shape[1], result.height * result.width), images.dtype)
        for row in range(kernel.shape[3]):
            for column in range(kernel.shape[4]):
                y, x = row * dy, column * dx
                window = images[
                    ..., y : y + (result.height - 1) * sy + 1 : sy, x : x + (result.width - 1) * sx + 1 : sx
                ]
                out += kernel[None, :, :, :, row, column] @ window.reshape(*images.shape[:3], -1)
        return out

    def _scatter(self, images: np.ndarray, kernel: np.ndarray, result: TensorShape) -> np.ndarray:
        (sx, sy), (dx, dy) = self.step, self.dilation
        height, width = images.shape[3:]
        top, bottom, left, right = self.pads
        out = np.zeros(
            (*images.shape[:2], kernel.shape[1], result.height + top + bottom, result.width + left + right),
            images.dtype,
        )
        flat = images.reshape(*images.shape[:3], -1)
        for row in range(kernel.shape[3]):
            for column in range(kernel.shape[4]):
                product = kernel[None, :, :, :, row, column] @ flat
                y, x = row * dy, column * dx
                target = out[..., y : y + (height - 1) * sy + 1 : sy, x : x + (width - 1) * sx + 1 : sx]
                target += product.reshape(*product.shape[:3], height, width)
        return out[..., top : top + result.height, left : left + result.width]
