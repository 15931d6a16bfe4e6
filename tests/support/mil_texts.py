"""Small MIL texts for the tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from openane.frontends.mil import loads
from openane.graph import Graph


def program(body: str, inputs: str = "tensor<fp32, [2, 3]> x", results: str = "y") -> str:
    """A program with one function."""
    return (
        "program(1.3)\n"
        '[buildInfo = dict<string, string>({{"coremlc-version", "3404.23.1"}})]\n'
        f"{{\n  func main<ios18>({inputs}) {{\n{body}\n  }} -> ({results});\n}}\n"
    )


def graph(body: str, inputs: str = "tensor<fp32, [2, 3]> x", results: str = "y", folder: Path | None = None) -> Graph:
    """The Graph of a program with one function; its types are checked."""
    found = loads(program(body, inputs, results), folder=folder)
    assert found.types
    return found


def evaluate(body: str, inputs: str, **arrays: np.ndarray) -> np.ndarray:
    """The value of `y` of a program with one function."""
    return graph(body, inputs).evaluate(arrays)["y"]
