"""What a journal says: cases, failures, refusals, and what was covered and what was not."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from differential.coverage import (
    all_units,
    declared_fields,
    operations_with_a_form,
    other_operations,
    table_names,
)
from differential.levels import FINE
from differential.network import Network, parse

SHOWN = 20
"""Failures that are reported in full."""


@dataclass
class Summary:
    """The lines of a journal, added up.

    Attributes:
        cases, programs, seconds: how many, and their processor time.
        with_host: cases with steps that the engine refused.
        results, refusals, onnxruntime: how often each.
        operations, units, tasks, tables: what was reached, in how many cases or how often.
        fields: register field -> values that were written.
        failures: lines that failed.
        margins: errors on the simulator as fractions of the tolerance.
    """

    cases: int = 0
    programs: int = 0
    seconds: float = 0.0
    with_host: int = 0
    results: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    onnxruntime: Counter[str] = field(default_factory=Counter)
    operations: Counter[str] = field(default_factory=Counter)
    units: Counter[str] = field(default_factory=Counter)
    tasks: Counter[str] = field(default_factory=Counter)
    tables: Counter[str] = field(default_factory=Counter)
    fields: dict[str, set[int]] = field(default_factory=dict)
    failures: list[dict[str, Any]] = field(default_factory=list)
    margins: list[float] = field(default_factory=list)


def summarize(lines: Iterable[dict[str, Any]]) -> Summary:
    """Adds the lines of a journal up."""
    total = Summary()
    for line in lines:
        total.cases += 1
        total.results[line["result"]] += 1
        if line["result"] not in FINE:
            total.failures.append(line)
        total.seconds += line.get("seconds", 0.0)
        total.programs += line.get("programs", 0)
        total.refusals.update(line.get("refusals", ()))
        total.with_host += bool(line.get("refusals"))
        total.onnxruntime[line.get("onnxruntime", "ok")] += 1
        total.operations.update(line.get("operations", ()))
        for name in ("units", "tasks", "tables"):
            getattr(total, name).update(line.get(name, {}))
        for name, values in line.get("fields", {}).items():
            total.fields.setdefault(name, set()).update(values)
        if line["result"] == "ok":
            total.margins.append(line.get("margin", 0.0))
    return total


def report(lines: Iterable[dict[str, Any]]) -> Iterator[tuple[str, bool]]:
    """Lines of text, each with whether it reports of a failure."""
    total = summarize(lines)
    yield f"{total.cases} cases, {total.programs} programs, {total.seconds / 3600:.2f} processor hours", False
    yield "results: " + _counts(total.results), False
    yield "steps that ran on the host: " + (_counts(total.refusals) or "none"), False
    yield "not judged by onnxruntime: " + (_counts(total.onnxruntime - Counter(ok=total.cases)) or "none"), False
    for text in coverage(total):
        yield text, False
    for line in total.failures[:SHOWN]:
        yield f"\ncase {line['seed']}: {line['result']}: {line.get('shrunk') or line.get('detail', '')}", True
        if "network" in line:
            for text in tell(parse(line["network"])):
                yield f"    {text}", False
        yield f"    to reproduce: python tools/campaign.py --seed {line['seed']}", False
    if len(total.failures) > SHOWN:
        yield f"and {len(total.failures) - SHOWN} failures more", True


def coverage(total: Summary) -> Iterator[str]:
    """What was reached of what there is, and what was not."""
    for name, there, seen in _parts(total):
        missing = [each for each in there if each not in seen]
        yield f"{name}: {len(there) - len(missing)} of {len(there)}" + (
            f"; not reached: {', '.join(missing)}" if missing else ""
        )
    declared = declared_fields()
    written = {name: total.fields.get(name, set()) for name in declared}
    varied = [name for name, values in written.items() if len(values) > 1]
    yield f"register fields: {len(varied)} of {len(declared)} with several values"
    named = {name: each.values for name, each in declared.items() if each.values}
    count = sum(len(values) for values in named.values())
    reached = sum(len(written[name] & set(values)) for name, values in named.items())
    unnamed = (
        f"{name} ({', '.join(label for value, label in values.items() if value not in written[name])})"
        for name, values in named.items()
        if not set(values) <= written[name]
    )
    yield f"named values of fields: {reached} of {count}; never written: {', '.join(_merged(unnamed))}"
    yield "fields with one value only: " + ", ".join(_merged(name for name in declared if name not in varied))
    yield "kinds of tasks: " + _counts(total.tasks)


def _merged(names: Iterable[str]) -> list[str]:
    """Names without repetitions for the lanes of arrays."""
    return list(dict.fromkeys(re.sub(r"\[\d+\]", "[]", name) for name in names))


def _parts(total: Summary) -> Iterator[tuple[str, list[str], Counter[str]]]:
    yield "operations on the engine", operations_with_a_form(), total.operations
    yield "operations on the host", other_operations(), total.operations
    yield "units", all_units(), total.units
    yield "lookup tables", table_names(), total.tables


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counter.most_common())


def tell(network: Network) -> list[str]:
    """A network for people."""
    return network.lines()
