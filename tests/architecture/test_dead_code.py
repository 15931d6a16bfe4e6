"""Nothing in the package is unused, apart from what pyproject.toml names with the reason."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["vulture"]


def unused() -> set[str]:
    vulture = pytest.importorskip("vulture", reason="the package vulture is missing")
    found = vulture.Vulture(ignore_decorators=SETTINGS["ignore_decorators"])
    found.scavenge([str(ROOT / path) for path in SETTINGS["paths"]])
    return {item.name for item in found.get_unused_code(min_confidence=60)}


def test_what_is_unused_is_named_and_nothing_else() -> None:
    named = SETTINGS["ignore_names"]
    assert len(named) == len(set(named))
    found = unused()
    assert not found - set(named), "delete what nothing uses, or name it in pyproject.toml with the reason"
    assert not set(named) - found, "these are used, or gone: take them out of pyproject.toml"


def test_unused_code_would_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "module.py").write_text("def orphan():\n    return 1\n")
    monkeypatch.setitem(SETTINGS, "paths", [str(tmp_path)])
    assert unused() == {"orphan"}
