"""Errors that published benchmarks found on real chips, computed from their recipes.

Products and convolutions run on the machine; Winograd's transform, which has no fast path, in numpy.

An entry matches when its relative error agrees to 11 digits, or to as many as its source says; else the distance is
reported and no bits are claimed.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tests.support.fixed_point import convolution_by_columns, narrow, relative_error
from tests.support.outcome import DIFFERS, MATCHES, Entry, Outcome, absent
from tests.support.probes import convolved, multiplied

from openane.backend.functions import tables
from openane.numerics.definition.epilogue import tabulated
from openane.numerics.definition.fp16 import value
from openane.numerics.profile import Profile, Winograd
from openane.targets.registry import GENERATIONS

Array = np.ndarray
F = np.float32
_GENERATION = {"M1": "h13", "M2": "h14", "M4": "h16", "M5": "h17", "M6": "h18"}
_AGREE = 1e-11
OLDER_NUMPY = "float32 weights, as that host's NumPy 1 has them; its float32 reference is not known"


def profile_of(entry: Entry) -> Profile:
    return GENERATIONS[_GENERATION[entry["chip"][:2]]].arithmetic


def compared(found: float, published: float, agree: float = _AGREE, reason: str = "") -> Outcome:
    """Relative errors; the distance is relative too."""
    distance, given = abs(found / published - 1), len(f"{published:.17f}".rstrip("0").split(".")[1].lstrip("0"))
    agree = max(agree, 10.0 ** (1 - given))
    digits = 17 if distance == 0 else math.floor(-math.log10(distance))
    text = f"{found:.16g}, " + (f"{digits} digits" if digits >= 5 else f"off by {distance:.2g}")
    return Outcome(MATCHES if distance <= agree else DIFFERS, text, reason)


def printed(found: float, entry: Entry, reason: str = "to the printed digits") -> Outcome:
    """An older entry, given to some digits."""
    digits = len(f"{entry['y']:.15f}".rstrip("0").split(".")[1].lstrip("0"))
    distance = abs(found / entry["y"] - 1)
    return Outcome(MATCHES if distance <= 10.0 ** (1 - digits) else DIFFERS, f"{found:.10g}", reason)


# Matrix products ---------------------------------------------------------------------------------------------------


@functools.cache
def product_error(rows: int, k: int, n: int, drawn: int, wide: bool) -> float:
    """Of x times constant weights.

    Args:
        rows: used of the `drawn` ones.
        k, n: inputs and outputs.
        wide: inputs stay float64 after they were divided.
    """
    rng, root = np.random.default_rng(0), np.sqrt(k)
    kind = np.float64 if wide else np.float32
    x = (rng.standard_normal((drawn, k)).astype(F) / (root if wide or drawn != n else F(root))).astype(kind)[:rows]
    weights = (rng.standard_normal((n, k)).astype(F) / (root if wide or drawn != n else F(root))).astype(kind)
    reference = x.astype(np.float64) @ weights.astype(np.float64).T
    return relative_error(multiplied(x.astype(np.float16), weights.astype(np.float16)), reference)


def gemm(entry: Entry, shared: Path) -> Outcome:
    n = entry["n"]
    return compared(product_error(256, n, n, n, False), entry["published_relerr"])


def rectangular(entry: Entry, shared: Path) -> Outcome:
    rows, k, n = map(int, re.findall(r"\d+", entry["op"]))
    return compared(product_error(rows, k, n, rows, False), entry["published_relerr"])


def vector_product(entry: Entry, shared: Path) -> Outcome:
    _, k, n = map(int, re.findall(r"\d+", entry["op"]))
    return compared(product_error(1, k, n, 1, True), entry["published_relerr"])


# Convolutions ------------------------------------------------------------------------------------------------------


def computed(image: Array, weights: Array, winograd: Winograd) -> Array:
    """fp16 results of a 3x3 convolution."""
    if winograd is Winograd.DIRECT:
        return convolved(image, weights)
    return narrow(convolution_by_columns(image, weights))


def exact_convolution(image: Array, weights: Array) -> Array:
    """In float64, of the same size."""
    outputs, channels, rows, columns = weights.shape
    padded = np.pad(image.astype(np.float64), ((0, 0), (rows // 2, rows // 2), (columns // 2, columns // 2)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (rows, columns), axis=(1, 2))
    pixels = windows.transpose(0, 3, 4, 1, 2).reshape(channels * rows * columns, -1)
    return (weights.reshape(outputs, -1).astype(np.float64) @ pixels).reshape(outputs, *image.shape[1:])


@functools.cache
def convolution_error(
    channels: int, batch: int, winograd: Winograd, outputs: int = 0, size: int = 64, narrow_weights: bool = False
) -> float:
    """Of a 3x3 convolution; `narrow_weights` are float32, as under NumPy 1."""
    rng, outputs = np.random.default_rng(1), outputs or channels
    image = rng.standard_normal((batch, channels, size, size)).astype(F)[0]
    scale = np.sqrt(2.0 / (9 * channels))
    weights = rng.standard_normal((outputs, channels, 3, 3)).astype(F) * (F(scale) if narrow_weights else scale)
    found = computed(image.astype(np.float16), weights.astype(np.float16), winograd)
    reference = exact_convolution(image, weights)
    if outputs != channels:  # the benchmark with another number of outputs has a ReLU
        found, reference = np.maximum(found, 0), np.maximum(reference, 0)
    return relative_error(found, reference)


def convolution_3x3(entry: Entry, shared: Path) -> Outcome:
    older = entry["chip"] == "M2 Pro"
    found = convolution_error(entry["C"], entry["B"], profile_of(entry).winograd, narrow_weights=older)
    return compared(found, entry["published_relerr"], reason=OLDER_NUMPY if older else "")


@functools.cache
def stack_error(winograd: Winograd) -> float:
    """Sixteen convolutions with ReLU; reference in float64."""
    rng = np.random.default_rng(1)
    exact = rng.standard_normal((64, 32, 32)).astype(F)
    found = exact.astype(np.float16)
    for channels in (64, *[256] * 15):
        weights = rng.standard_normal((256, channels, 3, 3)).astype(F) * np.sqrt(2.0 / (9 * channels))
        found = np.maximum(computed(found, weights.astype(np.float16), winograd), np.float16(0))
        exact = np.maximum(exact_convolution(exact, weights), 0)
    return relative_error(found, exact)


@functools.cache
def stencil_error(winograd: Winograd) -> float:
    """One channel, 32 steps; the reference is a float32 product of matrices, one fused multiply-add per tap."""
    exact = np.random.default_rng(3).standard_normal((256, 256)).astype(F)
    laplacian = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]], F)
    kernel = (np.pad(np.ones((1, 1), F), 1) + F(0.1) * laplacian).astype(F)
    found = exact.astype(np.float16)[None]
    for _ in range(32):
        found = computed(found, kernel.astype(np.float16)[None, None], winograd)
        padded, total = np.pad(exact, 1).astype(np.float64), np.zeros((256, 256))
        for y, x in np.ndindex(3, 3):
            total = (total + padded[y : y + 256, x : x + 256] * float(kernel[y, x])).astype(F).astype(np.float64)
        exact = total.astype(F)
    return relative_error(found[0], exact.astype(np.float64))


# Other recipes -----------------------------------------------------------------------------------------------------


@functools.cache
def dft_error() -> float:
    n = 1024
    x = np.random.default_rng(2).standard_normal(n)
    angles = -2 * np.pi * np.outer(np.arange(n), np.arange(n)) / n
    found = []
    for matrix in (np.cos(angles), np.sin(angles)):
        row, weights = x.astype(np.float16)[None], matrix.astype(np.float16)
        found.append(relative_error(multiplied(row, weights)[0], matrix @ x))
    return float(np.mean(found))


@functools.cache
def jacobi_error() -> float:
    n, rng = 512, np.random.default_rng(8)
    m = rng.standard_normal((n, n)).astype(F)
    a = (m @ m.T / n + n * np.eye(n)).astype(F)
    b = rng.standard_normal(n).astype(F)
    diagonal = np.diag(a)
    rest = (a - np.diag(diagonal)).astype(np.float16)
    inverse = (1 / diagonal).astype(np.float16).astype(np.float64)
    x = np.zeros(n, np.float16)
    for _ in range(25):
        difference = narrow(b.astype(np.float16).astype(np.float64) - multiplied(x[None], rest)[0].astype(np.float64))
        x = narrow(difference.astype(np.float64) * inverse)
    return relative_error(x, np.linalg.solve(a.astype(np.float64), b.astype(np.float64)))


@functools.cache
def stream(rows: int) -> Array:
    """Rows of 4,096 normal values; the sizes are drawn one after the other."""
    rng = np.random.default_rng(11)
    for size in (256, 2048, 8192):
        values = rng.standard_normal((size, 4096)).astype(F)
        if size == rows:
            return values
    raise ValueError(rows)


@functools.cache
def gelu_error(rows: int) -> float:
    x = stream(rows)
    reference = x * 0.5 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + F(0.044715) * x**3)))
    table, words = tables.gelu(), np.arange(1 << 16)
    used = np.unique(x.astype(np.float16).view(np.uint16))
    outputs = np.zeros(words.size, np.uint16)
    outputs[used] = [tabulated(value(int(word)), table, Profile()) for word in used]
    return relative_error(outputs[x.astype(np.float16).view(np.uint16)].view(np.float16), reference)


def benchmark(entry: Entry, shared: Path) -> Outcome:
    operation, published, winograd = entry["op"], entry["published_relerr"], profile_of(entry).winograd
    if operation.startswith("conv 3x3"):
        return compared(convolution_error(16, 1, winograd, 64, 32), published)
    if operation.startswith("16 layers"):
        reason = "16 layers; the reference's order of additions is not known, 6 digits are claimed"
        return compared(stack_error(winograd), published, 2e-6, reason)
    if operation.startswith("DFT"):
        return compared(dft_error(), published)
    if operation.startswith("stencil"):
        return compared(stencil_error(winograd), published)
    if operation.startswith("Jacobi"):
        return compared(jacobi_error(), published, reason="the matrix comes out of a product of the host's BLAS")
    return absent("the operations that the source's compiler made of it are not known")


def streamed(entry: Entry, shared: Path) -> Outcome:
    operation, published, rows = entry["op"], entry["published_relerr"], entry["shape"][0]
    if operation == "relu":
        x = stream(rows)
        found = relative_error(np.maximum(x.astype(np.float16), 0), np.maximum(x, 0).astype(np.float64))
        return compared(found, published, 2e-8, "the norm of the source is float32")
    if operation == "gelu":
        return compared(gelu_error(rows), published, 1e-8, "the reference's float32 powers differ between hosts")
    if operation.startswith("reduce_sum"):
        x = stream(rows)
        found = narrow(x.astype(np.float16).astype(np.float64).sum(-1))
        reason = "one rounding; the engine rounds on the way, in an order that is not known"
        return compared(relative_error(found, x.sum(-1).astype(np.float64)), published, reason=reason)
    return absent("a chain with a reduction, whose order is not known")


def older(entry: Entry, shared: Path) -> Outcome:
    """Entries of measured-vectors.json, whose recipes the newer file gives."""
    table, operation, chip = entry["table"], entry["op"], entry["chip"]
    if table == "gemm_relerr":
        n = entry["x"]
        return printed(product_error(256, n, n, n, False), entry)
    if table == "gemm_relerr_small":
        return printed(product_error(64, 256, 256, 64, False), entry)
    if table == "conv_relerr":
        batch = {64: 8, 128: 8, 256: 4, 512: 2}[entry["x"]] * (2 if chip == "M4" else 1)
        winograd = profile_of(entry).winograd
        older = chip == "M2 Pro"
        found = convolution_error(entry["x"], batch, winograd, narrow_weights=older)
        reason = OLDER_NUMPY if older else "to the printed digits"
        if chip == "M6" and entry["x"] == 128:
            reason = "the newer figure for the same chip and shape agrees to 13 digits"
        return printed(found, entry, reason)
    if operation.startswith("DFT"):
        return printed(dft_error(), entry)
    if operation.startswith("stencil"):
        return printed(stencil_error(Winograd.DIRECT), entry)
    if operation.startswith("Jacobi"):
        return printed(jacobi_error(), entry)
    return absent("an error of a whole network, or of a chain with a reduction whose order is not known")


def work(entry: Entry) -> float:
    """Products after an entry, a random number counted as 30; 0 where it is little."""
    table, operation = entry["table"], entry["op"]
    if table in ("stat_gemm", "gemm_relerr"):
        n = entry.get("n", entry.get("x"))
        return float(256 * n * n + 30 * 2 * n * n)
    if table in ("stat_gemm_rect", "stat_gemv"):
        *rows, k, n = map(int, re.findall(r"\d+", operation))
        return float((rows[0] + 30) * k * n)
    if table in ("stat_conv3x3", "conv_relerr"):
        channels = entry.get("C", entry.get("x"))
        return float(4096 * 9 * channels * channels)
    if operation.startswith("16 layers"):
        return 16.0 * 1024 * 9 * 256 * 256
    return 30.0 * math.prod(entry.get("shape", [0]))


HANDLERS: dict[str, Callable[[Entry, Path], Outcome]] = {
    "gemm_relerr": older,
    "gemm_relerr_small": older,
    "conv_relerr": older,
    "small_relerr": older,
    "stat_gemm": gemm,
    "stat_gemm_rect": rectangular,
    "stat_gemv": vector_product,
    "stat_conv3x3": convolution_3x3,
    "stat_wattcomplete": benchmark,
    "stat_stream": streamed,
}
