"""Nodes of ONNX models that no operation of the Graph expresses: onnxruntime computes them as they are written."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from openane.core.errors import ModelError, UnavailableError, UnsupportedError
from openane.core.types import DType
from openane.graph.operation import Operation, OperationCase, TensorType
from openane.graph.ops.support import Arrays, Results, Types, require

__all__ = ["OnnxNode"]

SESSIONS = 64
"""Sessions of onnxruntime that are kept for the next run."""
MESSAGE_LENGTH = 200
"""Characters of a message of onnxruntime."""


@dataclass(frozen=True)
class OnnxNode(Operation):
    """What onnxruntime makes of a model with a single node; any number of inputs of any type.

    Results may have open extents (`TensorType.is_static`), which are known after the node ran.

    Attributes:
        onnx_name: the operation, with its domain where it is not ONNX's own.
        model: bytes of the `onnx.ModelProto`; its inputs are those of the node, in order.
        operands: the types of the inputs.
        results: the types of the outputs.
        reason: why openane has no operation for the node; empty where it does not know the operation.
        problem: why onnxruntime cannot compute it either; empty when it can.
        random: whether it draws random numbers.
    """

    input_names: ClassVar[tuple[str, ...]] = ("inputs*",)

    onnx_name: str
    model: bytes
    operands: tuple[TensorType, ...]
    results: tuple[TensorType, ...]
    reason: str = ""
    problem: str = ""
    random: bool = False

    @property
    def title(self) -> str:
        return self.onnx_name

    @property
    def is_repeatable(self) -> bool:
        return not self.random and not self.problem and all(result.is_static for result in self.results)

    def infer(self, inputs: Types) -> tuple[TensorType, ...]:
        found = ", ".join(map(str, inputs))
        require(
            tuple(inputs) == self.operands,
            f"the inputs are not those that {self.onnx_name} was read with",
            value=found,
            limit=", ".join(map(str, self.operands)),
        )
        return self.results

    def evaluate(self, inputs: Arrays) -> Results:
        if self.problem:
            raise UnsupportedError(f"onnxruntime cannot compute {self.onnx_name}: {self.problem}")
        session = open_session(self.model)
        feeds: dict[str, Any] = {}
        for value, kind, given in zip(session.get_inputs(), self.operands, inputs, strict=True):
            plain = isinstance(given, np.ndarray) and kind.dtype is not DType.OBJECT
            feeds[value.name] = np.asarray(given, kind.dtype.numpy, order="C") if plain else given
        try:
            return tuple(session.run(None, feeds))
        except Exception as error:
            raise ModelError(f"onnxruntime fails in {self.onnx_name}", value=one_line(error)) from error

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        try:
            from onnx import TensorProto, helper
        except ImportError:
            return
        types = [TensorProto.FLOAT, TensorProto.FLOAT]
        x, y = (helper.make_tensor_value_info(name, kind, [2, 3]) for name, kind in zip("xy", types, strict=True))
        graph = helper.make_graph([helper.make_node("Celu", ["x"], ["y"], alpha=2.0)], "one", [x], [y])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        kind = TensorType((2, 3))
        array = np.linspace(-2, 2, 6, dtype=np.float32).reshape(2, 3)
        operation = cls("Celu", model.SerializeToString(), (kind,), (kind,))
        yield OperationCase(operation, (array,))
        yield OperationCase(replace(operation, reason="it is an example", random=True), (array,))


@lru_cache(maxsize=SESSIONS)
def open_session(model: bytes) -> Any:
    """A session of onnxruntime for the bytes of a small model, kept for the next run.

    Raises:
        UnavailableError, UnsupportedError: as `new_session`.
    """
    return new_session(model)


def new_session(model: bytes) -> Any:
    """A session of onnxruntime for the bytes of a model.

    Raises:
        UnavailableError: onnxruntime is not installed.
        UnsupportedError: onnxruntime refuses the model.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise UnavailableError("onnxruntime is not installed", hint="Install it: pip install onnxruntime.") from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1  # the order of sums must not depend on the machine
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise UnsupportedError(one_line(error)) from error


def one_line(error: Exception) -> str:
    """The message of onnxruntime on one line, without the number, kind and source lines that precede it."""
    text = " ".join(str(error).split())
    return re.sub(r"^\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : |(Exception during initialization: )?/\S+ ", "", text)[
        :MESSAGE_LENGTH
    ]
