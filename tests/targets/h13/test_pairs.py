"""The published net.plist files compile to Apple's own programs, word for word."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.support.h13_nets import compile_net, random_inputs, simulate

from openane.core.errors import FormatError
from openane.formats.hwx import read_hwx
from openane.net.plist import read_net
from openane.targets import load_program

PAIRS = [
    "concat-16384",
    "conv-1x1-3ch",
    "conv-min-weights",
    "gemm-512",
    "min-conv",
    "seed-inner-product",
    "sum-64",
]


@pytest.mark.parametrize("pair", PAIRS)
def test_every_word_and_constant(pair: str, shared: Path) -> None:
    folder = shared / "goldens" / "pairs" / pair
    ours = compile_net(read_net(folder / "net.plist"), "macos-11")
    apples = load_program(read_hwx(folder / "model.hwx"))
    assert [task.header for task in ours.tasks] == [task.header for task in apples.tasks]
    assert [task.registers() for task in ours.tasks] == [task.registers() for task in apples.tasks]
    assert [task.bursts for task in ours.tasks] == [task.bursts for task in apples.tasks]
    assert ours.task_offsets == apples.task_offsets
    assert bytes(ours.constants) == bytes(apples.constants)


@pytest.mark.parametrize("dialect", ["macos-11", "macos-26", "linux"])
def test_the_seed_example(dialect: str, shared: Path) -> None:
    net = read_net(shared / "goldens" / "pairs" / "seed-inner-product" / "net.plist")
    (name,) = net.inputs
    (result,) = simulate(
        compile_net(net, dialect), {name: np.array([1337, 0, 0], np.float16).reshape(1, 1, 3, 1, 1)}
    ).values()
    assert result.ravel().tolist() == [4012, 4012]


def test_every_published_network_description(shared: Path) -> None:
    """All plists of the same project compile and run."""
    found = sorted((shared / "goldens" / "plists").glob("*.plist"))
    assert found
    read = 0
    for path in found:
        try:
            net = read_net(path)
        except FormatError:  # two describe larger weights than the file next to them holds
            continue
        program = compile_net(net)
        if not net.input_dtypes:
            results = simulate(program, random_inputs(net))
            assert all(np.isfinite(array.astype(np.float32)).all() for array in results.values()), path.name
        read += 1
    assert read >= len(found) - 2
