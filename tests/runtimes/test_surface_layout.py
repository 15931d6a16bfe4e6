"""Arrays in and out of strided surfaces."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openane.core.errors import FormatError, InputError
from openane.core.types import DType
from openane.program import Role, Surface
from openane.program.layout import extent_bytes, fit_array, read_surface, surface_view, write_surface

DTYPES = (DType.FLOAT16, DType.INT8, DType.UINT8)


@st.composite
def surfaces(draw):
    """Dense surfaces with padding anywhere and any number of interleaved channels."""
    n, d, c, h, w = (draw(st.integers(1, 4)) for _ in range(5))
    dtype = draw(st.sampled_from(DTYPES))
    interleave = draw(st.sampled_from((1, 1, 1, 2, 3, 4, 8)))
    item = dtype.numpy.itemsize
    pixel = item * interleave
    row = pixel * w + item * draw(st.integers(0, 3))
    plane = row * h + item * draw(st.integers(0, 3))
    depth = plane * -(-c // interleave) + item * draw(st.integers(0, 3))
    batch = depth * d
    return Surface("x", Role.INPUT, (n, d, c, h, w), (batch, depth, plane, row, pixel), batch * n, 4, dtype, interleave)


def reference(surface, memory):
    """Element by element, from the formula in the module's description."""
    result = np.empty(surface.shape, surface.dtype.numpy)
    item = surface.dtype.numpy.itemsize
    sn, sd, sc, sh, sw = surface.strides_bytes
    for n, d, c, h, w in np.ndindex(surface.shape):
        group, place = divmod(c, surface.interleave)
        address = n * sn + d * sd + group * sc + h * sh + w * sw + place * item
        result[n, d, c, h, w] = np.frombuffer(memory[address : address + item], surface.dtype.numpy)[0]
    return result


@given(surfaces(), st.integers(0, 2**32 - 1))
def test_what_is_written_is_read_and_nothing_else_changes(surface, seed):
    generator = np.random.default_rng(seed)
    memory = generator.integers(0, 256, extent_bytes(surface) + 8, dtype=np.uint8)
    before = memory.copy()
    bits = generator.integers(0, 256, (*surface.shape, surface.dtype.numpy.itemsize), dtype=np.uint8)
    array = bits.view(surface.dtype.numpy)[..., 0]
    write_surface(surface, memory, array)
    assert read_surface(surface, memory).tobytes() == array.tobytes()
    assert reference(surface, memory.tobytes()).tobytes() == array.tobytes()
    write_surface(surface, memory, reference(surface, before.tobytes()))
    assert memory.tobytes() == before.tobytes()


def dense(shape=(1, 1, 2, 3, 4), dtype=DType.FLOAT16, **changes):
    n, d, c, h, _ = shape
    row, item = 64, dtype.numpy.itemsize
    strides = (c * h * row * d, c * h * row, h * row, row, item)
    return Surface("x", Role.INPUT, shape, changes.get("strides", strides), n * d * c * h * row, 4, dtype)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, lambda data: np.frombuffer(data, np.uint16)])
def test_any_memory_can_be_read(kind):
    surface = dense()
    data = np.arange(surface.size_bytes // 2, dtype=np.uint16).tobytes()
    assert read_surface(surface, kind(data)).view(np.uint16)[0, 0, 1, 2, 3] == 5 * 32 + 3


def test_a_view_writes_through():
    surface = dense()
    memory = bytearray(surface.size_bytes)
    surface_view(surface, memory)[0, 0, 1, 0, 1] = 1
    assert memory[3 * 64 + 3] == 0x3C


@pytest.mark.parametrize(
    ("surface", "memory_bytes", "message"),
    [
        (dense(), 5 * 64 + 7, r"does not fit in its buffer.*328 bytes.*327 bytes"),
        (dense(strides=(0, 0, -64, 64, 2)), 1000, r"no valid layout.*-64"),
        (dense(shape=(1, 1, 0, 3, 4)), 1000, r"no valid layout"),
        (dense(shape=(1, 1, 2, 3, 1 << 40)), 1000, r"does not fit in its buffer"),
    ],
)
def test_layouts_that_leave_the_memory_are_refused(surface, memory_bytes, message):
    with pytest.raises(FormatError, match=message):
        read_surface(surface, bytearray(memory_bytes))


def test_fitting_keeps_what_fits_and_rounds_to_even():
    surface = dense(shape=(1, 1, 1, 1, 4))
    same = np.zeros(surface.shape, np.float16)
    assert fit_array(surface, same) is same
    wide = np.array([1 + 2**-11, 1 + 3 * 2**-11, 65519.0, -np.inf]).reshape(surface.shape)
    assert fit_array(surface, wide).ravel().tolist() == [1.0, 1 + 2**-9, 65504.0, -np.inf]


@pytest.mark.parametrize(
    ("dtype", "values", "message"),
    [
        (DType.FLOAT16, [65520.0, 0], r"values do not fit.*65520.*65504"),
        (DType.FLOAT16, [1j, 0], r"element type does not fit.*complex128"),
        (DType.UINT8, [256, 0], r"values do not fit.*0 to 256.*0 to 255"),
        (DType.INT8, [-129, 0], r"values do not fit.*-129 to 0.*-128 to 127"),
        (DType.UINT8, [0.5, 0], r"element type does not fit.*float64.*uint8"),
        (DType.UINT8, ["a", "b"], r"element type does not fit"),
    ],
)
def test_values_that_do_not_fit_are_refused(dtype, values, message):
    surface = dense(shape=(1, 1, 1, 1, 2), dtype=dtype)
    with pytest.raises(InputError, match=message):
        fit_array(surface, np.array(values).reshape(surface.shape))


def test_integers_and_booleans_that_fit_are_taken():
    surface = dense(shape=(1, 1, 1, 1, 2), dtype=DType.UINT8)
    for values in (np.array([0, 255]), np.array([True, False])):
        assert fit_array(surface, values.reshape(surface.shape)).dtype == np.uint8
