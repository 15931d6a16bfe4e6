"""Running a graph on the processor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from openane.core.errors import UnavailableError, UnsupportedError
from openane.graph import Graph
from openane.graph.ops import OnnxNode
from openane.graph.ops.foreign import new_session

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
        pieces: sessions that run one after the other in place of a single one.
    """

    graph: Graph
    library: str
    reason: str = ""
    session: Any = None
    pieces: tuple[HostSession, ...] = ()

    def run(self, inputs: Mapping[str, np.ndarray]) -> HostResult:
        """The outputs for one array per input.

        Where onnxruntime fails, the reference says what is wrong with the values, or computes them after all.

        Raises:
            InputError: an input does not fit.
            ModelError: an index that the model computes is out of range.
        """
        if self.pieces:
            return self._run_pieces(inputs)
        if self.session is None:
            return HostResult(self.graph.evaluate(inputs), self.library)
        try:
            results = self.session.run(None, dict(inputs))
        except Exception as error:
            return HostResult(self.graph.evaluate(inputs), REFERENCE, _one_line(error))
        return HostResult(dict(zip(self.graph.outputs, results, strict=True)), LIBRARY)

    def _run_pieces(self, inputs: Mapping[str, np.ndarray]) -> HostResult:
        values, failures = {**self.graph.constants, **inputs}, []
        for piece in self.pieces:
            result = piece.run({name: values[name] for name in piece.graph.inputs})
            values.update(result.outputs)
            failures += [result.failure] if result.failure else []
        return HostResult({name: values[name] for name in self.graph.outputs}, self.library, "; ".join(failures))


def open_host(graph: Graph) -> HostSession:
    """Loads a graph into onnxruntime, or into the reference with the reason why not.

    Nodes of the file that onnxruntime computes as they are (`OnnxNode`) keep their own operator set, so each is a
    session by itself.
    """
    own = [isinstance(node.operation, OnnxNode) for node in graph.nodes]
    if not any(own):
        return _open_graph(graph)
    if len(own) == 1:
        return HostSession(graph, LIBRARY)
    runs = groupby(enumerate(graph.nodes), lambda pair: pair[0] if own[pair[0]] else -1)
    pieces = tuple(open_host(graph.part(node for _, node in run)) for _, run in runs)
    reasons = "; ".join(filter(None, (piece.reason for piece in pieces)))
    library = ", ".join(dict.fromkeys(piece.library for piece in pieces))
    return HostSession(graph, library, reasons, pieces=pieces)


def _open_graph(graph: Graph) -> HostSession:
    """Loads a graph without nodes of the file into onnxruntime, or into the reference."""
    from openane.runtimes.host.export import export_model

    try:
        model = export_model(graph)
    except (UnsupportedError, UnavailableError) as error:
        return HostSession(graph, REFERENCE, error.diagnostic.what)
    try:
        session = new_session(model.SerializeToString())
    except (UnsupportedError, UnavailableError) as error:
        return HostSession(graph, REFERENCE, error.diagnostic.what)
    return HostSession(graph, LIBRARY, session=session)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:120]
