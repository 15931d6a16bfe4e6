"""`openane eval`: evaluate a compiled model over a data set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from openane.analysis.choices import METRIC_NAMES, PIECE_SAMPLES
from openane.cli._options import CACHE_OPTION, MEMORY_OPTION, TIME_OPTION, compile_options, options_of
from openane.cli._say import say
from openane.cli._show import FILE, JSON_OPTION, print_json, print_table, progress_text
from openane.core.errors import InputError, printable

if TYPE_CHECKING:
    from openane.analysis.evaluate import Evaluation

_FOR_THE_JOB = ("metric", "on", "scale", "layer_samples", "memory_limit_bytes", "time_limit_seconds")


@click.command()
@click.argument("model", type=FILE)
@click.argument("dataset", type=FILE)
@click.option("--metric", type=click.Choice(METRIC_NAMES), default="top1", show_default=True, help="Metric to average.")
@click.option("--on", default="simulator", show_default=True, help="simulator, linux or macos.")
@click.option(
    "--scale",
    type=click.FloatRange(0, min_open=True),
    default=255.0,
    show_default=True,
    help="Divisor of the pixel values of pictures.",
)
@click.option(
    "--layers",
    "layer_samples",
    type=click.IntRange(0),
    default=1,
    show_default=True,
    metavar="N",
    help=f"Compare the layers of N of every {PIECE_SAMPLES} samples with the float32 reference; 0 for none.",
)
@click.option("--journal", type=FILE, metavar="FILE.jsonl", help="Save finished pieces here; a second run resumes.")
@click.option(
    "--jobs", type=click.IntRange(1), default=1, show_default=True, help="Number of processes on this machine."
)
@click.option("--scheduler", metavar="ADDRESS", help="Address of a Dask scheduler whose workers run the evaluation.")
@CACHE_OPTION
@compile_options("constants", "calibration")
@MEMORY_OPTION
@TIME_OPTION
@JSON_OPTION
def command(model: Path, dataset: Path, as_json: bool, **choices: Any) -> None:
    """Run MODEL over DATASET (a folder of arrays or pictures, .npz or .parquet) and average a metric."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TimeRemainingColumn

    from openane.analysis.evaluate import evaluate, summarize
    from openane.analysis.executors import cluster, processes
    from openane.analysis.journal import EvaluationJob, Journal
    from openane.artifact.cache import default_folder

    for path in (model, dataset):
        if not path.exists():
            raise InputError("the file or folder does not exist", where=str(path))
    scheduler, jobs = choices["scheduler"], choices["jobs"]
    alone = scheduler is None and jobs == 1
    job = EvaluationJob(
        str(model.resolve()),
        str(dataset.resolve()),
        **{name: choices[name] for name in _FOR_THE_JOB},
        options=options_of(choices, constants={}, calibration={}),
        cache_folder=str(default_folder()) if choices["cache"] else "",
        threads=0 if alone else 1,  # the workers share the cores
    )
    spread = cluster(scheduler) if scheduler else None if alone else processes(jobs)
    console = Console(stderr=True)
    columns = (progress_text(), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with (
        Journal(choices["journal"], job) as kept,
        Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress,
    ):
        task = progress.add_task(printable(f"evaluating {model.name}", keep=""))
        for done, count in evaluate(job, kept, spread):
            progress.update(task, completed=done, total=count)
        found = summarize(job, kept.pieces.values())
    if as_json:
        print_json("eval", asdict(found))
    else:
        show(found)


def show(found: Evaluation) -> None:
    """Prints metric, time and error statistics."""
    rate = found.samples / found.seconds if found.seconds else 0.0
    say(f"{found.metric} {found.value:.6g} over {found.samples} samples; {rate:.1f} samples per second of run time")
    if found.errors:
        show_errors("errors relative to the expected outputs", "output", found.errors)
    if found.layers:
        show_errors("errors relative to the float32 reference", "layer", found.layers)


def show_errors(title: str, what: str, errors: Mapping[str, Mapping[str, float]]) -> None:
    """Prints error statistics by name."""
    numeric = ("rms", "relative rms", "largest", "not finite")
    rows: list[tuple[object, ...]] = [
        (name, *(f"{row[key]:.3g}" for key in ("rms", "relative_rms", "largest")), f"{row['not_finite']:.0f}")
        for name, row in errors.items()
    ]
    print_table(title, (what, *numeric), rows, numeric=numeric)
