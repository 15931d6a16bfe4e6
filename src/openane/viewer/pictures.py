"""Lookup tables as curves and weights as small pictures, read from a program's constants."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from openane.core.errors import OpenaneError
from openane.core.reader import Buffer
from openane.numerics.fp16 import to_fp16
from openane.numerics.lookup import CompiledTable
from openane.numerics.tables import FIRST_KNOT_AT, LookupTable
from openane.sim.decoded_task import DecodedKernel, DecodedTask, MacWork

CURVE_POINTS = 241
MOST_WEIGHT_BYTES = 4 << 20
"""Kernels above this size are not decoded for a picture."""
PICTURE_BUDGET_BYTES = 1 << 20
"""Bytes of all weight pictures of a page."""
_WIDEST = 8.0
_GRID = 12
_MATRIX = (48, 96)
_BINS = 33


class Pictures:
    """Tables and weights of a program, every distinct table once.

    Attributes:
        tables, weights: plain values for the page.
        table_of, weights_of: task -> index in these lists.
    """

    def __init__(self, works: Sequence[DecodedTask], constants: Buffer, constant_buffer: int) -> None:
        self.tables: list[dict[str, Any]] = []
        self.weights: list[dict[str, Any]] = []
        self.table_of: dict[int, int] = {}
        self.weights_of: dict[int, int] = {}
        self._known: dict[bytes, int] = {}
        self._spent = 0
        memory = np.frombuffer(constants, np.uint8)
        for work in works:
            source = work.engine.kernel if isinstance(work.engine, MacWork) else None
            if source is None or source.buffer != constant_buffer or source.weight_bytes > MOST_WEIGHT_BYTES:
                continue
            try:
                kernel = source.read(memory)
            except OpenaneError:
                continue  # a damaged stream has no picture; running the program reports what is wrong with it
            self._add_table(work.index, kernel)
            self._add_weights(work, kernel, source.steps)

    def _add_table(self, task: int, kernel: DecodedKernel) -> None:
        if kernel.table is None:
            return
        if kernel.table not in self._known:
            self._known[kernel.table] = len(self.tables)
            self.tables.append(table_values(kernel.table))
        number = self._known[kernel.table]
        self.table_of[task] = number
        self.tables[number]["tasks"].append(task)

    def _add_weights(self, work: DecodedTask, kernel: DecodedKernel, steps: np.ndarray) -> None:
        if kernel.weights is None or not kernel.weights.size or self._spent > PICTURE_BUDGET_BYTES:
            return
        assert isinstance(work.engine, MacWork)
        values = kernel.weights.view(np.float16).astype(np.float32)
        picture = weight_values(values.reshape(-1, values.shape[-1]), steps, work.engine.window)
        self._spent += len(picture["pixels"])
        self.weights_of[work.index] = len(self.weights)
        self.weights.append(picture | {"task": work.index})


def table_values(image: bytes) -> dict[str, Any]:
    """A table as plain values: its settings, knots, and the curve as the engine computes it."""
    table = LookupTable.decode(image)
    low, high = _span(table)
    x = to_fp16(np.linspace(low, high, CURVE_POINTS, dtype=np.float32)).astype(np.float32)
    with np.errstate(all="ignore"):
        y = CompiledTable.of(image).evaluate(x)
    return {
        "mode": table.mode.name.lower().replace("_", " "),
        "sign": (table.sign.name or "none").lower().replace("_", " ").replace("|", ", "),
        "limits": [table.lo, table.below, table.hi, table.above],
        "lines": [table.left.slope, table.left.intercept, table.right.slope, table.right.intercept],
        "domain": list(table.domain) if table.has_knots else [],
        "step": table.step,
        "knots": list(table.knots) if table.has_knots else [],
        "direct": table.mode in FIRST_KNOT_AT,
        "curve": [[_short(a), _short(b)] for a, b in zip(x.tolist(), y.tolist(), strict=True)],
        "tasks": [],
    }


def _span(table: LookupTable) -> tuple[float, float]:
    """What of the argument is worth drawing: the knots and a little beyond, inside the limits."""
    low, high = -_WIDEST, _WIDEST
    if table.mode in FIRST_KNOT_AT and table.has_knots:
        first, last = table.domain
        margin = 0.15 * (last - first)
        low, high = first - margin, last + margin
        if table.sign:
            low, high = -max(abs(low), abs(high)), max(abs(low), abs(high))
    if math.isfinite(table.lo):
        low = max(low, table.lo - 1.0)
    if math.isfinite(table.hi):
        high = min(high, table.hi + 1.0)
    return (low, high) if low < high else (-_WIDEST, _WIDEST)


def _short(number: float) -> float | str:
    return float(f"{number:.6g}") if math.isfinite(number) else str(number)


def weight_values(weights: np.ndarray, steps: np.ndarray, window: tuple[int, int]) -> dict[str, Any]:
    """Weights as a picture of signed bytes.

    Args:
        weights: (output channels, steps).
        steps: (steps, 3): input channel, row, column.
        window: (rows, columns) of the kernel.
    """
    finite = np.where(np.isfinite(weights), weights, 0.0)
    peak = float(np.abs(finite).max())
    rows, columns = window
    inputs = int(steps[:, 0].max()) + 1
    if rows * columns > 1:
        outputs = min(_GRID, weights.shape[0])
        kept = steps[:, 0] < _GRID
        tiles = np.zeros((outputs, min(_GRID, inputs), rows, columns), np.float32)
        tiles[:, steps[kept, 0], steps[kept, 1], steps[kept, 2]] = finite[:outputs, kept]
        pixels = tiles.transpose(0, 2, 1, 3).reshape(outputs * rows, -1)
        tile = [rows, columns]
    else:
        pixels, tile = _thinned(finite), []
    scaled = np.rint(pixels / peak * 127).astype(np.int8) if peak else np.zeros(pixels.shape, np.int8)
    counts, _ = np.histogram(finite, _BINS, (-peak or -1.0, peak or 1.0))
    return {
        "outputs": weights.shape[0],
        "inputs": inputs,
        "window": list(window),
        "height": pixels.shape[0],
        "width": pixels.shape[1],
        "tile": tile,
        "peak": peak,
        "zeros": float(np.mean(finite == 0)),
        "histogram": counts.tolist(),
        "pixels": base64.b64encode(scaled.tobytes()).decode(),
    }


def _thinned(matrix: np.ndarray) -> np.ndarray:
    """Evenly chosen rows and columns of a matrix that is too large to show whole."""
    chosen = [
        np.unique(np.linspace(0, extent - 1, min(extent, most)).astype(np.int64))
        for extent, most in zip(matrix.shape, _MATRIX, strict=True)
    ]
    return matrix[np.ix_(*chosen)]
