"""Programs for the tests of the cost model: Apple's records, and one built by hand."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from openane.artifact.plan import Artifact, EngineStep, Plan
from openane.core.origin import Origin
from openane.core.types import DType
from openane.program import Burst, Program, Role, Surface, Task

SHARED = Path(os.environ.get("OPENANE_SHARED", Path(__file__).parents[3] / "shared"))
RECORDS = SHARED / "oracles" / "h13"


def record_names(prefix: str = "") -> list[str]:
    """Names of the records at hand."""
    return sorted(path.stem for path in RECORDS.glob(f"{prefix}*.json"))


def record(name: str) -> dict[str, Any]:
    """A record; skips the test when it is not there."""
    path = RECORDS / f"{name}.json"
    if not path.exists():
        pytest.skip(f"needs the record {name} of the shared folder")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def tasks_of(found: dict[str, Any], layer: str = "") -> tuple[Task, ...]:
    """The tasks of a record, with every register as a burst of its own."""
    tasks = []
    origin = Origin((layer,) if layer else ())
    for task in found["tasks"]:
        bursts = tuple(Burst(int(address, 16), (int(word, 16),)) for address, word in task["regs"].items())
        tasks.append(Task(tuple(int(word, 16) for word in task["header"]), bursts, origin=origin))
    return tuple(tasks)


def surface(name: str, role: Role, shape: tuple[int, int, int, int], total: int, buffer: int) -> Surface:
    """A surface; strides are not looked at by the cost model."""
    n, c, h, w = shape
    return Surface(name, role, (n, 1, c, h, w), (total, total, 64, 64, 2), total, buffer, DType.FLOAT16)


def program_of(found: dict[str, Any]) -> Program:
    """A program with the tasks and surfaces of a record."""
    surfaces = tuple(
        surface(
            f"t{i}",
            Role.OUTPUT if each["binding"] == 2 else Role.INPUT,
            tuple(each["shape"]),
            each["total_bytes"],
            4 + i,
        )
        for i, each in enumerate(found["tensors"])
    )
    tasks = tasks_of(found, "layer")
    offsets = tuple(0x300 * i for i in range(len(tasks)))
    return Program("h13", tasks, offsets, surfaces, bytes(found["constant_section"]["size"]), name=found["case"])


def artifact_of(*programs: Program) -> Artifact:
    """A plan of programs."""
    steps = tuple(EngineStep(program, {}, {}) for program in programs)
    return Artifact(Plan("model", {}, {}, steps, {}), "h13")
