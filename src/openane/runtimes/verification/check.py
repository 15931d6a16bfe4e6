"""Running one case on a device and comparing every bit with what the simulator predicts."""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

import numpy as np

from openane import targets
from openane.core.errors import OpenaneError, UnavailableError
from openane.program import Program
from openane.runtimes.registry import load
from openane.runtimes.runtime import Runtime, SessionOptions
from openane.runtimes.verification.case import DeviceCase
from openane.targets.target import CompileOptions, RunOptions

REPORTED_DIFFERENCES = 8
Arrays = Mapping[str, np.ndarray]


class CheckOutcome(Enum):
    """How a case ended."""

    MATCHES = "matches"
    EXPLAINED = "explained"
    """It differs from the prediction, and one of the other hypotheses gives exactly these bits."""
    DIFFERS = "differs"
    NOT_COMPILED = "not compiled"
    FAULT = "fault"
    NOT_RUN = "not run"


@dataclass(frozen=True, slots=True)
class OutputDifference:
    """One element that is not as predicted, as bits.

    Attributes:
        index: (n, d, c, h, w).
        expected, found: bit patterns in hexadecimal.
    """

    index: tuple[int, ...]
    expected: str
    found: str


@dataclass(frozen=True, slots=True)
class CaseResult:
    """What a case gave.

    Attributes:
        case: which.
        outcome: in one word.
        message: why it did not run, or empty.
        seconds: wall time of the run.
        elements: compared.
        differing: how many of them differ in any bit.
        largest_ulp: largest distance of finite values in units of the last place.
        differences: the first of them.
        agrees_with: hypotheses that give exactly the found bits.
        digest: SHA-256 of the found bytes.
        found: the found bytes, compressed, in base64; only when they differ.
    """

    case: DeviceCase
    outcome: CheckOutcome
    message: str = ""
    seconds: float = 0.0
    elements: int = 0
    differing: int = 0
    largest_ulp: int = 0
    differences: tuple[OutputDifference, ...] = ()
    agrees_with: tuple[str, ...] = ()
    digest: str = ""
    found: Mapping[str, str] = field(default_factory=dict)


def compile_case(case: DeviceCase, target: str) -> Program:
    """The program of a case.

    Raises:
        UnsupportedError: the compiler cannot express it (yet); says what.
    """
    program = targets.get(target).lower(case.net, CompileOptions(dialect=case.dialect))
    return case.edit(program) if case.edit else program


def predict(case: DeviceCase, program: Program, profile: Mapping[str, str] | None = None) -> dict[str, np.ndarray]:
    """What the simulator computes.

    Args:
        case: gives the inputs.
        program: of the case.
        profile: options of the numerics profile; None takes the target's own.
    """
    options = SessionOptions(simulation=RunOptions(profile=dict(profile or {})))
    with load("simulator").open(program, options) as session:
        return session.run(case.inputs)


def check_case(case: DeviceCase, runtime: Runtime, options: SessionOptions, target: str) -> CaseResult:
    """Runs a case and compares.

    Raises:
        UnavailableError: the device is gone or hangs; nothing more can be learned from it.
    """
    try:
        program = compile_case(case, target)
        expected = predict(case, program)
    except OpenaneError as error:
        return CaseResult(case, CheckOutcome.NOT_COMPILED, str(error))
    try:
        with runtime.open(program, options) as session:
            found = session.run(case.inputs)
            seconds = session.last_seconds
    except UnavailableError:
        raise
    except OpenaneError as error:
        return CaseResult(case, CheckOutcome.FAULT, str(error))
    return compare(case, program, expected, found, seconds)


def compare(case: DeviceCase, program: Program, expected: Arrays, found: Arrays, seconds: float = 0.0) -> CaseResult:
    """The result of a case that ran."""
    differing, largest, differences = 0, 0, list[OutputDifference]()
    for name, array in expected.items():
        wanted, got = _bits(array), _bits(found[name])
        places = np.argwhere(wanted != got)
        differing += len(places)
        largest = max(largest, _largest_ulp(array, found[name]))
        for place in places[: REPORTED_DIFFERENCES - len(differences)]:
            index = tuple(int(axis) for axis in place)
            differences.append(OutputDifference(index, f"{int(wanted[index]):#06x}", f"{int(got[index]):#06x}"))
    agrees = tuple(
        name
        for name, profile in case.variants.items()
        if all(
            np.array_equal(_bits(array), _bits(found[output]))
            for output, array in predict(case, program, profile).items()
        )
    )
    outcome = CheckOutcome.MATCHES if not differing else CheckOutcome.EXPLAINED if agrees else CheckOutcome.DIFFERS
    return CaseResult(
        case,
        outcome,
        seconds=seconds,
        elements=sum(array.size for array in expected.values()),
        differing=differing,
        largest_ulp=largest,
        differences=tuple(differences),
        agrees_with=agrees,
        digest=hashlib.sha256(b"".join(np.ascontiguousarray(found[name]).tobytes() for name in expected)).hexdigest(),
        found={name: pack_array(array) for name, array in found.items()} if differing else {},
    )


def pack_array(array: np.ndarray) -> str:
    """Bytes of an array, compressed, as text."""
    return base64.b64encode(zlib.compress(np.ascontiguousarray(array).tobytes(), 9)).decode()


def unpack_array(text: str, like: np.ndarray) -> np.ndarray:
    """The inverse of `pack_array` for an array of the shape and element type of `like`."""
    data = zlib.decompress(base64.b64decode(text))
    return np.frombuffer(data, like.dtype).reshape(like.shape)


def _bits(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array).view(f"u{array.dtype.itemsize}")


def _largest_ulp(expected: np.ndarray, found: np.ndarray) -> int:
    """Steps between neighboring values, over elements that are finite in both; 0 for integers."""
    if expected.dtype != np.float16:
        return 0
    both = np.isfinite(expected) & np.isfinite(found)
    if not both.any():
        return 0
    steps = []
    for array in (expected, found):
        bits = _bits(array)[both].astype(np.int32)
        steps.append(np.where(bits & 0x8000, -(bits & 0x7FFF), bits))
    return int(np.abs(steps[0] - steps[1]).max())
