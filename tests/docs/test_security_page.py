"""The page on security: every test that it names is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TABLES = [line for line in (ROOT / "docs" / "security.md").read_text().splitlines() if line.startswith("| ")]
FILES = sorted({name for line in TABLES for name in re.findall(r"`((?:tests|tools)/[\w/]+\.py)(?:::\w+)?`", line)})
TESTS = sorted({found for line in TABLES for found in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", line)})


def test_the_page_names_tests() -> None:
    assert len(FILES) > 10
    assert len(TESTS) > 20


@pytest.mark.parametrize("name", FILES)
def test_files_of_the_page_exist(name: str) -> None:
    assert (ROOT / name).is_file()


@pytest.mark.parametrize(("path", "name"), TESTS)
def test_tests_of_the_page_exist(path: str, name: str) -> None:
    tree = ast.parse((ROOT / path).read_bytes())
    assert name in {each.name for each in tree.body if isinstance(each, ast.FunctionDef)}
