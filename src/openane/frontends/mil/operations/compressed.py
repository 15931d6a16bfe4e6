"""Compressed constants: palettized, quantized, sparse. All are spread out here: the Graph has plain arrays."""

from __future__ import annotations

import math

import numpy as np

from openane.frontends.mil.call import OperationCall
from openane.frontends.mil.operations.entry import Entry


def _lut_to_dense(call: OperationCall) -> None:
    """A table value for each index: packed indices, one table and a shape (iOS 16), or one table a block (iOS 18)."""
    indices, table = call.constant("indices"), call.constant("lut")
    if call.has("shape"):
        call.finish_constant(_packed_palette(call, indices, table, call.integers("shape")))
        return
    if table.ndim != indices.ndim + 2:
        call.refuse("the table needs two axes more than the indices", value=list(table.shape))
    vector = table.shape[-1]
    axis = call.axis("vector_axis", indices.ndim, 0) if vector > 1 else 0
    for index in (indices.min(), indices.max()) if indices.size else ():
        if not 0 <= index < table.shape[-2]:
            call.refuse("an index is outside the table", value=index, limit=table.shape[-2])
    spread = _blocks(call, table, indices.shape, table.shape[-2:])
    chosen = np.take_along_axis(spread, indices[..., None, None].astype(np.int64), axis=-2)[..., 0, :]
    dense = np.moveaxis(chosen, -1, axis + 1)
    shape = tuple(e * vector if a == axis else e for a, e in enumerate(indices.shape))
    call.finish_constant(dense.reshape(shape))


def _packed_palette(call: OperationCall, indices: np.ndarray, table: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    count = _count(call, shape)
    bits = max(int(table.size).bit_length() - 1, 1)
    if 1 << bits != table.size or bits > 8:
        call.refuse("the table needs 2, 4, 16, 64 or 256 values", value=table.size)
    packed = indices.reshape(-1).astype(np.uint8)
    if packed.size * 8 < count * bits:
        call.refuse("too few indices", value=f"{packed.size} bytes", limit=f"{-(-count * bits // 8)} bytes")
    planes = np.unpackbits(packed, count=count * bits, bitorder="little").reshape(count, bits)
    numbers = np.packbits(planes, axis=1, bitorder="little")[:, 0]
    return table.reshape(-1)[numbers].reshape(shape)


def _count(call: OperationCall, shape: tuple[int, ...]) -> int:
    """Elements of a shape out of the file."""
    if min(shape, default=0) < 0:
        call.refuse("the shape has a negative extent", value=list(shape))
    return math.prod(shape)


def _blocks(call: OperationCall, array: np.ndarray, shape: tuple[int, ...], tail: tuple[int, ...] = ()) -> np.ndarray:
    """`array`, one entry a block, repeated to one entry an element of `shape`."""
    if array.ndim != len(shape) + len(tail):
        call.refuse("the blocks need an axis for each of the tensor", value=list(array.shape), limit=list(shape))
    for axis, extent in enumerate(shape):
        if not array.shape[axis] or extent % array.shape[axis]:
            call.refuse("the blocks do not divide the tensor", value=list(array.shape), limit=list(shape))
    if tail and all(extent == 1 for extent in array.shape[: len(shape)]):
        return np.broadcast_to(array, (*shape, *tail))
    for axis, extent in enumerate(shape):
        array = np.repeat(array, extent // array.shape[axis], axis)
    return array


def _affine_dequantize(call: OperationCall) -> None:
    """scale * (q - zero_point), one pair of numbers for all or for each place along an axis."""
    quantized, scale = call.constant("quantized_data"), call.constant("scale")
    zero = call.constant("zero_point") if call.has("zero_point") else np.zeros((), np.int32)
    axis = call.axis("axis", max(quantized.ndim, 1), 0)

    def along(values: np.ndarray) -> np.ndarray:
        if values.size == 1:
            return values.reshape(())
        places = quantized.shape[axis] if quantized.ndim else 1
        if values.size != places:
            call.refuse("one scale for each place along the axis is needed", value=values.size, limit=places)
        return values.reshape(-1, *(1,) * (quantized.ndim - axis - 1))

    wide = quantized.astype(np.float32) - along(zero).astype(np.float32)
    call.finish_constant((wide * along(scale).astype(np.float32)).astype(scale.dtype))


def _blockwise_shift_scale(call: OperationCall) -> None:
    """scale * (data - offset), one pair of numbers a block."""
    data, scale = call.constant("data"), call.constant("scale")
    if scale.ndim != data.ndim:
        call.refuse("scale needs the rank of the data", value=list(scale.shape), limit=list(data.shape))
    wide = data.astype(np.float32)
    if call.has("offset"):
        wide = wide - _blocks(call, call.constant("offset").astype(np.float32), data.shape)
    call.finish_constant((wide * _blocks(call, scale.astype(np.float32), data.shape)).astype(scale.dtype))


def _sparse_to_dense(call: OperationCall) -> None:
    """Non-zero values in order, at the places where the mask is set."""
    values = call.constant("nonzero_data").reshape(-1)
    mask = call.constant("mask")
    if call.has("shape"):
        shape = call.integers("shape")
        count = _count(call, shape)
        if mask.size * 8 < count:
            call.refuse("the mask is too short", value=f"{mask.size} bytes", limit=f"{-(-count // 8)} bytes")
        packed = np.unpackbits(mask.reshape(-1).astype(np.uint8), count=count, bitorder="little")
        mask = packed.reshape(shape)
    chosen = mask.astype(bool)
    if int(chosen.sum()) != values.size:
        call.refuse("the mask does not fit the values", value=int(chosen.sum()), limit=values.size)
    dense = np.zeros(chosen.shape, values.dtype)
    dense[chosen] = values
    call.finish_constant(dense)


def _lut_to_sparse(call: OperationCall) -> None:
    """A table value for each index that is set: the mask and the values in order, one vector of the table for each."""
    mask, indices, table = call.constant("indices_mask"), call.constant("indices_nonzero_data"), call.constant("lut")
    if table.ndim != mask.ndim + 2:
        call.refuse("the table needs two axes more than the mask", value=list(table.shape))
    chosen = _chosen(call, mask, indices)
    vector, count = table.shape[-1], table.shape[-2]
    for index in (indices.min(), indices.max()) if indices.size else ():
        if not 0 <= index < count:
            call.refuse("an index is outside the table", value=index, limit=count)
    axis = call.axis("vector_axis", mask.ndim, 0) if vector > 1 else 0
    tables = _blocks(call, table, mask.shape, table.shape[-2:])[chosen]
    values = np.take_along_axis(tables, indices.reshape(-1, 1, 1).astype(np.int64), axis=-2)[:, 0, :]
    dense = np.zeros((*mask.shape, vector), table.dtype)
    dense[chosen] = values
    shape = tuple(extent * vector if each == axis else extent for each, extent in enumerate(mask.shape))
    spread = np.moveaxis(np.repeat(chosen[..., None], vector, -1), -1, axis + 1).reshape(shape)
    call.finish_constants(spread.astype(mask.dtype), np.moveaxis(dense, -1, axis + 1).reshape(shape)[spread])


def _sparse_blockwise_shift_scale(call: OperationCall) -> None:
    """scale * (data - offset) for the values that are set: the mask, and the values in order."""
    mask, data, scale = call.constant("data_mask"), call.constant("nonzero_data"), call.constant("scale")
    if scale.ndim != mask.ndim:
        call.refuse("scale needs the rank of the mask", value=list(scale.shape), limit=list(mask.shape))
    chosen = _chosen(call, mask, data)
    wide = data.reshape(-1).astype(np.float32)
    if call.has("offset"):
        wide = wide - _blocks(call, call.constant("offset").astype(np.float32), mask.shape)[chosen]
    values = wide * _blocks(call, scale.astype(np.float32), mask.shape)[chosen]
    call.finish_constants(mask, values.astype(scale.dtype))


def _chosen(call: OperationCall, mask: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The mask as booleans; there is a value for each that is set."""
    chosen: np.ndarray = mask.astype(bool)
    if int(chosen.sum()) != values.size:
        call.refuse("the mask does not fit the values", value=int(chosen.sum()), limit=values.size)
    return chosen


def _cast(call: OperationCall) -> None:
    names = {"fp16": np.float16, "fp32": np.float32}
    dtype = call.text("output_dtype", allowed=tuple(names))
    call.finish_constant(call.constant("source_val").astype(names[dtype]))


ENTRIES = {
    "constexpr_lut_to_dense": Entry(("indices", "lut", "shape", "vector_axis"), _lut_to_dense),
    "constexpr_affine_dequantize": Entry(("quantized_data", "zero_point", "scale", "axis"), _affine_dequantize),
    "constexpr_blockwise_shift_scale": Entry(("data", "scale", "offset"), _blockwise_shift_scale),
    "constexpr_sparse_to_dense": Entry(("nonzero_data", "mask", "shape"), _sparse_to_dense),
    "constexpr_lut_to_sparse": Entry(("indices_mask", "indices_nonzero_data", "lut", "vector_axis"), _lut_to_sparse),
    "constexpr_sparse_blockwise_shift_scale": Entry(
        ("data_mask", "nonzero_data", "scale", "offset"), _sparse_blockwise_shift_scale
    ),
    "constexpr_cast": Entry(("source_val", "output_dtype"), _cast),
}
