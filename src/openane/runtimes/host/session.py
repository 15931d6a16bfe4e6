"""Running a graph on the processor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from openane.core.errors import UnavailableError, UnsupportedError
from openane.graph import Graph

REFERENCE = "reference"
LIBRARY = "onnxruntime"


@dataclass(frozen=True, slots=True)
class HostResult:
    """What a graph gave on the processor.

    Attributes:
        outputs: one array per output, in the declared shapes and element types.
        library: that computed them, "onnxruntime" or "reference".
        failure: what onnxruntime said when it failed on these inputs and the reference took over; empty otherwise.
    """

    outputs: dict[str, np.ndarray]
    library: str
    failure: str = ""


@dataclass(frozen=True, slots=True)
class HostSession:
    """A graph that is ready to run on the processor.

    Attributes:
        graph: what is computed.
        library: "onnxruntime" or "reference".
        reason: why it is the reference; empty for onnxruntime.
        session: of onnxruntime; None for the reference.
    """

    graph: Graph
    library: str
    reason: str = ""
    session: Any = None

    def run(self, inputs: Mapping[str, np.ndarray]) -> HostResult:
        """The outputs for one array per input.

        Where onnxruntime fails, the reference says what is wrong with the values, or computes them after all.

        Raises:
            InputError: an input does not fit.
            ModelError: an index that the model computes is out of range.
        """
        if self.session is None:
            return HostResult(self.graph.evaluate(inputs), REFERENCE)
        try:
            results = self.session.run(None, dict(inputs))
        except Exception as error:
            return HostResult(self.graph.evaluate(inputs), REFERENCE, _one_line(error))
        return HostResult(dict(zip(self.graph.outputs, results, strict=True)), LIBRARY)


def open_host(graph: Graph) -> HostSession:
    """Loads a graph into onnxruntime, or into the reference with the reason why not."""
    from openane.runtimes.host.export import export_model

    try:
        import onnxruntime
    except ImportError:
        return HostSession(graph, REFERENCE, "onnxruntime is not installed")
    try:
        model = export_model(graph)
    except (UnsupportedError, UnavailableError) as error:
        return HostSession(graph, REFERENCE, error.diagnostic.what)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1  # the order of sums must not depend on the machine
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        return HostSession(graph, REFERENCE, f"onnxruntime refuses it: {_one_line(error)}")
    return HostSession(graph, LIBRARY, session=session)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:120]
