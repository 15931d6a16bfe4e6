"""Apple's programs, as recorded, compute what their MIL text says.

This is the proof of most meanings in the simulator: the task words are Apple's, constants are rebuilt with random
values by the packing rules, inputs are random, and the result is compared with the operation in float64.
"""

from __future__ import annotations

import numpy as np
import pytest
from tests.support import records
from tests.support.records import Record

from openane.targets.h13.machine import machine
from openane.targets.target import RunOptions

pytestmark = pytest.mark.skipif(not records.RECORDS.is_dir(), reason="the folder shared/oracles/h13 is missing")

FP16_STEP = 2.0**-11
TABLES = {"sigmoid": 4e-3, "silu": 6e-3, "gelu": 4e-3, "softmax": 2e-3, "exp": 2e-3, "rsqrt": 2e-3, "sqrt": 2e-3}
"""Largest error of results after a table, relative to the largest result: the chords of Apple's tables."""


def inputs_for(record: Record, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    arrays = {}
    operations = set(record.operations())
    for name, shape in record.inputs.items():
        values = rng.standard_normal(shape)
        if operations & {"pow", "sqrt", "rsqrt"}:
            values = np.abs(values) + 0.05
        if "real_div" in operations:
            values = np.sign(values) * (np.abs(values) + 0.1)
        arrays[name] = values.astype(np.float16)
    return arrays


def run(record: Record, arrays: dict[str, np.ndarray]) -> np.ndarray:
    program = records.build_program(record)
    simulator = machine(program, RunOptions(threads=1))
    outputs = simulator.run({surface.name: arrays[surface.name].reshape(surface.shape) for surface in program.inputs})
    return outputs[record.output].astype(np.float64)


@pytest.mark.parametrize("case", records.cases())
def test_record_computes_its_mil(case: str) -> None:
    record = Record.load(case, seed=3)
    arrays = inputs_for(record, seed=4)
    expected = records.evaluate(record, arrays)
    found = run(record, arrays).reshape(expected.shape)
    bound = max((TABLES.get(operation, 2 * FP16_STEP) for operation in record.operations()), default=0)
    assert np.abs(found - expected).max() <= bound * np.abs(expected).max()
