"""Reports as tables and bars, for notebooks and pandas."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from openane.core import html
from openane.core.frames import to_frame
from openane.cost.model import Part

if TYPE_CHECKING:
    from openane.analysis.estimate import Estimate
    from openane.analysis.explain import Explanation

COLOURS: Mapping[Part, str] = MappingProxyType(
    {
        Part.NEURAL: "#2b66ad",
        Part.PLANAR: "#a9590c",
        Part.WEIGHTS: "#2c7a4b",
        Part.DRAM: "#3f8f6e",
        Part.SURFACES: "#5c8a3a",
        Part.TASKS: "#6a717a",
        Part.DISPATCH: "#4d535b",
    }
)
"""White text is readable on each."""

_LAYER_COLUMNS = ("layer", "tasks", "time_us", "share", "bound", "energy_uj", "macs", "dram_bytes", "utilisation")
_EXPLAIN_COLUMNS = ("layer", "operation", "where", "tasks", "macs", "reason")


def estimate_html(found: Estimate) -> str:
    """The time as a bar, and the layers."""
    parts = [(part.value, found.times_us.get(part, 0.0), COLOURS[part]) for part in Part]
    rows = [
        (
            layer.layer,
            layer.tasks,
            f"{layer.time_us:.2f}",
            f"{layer.share:.1%}",
            layer.bound.value,
            f"{layer.energy_uj:.2f}",
            layer.macs,
            layer.dram_bytes,
            f"{layer.utilisation:.1%}",
        )
        for layer in found.layers
    ]
    totals = f"{found.time_us:.0f} us a call, {found.energy_uj / 1000:.3g} mJ"
    title = f"{found.name} on {found.chip.machine}: {totals} (estimate)"
    columns = _LAYER_COLUMNS
    return html.shares(f"time of a call of {found.name} by part", parts) + html.table(
        title, columns, rows, (*columns[1:4], *columns[5:])
    )


def estimate_frame(found: Estimate) -> Any:
    """One row a layer as a `pandas.DataFrame`.

    Raises:
        UnavailableError: pandas is not installed.
    """
    times = [part for part in Part if part is not Part.DISPATCH]
    rows = [
        (
            layer.layer,
            layer.tasks,
            layer.time_us,
            layer.share,
            layer.bound.value,
            layer.energy_uj,
            layer.macs,
            layer.dram_bytes,
            layer.utilisation,
            *(layer.times_us.get(part, 0.0) for part in times),
        )
        for layer in found.layers
    ]
    return to_frame((*_LAYER_COLUMNS, *(f"{part.value}_us" for part in times)), rows)


def explanation_html(found: Explanation) -> str:
    """The layers, where they run, and why."""
    title = f"{found.model} on {found.target}: {found.engine_share:.1%} of the work on the engine"
    return html.table(title, _EXPLAIN_COLUMNS, _explained(found), ("macs",))


def explanation_frame(found: Explanation) -> Any:
    """One row a layer as a `pandas.DataFrame`.

    Raises:
        UnavailableError: pandas is not installed.
    """
    return to_frame(_EXPLAIN_COLUMNS, _explained(found))


def _explained(found: Explanation) -> list[tuple[object, ...]]:
    return [
        (
            layer.name,
            layer.operation,
            layer.where.value,
            ", ".join(map(str, layer.tasks)),
            layer.macs,
            "" if layer.reason is None else str(layer.reason),
        )
        for layer in found.layers
    ]
