"""`openane eval`: a compiled model over a data set."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress

from openane.analysis.evaluate import METRICS, Evaluation, Job, Journal, evaluate, summarize
from openane.analysis.spread import cluster, processes
from openane.cli._show import FILE, JSON_OPTION, TARGET_OPTION, print_json, print_table
from openane.compiler.cache import default_folder
from openane.core.errors import InputError


@click.command()
@click.argument("model", type=FILE)
@click.argument("dataset", type=FILE)
@click.option("--metric", type=click.Choice(list(METRICS)), default="top1", show_default=True, help="What is averaged.")
@click.option("--on", default="simulator", show_default=True, help="simulator, linux or macos.")
@click.option("--scale", type=float, default=255.0, show_default=True, help="Pictures are divided by this.")
@click.option("--journal", type=FILE, metavar="FILE.jsonl", help="Keep finished pieces here; a second run goes on.")
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="Processes of this machine.")
@click.option("--scheduler", metavar="ADDRESS", help="Address of a Dask scheduler; its workers do the work.")
@TARGET_OPTION
@JSON_OPTION
def command(
    model: Path,
    dataset: Path,
    metric: str,
    on: str,
    scale: float,
    journal: Path | None,
    jobs: int,
    scheduler: str | None,
    target: str,
    as_json: bool,
) -> None:
    """Run MODEL over DATASET (a folder of arrays or pictures, .npz or .parquet) and average a metric."""
    for path in (model, dataset):
        if not path.exists():
            raise InputError("there is no such file or folder", where=str(path))
    job = Job(str(model.resolve()), str(dataset.resolve()), metric, target, on, scale, str(default_folder()))
    spread = cluster(scheduler) if scheduler else processes(jobs) if jobs > 1 else None
    kept = Journal(journal, job)
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(f"evaluating {model.name}")
        for done, count in evaluate(job, kept, spread):
            progress.update(task, completed=done, total=count)
    found = summarize(job, kept.pieces.values())
    if as_json:
        print_json(asdict(found))
    else:
        show(found)


def show(found: Evaluation) -> None:
    """Prints metric, time and error statistics."""
    rate = found.samples / found.seconds if found.seconds else 0.0
    click.echo(f"{found.metric} {found.value:.6g} over {found.samples} samples; {rate:.1f} samples a second of running")
    if found.errors:
        rows: list[tuple[object, ...]] = [
            (name, f"{row['rms']:.3g}", f"{row['relative_rms']:.3g}", f"{row['largest']:.3g}")
            for name, row in found.errors.items()
        ]
        print_table("errors", ("output", "rms", "relative rms", "largest"), rows, numeric=("rms", "relative rms"))
