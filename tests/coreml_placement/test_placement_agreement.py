"""Agreement with every table of measured placements: `hw/placement.json`; disagreements are listed by name."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from placement_recipes import IMAGE, RECIPES, Builder, model

from openane.coreml_placement.cost import estimate
from openane.coreml_placement.families import KINDS, catalog
from openane.coreml_placement.platforms import PLATFORMS, Backend, Units, core_ml, platform
from openane.coreml_placement.prediction import Device, predict
from openane.coreml_placement.program import Operation

pytestmark = pytest.mark.usefixtures("shared")
SHARED = Path(os.environ.get("OPENANE_SHARED", Path(__file__).resolve().parents[3] / "shared"))


@cache
def _table(name: str) -> Any:
    return json.loads((SHARED / "hw/placement.json").read_text())[name]


def test_every_model_has_a_recipe() -> None:
    names = {
        row["model"]
        for name in ("single_op_models", "in_context_models", "compiler_acceptance")
        for row in _table(name)
    }
    assert names <= set(RECIPES)


def test_single_operations() -> None:
    """Supported list and preferred device of every operation, alone in its model, all units allowed."""
    for row in _table("single_op_models"):
        for chip in ("M4", "M6"):
            found = predict(model(row["model"]), platform(chip), Units.ALL)
            assert len(found.placements) == len(row["ops"]), row["model"]
            for placement, expected in zip(found.placements, row["ops"], strict=True):
                name = f"{row['model']}: {placement.operation.kind}"
                assert placement.verdict.supported == ("ANE" in expected["supported"]), name
                assert placement.device.value == expected["preferred"], name
            whole = all(placement.verdict.supported for placement in found.placements)
            assert whole == row["whole_model_can_run_on_ane"], row["model"]


def test_models_in_context() -> None:
    """Where the operation in the middle runs, and the reported ties: the last ReLU."""
    for row in _table("in_context_models"):
        found = predict(model(row["model"], context=True), platform("h16g"), Units.CPU_AND_NE)
        kind = row["middle_op"].split()[0].rstrip(",")
        middle = [each for each in found.placements if each.operation.kind == kind]
        middle = [each for each in middle if each.operation.kind not in ("relu", "conv")] or middle[len(middle) // 2 :]
        assert middle[0].device.value == row["middle_runs_on"], row["model"]
        assert not middle[0].tie
        if "tie" in row["note"]:
            assert found.placements[-1].tie and not any(each.tie for each in found.placements[:-1])
        if row["note"].startswith("all CPU"):
            assert {each.device for each in found.placements} == {Device.CPU}, row["model"]
        if row["note"].startswith("all ANE"):
            assert {each.device for each in found.placements} == {Device.ANE}, row["model"]


def test_compiler_probes() -> None:
    for row in _table("compiler_acceptance"):
        for chip in ("h16g", "h18g"):
            found = predict(model(row["model"]), platform(chip))
            assert all(each.verdict.can for each in found.placements) == (row[chip] in ("ok", "out_of_memory")), row


def _estimated(text: str) -> Operation:
    """The operation of a row of the table of estimates."""
    names = {
        "conv3x3 64->64": "conv3x3",
        "conv1x1 64->64": "conv1x1",
        "add": "add",
        "transpose_hw": "transpose_hw",
        "upsample_bilinear x2": "upsample_bilinear",
        "softmax over C": "softmax_c",
        "layer_norm over C": "layer_norm_c",
        "reduce_sum over C": "reduce_sum_c",
        "gather over C, constant index": "gather_c",
        "concat": "concat_c",
        "matmul two run-time operands": "matmul_dyn",
    }
    if text.startswith("matmul"):
        builder = Builder()
        x, y = builder.input((1, 128, 256)), builder.input((1, 256, 128))
        builder.op("matmul", (1, 128, 128), x=x, y=y)
        return builder.operations[0]
    return model(names[text]).operations[0]


def test_estimates() -> None:
    for row in _table("estimates"):
        operation = _estimated(row["op"])
        for backend, column in ((Backend.ANE, "ANE_ms"), (Backend.BNNS, "BNNS_ms"), (Backend.CLASSIC_CPU, "CPU_ms")):
            if row[column] is not None:
                found = estimate(operation, platform(row["platform"]), backend).ms
                assert found == pytest.approx(row[column], rel=2e-3, abs=6e-7), (row, backend)


def test_constants() -> None:
    for row in _table("platform_constants"):
        ours = PLATFORMS[row["platform"]].throughput
        for backend, column in ((Backend.ANE, "ANE"), (Backend.BNNS, "BNNS"), (Backend.CLASSIC_CPU, "classic_CPU")):
            assert ours[backend].gflops == row[column]["GFLOPs"] and ours[backend].gbytes == row[column]["GBps"]


def test_differences_between_platforms() -> None:
    for row in _table("support_by_platform_differences"):
        name = {"gather (constant index)": "gather_c", "topk": "topk_w"}[row["op"]]
        (found,) = predict(model(name), platform(row["platform"])).placements
        assert found.verdict.supported == row["ane"], row


def test_catalog() -> None:
    """The catalog of operations by generation; its last column is H16 and H17."""
    rows = _table("family_table")["ops"]
    assert set(KINDS) == set(rows)
    for name, row in rows.items():
        for column, generations in (("h13", ["h13"]), ("h14", ["h14"]), ("h15", ["h15"]), ("h16_h17", ["h16", "h17"])):
            for generation in generations:
                support = catalog(name, core_ml(generation))
                assert support is not None and support.value == row[column], (name, generation)


def test_an_unconstrained_platform_gets_no_estimate() -> None:
    operation = Builder()
    operation.op("abs", x=operation.input(IMAGE))
    for name in ("h15g", "a14", "M1 Pro"):
        assert estimate(operation.operations[0], platform(name), Backend.ANE).ms is None
