"""Parts that the back end cannot take whole: cut, or moved to the host, always with the reason."""

from __future__ import annotations

import pytest

from openane.artifact.plan import EngineStep, HostStep
from openane.compiler.splitting import Splitter
from openane.core.errors import UnsupportedError
from openane.graph import Graph, Node, TensorType
from openane.graph.ops import Relu
from openane.program import Program

KIND = TensorType((1, 2, 3, 4))


def chain(length: int) -> Graph:
    nodes = tuple(Node(f"n{i}", Relu(), (f"v{i}",), (f"v{i + 1}",)) for i in range(length))
    return Graph("chain", {"v0": KIND}, (f"v{length}",), nodes, {})


def compiler(longest: int, *bad: str):  # type: ignore[no-untyped-def]
    def compile_part(part: Graph) -> EngineStep:
        found = [node.name for node in part.nodes if node.name in bad]
        if found or len(part.nodes) > longest:
            raise UnsupportedError("too much", value=found or len(part.nodes), hint="Less.")
        ends = dict.fromkeys(part.inputs), dict.fromkeys(part.outputs)
        return EngineStep(Program("h13", (), (), (), b""), *({name: name for name in names} for names in ends))

    return compile_part


def test_a_part_that_is_too_long_is_halved_until_it_fits() -> None:
    splitter = Splitter(chain(8), compiler(3), whole_only=False)
    steps = splitter.steps({})
    assert all(isinstance(step, EngineStep) for step in steps)
    assert [tuple(step.inputs) for step in steps if isinstance(step, EngineStep)] == [
        ("v0",),
        ("v2",),
        ("v4",),
        ("v6",),
    ]
    assert all("too much" in warning for warning in splitter.warnings)


def test_a_node_that_fails_alone_goes_to_the_host_with_the_reason() -> None:
    steps = Splitter(chain(5), compiler(9, "n4"), whole_only=False).steps({})
    assert [type(step) for step in steps] == [EngineStep, HostStep]
    host = steps[1]
    assert isinstance(host, HostStep)
    assert host.reasons["n4"].what == "too much"


def test_nothing_is_cut_where_the_host_is_forbidden() -> None:
    with pytest.raises(UnsupportedError, match="too much"):
        Splitter(chain(8), compiler(3), whole_only=True).steps({})
