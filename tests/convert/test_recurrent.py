"""Recurrent layers in Core ML: written, read back and compared on the sample uses of the operations.

The gates of an .mlmodel have names, which coremltools gives them by MIL's order: a witness for the order of the gates.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from openane.convert import convert
from openane.core.errors import UnsupportedError
from openane.core.types import DType
from openane.graph import Graph, Node, OperationCase, TensorType
from openane.graph import ops as g
from openane.graph.ops.support import sample


def reversed_case(kind: type[g.LSTM | g.GRU | g.RNN]) -> OperationCase:
    weights = (sample(1, 4 * kind.gates, size, seed=size) for size in (3, 4))
    return OperationCase(kind(4, g.Direction.REVERSE), (sample(5, 2, 3), *weights))


def both_ways() -> OperationCase:
    """Two directions with biases and states."""
    shapes = ((5, 2, 3), (2, 16, 3), (2, 16, 4), (2, 32), None, (2, 2, 4), (2, 2, 4))
    arrays = (None if shape is None else sample(*shape, seed=i) for i, shape in enumerate(shapes))
    return OperationCase(g.LSTM(4, g.Direction.BIDIRECTIONAL), tuple(arrays))


KINDS = (g.LSTM, g.GRU, g.RNN)
CASES = [(f"{k.__name__}-{i}", case) for k in KINDS for i, case in enumerate((*k.cases(), reversed_case(k)))]
CASES.append(("LSTM-both", both_ways()))
REASONS = ("cannot be written for Core ML", "Core ML has no", "no Core ML counterpart of RNN")


def graph_of(case: OperationCase) -> Graph:
    """The layer with everything but the sequence constant."""
    names = tuple(f"v{i}" if array is not None else "" for i, array in enumerate(case.inputs))
    arrays = {name: array for name, array in zip(names, case.inputs, strict=True) if array is not None}
    types = [None if array is None else TensorType(array.shape, DType.of(array)) for array in case.inputs]
    outputs = tuple(f"y{i}" for i in range(len(case.operation.infer(types))))
    constants = {name: array for name, array in arrays.items() if name != "v0"}
    first = types[0]
    assert first is not None
    return Graph("layer", {"v0": first}, outputs, (Node("layer", case.operation, names, outputs),), constants)


@pytest.mark.parametrize("ending", ["mlpackage", "mlmodel"])
@pytest.mark.parametrize(("name", "case"), CASES, ids=[name for name, _ in CASES])
def test_recurrent_layers_in_core_ml(tmp_path: Path, name: str, case: OperationCase, ending: str) -> None:
    try:
        assert convert(graph_of(case), tmp_path / f"layer.{ending}", half=False).error < 1e-4
    except UnsupportedError as error:
        assert any(reason in str(error) for reason in REASONS), error
        assert name not in ("LSTM-0", "LSTM-both", "GRU-0")


def test_the_usual_layers_are_written(tmp_path: Path) -> None:
    written = set()
    for name, case in CASES:
        try:
            convert(graph_of(case), tmp_path / f"{name}.mlpackage", half=False)
            written.add(name.split("-")[0])
        except UnsupportedError:
            pass
    assert written == {"LSTM", "GRU"}
