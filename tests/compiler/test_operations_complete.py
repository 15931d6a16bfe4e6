"""Every operation has a reference, a description and samples, somebody who makes it, and a place where it runs."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

import openane
from openane.compiler.lowering import HANDLERS as LOWERINGS
from openane.compiler.lowering import REFUSALS
from openane.graph import Operation
from openane.graph.ops import OPERATIONS
from openane.runtimes.host.export import HANDLERS as MAPPINGS

SOURCE = Path(openane.__file__).parent
OPERATION = pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
LEFT_TO_THE_REFERENCE = {"CumProd", "DequantizeLinear", "GridSample", "QuantizeLinear"}
"""What is not written as ONNX on the host; numpy computes it."""
ONLY_IN_PYTHON = {"Trunc"}
"""What no front end makes; it is there for graphs that are built in Python."""


@cache
def _names_used() -> frozenset[str]:
    """Every name in the front ends and the passes, which make all nodes there are."""
    files = [path for folder in ("frontends", "compiler/passes") for path in (SOURCE / folder).rglob("*.py")]
    nodes = (node for path in files for node in ast.walk(ast.parse(path.read_text())))
    return frozenset(
        node.attr if isinstance(node, ast.Attribute) else node.id
        for node in nodes
        if isinstance(node, (ast.Attribute, ast.Name))
    )


@OPERATION
def test_the_class_is_complete(operation: type[Operation]) -> None:
    assert operation.infer is not Operation.infer, "it has no shape rule"
    assert operation.evaluate is not Operation.evaluate, "it has no reference"
    assert "__doc__" in vars(operation) and operation.__doc__, "it has no description"
    assert next(operation.cases(), None) is not None, "it has no sample"


@OPERATION
def test_it_runs_somewhere(operation: type[Operation]) -> None:
    assert (operation in LOWERINGS) != (operation in REFUSALS), "it has a lowering, or a reason why not"
    if operation in REFUSALS:
        refusal = REFUSALS[operation]
        assert refusal.reason and refusal.hint


@OPERATION
def test_somebody_makes_it(operation: type[Operation]) -> None:
    assert (operation.__name__ in _names_used()) != (operation.__name__ in ONLY_IN_PYTHON)


def test_what_the_host_cannot_compute_with_onnxruntime() -> None:
    missing = {name for name, operation in OPERATIONS.items() if operation not in MAPPINGS}
    assert missing == LEFT_TO_THE_REFERENCE
