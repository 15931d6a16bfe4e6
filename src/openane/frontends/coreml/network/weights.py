"""Weights inside a neural network specification: plain, half precision and quantized."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from openane.core.errors import FormatError, UnsupportedError


def weights(message: Any, shape: Sequence[int], where: str, *, channel_axis: int = 0) -> np.ndarray:
    """The array of a WeightParams message in single precision.

    Args:
        message: the WeightParams.
        shape: of the array.
        where: for messages.
        channel_axis: the axis that scales and biases of linear quantization run along.

    Raises:
        FormatError: it holds another number of elements.
        UnsupportedError: a form of quantization that is not known.
    """
    count = math.prod(shape)
    if len(message.floatValue):
        flat = np.array(message.floatValue, np.float32)
    elif message.float16Value:
        _check(len(message.float16Value), 2 * count, "bytes", where)
        flat = np.frombuffer(message.float16Value, "<f2").astype(np.float32)
    elif message.rawValue:
        return _quantized(message, tuple(shape), where, channel_axis)
    elif message.int8RawValue:
        raise UnsupportedError("dynamically quantized weights are not supported", where=where)
    else:
        flat = np.zeros(0, np.float32)
    _check(flat.size, count, "weights", where)
    return flat.reshape(tuple(shape))


def _check(found: int, wanted: int, what: str, where: str) -> None:
    if found != wanted:
        raise FormatError(f"the wrong number of {what}", where=where, value=found, limit=wanted)


def _quantized(message: Any, shape: tuple[int, ...], where: str, channel_axis: int) -> np.ndarray:
    bits, count = message.quantization.numberOfBits, math.prod(shape)
    if not 1 <= bits <= 8:
        raise FormatError("weights of an impossible width", where=where, value=f"{bits} bits", limit="1 to 8")
    _check(len(message.rawValue), -(-count * bits // 8), "bytes", where)
    numbers = unpack_bits(message.rawValue, bits, count).reshape(shape)
    match message.quantization.WhichOneof("QuantizationType"):
        case "lookupTableQuantization":
            table = np.array(message.quantization.lookupTableQuantization.floatValue, np.float32)
            _check(table.size, 1 << bits, "entries in a lookup table", where)
            return np.asarray(table[numbers])
        case "linearQuantization":
            linear = message.quantization.linearQuantization
            scale, bias = (_per_channel(v, shape, channel_axis, where) for v in (linear.scale, linear.bias))
            return numbers * scale + bias
    raise UnsupportedError("an unknown form of quantization", where=where)


def _per_channel(values: Sequence[float], shape: tuple[int, ...], axis: int, where: str) -> np.ndarray:
    array = np.array(values, np.float32)
    if array.size <= 1:
        return array.reshape(()) if array.size else np.zeros((), np.float32)
    _check(array.size, shape[axis], "scales or biases", where)
    return array.reshape([-1 if i == axis else 1 for i in range(len(shape))])


def unpack_bits(data: bytes, bits: int, count: int) -> np.ndarray:
    """`count` numbers of `bits` bits each, highest bit first, as bytes."""
    if bits == 8:
        return np.frombuffer(data, np.uint8, count)
    places = np.unpackbits(np.frombuffer(data, np.uint8), count=count * bits).reshape(count, bits)
    padded = np.concatenate([np.zeros((count, 8 - bits), np.uint8), places], axis=1)
    return np.packbits(padded, axis=1)[:, 0]
