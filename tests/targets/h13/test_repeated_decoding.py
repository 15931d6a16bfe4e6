"""Tasks that differ in addresses alone are decoded once, with the same result as each by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pytest

from openane.compiler.driver import build
from openane.core.errors import FaultError
from openane.graph import Graph, Node, TensorType, ops
from openane.program import Task
from openane.targets.h13.machine import repeated
from openane.targets.h13.machine.decode import decode_fields
from openane.targets.h13.read import TaskFields
from openane.targets.h13.registers import REGISTERS


def tasks() -> Iterator[Task]:
    """Of convolutions with constant and run-time kernels, tables, planar tasks with one and two sources, reductions."""
    weights = np.random.default_rng(0).normal(size=(16, 8, 3, 3)).astype(np.float32)
    nodes = (
        Node("conv", ops.Conv((1, 1), (1, 1, 1, 1), (1, 1)), ("x", "w"), ("c",)),
        Node("tanh", ops.Tanh(), ("c",), ("t",)),
        Node("sub", ops.Sub(), ("t", "z"), ("s",)),
        Node("product", ops.MatMul(), ("s", "z"), ("p",)),
        Node("softmax", ops.Softmax(3), ("p",), ("q",)),
        Node("sum", ops.ReduceSum((3,)), ("q",), ("y",)),
    )
    shapes = {"x": TensorType((1, 8, 20, 20)), "z": TensorType((1, 16, 20, 20))}
    for program in build(Graph("tasks", shapes, ("y",), nodes, {"w": weights})).programs:
        yield from program.tasks


class Spy(dict[int, int]):
    """Registers that keep a record of what is read."""

    def __init__(self, words: Mapping[int, int]) -> None:
        super().__init__(words)
        self.read: set[int] = set()

    def get(self, key: int, default: int = 0) -> int:  # type: ignore[override]
        self.read.add(key)
        return super().get(key, default)


def test_other_addresses_give_what_decoding_the_task_alone_gives() -> None:
    moves = [REGISTERS[path].address for path in repeated.ADDRESSES]
    for index, task in enumerate(tasks()):
        for shift in (0, 64, 4096):
            words = {address: word + shift * (address in moves) for address, word in task.registers().items()}
            alone = decode_fields(TaskFields.of(task, index, words), index, str(task.origin))
            assert repr(repeated.decode(task, index, words)) == repr(alone)


def test_everything_that_is_read_is_structure_or_an_address() -> None:
    known = set(repeated._STRUCTURE) | {REGISTERS[path].address for path in repeated.ADDRESSES}
    staging_only = {REGISTERS["Common.TileCfg"].address}  # staging is worked out for each task
    for task in tasks():
        spy = Spy(task.registers())
        decode_fields(TaskFields(spy, task.header), 0, "")
        assert spy.read <= known | staging_only


@pytest.mark.parametrize("address", [word for word in repeated._STRUCTURE if REGISTERS.by_address[word].fields][::7])
def test_another_structure_is_another_task(address: int) -> None:
    """Each register of the structure decides: a change is decoded, or refused with the name of the very task."""
    task = next(tasks())
    words = task.registers() | {address: 0xFFFFFFFF}
    try:
        alone = repr(decode_fields(TaskFields.of(task, 7, words), 7, str(task.origin)))
    except FaultError as error:
        with pytest.raises(FaultError) as found:
            repeated.decode(task, 7, words)
        assert str(found.value) == str(error)
        assert "task 7" in str(found.value)
    else:
        assert repr(repeated.decode(task, 7, words)) == alone
