"""Hazards suggest rescaling exactly where it was tried and the outputs became right."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from openane.analysis.effects import differs
from openane.analysis.hazards import find_hazards
from openane.compiler.driver import Options, build
from openane.graph import Graph, Node, Operation, TensorType, ops
from openane.runtimes.execution import Execution

RANDOM = np.random.default_rng(5)
KERNEL = (RANDOM.standard_normal((16, 16, 3, 3)) / 12).astype(np.float32)
WEIGHT = (RANDOM.standard_normal((48, 32)) / 7).astype(np.float32)
CONV = ops.Conv((1, 1), (1, 1, 1, 1))


def one(operation: Operation, shape: tuple[int, ...], weight: np.ndarray) -> Graph:
    node = Node("layer", operation, ("x", "w"), ("y",))
    return Graph("small", {"x": TensorType(shape)}, ("y",), (node,), {"w": weight})


def bounded() -> Graph:
    """The operand is within 1, which proves a bound on the sums."""
    nodes = Node("gate", ops.Clip(-1.0, 1.0), ("x",), ("g",)), Node("layer", CONV, ("g", "w"), ("y",))
    shape = TensorType((1, 16, 12, 12))
    return Graph("bounded", {"x": shape}, ("y",), nodes, {"w": KERNEL * np.float32(2e-4)})


def scaled_down_first() -> Graph:
    """A factor of the model makes operands so small that no factor of the kernel helps."""
    nodes = Node("less", ops.Mul(), ("x", "s"), ("d",)), Node("layer", CONV, ("d", "w"), ("y",))
    constants = {"w": KERNEL, "s": np.array([3e-8], np.float32)}
    return Graph("lost", {"x": TensorType((1, 16, 12, 12))}, ("y",), nodes, constants)


HELPED = {
    "convolution of small values": (one(CONV, (1, 16, 12, 12), KERNEL), 1e-3, "--rescale --calibrate 'x="),
    "convolution with small weights": (one(CONV, (1, 16, 9, 14), KERNEL * np.float32(1e-3)), 1.0, "--calibrate 'x="),
    "matmul": (one(ops.MatMul(), (20, 48), WEIGHT), 8e-4, "--rescale --calibrate 'x="),
    "bounded operand": (bounded(), 1.0, "--rescale, or"),
}


def on_engine(graph: Graph, inputs: Mapping[str, np.ndarray], options: Options | None = None) -> np.ndarray:
    with Execution(build(graph, options or Options())) as execution:
        return execution.run(inputs).outputs["y"]


def reference(graph: Graph, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    return np.asarray(graph.evaluate(inputs)["y"])


@pytest.mark.parametrize(("graph", "size", "advice"), HELPED.values(), ids=list(HELPED))
def test_rescaling_is_suggested_and_works(graph: Graph, size: float, advice: str) -> None:
    inputs = {"x": (size * RANDOM.standard_normal(graph.inputs["x"].shape)).astype(np.float32)}
    wanted = reference(graph, inputs)
    assert differs(on_engine(graph, inputs), wanted)
    (hazard,) = find_hazards(graph, [inputs])
    assert hazard.node == "layer"
    assert advice in hazard.hint
    options = Options(rescale=True, calibration=inputs if "--calibrate" in hazard.hint else {})
    assert not differs(on_engine(graph, inputs, options), wanted)


def test_rescaling_is_not_suggested_where_it_does_not_help() -> None:
    graph = scaled_down_first()
    found = find_hazards(graph, [{"x": RANDOM.standard_normal(graph.inputs["x"].shape).astype(np.float32)}])
    assert found
    assert all("--rescale" not in hazard.hint for hazard in found)


def test_rescaling_is_not_suggested_to_who_has_it() -> None:
    graph, size, _ = HELPED["matmul"]
    inputs = {"x": (size * RANDOM.standard_normal(graph.inputs["x"].shape)).astype(np.float32)}
    for hazard in find_hazards(graph, [inputs], options=Options(rescale=True)):
        assert "--rescale" not in hazard.hint
