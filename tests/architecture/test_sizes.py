"""Files have up to 500 lines, functions up to 60."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("src", "tests", "tools", "bench")
FILE_LINES = 500
FUNCTION_LINES = 60


def too_long(folder: Path) -> Iterator[str]:
    """What is longer than the limits below a folder, as "file: lines" or "file:function: lines"."""
    for path in sorted(folder.rglob("*")):
        if path.suffix not in (".py", ".c", ".h", ".js"):
            continue
        text, name = path.read_text(), path.relative_to(folder)
        lines = len(text.splitlines())
        if lines > FILE_LINES:
            yield f"{name}: {lines}"
        for node in ast.walk(ast.parse(text)) if path.suffix == ".py" else ():
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTION_LINES:
                    yield f"{name}:{node.name}: {lines}"


def test_files_and_functions_are_short() -> None:
    assert not [found for folder in FOLDERS for found in too_long(ROOT / folder)]


def test_what_is_too_long_would_be_found(tmp_path: Path) -> None:
    (tmp_path / "file.js").write_text("\n" * (FILE_LINES + 1))
    (tmp_path / "function.py").write_text("def long():\n" + "    pass\n" * FUNCTION_LINES)
    (tmp_path / "limit.py").write_text("def short():\n" + "    pass\n" * (FUNCTION_LINES - 1))
    assert list(too_long(tmp_path)) == ["file.js: 501", "function.py:long: 61"]
