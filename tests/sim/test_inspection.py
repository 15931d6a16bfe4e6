"""Hooks before and after tasks, watched memory, and what they see."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tests.support import programs as make
from tests.support.programs import Builder

from openane.core.errors import InputError
from openane.program import Program, Role
from openane.runtimes.inspection import DecodedTask, Hook, Inspection, MachineState
from openane.runtimes.registry import load
from openane.runtimes.runtime import Session, SessionOptions
from openane.targets.target import RunOptions

SHAPE = (1, 1, 3, 4, 5)
SCRATCH = 3
X = np.arange(60, dtype=np.float16).reshape(SHAPE)


def two_tasks() -> Program:
    """scratch = 2 x; y = 3 scratch."""
    builder = Builder(scratch_bytes=0x1000)
    x, y = builder.surface("x", Role.INPUT, SHAPE), builder.surface("y", Role.OUTPUT, SHAPE)
    ends = make.view(SHAPE, SHAPE), make.dram_source(x), make.dram_result(y)
    builder.add(make.PASS, *ends, {"NE.PostScale.PostScale": make.half(2), "Header.Bases.WBase": SCRATCH})
    builder.add(make.PASS, *ends, {"NE.PostScale.PostScale": make.half(3), "Header.Bases.RBase0": SCRATCH})
    return builder.program()


@pytest.fixture
def session():  # type: ignore[no-untyped-def]
    with load("simulator").open(two_tasks(), SessionOptions(simulation=RunOptions(threads=2))) as opened:
        yield opened


def test_task_hooks_see_the_machine_between_tasks(session: Session) -> None:
    seen: list[tuple[str, int, float]] = []

    def note(when: str):  # type: ignore[no-untyped-def]
        return lambda machine, task: seen.append((when, task.index, machine.tensor(task.result).max()))

    session.inspection.hook_add(Hook.BEFORE_TASK, note("before"))
    session.inspection.hook_add(Hook.AFTER_TASK, note("after"))
    assert (session.run({"x": X})["y"] == 6 * X).all()
    assert seen == [("before", 0, 0), ("after", 0, 118), ("before", 1, 0), ("after", 1, 354)]


def test_memory_and_registers_can_be_read(session: Session) -> None:
    found: list[bytes] = []

    def look(machine: MachineState, task: DecodedTask) -> None:
        assert set(machine.memories) == {"constants", "scratch", "x", "y", "L2"}
        assert make.half(3) in machine.program.tasks[task.index].registers().values()
        assert (machine.tensor(task.sources[0])[0] == 2 * X[0]).all()
        found.append(machine.read("x", 0, 10))
        with pytest.raises(InputError, match="no memory 'z'"):
            machine.read("z")
        with pytest.raises(InputError, match="not in the memory"):
            machine.read("x", 1 << 20)

    session.inspection.hook_add(Hook.BEFORE_TASK, look, tasks={1})
    session.run({"x": X})
    assert found == [X[0, 0, 0, 0].tobytes()], "the first row of the surface"


@pytest.mark.parametrize(
    ("kind", "memory", "tasks"),
    [
        (Hook.READ, "x", [0]),
        (Hook.READ, "scratch", [1]),
        (Hook.WRITE, "scratch", [0]),
        (Hook.WRITE, "y", [1]),
        (Hook.WRITE, "x", []),
        (Hook.READ, "constants", []),
    ],
)
def test_watched_memory(session: Session, kind: Hook, memory: str, tasks: list[int]) -> None:
    """The log of effects, which knows nothing of hooks, says which task has which buffer."""
    called: list[int] = []
    session.inspection.hook_add(kind, lambda machine, task: called.append(task.index), watch=memory)
    session.run({"x": X})
    buffers = {surface.name: surface.buffer for surface in session.program.surfaces} | {"scratch": SCRATCH}
    effect = "read" if kind is Hook.READ else "write"
    records = map(json.loads, session.inspection.trace_lines())
    logged = [r["task"] for r in records if r["effect"] == effect and r["buffer"] == buffers.get(memory)]
    assert called == tasks == logged


def test_single_bytes_are_watched(session: Session) -> None:
    """Rows are spaced: bytes between them are nobody's."""
    surface = session.program.inputs[0]
    row = surface.strides_bytes[3]
    assert row > 2 * SHAPE[4]
    called: list[str] = []
    watches = {"last of a row": 2 * SHAPE[4] - 1, "between rows": 2 * SHAPE[4], "next row": row}
    for name, offset in watches.items():
        session.inspection.hook_add(
            Hook.READ, lambda machine, task, name=name: called.append(name), watch="x", offset=offset, size_bytes=1
        )
    session.run({"x": X})
    assert called == ["last of a row", "next row"]


def test_hooks_are_removed_and_cost_nothing_then(session: Session) -> None:
    called: list[int] = []
    inspection: Inspection = session.inspection
    hook = inspection.hook_add(Hook.AFTER_TASK, lambda machine, task: called.append(task.index))
    assert len(list(session.run_many([{"x": X}, {"x": X}]))) == 2
    assert called == [0, 1, 0, 1]
    inspection.hook_delete(hook)
    session.run({"x": X})
    assert called == [0, 1, 0, 1]
    with pytest.raises(InputError, match="no such hook"):
        inspection.hook_delete(hook)


def test_an_error_of_a_callback_ends_the_run(session: Session) -> None:
    def fail(machine: MachineState, task: DecodedTask) -> None:
        raise RuntimeError("enough")

    hook = session.inspection.hook_add(Hook.AFTER_TASK, fail)
    with pytest.raises(RuntimeError, match="enough"):
        session.run({"x": X})
    session.inspection.hook_delete(hook)
    assert (session.run({"x": X})["y"] == 6 * X).all()


def test_wrong_hooks_are_refused(session: Session) -> None:
    def nothing(machine: MachineState, task: DecodedTask) -> None: ...

    with pytest.raises(InputError, match="need the memory to watch"):
        session.inspection.hook_add(Hook.WRITE, nothing)
    with pytest.raises(InputError, match="need the memory to watch"):
        session.inspection.hook_add(Hook.AFTER_TASK, nothing, watch="x")
    with pytest.raises(InputError, match=r"no memory 'w'.*x, y"):
        session.inspection.hook_add(Hook.READ, nothing, watch="w")


def test_other_runtimes_refuse() -> None:
    class Device(Session):
        def _execute(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            return {}

        def _release(self) -> None: ...

    device = Device(two_tasks())
    assert not device.inspectable
    with pytest.raises(InputError, match="only the simulator can be traced, stopped and inspected"):
        _ = device.inspection
