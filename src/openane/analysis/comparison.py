"""The result of a comparison layer by layer, and its reports."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from openane.analysis.measure import Error, ValueRange
from openane.analysis.verdicts import Verdict
from openane.core.report import Column, Report


@dataclass(frozen=True, slots=True)
class LayerComparison:
    """One layer: the user's layers that one group of tasks computes.

    Attributes:
        name, operation: of the layer.
        where: engines, "host", or "" for a layer that leaves no task (folded away, or only a view).
        tasks: numbers over all programs of the plan.
        range: of the reference's results.
        ideal_isolated, engine_isolated: error of the layer fed with the reference's operands: every step rounded to
            fp16 by numpy, and the layer compiled and run alone (None where it cannot stand alone).
        ideal, net, engine: accumulated error: everything before it computed the same way; `net` is the ideal on the
            units, None where no unit has the value's name.
        source: where `engine` was read: "program" (what its tasks stored), "layer alone" (the layer compiled alone and
            fed with the accumulated operands), "host", "output", or "ideal" (nothing else was possible).
        near_ties: positions (of ArgMax, TopK) that differ from the reference's; the accumulated errors are then those
            of the values that they select.
        causes: why it is wrong, then what makes it inexact, most certain first.
        verdict: of the comparison.
    """

    name: str
    operation: str
    where: str
    tasks: tuple[int, ...]
    range: ValueRange
    ideal_isolated: Error
    engine_isolated: Error | None
    ideal: Error
    net: Error | None
    engine: Error
    source: str
    near_ties: int
    causes: tuple[str, ...]
    verdict: Verdict = Verdict.RIGHT

    @property
    def wrong(self) -> bool:
        """Whether the comparison fails by this layer."""
        return self.verdict.is_wrong


@dataclass(frozen=True, slots=True)
class OutputComparison:
    """One output of the model.

    Attributes:
        name: of the output.
        value: of the model, which may have another name.
        range: of the reference's results.
        ideal, engine: errors against the reference; of positions, errors of the values that they select.
        near_ties: positions that differ from the reference's.
        wrong: the engine's error is noticeable and far beyond that of ideal fp16 (`verdicts.is_spoiled`).
    """

    name: str
    value: str
    range: ValueRange
    ideal: Error
    engine: Error
    near_ties: int = 0
    wrong: bool = False


@dataclass(frozen=True, slots=True)
class ModelComparison:
    """Reference (float32), ideal fp16 and an engine on the same inputs.

    Attributes:
        model, target, runtime: what ran where.
        layers: in execution order.
        outputs: of the model.
        first_wrong: index of the first wrong layer, None when all are right.
        tolerance: noticeable error of an output, as a share of its size.
        notes: what the reader must know to trust the table.
    """

    model: str
    target: str
    runtime: str
    layers: tuple[LayerComparison, ...]
    outputs: tuple[OutputComparison, ...]
    first_wrong: int | None
    tolerance: float
    notes: tuple[str, ...] = field(default=())

    @property
    def right(self) -> bool:
        """Whether every layer and every output is within what ideal fp16 and the engine's arithmetic give."""
        return self.first_wrong is None and not any(output.wrong for output in self.outputs)

    def to_pandas(self) -> Any:
        """A `pandas.DataFrame`, one row per layer.

        Raises:
            UnavailableError: pandas is not installed.
        """
        return self.report().to_pandas()

    def report(self) -> Report:
        """One row per layer."""
        rows = [(*_summary(layer), *_flat(layer).values()) for layer in self.layers]
        flat = _flat(self.layers[0]) if self.layers else {"layer": ""}
        records = (Column(name, in_tables=False) for name in flat)
        return Report(f"{self.model} on {self.runtime} against float32", (*_SUMMARY_COLUMNS, *records), rows)

    def _repr_html_(self) -> str:
        return self.report().to_html()


_SUMMARY_COLUMNS = tuple(
    Column(name, numeric=3 <= i < 8, in_records=False)
    for i, name in enumerate(
        (
            "layer",
            "where",
            "wanted",
            "ideal fp16, ulp",
            "chip, ulp",
            "chip alone, ulp",
            "chip, max",
            "chip, cosine",
            "verdict",
            "why",
        )
    )
)


def _summary(layer: LayerComparison) -> tuple[str, ...]:
    """What people read of a layer, under _SUMMARY_COLUMNS."""
    return (
        layer.name,
        layer.where,
        f"{layer.range.least:.4g} .. {layer.range.largest:.4g}",
        f"{layer.ideal.max_ulp:.1f}",
        f"{layer.engine.max_ulp:.1f}",
        f"{layer.engine_isolated.max_ulp:.1f}" if layer.engine_isolated else "",
        f"{layer.engine.max_abs:.3g}",
        f"{layer.engine.cosine:.6f}",
        "" if layer.verdict is Verdict.RIGHT else layer.verdict.value,
        "; ".join(layer.causes),
    )


def _flat(layer: LayerComparison) -> dict[str, object]:
    """One row of plain values."""
    row: dict[str, object] = {
        "layer": layer.name,
        "operation": layer.operation,
        "where": layer.where,
        "tasks": list(layer.tasks),
        "least": layer.range.least,
        "largest": layer.range.largest,
        "smallest_magnitude": layer.range.smallest,
        "source": layer.source,
        "verdict": layer.verdict.value,
        "wrong": layer.wrong,
        "near_ties": layer.near_ties,
        "causes": list(layer.causes),
    }
    kinds = ("ideal_isolated", "engine_isolated", "ideal", "net", "engine")
    for kind in kinds:
        error: Error | None = getattr(layer, kind)
        for measured in (
            "max_abs",
            "rms",
            "max_ulp",
            "mean_ulp",
            "cosine",
            "relative",
            "relative_rms",
            "not_finite",
        ):
            row[f"{kind}_{measured}"] = getattr(error, measured) if error is not None else None
    return row


def as_values(found: ModelComparison) -> dict[str, Any]:
    """The comparison as plain values, for JSON and pages."""
    return {
        "model": found.model,
        "target": found.target,
        "runtime": found.runtime,
        "tolerance": found.tolerance,
        "right": found.right,
        "first_wrong": None if found.first_wrong is None else found.layers[found.first_wrong].name,
        "layers": [_flat(layer) for layer in found.layers],
        "outputs": [
            {
                "name": each.name,
                "wrong": each.wrong,
                "near_ties": each.near_ties,
                "ideal": _error(each.ideal),
                "engine": _error(each.engine),
            }
            for each in found.outputs
        ],
        "notes": list(found.notes),
    }


def _error(error: Error) -> dict[str, Any]:
    return {name: getattr(error, name) for name in Error.__dataclass_fields__}
