"""One search finds a class: no two modules of the package define classes of the same name."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "openane"


def defined_twice(folder: Path) -> dict[str, list[str]]:
    """The class names with more than one definition -> where, as "file:line"."""
    places: dict[str, list[str]] = defaultdict(list)
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(f"{path.relative_to(folder)}:{node.lineno}")
    return {name: found for name, found in places.items() if len(found) > 1}


def test_class_names_are_unique() -> None:
    assert not defined_twice(SOURCE)


def test_a_second_definition_would_be_found(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text("class Kernel: ...\nclass Plan: ...\n")
    (tmp_path / "two.py").write_text("def make():\n    class Kernel: ...\n")
    assert defined_twice(tmp_path) == {"Kernel": ["one.py:1", "two.py:2"]}
