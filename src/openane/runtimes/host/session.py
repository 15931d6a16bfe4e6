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

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The outputs for one array per input, in the declared shapes and element types.

        Raises:
            InputError: an input does not fit.
            ModelError: an index that the model computes is out of range.
        """
        if self.session is None:
            return self.graph.evaluate(inputs)
        try:
            results = self.session.run(None, dict(inputs))
        except Exception:
            return self.graph.evaluate(inputs)  # says in our words what is wrong with the values
        return dict(zip(self.graph.outputs, results, strict=True))


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
        return HostSession(graph, REFERENCE, f"onnxruntime refuses it: {' '.join(str(error).split())[:120]}")
    return HostSession(graph, LIBRARY, session=session)
