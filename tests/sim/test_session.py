"""The simulator as a runtime."""

from __future__ import annotations

import numpy as np
import pytest
from tests.support import programs as make
from tests.support.programs import Builder

from openane.core.errors import FaultError, InputError
from openane.program import Program, Role
from openane.runtimes.registry import load
from openane.runtimes.runtime import SessionOptions
from openane.targets.target import RunOptions

SHAPE = (1, 1, 3, 4, 5)


def doubling() -> Program:
    builder = Builder()
    x, y = builder.surface("x", Role.INPUT, SHAPE), builder.surface("y", Role.OUTPUT, SHAPE)
    twice = {"NE.PostScale.PostScale": make.half(2)}
    builder.add(make.PASS, make.view(SHAPE, SHAPE), make.dram_source(x), make.dram_result(y), twice)
    return builder.program()


def test_run_and_run_many() -> None:
    runtime = load("simulator")
    assert runtime.probe().available
    with runtime.open(doubling(), SessionOptions(simulation=RunOptions(threads=2))) as session:
        x = np.arange(60, dtype=np.float16).reshape(SHAPE)
        assert (session.run({"x": x})["y"] == 2 * x).all()
        many = list(session.run_many({"x": x + i} for i in range(5)))
        assert all((result["y"] == 2 * (x + i)).all() for i, result in enumerate(many))
    with pytest.raises(InputError, match="closed"):
        session.run({"x": x})


def test_limits_reach_the_machine() -> None:
    with pytest.raises(FaultError, match="too much memory"):
        load("simulator").open(doubling(), SessionOptions(memory_limit_bytes=100))
