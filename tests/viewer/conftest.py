"""One browser and one page of the digits network for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import start

from openane.analysis.compare import compare_layers
from openane.compiler.driver import build, load
from openane.compiler.generated_inputs import made_up_input
from openane.core.origin import Origin
from openane.graph import Graph, Node, TensorType
from openane.graph.ops import Add, Conv, Relu, Sigmoid
from openane.viewer import Choices, document, page

DIGITS = Path(__file__).parents[2] / "src" / "openane" / "data" / "digits.onnx"
NASTY = "</script><script>alert(1)</script><img src=x onerror=alert(2)>&quot;\u2028'\"`${1}"


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    yield from start()


@pytest.fixture(scope="session")
def digits_document() -> dict[str, Any]:
    artifact = build(DIGITS)
    inputs = {name: made_up_input(name, kind) for name, kind in artifact.plan.inputs.items()}
    source = load(DIGITS)
    assert isinstance(source, Graph)
    return document(artifact, Choices(source=source, comparison=compare_layers(artifact, inputs)))


@pytest.fixture(scope="session")
def digits_page(digits_document: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "digits.html"
    path.write_text(page(digits_document), "utf-8")
    return path


def long_model(count: int, name: str = "layer") -> Graph:
    """`count` layers, with branches that join again."""
    random = np.random.default_rng(1)
    nodes: list[Node] = []
    constants = {}
    last, earlier = "x", "x"
    for i in range(count):
        kind = i % 5
        own = f"{name}{i}"
        if kind in (0, 2):
            constants[f"w{i}"] = (0.2 * random.standard_normal((8, 8, 3, 3))).astype(np.float32)
            node = Node(own, Conv(pads=(1, 1, 1, 1)), (last, f"w{i}"), (f"v{i}",), Origin((own,)))
            earlier = last if kind == 0 else earlier
        elif kind == 4 and earlier != last:
            node = Node(own, Add(), (last, earlier), (f"v{i}",), Origin((own,)))
        else:
            node = Node(own, Sigmoid() if kind == 3 else Relu(), (last,), (f"v{i}",), Origin((own,)))
        nodes.append(node)
        last = f"v{i}"
    return Graph("long", {"x": TensorType((1, 8, 6, 6))}, (last,), tuple(nodes), constants)
