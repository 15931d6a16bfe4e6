"""`openane estimate`: estimate the time and energy of a model, and what limits them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from openane.cli._options import compile_options, options_of
from openane.cli._say import say
from openane.cli._show import FILE, JSON_OPTION, print_json, print_table, working
from openane.cost.chips import CHIPS, DEFAULT_CHIP

if TYPE_CHECKING:
    from openane.analysis.estimate import Estimate
    from openane.cost.model import CostPart

_LAYER_COLUMNS = ("layer", "tasks", "us", "NE", "PE", "DMA", "rest", "KiB", "peak", "bound", "uJ")
_TASK_COLUMNS = ("task", "layer", "does", "us", "NE", "PE", "DMA", "rest", "KiB", "peak", "bound")


@click.command()
@click.argument("file", type=FILE)
@click.option("--chip", default=DEFAULT_CHIP, show_default=True, metavar="NAME", help=f"One of {', '.join(CHIPS)}.")
@click.option("--tasks", "show_tasks", is_flag=True, help="Also list every task.")
@compile_options()
@JSON_OPTION
def command(file: Path, chip: str, show_tasks: bool, as_json: bool, **choices: Any) -> None:
    """Estimate the time and energy of one call of FILE (a model, net.plist or program).

    The constants are fitted to published timings; `python bench/cost.py` shows how well they agree.
    """
    from openane.analysis.estimate import as_values, estimate
    from openane.cli._weights import show_weights
    from openane.compiler.driver import build

    with working(f"compiling {file.name}"):
        found = estimate(build(file, options_of(choices)), chip)
    if as_json:
        print_json("estimate", as_values(found))
        return
    _print_layers(found)
    if show_tasks:
        _print_tasks(found)
    show_weights(found.weights)
    _print_totals(found)


def _times(times_us: Mapping[CostPart, float]) -> tuple[str, str, str, str]:
    """Microseconds of the neural engine, the planar engine, all transfers, and the rest."""
    from openane.cost.model import CostPart

    transfers = sum(times_us[part] for part in (CostPart.WEIGHTS, CostPart.DRAM, CostPart.SURFACES))
    return (
        f"{times_us[CostPart.NEURAL]:.1f}",
        f"{times_us[CostPart.PLANAR]:.1f}",
        f"{transfers:.1f}",
        f"{times_us[CostPart.TASKS]:.1f}",
    )


def _print_layers(found: Estimate) -> None:
    rows: list[tuple[object, ...]] = [
        (
            layer.layer,
            layer.tasks,
            f"{layer.time_us:.1f}",
            *_times(layer.times_us),
            f"{layer.dram_bytes / 1024:.0f}",
            f"{layer.utilization:.1%}",
            layer.bound.value,
            f"{layer.energy_uj:.1f}",
        )
        for layer in found.layers
    ]
    print_table(f"{found.name} on {found.chip.machine}, by layer", _LAYER_COLUMNS, rows, (*_LAYER_COLUMNS[1:-2], "uJ"))


def _print_tasks(found: Estimate) -> None:
    rows: list[tuple[object, ...]] = [
        (
            f"{task.program}.{task.task}",
            task.layer,
            task.cost.work.kind.value,
            f"{task.cost.time_us:.1f}",
            *_times(task.cost.times_us),
            f"{task.cost.work.dram_bytes / 1024:.0f}",
            f"{task.cost.utilization:.1%}",
            task.cost.bound.value,
        )
        for task in found.tasks
    ]
    say()
    print_table("By task", _TASK_COLUMNS, rows, _TASK_COLUMNS[3:-1])


def _print_totals(found: Estimate) -> None:
    from openane.cost.model import CostPart

    roofline = found.roofline
    say()
    say("us = NE + PE + DMA (weights, DRAM, transfer of inputs and outputs) + rest (task start)")
    low, high = found.range_us
    spread = f" ({low:.0f} to {high:.0f} us in four of five networks)" if found.is_rough else ""
    say(
        f"One call: {found.time_us:.0f} us{spread}, of which dispatch {found.times_us[CostPart.DISPATCH]:.0f} us "
        f"({_count(found.programs, 'program')}); {found.energy_uj / 1000:.3g} mJ, {found.milliwatts:.0f} mW"
    )
    say(f"DRAM: {found.dram_bytes / 1e6:.3g} MB per call, {found.least_bytes / 1e6:.3g} MB if all data moves once")
    say(
        f"Roofline: {roofline.flops_per_byte:.3g} operations per byte (ridge {roofline.ridge_flops_per_byte:.0f}), "
        f"{roofline.gflops_per_s:.4g} of {roofline.roof_gflops_per_s:.4g} GFLOP/s attainable at this intensity "
        f"(peak {roofline.peak_gflops_per_s:.5g})"
    )
    if found.host_steps:
        say(f"Not included: {_count(found.host_steps, 'step')} on the host")
    for advice in found.advice:
        say(f"- {advice.what}: {advice.why}; saves up to {advice.saves_us:.0f} us")
    chip = found.chip
    say(f"Constants of {chip.name}: {chip.evidence}")
    say(f"Median error of these constants on networks left out of the fit: {chip.median_error:.0%}")


def _count(count: int, thing: str) -> str:
    return f"{count} {thing}{'' if count == 1 else 's'}"
