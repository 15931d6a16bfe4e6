"""The set of cases, and its form as files for machines where openane itself does not run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from openane.core.errors import InputError, OpenaneError
from openane.core.files import make_folder, write_array, write_atomically
from openane.formats.anec import write_anec
from openane.formats.hwx import write_hwx
from openane.runtimes.verification.accumulation import accumulation_cases
from openane.runtimes.verification.arithmetic import arithmetic_cases
from openane.runtimes.verification.case import DeviceCase, Standing
from openane.runtimes.verification.check import compile_case, predict
from openane.runtimes.verification.encodings import encoding_cases
from openane.runtimes.verification.geometry import geometry_cases
from openane.runtimes.verification.mac_kit import kit_cases


def all_cases() -> tuple[DeviceCase, ...]:
    """Every case, those with recorded encodings first: an assumed one may hang the engine."""
    cases = (*geometry_cases(), *kit_cases(), *accumulation_cases(), *arithmetic_cases(), *encoding_cases())
    return tuple(sorted(cases, key=lambda case: case.standing is Standing.ASSUMED))


def select_cases(names: Sequence[str]) -> tuple[DeviceCase, ...]:
    """Cases by name or group, in running order; all when no name is given.

    Raises:
        InputError: a name that is neither.
    """
    cases = all_cases()
    known = {case.name for case in cases} | {case.group for case in cases}
    for name in names:
        if name not in known:
            raise InputError(
                "there is no such case or group", value=name, limit=", ".join(sorted({case.group for case in cases}))
            )
    return tuple(case for case in cases if not names or case.name in names or case.group in names)


def write_kit(cases: Sequence[DeviceCase], folder: Path, target: str) -> Iterator[tuple[DeviceCase, str]]:
    """Writes programs, inputs and predictions as files, one folder per case.

    Files: program.hwx, program.anec, in-NAME.npy, out-NAME.npy ((N, D, C, H, W) arrays), and manifest.json with the
    questions.

    Yields:
        Each case when it is written, with why it was left out, empty if it was not.

    Raises:
        InputError: the folder cannot be written.
    """
    manifest = []
    for case in cases:
        problem = ""
        try:
            program = compile_case(case, target)
            outputs = predict(case, program)
            files = {"program.hwx": write_hwx(program), "program.anec": write_anec(program)}
        except InputError:
            raise
        except OpenaneError as error:
            problem = str(error)
        else:
            _write_case(folder / case.name, files, {"in": dict(case.inputs), "out": outputs})
        manifest.append({"name": case.name, "group": case.group, "question": case.question, "left out": problem})
        yield case, problem
    _write(folder / "manifest.json", json.dumps({"target": target, "cases": manifest}, indent=1).encode())


def _write_case(folder: Path, files: dict[str, bytes], arrays: dict[str, dict[str, np.ndarray]]) -> None:
    for name, data in files.items():
        _write(folder / name, data)
    for kind, group in arrays.items():
        for name, array in group.items():
            write_array(folder / f"{kind}-{name}.npy", array)


def _write(path: Path, data: bytes) -> None:
    make_folder(path.parent)
    write_atomically(path, data)
