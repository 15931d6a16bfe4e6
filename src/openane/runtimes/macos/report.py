"""The form that a Mac user can send back: what was captured, how our program compares, what the engine computed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from openane.core.errors import OpenaneError
from openane.formats.hwx import read_hwx
from openane.program import Program
from openane.runtimes.macos.capture import CaptureStep
from openane.runtimes.registry import load
from openane.runtimes.runtime import Runtime
from openane.targets import encode_text, load_program

SEED = 0
RUNS = 20

QUESTIONS = (
    "Did anything crash or hang, and at which step?",
    "Which Mac, chip and macOS build is it (see machine)?",
    "May the files in this folder be published as test data, and under which license?",
)
"""What the report cannot find out by itself."""


@dataclass(frozen=True, slots=True)
class DeviceMeasurement:
    """One program on the engine against the simulator.

    Attributes:
        seconds: wall time of each run.
        elements: of all outputs.
        differing: bytes of the outputs that differ from the simulator.
    """

    seconds: tuple[float, ...]
    elements: int
    differing: int


def seeded_inputs(program: Program) -> dict[str, np.ndarray]:
    """Repeatable inputs: standard normal values, or bytes of all values."""
    generator = np.random.default_rng(SEED)
    inputs = {}
    for surface in sorted(program.inputs, key=lambda surface: surface.name):
        if surface.dtype.is_float:
            inputs[surface.name] = generator.standard_normal(surface.shape).astype(surface.dtype.numpy)
        else:
            bits = generator.integers(0, 256, surface.shape, dtype=np.uint8)
            inputs[surface.name] = bits.view(surface.dtype.numpy)
    return inputs


def measure(program: Program, runtime: Runtime) -> DeviceMeasurement:
    """Runs a program on the engine and in the simulator with the same inputs.

    Raises:
        OpenaneError: either refused.
    """
    inputs = seeded_inputs(program)
    with load("simulator").open(program) as session:
        expected = session.run(inputs)
    seconds = []
    with runtime.open(program) as session:
        for _ in range(RUNS):
            found = session.run(inputs)
            seconds.append(session.last_seconds)
    differing = sum(
        int(np.count_nonzero(found[name].view(np.uint8) != array.view(np.uint8))) for name, array in expected.items()
    )
    return DeviceMeasurement(tuple(seconds), sum(array.size for array in expected.values()), differing)


def compare_programs(ours: Program, apples: Program) -> dict[str, Any]:
    """Where two compilations of one network agree, part by part."""
    texts = [encode_text(program) for program in (ours, apples)]
    constants = [bytes(program.constants) for program in (ours, apples)]
    shared = min(map(len, texts))
    first = next((index for index in range(shared) if texts[0][index] != texts[1][index]), None)
    return {
        "tasks": [len(ours.tasks), len(apples.tasks)],
        "text_bytes": [len(text) for text in texts],
        "text_equal": texts[0] == texts[1],
        "first_different_text_byte": first,
        "constants_equal": constants[0].rstrip(b"\0") == constants[1].rstrip(b"\0"),
        "surfaces_equal": set(ours.surfaces) == set(apples.surfaces),
    }


def read_program(path: Path) -> Program:
    """The program of a .hwx file. Raises OpenaneError when it is damaged or unknown."""
    return load_program(read_hwx(path))


def report_document(model: Path, folder: Path, steps: Sequence[CaptureStep], machine: dict[str, str]) -> dict[str, Any]:
    """The part of the form that describes a capture, ready for JSON; file names are relative to the folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "report.json")
    return {
        "format": 1,
        "model": model.name,
        "machine": machine,
        "steps": [
            {
                "name": step.name,
                "outcome": step.outcome.value,
                "message": step.message.replace(str(folder), "."),
                "files": [_relative(path, folder) for path in step.files],
            }
            for step in steps
        ],
        "files": {
            _relative(path, folder): {
                "bytes": path.stat().st_size,
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            }
            for path in files
        },
        "questions": dict.fromkeys(QUESTIONS, ""),
    }


def measurement_document(programs: dict[str, Program], runtime: Runtime) -> dict[str, Any]:
    """Every program on the engine, or why it did not run."""
    results: dict[str, Any] = {}
    for name, program in programs.items():
        try:
            measured = measure(program, runtime)
        except OpenaneError as error:
            results[name] = {"message": str(error)}
            continue
        results[name] = {
            "seconds": [round(value, 6) for value in measured.seconds],
            "elements": measured.elements,
            "differing_bytes": measured.differing,
        }
    return results


def _relative(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name
