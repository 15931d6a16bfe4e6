"""Every operation: the net computes what the graph says, or there is a reason why not."""

from __future__ import annotations

import numpy as np
import pytest
from tests.support.lowering_graphs import assert_same_answers, case_graphs

from openane.compiler.lowering import HANDLERS, REFUSALS, LoweringOptions, lower, why_not
from openane.core.errors import UnsupportedError
from openane.core.types import DType
from openane.graph import Graph, Operation
from openane.graph import ops as g

CLASSES = sorted(set(g.OPERATIONS.values()), key=lambda operation: operation.__name__)


@pytest.mark.parametrize("rows", [False, True], ids=["channels", "rows"])
@pytest.mark.parametrize("operation", CLASSES, ids=lambda operation: operation.__name__)
def test_sample_cases(operation: type[Operation], rows: bool) -> None:
    options = LoweringOptions(rows=rows)
    lowered = 0
    floats = 0
    for case in operation.cases():
        for graph, inputs in case_graphs(case):
            floats += _is_floating(graph)
            reason = why_not(graph.nodes[0], graph, options)
            if reason is not None:
                assert "'node'" in reason.where
                assert (case.operation.title or operation.__name__) in reason.where
                with pytest.raises(UnsupportedError, match="'node'"):
                    lower(graph, options)
                continue
            with np.errstate(all="ignore"):
                assert_same_answers(graph, lower(graph, options), inputs)
            lowered += 1
    # What has a handler works for floats in at least one way; what has none says so.
    assert lowered or operation not in HANDLERS or not floats


def _is_floating(graph: Graph) -> bool:
    return all(kind.dtype.is_float or kind.dtype is DType.BOOL for kind in graph.types.values())


def test_every_operation_has_a_handler_or_a_reason() -> None:
    for operation in CLASSES:
        assert (operation in HANDLERS) != (operation in REFUSALS), operation.__name__
    assert set(REFUSALS) <= set(CLASSES)
