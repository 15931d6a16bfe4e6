"""Pictures with matplotlib: roofline, timeline, and the error of the engine's functions.

matplotlib is an extra, imported on first use: pip install 'openane[plot]'. Every function draws into the axes that it
is given, or into a new figure, and returns the axes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from openane.analysis.estimate import PART_COLORS, Estimate
from openane.analysis.measure import ulp
from openane.backend.functions.accuracy import values
from openane.core.errors import InputError, UnavailableError
from openane.cost.model import CostPart
from openane.net.units.neuron import NeuronKind
from openane.targets.registry import DEFAULT_TARGET

__all__ = ["roofline", "table_error", "timeline"]

_LANES = {
    "NE": (CostPart.NEURAL,),
    "PE": (CostPart.PLANAR,),
    "DMA": (CostPart.WEIGHTS, CostPart.DRAM, CostPart.SURFACES),
    "rest": (CostPart.TASKS,),
}
_ORDER = (CostPart.TASKS, CostPart.WEIGHTS, CostPart.DRAM, CostPart.SURFACES, CostPart.NEURAL, CostPart.PLANAR)
"""Parts of a task follow one another, as the estimate adds them."""


def roofline(found: Estimate, axes: Any = None) -> Any:
    """Where the model and its layers stand between bandwidth and multiplication.

    Args:
        found: from `openane.analysis.estimate`.
        axes: matplotlib axes to draw into; None makes a figure.

    Returns:
        The axes.

    Raises:
        UnavailableError: matplotlib is not installed.
    """
    axes = axes if axes is not None else _axes((7, 5))
    roof = found.roofline
    reuse = np.geomspace(0.1, max(1e4, 4 * roof.ridge_flops_per_byte), 200)
    limit = roof.peak_gflops_per_s * np.minimum(1.0, reuse / roof.ridge_flops_per_byte)
    axes.loglog(reuse, limit, color="#333333", label=f"{found.chip.machine}")
    layers = [layer for layer in found.layers if layer.macs and layer.dram_bytes and layer.time_us]
    if layers:
        axes.scatter(
            [2 * layer.macs / layer.dram_bytes for layer in layers],
            [2e-3 * layer.macs / layer.time_us for layer in layers],
            s=18,
            color=PART_COLORS[CostPart.NEURAL],
            label="layers, without dispatch",
        )
    if roof.flops_per_byte > 0 and roof.gflops_per_s > 0:
        axes.scatter(
            [roof.flops_per_byte], [roof.gflops_per_s], s=60, color=PART_COLORS[CostPart.PLANAR], label="one call"
        )
    axes.set(xlabel="operations per byte of DRAM traffic", ylabel="GFLOP/s", title=f"{found.name}: roofline (estimate)")
    axes.legend()
    return axes


def timeline(found: Estimate, axes: Any = None) -> Any:
    """The time of every task on its engine, programs one after the other.

    Args:
        found: from `openane.analysis.estimate`.
        axes: matplotlib axes to draw into; None makes a figure.

    Returns:
        The axes.

    Raises:
        UnavailableError: matplotlib is not installed.
    """
    axes = axes if axes is not None else _axes((9, 3))
    lane_of = {part: lane for lane, parts in enumerate(_LANES.values()) for part in parts}
    bars: dict[CostPart, list[tuple[float, float]]] = {part: [] for part in _ORDER}
    at, program = 0.0, -1
    for task in found.tasks:
        if task.program != program:
            at, program = at + found.chip.dispatch_us, task.program
        for part in _ORDER:
            time_us = task.cost.times_us.get(part, 0.0)
            if time_us > 0:
                bars[part].append((at, time_us))
            at += time_us
    for part, spans in bars.items():
        if spans:
            axes.broken_barh(spans, (lane_of[part] - 0.4, 0.8), color=PART_COLORS[part], label=part.value)
    axes.set_yticks(range(len(_LANES)), list(_LANES))
    axes.invert_yaxis()
    axes.set(xlabel="microseconds", title=f"{found.name} on {found.chip.machine} (estimate)")
    if any(bars.values()):
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return axes


def table_error(function: str, alpha: float = 0.0, beta: float = 0.0, *, within: float = 16.0, axes: Any = None) -> Any:
    """The error of the engine's form of a function, over the fp16 arguments of a range.

    Args:
        function: name of a `NeuronKind` ("SIGMOID", "gelu"), as the default generation computes it.
        alpha, beta: its constants.
        within: largest magnitude of the argument.
        axes: matplotlib axes to draw into; None makes a figure.

    Returns:
        The axes: error in units of the last place of fp16.

    Raises:
        InputError: there is no such function.
        UnsupportedError: the engine has no form for it.
        UnavailableError: matplotlib is not installed.
    """
    x, error = table_errors(function, alpha, beta, within=within)
    axes = axes if axes is not None else _axes((8, 4))
    axes.plot(x, error, ".", markersize=1.5, color=PART_COLORS[CostPart.NEURAL])
    axes.axhline(0.5, color="#888888", linewidth=0.8, linestyle="--")
    axes.set(
        xlabel="argument",
        ylabel="error in ulp of fp16",
        title=f"{function.lower()} on {DEFAULT_TARGET.upper()} (simulator)",
    )
    return axes


def table_errors(
    function: str, alpha: float = 0.0, beta: float = 0.0, *, within: float = 16.0
) -> tuple[np.ndarray, np.ndarray]:
    """The numbers that :func:`table_error` draws: fp16 arguments, and errors in ulp; where the function is not finite
    in fp16 there is none.

    Raises:
        InputError: there is no such function.
        UnsupportedError: the engine has no form for it.
    """
    kinds = {kind.name: kind for kind in NeuronKind}
    if function.upper() not in kinds:
        raise InputError("there is no such function", value=function, limit=", ".join(name.lower() for name in kinds))
    if not within > 0:
        raise InputError("the range is empty", value=within, limit="above 0")
    x, wanted, result = values(kinds[function.upper()], alpha, beta, within=within)
    return x, np.abs(result - wanted) / ulp(wanted)


def _axes(size: tuple[float, float]) -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UnavailableError("matplotlib is not installed", hint="pip install 'openane[plot]'") from error
    try:
        from matplotlib import pyplot
    except ImportError:  # no graphical back end: a figure that can still be saved
        return Figure(figsize=size, layout="constrained").add_subplot()
    _, axes = pyplot.subplots(figsize=size, layout="constrained")
    return axes
