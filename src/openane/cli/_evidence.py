"""The table of what no record of Apple's compiler shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from openane.cli._show import print_table


def show_findings(report: Mapping[str, Any]) -> None:
    """Prints what no record shows, each with the tasks that have it.

    Args:
        report: from `EvidenceReport.values`.
    """
    rows: list[tuple[object, ...]] = []
    for each in report["findings"]:
        level = f"{each['level']} ({each['assumption']})" if each["assumption"] else each["level"]
        share = "" if each["time_share"] is None else f"{each['time_share']:.1%}"
        rows.append((level, each["found"], each["field"], each["recorded"], len(each["tasks"]), share))
    if rows:
        columns = ("encoding", "found", "field", "on record", "tasks", "time")
        print_table("what no program of Apple's compiler shows", columns, rows, numeric=("tasks", "time"))
