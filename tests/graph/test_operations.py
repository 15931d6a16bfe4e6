"""Every operation is complete, and its reference agrees with its shape rule in every precision."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil

import numpy as np
import pytest

from openane.core.errors import ModelError
from openane.core.types import DType
from openane.graph import Operation, TensorType, ops
from openane.graph.ops import OPERATIONS, DequantizeLinear, OnnxNode

OPERATION = pytest.mark.parametrize("name", sorted(OPERATIONS))

#: Largest difference of a result in half precision from the one in double precision, relative to the largest value.
HALF_TOLERANCE = 4e-3


FIXED_TYPES = (DequantizeLinear.__name__, OnnxNode.__name__)
"""Operations whose result or operands have one element type, whatever the precision of the reference is."""


def _types(arrays: list[np.ndarray | None]) -> list[TensorType | None]:
    return [None if a is None else TensorType(a.shape, DType.of(a)) for a in arrays]


def _in_precision(inputs: tuple[np.ndarray | None, ...], dtype: str) -> list[np.ndarray | None]:
    return [a.astype(dtype) if a is not None and a.dtype.kind == "f" else a for a in inputs]


def test_every_public_class_is_registered() -> None:
    found = set()
    for module in pkgutil.iter_modules(ops.__path__):
        content = importlib.import_module(f"{ops.__name__}.{module.name}")
        for name, value in vars(content).items():
            own = isinstance(value, type) and value.__module__ == content.__name__ and issubclass(value, Operation)
            if own and not name.startswith("_"):
                assert getattr(ops, name) is value, f"{name} is not exported"
                found.add(name)
    abstract = {name for name in found if getattr(ops, name).__subclasses__() and name not in OPERATIONS}
    assert found - abstract == set(OPERATIONS)


@OPERATION
def test_complete(name: str) -> None:
    operation = OPERATIONS[name]
    assert dataclasses.is_dataclass(operation)
    assert operation.__doc__ and "__doc__" in vars(operation)
    assert operation.input_names and list(operation.cases())
    for case in operation.cases():
        assert type(case.operation) is operation
        assert hash(case.operation) == hash(dataclasses.replace(case.operation))


@OPERATION
def test_cases_cover_every_attribute(name: str) -> None:
    cases = list(OPERATIONS[name].cases())
    for field in dataclasses.fields(OPERATIONS[name]):
        values = {getattr(case.operation, field.name) for case in cases}
        if field.name == "problem":  # of a node that cannot be evaluated
            continue
        if field.default is not dataclasses.MISSING:
            assert values - {field.default}, f"no case changes {field.name}"
        else:
            assert values


@OPERATION
def test_attributes_are_described(name: str) -> None:
    operation = OPERATIONS[name]
    text = " ".join(base.__doc__ or "" for base in operation.__mro__)
    for field in dataclasses.fields(operation):
        assert field.name in text, f"attribute {field.name} is not described"


@OPERATION
def test_shape_rule_agrees_with_reference(name: str) -> None:
    for case in OPERATIONS[name].cases():
        for dtype in ("float16", "float32", "float64"):
            inputs = list(case.inputs) if name in FIXED_TYPES else _in_precision(case.inputs, dtype)
            with np.errstate(all="ignore"):
                results = case.operation.evaluate(inputs)
            expected = case.operation.infer(_types(inputs))
            assert [TensorType(r.shape, DType.of(r)) for r in results] == list(expected), case.operation


@OPERATION
def test_half_precision_is_close_to_double(name: str) -> None:
    for case in OPERATIONS[name].cases():
        half = _in_precision(case.inputs, "float16")
        # The same numbers in both precisions.
        double = _in_precision(tuple(half), "float64")
        if name == DequantizeLinear.__name__:
            continue
        with np.errstate(all="ignore"):
            pairs = zip(case.operation.evaluate(half), case.operation.evaluate(double), strict=True)
        for found, expected in pairs:
            if found.dtype.kind != "f":
                continue
            same = np.isfinite(expected)
            scale = max(float(np.abs(expected[same]).max(initial=0)), 1e-3)
            difference = np.abs(found.astype(np.float64) - expected)[same]
            assert float(difference.max(initial=0)) <= HALF_TOLERANCE * scale, case.operation


@OPERATION
def test_a_missing_input_is_refused(name: str) -> None:
    case = next(iter(OPERATIONS[name].cases()))
    required = [i for i, n in enumerate(OPERATIONS[name].input_names) if not n.endswith(("?", "*"))]
    for index in required:
        types = _types(list(case.inputs))
        types[index] = None
        with pytest.raises(ModelError, match="is missing"):
            case.operation.infer(types)


@OPERATION
def test_inputs_are_not_modified(name: str) -> None:
    for case in OPERATIONS[name].cases():
        before = [None if a is None else a.copy() for a in case.inputs]
        with np.errstate(all="ignore"):
            case.operation.evaluate(case.inputs)
        for array, copy in zip(case.inputs, before, strict=True):
            assert array is None or np.array_equal(array, copy, equal_nan=array.dtype.kind == "f")
