"""Placements for machines: a table (CSV, Markdown), SARIF for code scanning, and annotations of GitHub."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence

from openane.analysis.layer_placement import LayerPlacement, ModelPlacement
from openane.analysis.placement_policy import Outcome
from openane.core.report import Report, numbers, texts

SARIF_VERSION = "2.1.0"
_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def placement_report(placed: ModelPlacement) -> Report:
    """One row per layer: can, will, openane."""
    columns = (
        *texts("layer", "operation", "engine can", "core ml", "tie"),
        *numbers("ANE ms", "CPU ms", "margin ms"),
        *texts("openane", "measured", "reason", "evidence"),
    )
    rows = [
        (
            layer.name,
            layer.operation,
            {True: "yes", False: "no", None: "unknown"}[layer.engine.can],
            layer.core_ml.backend,
            "tie" if layer.core_ml.tie else "",
            _number(layer.core_ml.times_ms["ANE"]),
            _number(layer.core_ml.times_ms["CPU"]),
            _number(layer.core_ml.margin_ms),
            layer.openane.where,
            layer.measured,
            layer.core_ml.reason,
            layer.engine.evidence,
        )
        for layer in placed.layers
    ]
    return Report(title(placed), columns, rows)


def title(placed: ModelPlacement) -> str:
    """What was predicted, in one line."""
    prediction = placed.prediction
    return f"{prediction.program.name} under Core ML on {prediction.platform.name} ({prediction.platform.chips})"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6f}"


def to_csv(report: Report) -> str:
    """Comma-separated values with a heading; cells that a spreadsheet would compute get a quote in front."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns, rows = report.table()
    writer.writerow([column.name for column in columns])
    writer.writerows([f"'{cell}" if cell[:1] in ("=", "+", "@") else cell for cell in row] for row in rows)
    return text.getvalue()


def to_markdown(report: Report) -> str:
    """A heading and a table of GitHub's Markdown."""
    columns, rows = report.table()

    def line(cells: Sequence[str]) -> str:
        escaped = (cell.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ") for cell in cells)
        return f"| {' | '.join(escaped)} |"

    marks = ["---:" if column.numeric else "---" for column in columns]
    lines = [f"## {report.title}", "", line([column.name for column in columns]), f"| {' | '.join(marks)} |"]
    return "\n".join([*lines, *map(line, rows)]) + "\n"


_RULES = {
    "off-engine": "Core ML does not run this layer on the Neural Engine",
    "unknown": "Nothing is known about where Core ML runs this layer",
    "policy": "A placement policy is not met",
    "trap": "A known trap of Core ML or the engine",
}


def findings(placed: ModelPlacement, outcomes: Sequence[Outcome]) -> Iterator[tuple[str, str, str, str]]:
    """Rule, level (of SARIF), layer and text of everything worth a remark."""
    for outcome in outcomes:
        if not outcome.met:
            yield "policy", "error", outcome.policy.layer, f"policy {outcome.policy.text!r} is not met: {outcome.found}"
    for warning in placed.warnings:
        yield "trap", "warning", "", warning
    for layer in placed.layers:
        if layer.core_ml.backend not in ("ANE", "none"):
            rule = "unknown" if layer.core_ml.backend == "unknown" else "off-engine"
            yield rule, "note", layer.name, _sentence(layer)


def _sentence(layer: LayerPlacement) -> str:
    return f"{layer.name} ({layer.operation}) runs on {layer.core_ml.backend}: {layer.core_ml.reason}"


def to_sarif(placed: ModelPlacement, outcomes: Sequence[Outcome], file: str, version: str) -> str:
    """A SARIF log with one result per remark."""
    results = []
    for rule, level, layer, text in findings(placed, outcomes):
        location: dict[str, object] = {"physicalLocation": {"artifactLocation": {"uri": file}}}
        if layer:
            location["logicalLocations"] = [{"name": layer, "kind": "object"}]
        results.append({"ruleId": rule, "level": level, "message": {"text": text}, "locations": [location]})
    driver = {
        "name": "openane",
        "version": version,
        "rules": [{"id": name, "shortDescription": {"text": text}} for name, text in _RULES.items()],
    }
    log = {"$schema": _SCHEMA, "version": SARIF_VERSION, "runs": [{"tool": {"driver": driver}, "results": results}]}
    return json.dumps(log, indent=2) + "\n"


_LEVELS = {"error": "error", "warning": "warning", "note": "notice"}


def to_github(placed: ModelPlacement, outcomes: Sequence[Outcome], file: str) -> str:
    """Workflow commands that GitHub shows as annotations."""
    lines = [
        f"::{_LEVELS[level]} file={_property(file)},title={_property(_RULES[rule])}::{_message(text)}"
        for rule, level, _, text in findings(placed, outcomes)
    ]
    return "".join(f"{line}\n" for line in lines)


def _message(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _message(text).replace(":", "%3A").replace(",", "%2C")
