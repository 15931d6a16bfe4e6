"""From the verdicts on nodes to steps: parts are compiled, and cut where the back end cannot take them whole."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from openane.artifact.plan import EngineStep, HostStep, Step
from openane.compiler.partition import GraphPart, part_of, partition
from openane.core.errors import Diagnostic, UnsupportedError
from openane.cost.chips import DEFAULT_CHIP, Chip, chip
from openane.graph import Graph, Node

_log = logging.getLogger(__name__)

Compile = Callable[[Graph], EngineStep]
"""Compiles a piece of the graph into one program.

Raises:
    UnsupportedError: the piece as a whole breaks a rule.
"""


class _RefusedError(Exception):
    """Nodes that the back end refuses, which the verdicts did not."""

    def __init__(self, reasons: Mapping[str, Diagnostic]) -> None:
        self.reasons = reasons
        super().__init__(", ".join(reasons))


class Splitter:
    """Compiles the parts of a graph.

    Args:
        graph: the whole model after the graph passes.
        compile_part: compiles a piece into one program.
        whole_only: raise what the back end raises, instead of cutting.
        planned_for: the chip whose costs of moving and starting decide what is worth it; the default one for None.

    Attributes:
        warnings: what the user should know about the cuts, one line each.
    """

    def __init__(
        self, graph: Graph, compile_part: Compile, *, whole_only: bool, planned_for: Chip | None = None
    ) -> None:
        self.graph = graph
        self.compile_part = compile_part
        self.whole_only = whole_only
        self.planned_for = planned_for or chip(DEFAULT_CHIP)
        self.warnings: list[str] = []
        self._tried: dict[str, Diagnostic | None] = {}  # nodes as programs by themselves

    def steps(self, reasons: Mapping[str, Diagnostic]) -> tuple[Step, ...]:
        """The steps of the plan.

        Args:
            reasons: node name -> why it must be on the host.

        Raises:
            UnsupportedError: the back end refuses, and nothing may be cut.
        """
        while True:
            self.warnings.clear()
            found: list[Step] = []
            try:
                for part in partition(self.graph, reasons, self.planned_for):
                    where = "engine" if part.on_engine else "host"
                    _log.info("%s: %d nodes for the %s", self.graph.name, len(part.graph.nodes), where)
                    found.extend(self._engine(part) if part.on_engine else [HostStep(part.graph, part.reasons)])
            except _RefusedError as refused:
                reasons = {**reasons, **refused.reasons}
                continue
            return tuple(found)

    def _engine(self, part: GraphPart) -> list[EngineStep]:
        try:
            return [self.compile_part(part.graph)]
        except UnsupportedError as error:
            if self.whole_only:
                raise
            nodes = part.graph.nodes
            refused = {node.name: why for node in nodes if (why := self._alone(node, error, len(nodes))) is not None}
            if refused:
                raise _RefusedError(refused) from error
            self.warnings.append(f"cut into two programs: {error}")
            middle = len(nodes) // 2
            halves = (part_of(self.graph, half, True, {}) for half in (nodes[:middle], nodes[middle:]))
            return [step for half in halves for step in self._engine(half)]

    def _alone(self, node: Node, error: UnsupportedError, count: int) -> Diagnostic | None:
        """Why a node cannot be a program by itself; None when it can."""
        if count == 1:
            return error.diagnostic
        if node.name not in self._tried:
            try:
                self.compile_part(part_of(self.graph, (node,), True, {}).graph)
                self._tried[node.name] = None
            except UnsupportedError as own:
                self._tried[node.name] = own.diagnostic
        return self._tried[node.name]
