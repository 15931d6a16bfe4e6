"""What an operation's class states of it holds for its reference on its samples."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from openane.core.types import DType
from openane.graph import Operation, OperationCase, TensorType
from openane.graph.ops import OPERATIONS


def _stating(fact: str) -> pytest.MarkDecorator:
    chosen = {name: operation for name, operation in OPERATIONS.items() if getattr(operation, fact)}
    assert chosen, f"no operation states {fact}"
    return pytest.mark.parametrize("operation", chosen.values(), ids=chosen)


def _samples(operation: type[Operation]) -> Iterator[tuple[OperationCase, list[np.ndarray], tuple[np.ndarray, ...]]]:
    """A case, its inputs that are there, and its results."""
    for case in operation.cases():
        with np.errstate(all="ignore"):
            results = case.operation.evaluate(case.inputs)
        yield case, [array for array in case.inputs if array is not None], results


@_stating("moves_data")
def test_elements_that_are_moved_are_those_of_the_inputs(operation: type[Operation]) -> None:
    for case, inputs, results in _samples(operation):
        known = np.concatenate([array.astype(np.float64).ravel() for array in inputs])
        fixed = (0.0, float(getattr(case.operation, "value", 0.0)))
        for result in results:
            assert np.isin(result.astype(np.float64), [*known, *fixed]).all()


@_stating("is_view")
def test_a_view_shares_memory(operation: type[Operation]) -> None:
    for case, inputs, results in _samples(operation):
        assert np.shares_memory(inputs[0], results[0]), case


@_stating("result_range")
def test_results_are_in_the_stated_range(operation: type[Operation]) -> None:
    assert operation.result_range is not None
    low, high = operation.result_range
    for case, inputs, _ in _samples(operation):
        for factor in (1, 100, -1000):
            (result,) = case.operation.evaluate([inputs[0] * factor])
            assert low <= result.min() and result.max() <= high


@_stating("keeps_range")
def test_results_are_in_the_range_of_the_first_input(operation: type[Operation]) -> None:
    for _, inputs, results in _samples(operation):
        for result in results:
            if result.size:
                slack = 1e-6 * np.abs(inputs[0].astype(np.float64)).max()
                assert result.min() >= inputs[0].min() - slack and result.max() <= inputs[0].max() + slack


@_stating("is_linear")
def test_a_linear_operation_adds(operation: type[Operation]) -> None:
    """f(x, y) - f(x', y) is f(x - x', y) - f(0, y), for the first input."""
    for case, _, _ in _samples(operation):
        x, *others = (None if a is None else a.astype(np.float64) for a in case.inputs)
        assert x is not None
        other = np.random.default_rng(0).standard_normal(x.shape)

        def at(first: np.ndarray, case: OperationCase = case, others: list[np.ndarray | None] = others) -> np.ndarray:
            return case.operation.evaluate([first, *others])[0]

        np.testing.assert_allclose(at(x) - at(other), at(x - other) - at(np.zeros_like(x)), atol=1e-9)


@_stating("sums_products")
def test_macs_are_what_the_reference_multiplies(operation: type[Operation]) -> None:
    """With ones, each result of a product without padding counts its terms."""
    for case, inputs, results in _samples(operation):
        if len(inputs) < 2 or any(getattr(case.operation, "pads", ())):
            continue
        types = [None if a is None else TensorType(a.shape, DType.of(a)) for a in case.inputs]
        ones = [None if a is None else np.ones_like(a) for a in case.inputs]
        if len(ones) > 2 and ones[2] is not None and "bias?" in operation.input_names:
            ones[2] = np.zeros_like(ones[2])
        total = case.operation.evaluate(ones)[0].astype(np.float64).sum()
        outputs = [TensorType(array.shape, DType.of(array)) for array in results]
        assert case.operation.macs(types, outputs) == total
