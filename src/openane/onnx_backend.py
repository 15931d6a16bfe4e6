"""openane as a backend of `onnx.backend`: what ONNX's own test suite runs.

    import openane.onnx_backend as backend
    outputs = backend.run_model(model, [image])

Every model is compiled for the engine and runs on the simulator; what the engine cannot do runs as host steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx.backend.base import Backend, BackendRep, Device, DeviceType

from openane.artifact.plan import Artifact
from openane.compiler.driver import Options, build
from openane.core.errors import InputError, UnsupportedError
from openane.frontends.onnx import load_model
from openane.frontends.onnx.call import SETTABLE_RANK, DependsOnInputsError
from openane.frontends.onnx.tensors import held
from openane.graph import Graph
from openane.runtimes.execution import Execution


class CompiledModel(BackendRep):  # type: ignore[misc]
    """A model that is compiled when the first inputs come, because ONNX leaves shapes open until then.

    Args:
        model: to run.
        options: of the compilation.
    """

    def __init__(self, model: onnx.ModelProto, options: Options) -> None:
        self.model = model
        self.options = options
        self.artifact: Artifact | None = None
        known = {tensor.name for tensor in model.graph.initializer}
        self.names = [value.name for value in model.graph.input if value.name not in known]

    def run(self, inputs: Any, **options: Any) -> tuple[np.ndarray, ...]:
        """Runs the model once.

        Args:
            inputs: arrays in the order of the model's inputs, or by name.
            options: ignored, as the interface has them.

        Returns:
            The outputs in order.

        Raises:
            OpenaneError: the model is refused, or the inputs do not fit.
        """
        arrays = self._by_name(inputs)
        graph, constants = freeze(self.model, arrays)
        self.artifact = build(graph, self.options)
        fed = {name: array for name, array in arrays.items() if name in graph.inputs and name not in constants}
        with Execution(self.artifact) as execution:
            results = execution.run(fed).outputs
        return tuple(results[name] for name in self.artifact.plan.outputs)

    def _by_name(self, inputs: Any) -> dict[str, np.ndarray]:
        if isinstance(inputs, Mapping):
            return {name: _array(value, name) for name, value in inputs.items()}
        given = inputs if isinstance(inputs, (list, tuple)) else [inputs]
        if len(given) > len(self.names):
            raise InputError("there are more arrays than inputs", value=len(given), limit=len(self.names))
        return {name: _array(value, name) for name, value in zip(self.names, given, strict=False)}


def _array(value: Any, name: str) -> Any:
    """An array of numbers or texts; a sequence of them or an absent value as it is.

    Raises:
        UnsupportedError: an element type that numpy has no name for.
    """
    if isinstance(value, (list, tuple, type(None))):
        return value
    array = held(np.asarray(value))
    if array.dtype.kind not in "fiubOU":
        raise UnsupportedError("tensors of this element type are not known", value=f"input {name!r}: {array.dtype}")
    return array


def freeze(model: onnx.ModelProto, arrays: Mapping[str, np.ndarray]) -> tuple[Graph, dict[str, np.ndarray]]:
    """The graph for inputs of these shapes.

    Returns:
        The graph, and the inputs that became constants in it because shapes depend on their values.

    Raises:
        OpenaneError: the model is refused.
    """
    shapes = {
        value.name: arrays[value.name].shape
        for value in model.graph.input
        if isinstance(arrays.get(value.name), np.ndarray)
        and any(not d.HasField("dim_value") for d in value.type.tensor_type.shape.dim)
    }
    constants: dict[str, np.ndarray] = {}
    while True:
        try:
            return load_model(model, shapes, constants), constants
        except DependsOnInputsError as error:
            more = _deciding(arrays, constants) or {name: arrays[name] for name in error.sources if name in arrays}
            if set(more) <= set(constants):
                raise
            constants.update(more)


def _deciding(arrays: Mapping[str, Any], constants: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The inputs to make constants first: all small ones of integers, once."""
    arrays = {n: a for n, a in arrays.items() if isinstance(a, np.ndarray)}
    small = {n: a for n, a in arrays.items() if a.ndim <= SETTABLE_RANK and a.dtype.kind in "iub"}
    return small if not set(small) <= set(constants) else {}


class OpenaneBackend(Backend):  # type: ignore[misc]
    """The interface of `onnx.backend.base.Backend`."""

    @classmethod
    def prepare(cls, model: onnx.ModelProto, device: str = "CPU", **options: Any) -> CompiledModel:
        """A model ready to run.

        Args:
            model: to run.
            device: "CPU": the simulator.
            options: `target`, `host`, `wide`: see :class:`openane.compiler.driver.Options`.

        Raises:
            InputError: another device.
        """
        if not cls.supports_device(device):
            raise InputError("there is no such device", value=device, limit="CPU")
        chosen = {name: value for name, value in options.items() if name in ("target", "host", "wide")}
        return CompiledModel(model, Options(**chosen))

    @classmethod
    def run_model(cls, model: onnx.ModelProto, inputs: Any, device: str = "CPU", **options: Any) -> tuple[Any, ...]:
        """Compiles and runs a model once; see :class:`CompiledModel`."""
        return cls.prepare(model, device, **options).run(inputs)

    @classmethod
    def run_node(
        cls,
        node: onnx.NodeProto,
        inputs: Any,
        device: str = "CPU",
        outputs_info: Sequence[tuple[Any, tuple[int, ...]]] | None = None,
        **options: Any,
    ) -> tuple[Any, ...]:
        """Compiles and runs one node; `inputs` are the arrays of its inputs that are not left out."""
        names = [name for name in node.input if name]
        arrays = [np.asarray(value) for value in inputs]
        values = [
            onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
            for name, array in zip(names, arrays, strict=True)
        ]
        outputs = [onnx.helper.make_empty_tensor_value_info(name) for name in node.output if name]
        graph = onnx.helper.make_graph([node], node.op_type, values, outputs)
        imports = options.pop("opset_imports", None) or [onnx.helper.make_opsetid("", onnx.defs.onnx_opset_version())]
        return cls.run_model(onnx.helper.make_model(graph, opset_imports=imports), arrays, device, **options)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Whether this is the processor."""
        return bool(Device(device).type == DeviceType.CPU)


prepare = OpenaneBackend.prepare
run_model = OpenaneBackend.run_model
run_node = OpenaneBackend.run_node
supports_device = OpenaneBackend.supports_device
