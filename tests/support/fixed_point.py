"""The rule of the MAC array for whole matrices in numpy, for the statistics of published benchmarks.

Only sums that stay in range: an overflow is an error here. The scalar definition checks it in test_statistics.py.
"""

from __future__ import annotations

import numpy as np

Halves = np.ndarray
"""float16, all finite."""
STEP = 65536
_DROPPED = np.float32(2.0**-17)
"""Largest power of two of a product that is dropped."""
_CELLS = 1 << 17
"""Sums computed at a time, so that they stay in the cache."""


def narrow(values: np.ndarray) -> Halves:
    """fp16, ties away from zero; below 65520 in magnitude."""
    exact = np.asarray(values, np.float64)
    _, power = np.frexp(np.abs(exact))
    step = np.ldexp(1.0, np.maximum(power, -13) - 11)
    steps = np.abs(exact) / step
    below = np.floor(steps)
    return (np.copysign((below + (steps - below >= 0.5)) * step, exact) + 0.0).astype(np.float16)


def exponents(halves: Halves) -> np.ndarray:
    """Exponents; subnormals and zero count as -14."""
    field = np.ascontiguousarray(halves).view(np.uint16) >> 10 & 31
    return np.where(field == 0, -14, field.astype(np.int64) - 15)


def sums(x: Halves, weights: Halves) -> np.ndarray:
    """Sums of products in float64: x (M, K) and weights (N, K) give (M, N).

    A product in units of 2^-16 has 22 significant bits, so the lowest bit of its float32 is free: when it is set, a
    tie is rounded away from zero by the conversion that rounds to even.
    """
    (rows, steps), count = x.shape, len(weights)
    pixels, taps = x.astype(np.float32).T.copy(), weights.astype(np.float32).T * np.float32(STEP)
    x_power, weight_power = np.exp2(exponents(x).T).astype(np.float32), np.exp2(exponents(weights).T).astype(np.float32)
    result = np.empty((rows, count))
    for first in range(0, rows, max(_CELLS // count, 1)):
        own = slice(first, first + max(_CELLS // count, 1))
        shape = len(result[own]), count
        total, product, kept = np.zeros(shape), np.empty(shape, np.float32), np.empty(shape, np.bool_)
        for k in range(steps):
            np.multiply(x_power[k, own, None], weight_power[k], out=product)
            np.greater(product, _DROPPED, out=kept)
            np.multiply(pixels[k, own, None], taps[k], out=product)
            np.bitwise_or(product.view(np.uint32), 1, out=product.view(np.uint32))
            np.multiply(np.rint(product, out=product), kept, out=product)
            total += product
        result[own] = total / STEP
    assert np.abs(result).max(initial=0) < 32768 and np.abs(x).astype(np.float64).max(initial=0) < 65536
    return result


def convolution(image: Halves, weights: Halves) -> np.ndarray:
    """Sums of a convolution that keeps the size: (C, H, W) and (O, C, KH, KW) give (O, H, W)."""
    outputs, _, rows, columns = weights.shape
    _, height, width = image.shape
    windows = np.lib.stride_tricks.sliding_window_view(
        np.pad(image, ((0, 0), (rows // 2, rows // 2), (columns // 2, columns // 2))), (rows, columns), axis=(1, 2)
    )
    pixels = windows.transpose(1, 2, 0, 3, 4).reshape(height * width, -1)
    return sums(pixels, weights.reshape(outputs, -1)).T.reshape(outputs, height, width)


def convolution_by_columns(image: Halves, weights: Halves) -> np.ndarray:
    """The same for 3x3 kernels with Winograd's F(2, 3) along the columns; an even number of columns."""
    outputs, channels, _, _ = weights.shape
    _, height, width = image.shape
    padded = np.pad(image, ((0, 0), (1, 1), (1, 1))).astype(np.float64)
    d = [padded[:, :, start : start + width : 2] for start in range(4)]
    g = [weights[..., column].astype(np.float64) for column in range(3)]
    v = [d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]]
    u = [g[0], (g[0] + g[1] + g[2]) / 2, (g[0] - g[1] + g[2]) / 2, g[2]]
    m = []
    for pixels, taps in zip(v, u, strict=True):
        windows = np.lib.stride_tricks.sliding_window_view(narrow(pixels), 3, axis=1)  # (C, H, W / 2, 3)
        rows = windows.transpose(1, 2, 0, 3).reshape(-1, channels * 3)
        m.append(sums(rows, narrow(taps).reshape(outputs, -1)).T.reshape(outputs, height, width // 2))
    result = np.empty((outputs, height, width))
    result[..., 0::2], result[..., 1::2] = m[0] + m[1] + m[2], m[1] - m[2] - m[3]
    return result


def relative_error(found: np.ndarray, reference: np.ndarray) -> float:
    """The distance in the 2-norm, relative to that of the reference."""
    return float(np.linalg.norm(found.astype(np.float64) - reference) / np.linalg.norm(reference))
