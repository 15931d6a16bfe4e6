"""Tensors of halfwords scattered over one memory, and the arithmetic of the data path in numpy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

Halfwords = npt.NDArray[np.uint16]
Floats = npt.NDArray[np.float32]

SPECIAL = np.array(
    [0, 0x8000, 1, 0x8001, 0x03FF, 0x0400, 0x7BFF, 0xFBFF, 0x7C00, 0xFC00, 0x7C01, 0x7E00, 0xFE00, 0xFC01, 0x3C00],
    np.uint16,
)
"""Zeros, subnormals, the ends of the range, infinities and NaN."""

SCRATCH_FLOATS, SCRATCH_WORDS = 1 << 17, 1 << 16


@dataclass(frozen=True, eq=False, slots=True)
class Tensor:
    """A strided tensor in a memory.

    Attributes:
        base: of the first element.
        strides: int64 (5,), 0 on repeated axes.
        extents: of the axes.
    """

    base: int
    strides: npt.NDArray[np.int64]
    extents: tuple[int, ...]

    def indices(self) -> npt.NDArray[np.int64]:
        """Where each element stands."""
        grids = np.indices(self.extents).reshape(len(self.extents), -1)
        return (self.base + self.strides @ grids).reshape(self.extents)


@st.composite
def tensors(
    draw: st.DrawFn, extents: tuple[int, ...], base: int, repeated: bool = False
) -> tuple[Tensor, int]:  # fmt: skip
    """A tensor from `base` on with axes in any order, with gaps, and the first free halfword behind it."""
    order = draw(st.permutations(range(len(extents)))) if draw(st.booleans()) else range(len(extents))
    strides = np.zeros(len(extents), np.int64)
    step = draw(st.sampled_from([1, 1, 1, 2, 8]))
    for axis in reversed(list(order)):
        if extents[axis] == 1 or (repeated and draw(st.integers(0, 3)) == 0):
            continue
        strides[axis] = step
        step *= extents[axis]
        step = -(-step // 8) * 8 if draw(st.booleans()) else step + draw(st.sampled_from([0, 0, 3]))
    return Tensor(base, strides, extents), base + step


def extents(largest: int = 40) -> st.SearchStrategy[tuple[int, ...]]:
    """Of five axes: planes, rows, channels or columns that are long, the others short."""
    short, long = st.integers(1, 3), st.integers(1, largest)
    return st.one_of(
        st.tuples(short, short, st.integers(1, 5), st.integers(1, 9), long),
        st.tuples(st.just(1), st.just(1), long, st.sampled_from([1, 7]), st.sampled_from([1, 7])),
        st.tuples(short, st.just(1), long, st.just(1), st.integers(1, 60)),
    )


def bits(seed: int, count: int) -> Halfwords:
    """Numbers of moderate size, some special ones among them."""
    random = np.random.default_rng(seed)
    words = (random.standard_normal(count) * 2.0 ** random.integers(-8, 8)).astype(np.float16).view(np.uint16)
    return np.where(random.random(count) < 0.1, random.choice(SPECIAL, count), words)


def read(words: Halfwords) -> Floats:
    """Stored halfwords as the data path sees them."""
    values = words.view(np.float16).astype(np.float32)
    values = np.where(np.isnan(values), np.float32(65536), values)
    return np.clip(values, np.float32(-65536), np.float32(65536))


def stored(values: Floats) -> Halfwords:
    """The nearest halfwords, ties to even, NaN as infinity."""
    with np.errstate(over="ignore", invalid="ignore"):
        words = values.astype(np.float16).view(np.uint16)
    return np.where(np.isnan(values), np.uint16(0x7C00), words)


def scratch() -> Floats:
    """Of a thread; what stands there means nothing."""
    return np.full(SCRATCH_FLOATS, np.nan, np.float32)


def shares(units: int, cut: float) -> list[tuple[int, int]]:
    """All units in two ranges, the later one first."""
    middle = int(units * cut)
    return [(middle, units), (0, middle)]
