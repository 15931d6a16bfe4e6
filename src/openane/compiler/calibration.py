"""The values of a model on calibration inputs, for passes over parts of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property

import numpy as np

from openane.graph import Graph
from openane.runtimes.execution import fit_inputs
from openane.runtimes.host import open_host


class Calibration:
    """Looks up any value of a graph; the whole graph is run once, when a value is asked for that is not an input.

    Args:
        graph: after the graph passes.
        inputs: calibration inputs, one array per input.

    Raises:
        InputError: an input is missing, or does not fit.
    """

    def __init__(self, graph: Graph, inputs: Mapping[str, np.ndarray]) -> None:
        self._graph = graph
        self._inputs = fit_inputs(graph.inputs, inputs, graph.name) if inputs else {}

    def __call__(self, name: str) -> np.ndarray:
        """The array of a value."""
        if name in self._inputs:
            return self._inputs[name]
        return self._values[name]

    @cached_property
    def _values(self) -> Mapping[str, np.ndarray]:
        made = tuple(name for node in self._graph.nodes for name in node.outputs if name)
        return open_host(replace(self._graph, outputs=made)).run(self._inputs).outputs
