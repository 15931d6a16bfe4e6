"""The compiled library: what users see when it is missing, damaged or old, and what else it does."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from openane.core.errors import InputError, UnavailableError
from openane.numerics.definition.fp16 import nearest, value
from openane.sim.kernels import library
from openane.sim.kernels.library import FOLDER, NAME, KernelKind, Library, instruction_sets, load

ALL = np.arange(1 << 16).astype(np.uint16)


def copied(folder: Path) -> Path:
    """The library with its sources, in a folder of its own."""
    for path in [FOLDER / NAME, *FOLDER.glob("*.[ch]")]:
        shutil.copy(path, folder)
    return folder


def test_a_missing_library_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(
        UnavailableError, match=r"kernels is missing .*run `python hatch_build.py`; otherwise reinstall"
    ):
        load(tmp_path)


def test_a_damaged_library_does_not_load(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"no library")
    with pytest.raises(UnavailableError, match="kernels does not load"):
        load(tmp_path)


def test_a_library_of_other_sources_is_refused(tmp_path: Path) -> None:
    load(copied(tmp_path))
    with (tmp_path / "run.c").open("a") as file:
        file.write("// changed\n")
    with pytest.raises(UnavailableError, match=r"built from other sources .*hatch_build"):
        load(tmp_path)


def test_an_installation_without_sources_is_not_checked(tmp_path: Path) -> None:
    shutil.copy(FOLDER / NAME, tmp_path)
    load(tmp_path)


def test_instruction_sets_of_this_processor() -> None:
    assert library() is library()
    assert all(isinstance(library(name), Library) for name in instruction_sets())
    with pytest.raises(InputError, match="no such instruction set on this processor"):
        library("x86-64-v9")


def test_rows_have_the_fields_of_the_header() -> None:
    header = (FOLDER / "engine.h").read_text()
    names = library().row.names
    assert names is not None and names[:4] == ("kind", "units", "blocks", "cost")
    assert all(f"F({name}, " in header for name in names)
    kinds = header[header.index("enum kind {") :].partition("}")[0].partition("{")[2].replace(" ", "").split(",")
    assert kinds[:-1] == [kind.name for kind in KernelKind]


@pytest.mark.parametrize("instruction_set", instruction_sets())
def test_numbers_of_the_caller_are_narrowed_as_numpy_does_it(instruction_set: str) -> None:
    kernels = library(instruction_set)
    rng = np.random.default_rng(0)
    random = rng.integers(0, 1 << 32, 200_000, np.uint64).astype(np.uint32).view(np.float32)
    halves = ALL.view(np.float16).astype(np.float32)
    ties = (halves[1:1000] + halves[:999]) / 2
    infinite = np.float32([np.inf, -np.inf])
    values = np.concatenate([random[~np.isnan(random)], halves[np.isfinite(halves)], ties, infinite])
    words = np.empty(values.size, np.uint16)
    assert not kernels.narrow(values, words)
    with np.errstate(over="ignore"):
        assert (words == values.astype(np.float16).view(np.uint16)).all()
    assert not kernels.narrow(np.float32([np.nan]), words[:1])
    assert words[0] == 0x7E00
    for count in (1, 15, 16, 17, 40):
        few = np.linspace(-65519, 65519, count, dtype=np.float32)
        words[count] = 0x1234
        assert kernels.narrow(few, words[:count])
        assert (words[:count] == few.astype(np.float16).view(np.uint16)).all()
        assert words[count] == 0x1234
        few[-1] = 65520
        assert not kernels.narrow(few, words[:count])


@pytest.mark.parametrize("instruction_set", instruction_sets())
@pytest.mark.parametrize(("scale", "bias"), [(1.0, 0.0), (0.3, 0.0), (-3.0, 0.7), (2.0**-12, 0.0), (1.0, 1000.0)])
def test_every_word_through_the_end_of_the_data_path(instruction_set: str, scale: float, bias: float) -> None:
    """A function of one word, computed by the row that tables of 65,536 words are made with."""
    kernels = library(instruction_set)
    memory = np.zeros((2 << 16) + 64, np.uint16)
    memory[: 1 << 16] = ALL
    row = np.zeros((), kernels.row)
    strides = (0, 0, 0, 0, 1)
    fields = {
        "kind": KernelKind.COMBINE, "units": 32, "blocks": 1, "extents": (1, 1, 1, 1, 1 << 16, 1, 2048), "inputs": 1,
        "first_strides": strides, "result_strides": strides, "result": 1 << 16, "scale": 0, "numbers": 1,
    }  # fmt: skip
    for name, content in fields.items():
        row[name] = content
    numbers = np.zeros(64, np.float32)
    numbers[:2] = scale, bias
    kernels.call(row, memory, numbers, np.zeros(64, np.int64))
    words = [*range(0, 1 << 16, 13), 1, 2, 0x3FF, 0x400, 0x7BFF, 0x7C00, 0x7FFF, 0xFC00, 0xFFFF]
    sums = [float(np.float32(float(value(word))) + np.float32(bias)) for word in words]
    assert memory[(1 << 16) + np.array(words)].tolist() == [nearest(total * float(numbers[0])) for total in sums]
