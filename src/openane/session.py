"""A compiled model that is loaded once and run many times, with the interfaces that people know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, overload

import numpy as np

from openane.analysis.run_hazards import Outputs, run_hazards
from openane.artifact.plan import Artifact
from openane.core.errors import InputError
from openane.graph import TensorType
from openane.runtimes.execution import Execution
from openane.runtimes.runtime import SessionOptions

_ONNX_TYPES = {"float32": "float", "float64": "double", "bool": "bool"}


@dataclass(frozen=True, slots=True)
class NodeArgument:
    """An input or output of a model, as onnxruntime describes it.

    Attributes:
        name: of the input or output.
        shape: sizes; none is open in a compiled model.
        type: such as "tensor(float)", "tensor(float16)" or "tensor(int64)".
    """

    name: str
    shape: list[int]
    type: str


class ServedModel:
    """A compiled model in a runtime.

    Args:
        artifact: the compiled model.
        on: runtime by name: "simulator", "linux", "macos", or "auto" for the first that can be used.
        options: of the runtime's sessions.

    Raises:
        InputError: there is no such runtime.
        UnavailableError: the runtime cannot be used here.
    """

    def __init__(self, artifact: Artifact, on: str = "simulator", options: SessionOptions | None = None) -> None:
        self._options = options or SessionOptions()
        self._execution: Execution | None = Execution(artifact, on, options)
        self.artifact = artifact

    @property
    def inputs(self) -> Mapping[str, TensorType]:
        """Shape and element type of every input, in the model's order."""
        return self.artifact.plan.inputs

    @property
    def outputs(self) -> Mapping[str, TensorType]:
        """Shape and element type of every output, in the model's order."""
        return self.artifact.plan.outputs

    @overload
    def run(self, output_names: Mapping[str, Any]) -> Outputs: ...

    @overload
    def run(self, output_names: Sequence[str] | None, input_feed: Mapping[str, Any]) -> list[np.ndarray]: ...

    def run(
        self, output_names: Mapping[str, Any] | Sequence[str] | None, input_feed: Mapping[str, Any] | None = None
    ) -> Outputs | list[np.ndarray]:
        """Runs the model once.

        Args:
            output_names: names of outputs, None for all; or, as the only argument, the inputs.
            input_feed: one array per input, in the model's shape; any float type for float inputs.

        Returns:
            With both arguments, as onnxruntime: a list of arrays, in the order of the names. With the inputs alone, as
            `openane.run`: a dict of all outputs, whose `hazards` lists the layers that half precision spoils. Arrays
            have the model's shape and element type.

        Raises:
            InputError: a missing or unknown name, a wrong shape or element type, or the session is closed.
            FaultError: the program does something that the engine does not allow.
        """
        if isinstance(output_names, Mapping):
            if input_feed is not None:
                raise InputError("give the inputs once", limit="run(inputs) or run(output_names, inputs)")
            return self._run(output_names)
        if input_feed is None:
            raise InputError("the inputs are missing", limit="run(inputs) or run(output_names, inputs)")
        names = list(self.outputs) if output_names is None else list(output_names)
        unknown = [name for name in names if name not in self.outputs]
        if unknown:
            raise InputError(f"there is no output {unknown[0]!r}", limit=", ".join(self.outputs))
        found = self._loaded().run(_arrays(input_feed)).outputs
        return [found[name] for name in names]

    def predict(self, data: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Runs the model once, as coremltools' `MLModel.predict` does on a Mac.

        Args:
            data: one array, or nested list of numbers, per input.

        Returns:
            One array per output, by name.

        Raises:
            InputError, FaultError: as `run`.
        """
        return dict(self._loaded().run(_arrays(data)).outputs)

    def get_inputs(self) -> list[NodeArgument]:
        """The inputs, as onnxruntime lists them."""
        return [_argument(name, kind) for name, kind in self.inputs.items()]

    def get_outputs(self) -> list[NodeArgument]:
        """The outputs, as onnxruntime lists them."""
        return [_argument(name, kind) for name, kind in self.outputs.items()]

    def reset(self) -> None:
        """Sets the states of a model that keeps them from run to run to zeros, as before the first run.

        Raises:
            InputError: the session is closed.
        """
        self._loaded().reset()

    def close(self) -> None:
        """Unloads the model; closing twice does nothing."""
        if self._execution is not None:
            self._execution.close()
            self._execution = None

    def _run(self, inputs: Mapping[str, Any]) -> Outputs:
        execution, arrays = self._loaded(), _arrays(inputs)
        outputs = execution.run(arrays).outputs
        wanted = self._options.simulation.hazards
        return Outputs(outputs, run_hazards(execution, arrays, outputs) if wanted else ())

    def _loaded(self) -> Execution:
        if self._execution is None:
            raise InputError("the session is closed", where=self.artifact.plan.name)
        return self._execution

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        where = "closed" if self._execution is None else f"on {self._execution.choice.runtime.name}"
        return f"<{type(self).__name__} {self.artifact.plan.name!r} {where}>"


def _arrays(inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
    if not isinstance(inputs, Mapping):
        raise InputError("inputs must be a mapping from name to array", value=type(inputs).__name__, limit="dict")
    return {name: np.asarray(array) for name, array in inputs.items()}


def _argument(name: str, kind: TensorType) -> NodeArgument:
    element = kind.dtype.numpy.name
    return NodeArgument(name, list(kind.shape), f"tensor({_ONNX_TYPES.get(element, element)})")
