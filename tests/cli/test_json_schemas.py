"""The keys that docs/reference/json.md documents are printed: within a version of a schema none goes away."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from openane.cli._schemas import VERSIONS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "json.md"
OF_THE_MACHINE = frozenset({"doctor"})


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("json_reference", ROOT / "tools" / "json_reference.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def documented() -> dict[str, tuple[int, set[str]]]:
    sections = re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE)[1:]
    found = {}
    for section in sections:
        head, _, rest = section.partition("\n")
        schema, version = re.fullmatch(r"([\w-]+), version (\d+)", head).groups()  # type: ignore[union-attr]
        found[schema] = int(version), set(re.findall(r"^\| `([^`]+)` \|", rest, re.MULTILINE))
    return found


def test_no_documented_key_is_missing(tool: ModuleType) -> None:
    known = documented()
    for schema, value in tool.outputs().items():
        version, keys = known[schema]
        assert (value["schema"], value["schema_version"]) == (schema, VERSIONS[schema])
        if version == VERSIONS[schema] and schema not in OF_THE_MACHINE:
            missing = keys - {path for path, _ in tool.keys(value)}
            assert not missing, f"{schema}: raise its version in cli/_schemas.py, and run tools/json_reference.py"
