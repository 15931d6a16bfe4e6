"""How far the prediction agrees with each table of measured placements; `tools/placement_page.py` prints it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.support.placement_recipes import model

from openane.coreml_placement.cost import estimate
from openane.coreml_placement.families import KINDS, catalog
from openane.coreml_placement.platforms import PLATFORMS, Backend, Units, core_ml, platform
from openane.coreml_placement.prediction import AppleDevice, PredictedPlacement, predict
from openane.coreml_placement.program import PlacedOperation


@dataclass
class Agreement:
    """What became of a table.

    Attributes:
        rows: compared values.
        agreed: of them.
        ties: where another device costs the same.
        differ: the others, one sentence each.
    """

    table: str
    rows: int = 0
    agreed: int = 0
    ties: int = 0
    differ: list[str] = field(default_factory=list)

    def add(self, name: str, found: object, expected: object) -> None:
        """Compares one value."""
        self.rows += 1
        if found == expected:
            self.agreed += 1
        else:
            self.differ.append(f"{name}: predicted {found}, measured {expected}")


def agreements(tables: Any) -> list[Agreement]:
    """One per table."""
    checks: tuple[tuple[str, str, Callable[[Agreement, Any], None]], ...] = (
        ("single operations: the list contains the engine", "single_op_models", _listed),
        ("single operations: preferred device", "single_op_models", _preferred),
        ("single operations: the whole model may run on the engine", "single_op_models", _whole),
        ("models in context: the operation in the middle", "in_context_models", _in_context),
        ("probes of the compiler, M4 and M6", "compiler_acceptance", _accepted),
        ("estimates, per backend", "estimates", _estimated),
        ("constants of the estimator, per backend", "platform_constants", _constants),
        ("differences between chips", "support_by_platform_differences", _differences),
        ("catalog by generation", "family_table", _catalog),
    )
    found = []
    for title, table, check in checks:
        agreement = Agreement(title)
        check(agreement, tables[table])
        found.append(agreement)
    return found


def _alone(row: Any, chip: str) -> list[tuple[PredictedPlacement, Any]]:
    placements = predict(model(row["model"]), platform(chip), Units.ALL).placements
    return list(zip(placements, row["ops"], strict=True))


def _listed(agreement: Agreement, rows: Any) -> None:
    for row in rows:
        for placement, expected in _alone(row, "M4"):
            name = f"{row['model']}, {placement.operation.kind}"
            agreement.add(name, placement.verdict.supported, "ANE" in expected["supported"])


def _preferred(agreement: Agreement, rows: Any) -> None:
    for row in rows:
        for placement, expected in _alone(row, "M6"):
            agreement.ties += placement.tie
            name = f"{row['model']}, {placement.operation.kind}"
            agreement.add(name, placement.device.value, expected["preferred"])


def _whole(agreement: Agreement, rows: Any) -> None:
    for row in rows:
        whole = all(placement.verdict.supported for placement, _ in _alone(row, "M4"))
        agreement.add(row["model"], whole, row["whole_model_can_run_on_ane"])


def _in_context(agreement: Agreement, rows: Any) -> None:
    for row in rows:
        placements = predict(model(row["model"], context=True), platform("M4"), Units.CPU_AND_NE).placements
        kind = row["middle_op"].split()[0].rstrip(",")
        same = [each for each in placements if each.operation.kind == kind]
        middle = same[0] if kind not in ("relu", "conv") else same[len(same) // 2]
        agreement.ties += any(each.tie for each in placements)
        agreement.add(row["model"], middle.device.value, row["middle_runs_on"])
        whole = {"all CPU": AppleDevice.CPU, "all ANE": AppleDevice.ANE, "all on ANE": AppleDevice.ANE}.get(
            row["note"].split(":")[0]
        )
        if whole is not None:
            devices = "+".join(sorted({each.device.value for each in placements}))
            agreement.add(f"{row['model']}, whole model", devices, whole.value)


def _accepted(agreement: Agreement, rows: Any) -> None:
    for row in rows:
        for chip in ("h16g", "h18g"):
            can = all(each.verdict.can for each in predict(model(row["model"]), platform(chip)).placements)
            agreement.add(f"{row['model']} on {chip}", can, row[chip] in ("ok", "out_of_memory"))


_ESTIMATED = {
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


def _estimated(agreement: Agreement, rows: Any) -> None:
    for row in rows:
        (operation,) = _operations(_ESTIMATED[row["op"]])
        for backend, column in ((Backend.ANE, "ANE_ms"), (Backend.BNNS, "BNNS_ms"), (Backend.CLASSIC_CPU, "CPU_ms")):
            if row[column] is not None:
                found = estimate(operation, platform(row["platform"]), backend).ms
                near = found is not None and abs(found - row[column]) <= max(2e-3 * row[column], 6e-7)
                name = f"{row['op']} on {row['platform']}, {backend.value}"
                agreement.add(name, row[column] if near else found, row[column])


def _operations(name: str) -> tuple[PlacedOperation, ...]:
    return model(name).operations


def _constants(agreement: Agreement, rows: Any) -> None:
    for row in rows:
        ours = PLATFORMS[row["platform"]].throughput
        for backend, column in ((Backend.ANE, "ANE"), (Backend.BNNS, "BNNS"), (Backend.CLASSIC_CPU, "classic_CPU")):
            found = (ours[backend].gflops, ours[backend].gbytes)
            agreement.add(f"{row['platform']}, {column}", found, (row[column]["GFLOPs"], row[column]["GBps"]))


def _differences(agreement: Agreement, rows: Any) -> None:
    for row in rows:
        name = {"gather (constant index)": "gather_c", "topk": "topk_w"}[row["op"]]
        (found,) = predict(model(name), platform(row["platform"])).placements
        agreement.add(f"{row['op']} on {row['platform']}", found.verdict.supported, row["ane"])


def _catalog(agreement: Agreement, table: Any) -> None:
    agreement.add("kinds", sorted(KINDS), sorted(table["ops"]))
    for name, row in table["ops"].items():
        for column, generations in (("h13", ["h13"]), ("h14", ["h14"]), ("h15", ["h15"]), ("h16_h17", ["h16", "h17"])):
            for generation in generations:
                support = catalog(name, core_ml(generation))
                agreement.add(f"{name} on {generation}", support.value if support else None, row[column])
