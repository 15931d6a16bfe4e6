"""Damaged files through every reader: a value or an OpenaneError. The long runs are in tools/fuzz_readers.py."""

import random
import runpy
from pathlib import Path

import pytest
from compiled_programs import REPEATABLE
from hypothesis import given, settings
from hypothesis import strategies as st

TOOL = runpy.run_path(str(Path(__file__).parents[2] / "tools" / "fuzz_readers.py"), run_name="fuzz_readers")
NAMES = ("tinygrad-conv.hwx", "allbilly-mul-macos14.hwx", "eiln-sigmoid.anec")


@pytest.fixture(scope="module")
def corpus(shared):
    return TOOL["load_corpus"]([shared / "goldens" / "h13" / name for name in NAMES])


@pytest.mark.parametrize("seed", range(4))
def test_random_changes(corpus, seed):
    source = random.Random(seed)
    for _ in range(60):
        TOOL["exercise"](TOOL["mutate"](source.choice(corpus), source))


@settings(REPEATABLE, max_examples=60)
@given(st.data())
def test_chosen_words(corpus, data):
    """One word at a time, in the headers of the file and of its first task, gets the values that break readers."""
    original = data.draw(st.sampled_from(corpus))
    offset = 4 * data.draw(st.integers(0, min(len(original), 0x4060) // 4 - 1))
    word = data.draw(st.sampled_from(TOOL["INTERESTING"])) & 0xFFFFFFFF
    TOOL["exercise"](original[:offset] + word.to_bytes(4, "little") + original[offset + 4 :])


@settings(REPEATABLE, max_examples=60)
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_anything(data):
    TOOL["exercise"](data)
