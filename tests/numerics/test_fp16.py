"""Constants are rounded to fp16 in one place, as C's conversion does it."""

from __future__ import annotations

import ast
import math
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import openane
from openane.numerics.fp16 import fp16_word, from_word, has_special, rounded, rounded_number, to_fp16
from openane.sim.kernels.library import library

SOURCE = Path(openane.__file__).parent
ROUNDS_HERE = SOURCE / "numerics" / "fp16.py"


def _word(number: float) -> int:
    """By the conversion of `struct`, which refuses what becomes infinite."""
    try:
        return struct.unpack("<H", struct.pack("<e", number))[0]
    except OverflowError:
        return 0xFC00 if number < 0 else 0x7C00


@given(st.floats(allow_nan=False) | st.floats(-7e4, 7e4) | st.floats(-1e-6, 1e-6))
def test_rounds_as_the_conversion_of_struct(number: float) -> None:
    assert fp16_word(number) == _word(number)
    assert rounded_number(number) == rounded(np.array([number]))[0] == from_word(_word(number))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_special_values_stay(bad: float) -> None:
    found = to_fp16(np.array([1.0, bad]))
    assert has_special(found) and not has_special(found[:1])
    np.testing.assert_array_equal(found[1:].astype(float), [bad])


def test_the_kernels_convert_inputs_by_the_same_rule() -> None:
    """Every fp16 value, the middle between neighbors and what is next to it, as float32."""
    values = np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32)
    values = values[np.isfinite(values)]
    values.sort()
    middles = (values[1:] + values[:-1]) / 2
    near = np.concatenate([values, middles, np.nextafter(middles, -np.inf), np.nextafter(middles, np.inf)])
    words = np.empty(near.size, np.uint16)
    library().narrow(near, words)
    np.testing.assert_array_equal(words, to_fp16(near).view(np.uint16))


def _roundings(tree: ast.AST) -> Iterator[int]:
    """Lines that call np.float16(...) or .astype(np.float16)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            named = [ast.unparse(node.func)] if not isinstance(node.func, ast.Call) else []
            if named and named[0].endswith(".astype"):
                named = [ast.unparse(argument) for argument in node.args]
            if any(name in ("np.float16", "'float16'", "'<f2'") for name in named):
                yield node.lineno


def test_nothing_else_rounds_to_fp16() -> None:
    found = {
        f"{path.relative_to(SOURCE)}:{line}"
        for path in SOURCE.rglob("*.py")
        for line in _roundings(ast.parse(path.read_text()))
    }
    own = str(ROUNDS_HERE.relative_to(SOURCE))
    assert {place.split(":")[0] for place in found} == {own}, sorted(found)
