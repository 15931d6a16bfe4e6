"""What one chip generation knows stays in its folder and in the registry."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from openane.targets.registry import GENERATIONS

SOURCE = Path(__file__).parents[2] / "src" / "openane"
AT_HOME = re.compile(r"targets/(h\d\d/|registry\.py$)")
EXEMPT = {
    "cost/measurements.py": "published timings, each with the chip it was taken on",
}
"""Files that may name chips, with the reason."""

CHIPS = r"m[1-6](?: ?(?:pro|max|ultra))?"
NAMED = re.compile(rf"(?i)(?<![a-z0-9])(?:{'|'.join(GENERATIONS)}|{CHIPS})(?![a-z0-9])")


def strings_of_code(tree: ast.Module) -> Iterator[ast.Constant]:
    """String literals that are not documentation: a citation or an example in a docstring decides nothing."""
    documentation = {
        id(statement.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        for statement in node.body
        if isinstance(statement, ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            yield node


def mentions(path: Path) -> Iterator[str]:
    """Where a file names a generation or chip in its code: in strings, names and imports."""
    tree = ast.parse(path.read_text())
    for string in strings_of_code(tree):
        if NAMED.search(str(string.value)):
            yield f"line {string.lineno}: {string.value!r}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and NAMED.search(node.id.replace("_", " ")):
            yield f"line {node.lineno}: {node.id}"
        elif isinstance(node, ast.ImportFrom) and node.module and NAMED.search(node.module.replace(".", " ")):
            yield f"line {node.lineno}: import of {node.module}"


FILES = [path.relative_to(SOURCE).as_posix() for path in sorted(SOURCE.rglob("*.py"))]


@pytest.mark.parametrize("name", [name for name in FILES if not AT_HOME.match(name) and name not in EXEMPT])
def test_no_generation_is_named_outside_its_folder(name: str) -> None:
    assert not list(mentions(SOURCE / name))


def test_names_would_be_found(tmp_path: Path) -> None:
    path = tmp_path / "file.py"
    path.write_text(
        '"""On H13."""\nfrom openane.targets.h14 import X\n\ndef f(t="h13"):\n    "As an M1."\n    return H13\n'
    )
    assert [found.split(":")[0] for found in mentions(path)] == ["line 4", "line 2", "line 6"]


def test_exempt_files_exist_and_need_it() -> None:
    assert all(list(mentions(SOURCE / name)) for name in EXEMPT)
