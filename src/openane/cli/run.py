"""`openane run`: a file of any level and arrays in, arrays and a short report out."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from openane.api import compile
from openane.cli._show import (
    FILE,
    HOST_OPTION,
    JSON_OPTION,
    SHAPE_OPTION,
    TARGET_OPTION,
    complete_inputs,
    parse_shapes,
    print_json,
    print_table,
    quantity,
    read_inputs,
    working,
)
from openane.compiler.execution import Execution, RunResult
from openane.compiler.plan import Artifact
from openane.core.errors import InputError
from openane.core.files import safe_file_name, write_array

TOP_COUNT = 5


@click.command()
@click.argument("file", type=FILE)
@click.option("--input", "inputs", multiple=True, metavar="NAME=ARRAY.npy", help="An input; repeat for several.")
@click.option("--output-dir", type=FILE, metavar="DIR", help="Write every output to DIR/NAME.npy.")
@click.option("--on", default="simulator", show_default=True, help="simulator, linux, macos or auto.")
@SHAPE_OPTION
@HOST_OPTION
@TARGET_OPTION
@JSON_OPTION
def command(
    file: Path,
    inputs: tuple[str, ...],
    output_dir: Path | None,
    on: str,
    shapes: tuple[str, ...],
    host: str,
    target: str,
    as_json: bool,
) -> None:
    """Run FILE (a model, net.plist, .hwx or .anec) and show what comes out.

    An input that is not given is made from a fixed seed, and the report says so.
    """
    with working(f"compiling {file.name}"):
        artifact = compile(file, target, shapes=parse_shapes(shapes), host=host == "allow")
    arrays, made = complete_inputs(read_inputs(inputs, artifact.plan.inputs), artifact.plan.inputs)
    names = output_files(artifact, output_dir)
    with working(f"running {file.name} on the {on}"), Execution(artifact, on) as execution:
        result = execution.run(arrays)
        reason = execution.choice.reason
    for name, path in names.items():
        write_array(path, result.outputs[name])
    report = summary(artifact, result, made, reason)
    if as_json:
        print_json(report | {"files": {name: str(path) for name, path in names.items()}})
    else:
        show(report, names)


def output_files(artifact: Artifact, folder: Path | None) -> dict[str, Path]:
    """Where each output goes; the folder is made, and two names never share a file.

    Raises:
        InputError: the folder cannot be made.
    """
    if folder is None:
        return {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder: {error.strerror}", where=str(folder)) from error
    files: dict[str, Path] = {}
    for name in artifact.plan.outputs:
        stem = safe_file_name(name)
        candidate, count = stem, 1
        while folder / f"{candidate}.npy" in files.values():
            count += 1
            candidate = f"{stem}_{count}"
        files[name] = folder / f"{candidate}.npy"
    return files


def summary(artifact: Artifact, result: RunResult, made: list[str], reason: str) -> dict[str, object]:
    """The report of a run as plain values: inputs, outputs, steps, traffic."""
    programs = artifact.programs
    traffic = [surface.size_bytes for program in programs for surface in program.surfaces]
    constants = sum(len(program.constants) for program in programs)
    return {
        "model": artifact.plan.name,
        "target": artifact.target,
        "made_up_inputs": made,
        "outputs": {name: describe(array) for name, array in result.outputs.items()},
        "steps": [
            {"name": step.name, "where": step.where, "tasks": step.tasks, "seconds": step.seconds}
            for step in result.steps
        ],
        "tasks": sum(step.tasks for step in result.steps),
        "surface_bytes": sum(traffic),
        "constant_bytes": constants,
        "runtime": reason,
    }


def describe(array: np.ndarray) -> dict[str, object]:
    """Shape, type, range, and the best classes when it looks like one row of scores."""
    facts: dict[str, object] = {"shape": list(array.shape), "dtype": array.dtype.name}
    if array.size and array.dtype.kind in "fiu":
        facts |= {"minimum": array.min().item(), "maximum": array.max().item()}
        scores = array.reshape(-1)
        if 1 < scores.size == max(array.shape):
            best = np.argsort(-scores.astype(np.float64), kind="stable")[:TOP_COUNT]
            facts["top"] = [[int(index), scores[index].item()] for index in best]
    return facts


def show(report: dict[str, object], files: dict[str, Path]) -> None:
    """Prints the report as two short tables."""
    made = report["made_up_inputs"]
    assert isinstance(made, list)
    if made:
        click.echo(f"made up from a fixed seed: {', '.join(made)} (give arrays with --input NAME=FILE.npy)")
    outputs = report["outputs"]
    assert isinstance(outputs, dict)
    rows: list[tuple[object, ...]] = []
    for name, facts in outputs.items():
        top = "  ".join(f"{index}: {score:.4g}" for index, score in facts.get("top", ()))
        shape = "x".join(map(str, facts["shape"])) or "scalar"
        span = f"{facts['minimum']:.5g} .. {facts['maximum']:.5g}" if "minimum" in facts else "-"
        rows.append((name, shape, facts["dtype"], span, top or "-", files.get(name, "-")))
    print_table("outputs", ("name", "shape", "type", "range", "top classes", "file"), rows)
    steps = report["steps"]
    assert isinstance(steps, list)
    print_table(
        "what ran where",
        ("step", "where", "tasks", "seconds"),
        [(step["name"], step["where"], step["tasks"], f"{step['seconds']:.3f}") for step in steps],
        numeric=("tasks", "seconds"),
    )
    surface_bytes, constant_bytes = report["surface_bytes"], report["constant_bytes"]
    assert isinstance(surface_bytes, int)
    assert isinstance(constant_bytes, int)
    click.echo(
        f"{report['tasks']} tasks, inputs and outputs {quantity(surface_bytes, 'B')}, "
        f"constants {quantity(constant_bytes, 'B')}"
    )
