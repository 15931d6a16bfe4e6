"""No file of the package imports itself by way of others, not even for types only."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src"


def modules() -> dict[str, Path]:
    found = {}
    for path in SOURCE.rglob("*.py"):
        name = ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")
        found[name] = path
    return found


def imports(tree: ast.AST, known: Mapping[str, object]) -> Iterator[str]:
    """Modules that a file imports anywhere: at its top, inside functions, or for types."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                if full in known or node.module in known:
                    yield full if full in known else node.module


def cycle(graph: Mapping[str, set[str]]) -> list[str]:
    """One cycle of a graph, empty when there is none: leaves are taken away until none is left."""
    left = {name: set(edges) for name, edges in graph.items()}
    while True:
        leaves = [name for name, edges in left.items() if not edges & left.keys()]
        if not leaves:
            break
        for name in leaves:
            del left[name]
    if not left:
        return []
    path = [next(iter(sorted(left)))]
    while path.count(path[-1]) < 2:
        path.append(min(left[path[-1]] & left.keys()))
    return path[path.index(path[-1]) :]


def test_there_is_no_cycle() -> None:
    known = modules()
    graph = {name: set(imports(ast.parse(path.read_text()), known)) - {name} for name, path in known.items()}
    assert len(graph) > 400
    assert not cycle(graph), " -> ".join(cycle(graph))


def test_a_cycle_would_be_found() -> None:
    assert cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == ["b", "c", "b"]
    assert not cycle({"a": {"b"}, "b": {"c"}, "c": set()})
