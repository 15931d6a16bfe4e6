"""The compiler refuses by registered rules only, and decides nothing by texts of messages or names of classes."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "openane"
TEXTS = ("what", "hint", "__name__")


def calls(tree: ast.AST, name: str) -> Iterator[ast.Call]:
    """Calls of a class by its name, not of its methods."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name:
            yield node


def trees(*folders: str) -> Iterator[tuple[str, ast.AST]]:
    for folder in folders:
        for path in sorted((SOURCE / folder).rglob("*.py")):
            yield path.relative_to(SOURCE).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def in_place(tree: ast.AST) -> list[int]:
    """Lines of refusals with a text of their own, instead of a finding of a rule."""
    texts = (ast.Constant, ast.JoinedStr, ast.BinOp)
    return [call.lineno for call in calls(tree, "UnsupportedError") if not call.args or isinstance(call.args[0], texts)]


def named(tree: ast.AST) -> list[int]:
    """Lines of findings that name their rule themselves."""
    found = [call for call in calls(tree, "Diagnostic") if len(call.args) > 2]
    found += [call for call in calls(tree, "Diagnostic") if any(word.arg == "rule" for word in call.keywords)]
    return [call.lineno for call in found]


def decided_by_text(tree: ast.AST) -> list[int]:
    """Lines of comparisons with the text of a finding, or with the name of a class."""
    compared = [node for node in ast.walk(tree) if isinstance(node, ast.Compare)]
    attributes = [
        (node.lineno, each) for node in compared for each in ast.walk(node) if isinstance(each, ast.Attribute)
    ]
    return [line for line, each in attributes if each.attr in ("what", "hint", "__name__")]


def test_nothing_refuses_without_a_rule() -> None:
    found = {name: in_place(tree) for name, tree in trees("backend", "compiler", "targets/h13") if in_place(tree)}
    assert not found
    assert not {name: named(tree) for name, tree in trees("backend", "compiler", "program", "targets") if named(tree)}


def test_nothing_is_decided_by_the_text_of_a_message() -> None:
    found = {name: decided_by_text(tree) for name, tree in trees("backend", "compiler") if decided_by_text(tree)}
    assert not found
    assert not decided_by_text(ast.parse((SOURCE / "onnx_backend.py").read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    ("find", "line"),
    [
        (in_place, 'raise UnsupportedError("too wide", value=3)'),
        (in_place, 'raise UnsupportedError(f"{what} too wide")'),
        (named, 'Diagnostic("too wide", "here", "tensor-width")'),
        (named, 'Diagnostic("too wide", rule="tensor-width")'),
        (decided_by_text, 'if "axes" in error.diagnostic.what: pass'),
        (decided_by_text, "if type(node.operation).__name__ in NAMES: pass"),
    ],
)
def test_the_search_would_find_it(find: Callable[[ast.AST], list[int]], line: str) -> None:
    assert find(ast.parse(line)) == [1]
