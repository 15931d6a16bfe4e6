"""Small networks for the tests of the H13 back end, and the comparison that judges them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from openane.analysis.evidence import evidence_of_programs
from openane.net.net import Net, TensorShape, Unit, UnitParams
from openane.net.units import GOCParams
from openane.program import Program
from openane.program.evidence import EncodingEvidence
from openane.targets.h13.engine import TARGET
from openane.targets.target import CompileOptions, RunOptions

#: Largest error as a part of the largest result: a few roundings to fp16.
TOLERANCE = 2e-3


def shape(*ndchw: int) -> TensorShape:
    """A shape from (C, H, W) or (N, D, C, H, W)."""
    if len(ndchw) == 3:
        ndchw = (1, 1, *ndchw)
    batch, depth, channels, height, width = ndchw
    return TensorShape(batch, channels, height, width, depth)


def weights(*extents: int, seed: int = 0) -> np.ndarray:
    """Random fp16 numbers whose sums of products stay near 1."""
    scale = np.sqrt(np.prod(extents[1:]) or 1)
    return (np.random.default_rng(seed).standard_normal(extents) / scale).astype(np.float16)


def single(params: UnitParams, *shapes: TensorShape) -> Net:
    """One unit between inputs and an output."""
    inputs = {f"x{number}": each for number, each in enumerate(shapes)}
    return Net("net", inputs, {"out": "y"}, (Unit("y", params, tuple(inputs)),))


def between(params: UnitParams, *shapes: TensorShape) -> Net:
    """One unit whose operands and result are intermediate values, so that they may stay in L2."""
    inputs = {f"x{number}": each for number, each in enumerate(shapes)}
    before = [Unit(f"a{number}", GOCParams(0.5, 0.25), (f"x{number}",)) for number in range(len(shapes))]
    unit = Unit("y", params, tuple(each.name for each in before))
    return Net("net", inputs, {"out": "z"}, (*before, unit, Unit("z", GOCParams(2.0, -0.5), ("y",))))


def random_inputs(net: Net, seed: int = 1) -> dict[str, np.ndarray]:
    """Normal fp16 inputs."""
    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal(each.ndchw).astype(np.float16) for name, each in net.inputs.items()}


def compile_net(net: Net, dialect: str | None = None) -> Program:
    """The program of a network."""
    return TARGET.lower(net, CompileOptions(dialect))


def simulate(program: Program, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What the simulator makes of it."""
    return TARGET.machine(program, RunOptions(threads=1)).run(inputs)


def weakest(program: Program) -> EncodingEvidence:
    """The evidence of the weakest task."""
    report = evidence_of_programs((program,))
    assert report is not None
    return max(task.evidence.level for task in report.tasks)


def check(
    net: Net,
    inputs: dict[str, np.ndarray] | None = None,
    *,
    tolerance: float = TOLERANCE,
    outputs: Sequence[str] | None = None,
) -> Program:
    """Compiles, simulates, and compares with the network's own arithmetic in fp32."""
    program = compile_net(net)
    inputs = inputs or random_inputs(net)
    results = simulate(program, inputs)
    expected = net.evaluate({name: array.astype(np.float32) for name, array in inputs.items()})
    for name in outputs or net.outputs:
        wanted = expected[name].astype(np.float64)
        error = np.abs(results[name].astype(np.float64) - wanted).max()
        assert error <= tolerance * max(np.abs(wanted).max(), 1e-3), f"{name}: {error}"
    return program
