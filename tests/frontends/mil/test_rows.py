"""The layout of MIL text belongs to the graph, so that every way of compiling it gives the same program."""

from __future__ import annotations

from pathlib import Path

import openane
from openane.graph import Graph

TEXT = """program(1.3)
[buildInfo = dict<string, string>({})]
{
  func main<ios18>(tensor<fp16, [1, 64]> x, tensor<fp16, [1, 64]> z) {
    tensor<fp16, [1, 64]> y = add(x = x, y = z)[name = string("y")];
  } -> (y);
}
"""


def test_a_loaded_graph_compiles_to_the_program_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "m.mil"
    path.write_text(TEXT)
    graph = openane.load(path)
    assert isinstance(graph, Graph)
    assert graph.rows
    from_file, from_graph = openane.compile(path).program, openane.compile(graph).program
    assert from_file.surfaces == from_graph.surfaces
    assert from_file.surfaces[0].shape == (1, 1, 1, 1, 64)
    assert [task.registers() for task in from_file.tasks] == [task.registers() for task in from_graph.tasks]
