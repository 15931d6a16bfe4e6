"""Agreement with every table of measured placements (`hw/placement.json`); docs/placement.md lists the numbers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.support.placement_agreement import agreements
from tests.support.placement_recipes import IMAGE, RECIPES, Builder, model

from openane.coreml_placement.cost import estimate
from openane.coreml_placement.platforms import Backend, Units, platform
from openane.coreml_placement.prediction import predict

ROOT = Path(__file__).parents[2]


@pytest.fixture
def tables(shared: Path) -> Any:
    path = shared / "hw" / "placement.json"
    if not path.exists():
        pytest.skip("the measured placements are missing")
    return json.loads(path.read_text())


def test_every_model_has_a_recipe(tables: Any) -> None:
    lists = ("single_op_models", "in_context_models", "compiler_acceptance")
    assert {row["model"] for name in lists for row in tables[name]} <= set(RECIPES)


def test_every_table_agrees(tables: Any) -> None:
    found = agreements(tables)
    assert [each.differ for each in found if each.differ] == []
    assert sum(each.rows for each in found) > 1500


def test_reported_ties_are_predicted_ties(tables: Any) -> None:
    """The last ReLU, and no other operation."""
    for row in tables["in_context_models"]:
        if "tie" in row["note"]:
            found = predict(model(row["model"], context=True), platform("h16g"), Units.CPU_AND_NE).placements
            assert found[-1].tie and not any(each.tie for each in found[:-1]), row["model"]


def test_the_page_is_up_to_date(tables: Any) -> None:
    tool = ROOT / "tools" / "placement_page.py"
    done = subprocess.run([sys.executable, tool, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_unconstrained_platform_gets_no_estimate() -> None:
    operation = Builder()
    operation.op("abs", x=operation.input(IMAGE))
    for name in ("h15g", "a14", "M1 Pro"):
        assert estimate(operation.operations[0], platform(name), Backend.ANE).ms is None
