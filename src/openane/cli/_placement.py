"""What `openane explain` shows of Core ML's placement: options, tables, plain values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from openane.cli._say import say
from openane.cli._show import print_table
from openane.coreml_placement.platforms import MEASURED_SYSTEM, Units

if TYPE_CHECKING:
    from openane.analysis.layer_placement import LayerPlacement, ModelPlacement
    from openane.analysis.placement_policy import Outcome

SHOWN_REMEDIES = 12
"""Changes in the table, those that help most first; JSON has all of them."""
FORMATS = ("table", "json", "csv", "markdown", "sarif", "github")

F = TypeVar("F", bound=Callable[..., Any])


def placement_options(command: F) -> F:
    """Adds the options about Core ML to a command."""
    for option in reversed(
        (
            click.option(
                "--platform",
                metavar="NAME",
                help="Chip or device to predict Core ML for, such as 'iPhone 12'; by default the chip of --target.",
            ),
            click.option(
                "--units",
                type=click.Choice([units.value for units in Units]),
                default=Units.ALL.value,
                show_default=True,
                help="Compute units that the app allows.",
            ),
            click.option(
                "--os",
                "system",
                type=click.IntRange(11, 99),
                default=MEASURED_SYSTEM,
                show_default=True,
                help="macOS release; the decision rule was measured only on 27.",
            ),
            click.option(
                "--compute-plan",
                "plan",
                type=click.Path(),
                metavar="PLAN.json",
                help="Compare with a plan that MLComputePlan measured.",
            ),
            click.option("--what-if", is_flag=True, help="Try changes that would move layers to the engine."),
            click.option(
                "--policy",
                "policies",
                multiple=True,
                metavar="CONDITION",
                help="Fail unless this holds: 'core_ml.ane >= 95%', 'engine.can LAYER'; repeatable.",
            ),
            click.option(
                "--format",
                "form",
                type=click.Choice(FORMATS),
                default="table",
                show_default=True,
                help="Format of the output.",
            ),
        )
    ):
        command = option(command)
    return command


def plain_layer(layer: LayerPlacement) -> dict[str, object]:
    """The three answers of a layer as plain values."""
    found: dict[str, object] = {
        "engine": {
            "can": layer.engine.can,
            "reason": layer.engine.reason,
            "limit": layer.engine.limit,
            "value": layer.engine.value,
            "evidence": layer.engine.evidence,
        },
        "core_ml": {
            "backend": layer.core_ml.backend,
            "tie": layer.core_ml.tie,
            "times_ms": layer.core_ml.times_ms,
            "margin_ms": layer.core_ml.margin_ms,
            "reason": layer.core_ml.reason,
            "supported": list(layer.core_ml.supported),
            "evidence": layer.core_ml.evidence,
            "operations": list(layer.core_ml.operations),
        },
        "openane": {
            "where": layer.openane.where,
            "tasks": list(layer.openane.tasks),
            "reason": layer.openane.reason,
        },
    }
    if layer.measured:
        found["measured"] = {"backend": layer.measured}
    return found


def plain_placement(placed: ModelPlacement, outcomes: Sequence[Outcome]) -> dict[str, object]:
    """The results for the whole model as plain values."""
    prediction = placed.prediction
    found: dict[str, object] = {
        "platform": prediction.platform.name,
        "chips": prediction.platform.chips,
        "generation": prediction.platform.generation,
        "units": prediction.units.value,
        "os": prediction.system,
        "program": prediction.program.source,
        "evidence": prediction.platform.evidence,
        "operations": len(prediction.placements),
        "ane": placed.count("ANE"),
        "cpu": placed.count("CPU"),
        "unknown": placed.count("unknown"),
        "ane_share": prediction.ane_share,
        "cost_ms": prediction.cost_ms,
        "notes": list(prediction.notes),
        "warnings": list(placed.warnings),
        "inserted": [{"name": e.name, "operation": e.operation, **plain_layer(e)} for e in placed.inserted],
        "policies": [{"policy": e.policy.text, "met": e.met, "found": e.found} for e in outcomes],
        "what_if": [
            {
                "layers": list(each.layers),
                "change": each.change,
                "helps": each.helps,
                "ane_before": each.ane_before,
                "ane_after": each.ane_after,
                "operations_after": each.operations_after,
                "cost_before_ms": each.cost_before_ms,
                "cost_after_ms": each.cost_after_ms,
            }
            for each in placed.remedies
        ],
    }
    if placed.comparison is not None:
        compared = placed.comparison
        found["compute_plan"] = {
            "compared": compared.compared,
            "agreed": compared.agreed,
            "ties": compared.tied,
            "differ": [
                {
                    "name": match.placement.operation.name,
                    "operation": match.placement.operation.kind,
                    "predicted": match.placement.device.value,
                    "measured": match.measured.device.value,
                    "tie": match.tied,
                }
                for match in compared.matches
                if match.agrees is False and match.measured is not None
            ],
            "only_in_plan": [each.name or each.kind for each in compared.extra],
        }
    return found


def show_placement(placed: ModelPlacement) -> None:
    """Prints the table of layers, the totals, and the requested extras."""
    from openane.analysis.placement_report import placement_report, title

    columns, rows = placement_report(placed).table()
    hidden = {"evidence", "margin ms"} | (set() if placed.comparison else {"measured"})
    kept = [i for i, column in enumerate(columns) if column.name not in hidden]
    names = tuple(columns[i].name for i in kept)
    numeric = tuple(columns[i].name for i in kept if columns[i].numeric)
    print_table(title(placed), names, [tuple(row[i] for i in kept) for row in rows], numeric)
    prediction = placed.prediction
    total = len(prediction.placements)
    counts = ", ".join(f"{placed.count(name)} on {name}" for name in ("ANE", "CPU", "unknown") if placed.count(name))
    cost = "" if prediction.cost_ms is None else f"; estimated {prediction.cost_ms:.3f} ms"
    say(f"Core ML, {prediction.units.value}: {counts or 'nothing'} of {total} operations{cost}")
    say(f"seen by Core ML: {prediction.program.source}; {prediction.platform.evidence}")
    for note in prediction.notes:
        say(f"note: {note}")
    for warning in placed.warnings:
        say(f"warning: {warning}", err=True)
    _show_comparison(placed)
    _show_remedies(placed)


def _show_comparison(placed: ModelPlacement) -> None:
    compared = placed.comparison
    if compared is None:
        return
    say(f"measured plan: {compared.agreed} of {compared.compared} operations agree, {compared.tied} differ in a tie")
    for each in compared.extra:
        say(f"only in the plan: {each.name or each.kind}")


def _show_remedies(placed: ModelPlacement) -> None:
    if not placed.remedies:
        return
    rows: list[tuple[object, ...]] = [
        (
            ", ".join(each.layers[:3]) + (f" and {len(each.layers) - 3} more" if len(each.layers) > 3 else ""),
            each.change,
            "yes" if each.helps else "no",
            f"{each.ane_before} -> {each.ane_after} of {each.operations_after}",
            f"{each.cost_before_ms:.3f} -> {each.cost_after_ms:.3f}",
        )
        for each in placed.remedies[:SHOWN_REMEDIES]
    ]
    print_table("what if (each predicted again)", ("layers", "change", "helps", "on the engine", "ms"), rows)
