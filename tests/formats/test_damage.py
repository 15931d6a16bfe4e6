"""Damaged files through every reader of compiled programs: a value or an OpenaneError, nothing else."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.compiled_programs import REPEATABLE, opened
from tests.support.damage import HOSTILE, exercise, mutate

from openane.targets.assembly import disassemble

NAMES = ("tinygrad-conv.hwx", "allbilly-mul-macos14.hwx", "eiln-sigmoid.anec")


@pytest.fixture(scope="module")
def corpus(shared):
    paths = [shared / "goldens" / "h13" / name for name in NAMES]
    return [path.read_bytes() for path in paths] + [disassemble(opened(path)).encode() for path in paths]


@pytest.mark.parametrize("seed", range(4))
def test_random_changes(corpus, seed):
    source = random.Random(seed)
    for _ in range(60):
        exercise(mutate(source.choice(corpus), source))


@settings(REPEATABLE, max_examples=60)
@given(st.data())
def test_chosen_words(corpus, data):
    """One word at a time, in the headers of the file and of its first task, gets the values that break readers."""
    original = data.draw(st.sampled_from(corpus))
    offset = 4 * data.draw(st.integers(0, min(len(original), 0x4060) // 4 - 1))
    word = data.draw(st.sampled_from(HOSTILE)) & 0xFFFFFFFF
    exercise(original[:offset] + word.to_bytes(4, "little") + original[offset + 4 :])


@settings(REPEATABLE, max_examples=60)
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_anything(data):
    exercise(data)
