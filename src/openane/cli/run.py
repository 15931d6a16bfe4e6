"""`openane run`: run a file of any level and show its outputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from openane.cli._inputs import INPUT_OPTION, complete_inputs, read_inputs, say_made_up
from openane.cli._options import CACHE_OPTION, MEMORY_OPTION, OLD_WIDE_OPTION, TIME_OPTION, compile_options, options_of
from openane.cli._say import say
from openane.cli._show import FILE, JSON_OPTION, print_json, print_table, quantity, working
from openane.core.errors import InputError, OpenaneError

if TYPE_CHECKING:
    import numpy as np

    from openane.analysis.hazards import Hazard
    from openane.artifact.cache import Cache
    from openane.artifact.plan import Artifact
    from openane.compiler.driver import Options
    from openane.graph import Graph
    from openane.runtimes.execution import Execution, RunResult
    from openane.runtimes.runtime import SessionOptions

TOP_COUNT = 5


@click.command()
@click.argument("file", type=FILE)
@INPUT_OPTION
@click.option("--output-dir", type=FILE, metavar="DIR", help="Write every output to DIR/NAME.npy.")
@click.option("--on", default="simulator", show_default=True, help="Runtime: simulator, linux, macos or auto.")
@click.option("--device", default="", help="Device node to use; by default the first suitable one.")
@click.option(
    "--timeout",
    type=click.FloatRange(0.001),
    default=60.0,
    show_default=True,
    help="Seconds to wait for one run on a device.",
)
@MEMORY_OPTION
@TIME_OPTION
@compile_options()
@OLD_WIDE_OPTION
@CACHE_OPTION
@click.option("--fast", is_flag=True, help="Simulator: accumulate in float32, within a documented error bound.")
@click.option("--permissive", is_flag=True, help="Simulator: warn about unknown register values instead of stopping.")
@click.option("--partial-outputs", is_flag=True, help="Simulator: accept outputs that the tasks write only partly.")
@click.option(
    "--numerics", multiple=True, metavar="NAME=VALUE", help="Simulator: set an option of the numerics profile."
)
@click.option("--threads", type=click.IntRange(0), default=0, help="Simulator: worker threads; 0 for one per core.")
@click.option("--until", type=click.IntRange(1), metavar="N", help="Simulator: stop after N tasks; needs --dump.")
@click.option("--dump", type=FILE, metavar="DIR", help="Simulator: write every live tensor to DIR at the end.")
@click.option("--trace", type=FILE, metavar="FILE.jsonl", help="Simulator: write one line per effect.")
@click.option("--no-hazards", is_flag=True, help="Do not search for layers where half precision affects the outputs.")
@JSON_OPTION
def command(file: Path, as_json: bool, **choices: Any) -> None:
    """Run FILE (a model, net.plist, .hwx, .anec or .openane) and show its outputs.

    Inputs that are not given are generated from a fixed seed, and the report lists them.
    """
    from openane.analysis.hazards import as_values
    from openane.artifact.cache import Cache, default_folder
    from openane.compiler.generated_inputs import blaming_generated
    from openane.core.files import write_array
    from openane.runtimes.execution import Execution, RunResult

    on, output_dir, dump = choices["on"], choices["output_dir"], choices["dump"]
    if choices["until"] is not None and dump is None:
        raise InputError("--until needs --dump DIR, the folder for the live tensors")
    with working(f"compiling {file.name}"):
        options = options_of(choices)
        cache = Cache(default_folder()) if choices["cache"] else None
        artifact, given = open_model(file, options, choices["inputs"], cache)
    arrays, made = complete_inputs(given, artifact.plan)
    files = output_files(artifact.plan.outputs, output_dir)
    with working(f"running {file.name} on the {on}"), Execution(artifact, on, session_options(choices)) as execution:
        if choices["trace"] is not None:
            write_trace(execution, choices["trace"])
        if dump is not None:
            live = live_tensors(execution, arrays)
            files = output_files(live, dump)
            result = RunResult(live)
        else:
            with blaming_generated(made):
                result = execution.run(arrays)
        report = summary(execution, result, made)
        wanted = dump is None and not choices["no_hazards"]
        hazards = find_run_hazards(execution, file, options, cache, arrays, result.outputs) if wanted else ()
        report["hazards"] = [as_values(hazard) for hazard in hazards]
    for name, path in files.items():
        write_array(path, result.outputs[name])
    if as_json:
        print_json("run", report | {"files": {name: str(path) for name, path in files.items()}})
    else:
        show(report, files)
    for hazard in hazards:
        say(f"hazard: {hazard}", err=True)


def open_model(
    file: Path, options: Options, pairs: tuple[str, ...], cache: Cache | None
) -> tuple[Artifact, dict[str, np.ndarray]]:
    """The compiled model to run, and the given inputs; of a bundle, the variant for the shapes of these inputs.

    Raises:
        OpenaneError: the model or an input cannot be read, or the bundle has no such variant.
    """
    from openane.artifact.bundle import read_bundle
    from openane.compiler.cached_build import build_cached
    from openane.compiler.driver import build
    from openane.formats.sniff import FileKind, sniff

    if sniff(file) is not FileKind.BUNDLE:
        artifact = build(file, options) if cache is None else build_cached(file, options, cache)
        return artifact, read_inputs(pairs, artifact.plan.inputs, file)
    bundle = read_bundle(file)
    given = read_inputs(pairs, bundle.select(function=options.function).plan.inputs)
    shapes = {**{name: array.shape for name, array in given.items()}, **options.shapes}
    return bundle.select(shapes, options.function), given


def find_run_hazards(
    execution: Execution,
    file: Path,
    options: Options,
    cache: Cache | None,
    arrays: Mapping[str, np.ndarray],
    outputs: dict[str, np.ndarray],
) -> tuple[Hazard, ...]:
    """The hazards of half precision for the outputs; the cache knows the last run whose outputs were right."""
    from openane.analysis.run_hazards import run_hazards
    from openane.compiler.checked_runs import CheckedRuns
    from openane.compiler.driver import build, load_chosen
    from openane.formats.sniff import FileKind, sniff
    from openane.graph import Graph

    artifact = execution.artifact
    if sniff(file) is FileKind.BUNDLE:
        return run_hazards(execution, arrays, outputs, artifact)
    checked = CheckedRuns(file, options, cache)
    if checked.know(arrays, outputs):
        return ()
    level = artifact.graph or load_chosen(file, options)
    if isinstance(level, Graph):
        if _are_right(level, arrays, outputs):
            checked.add(arrays, outputs)
            return ()
        artifact = artifact if artifact.graph is not None else build(level, options)
    return run_hazards(execution, arrays, outputs, artifact)


def _are_right(graph: Graph, arrays: Mapping[str, np.ndarray], outputs: dict[str, np.ndarray]) -> bool:
    """Whether outputs are those of the model in single precision; not where that cannot be run."""
    from openane.analysis.hazards import matches

    try:
        return matches(graph, arrays, outputs)
    except OpenaneError:
        return False


def session_options(choices: Mapping[str, Any]) -> SessionOptions:
    """The options of the sessions as the command line gives them.

    Raises:
        InputError: a numerics option that is not NAME=VALUE.
    """
    from openane.runtimes.runtime import SessionOptions
    from openane.targets.target import RunOptions

    profile = {}
    for pair in choices["numerics"]:
        name, sign, value = pair.partition("=")
        if not sign:
            raise InputError("malformed --numerics option", value=pair, limit="NAME=VALUE")
        profile[name] = value
    limit_bytes = choices["memory_limit_bytes"]
    simulation = RunOptions(
        permissive=choices["permissive"],
        fast=choices["fast"],
        threads=choices["threads"],
        until=choices["until"],
        profile=profile,
        memory_limit_bytes=limit_bytes,
        time_limit_seconds=choices["time_limit_seconds"],
        partial_outputs=choices["partial_outputs"],
        hazards=not choices["no_hazards"],
    )
    return SessionOptions(choices["timeout"], limit_bytes, choices["device"], simulation)


def write_trace(execution: Execution, path: Path) -> None:
    """Writes the effects of every program, one JSON line each."""
    from openane.core.files import write_atomically

    inspections = [session.inspection for session in execution.sessions]
    write_atomically(path, (f"{line}\n".encode() for each in inspections for line in each.trace_lines()))


def live_tensors(execution: Execution, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Every tensor that is complete in memory when the only program stops, by name.

    Raises:
        InputError: the plan is not one program on the simulator.
    """
    inspections = [session.inspection for session in execution.sessions]
    if len(execution.artifact.plan.steps) != 1:
        raise InputError(
            "--dump needs a model that compiles to one program",
            value=f"{len(execution.artifact.plan.steps)} steps",
        )
    return {tensor.name: tensor.values for tensor in inspections[0].live_tensors(execution.surfaces(arrays))}


def output_files(outputs: Iterable[str], folder: Path | None) -> dict[str, Path]:
    """The file for each output; creates the folder, and never maps two names to one file.

    Raises:
        InputError: the folder cannot be created.
    """
    from openane.core.files import make_folder, safe_file_name

    if folder is None:
        return {}
    make_folder(folder)
    files: dict[str, Path] = {}
    for name in outputs:
        stem = safe_file_name(name)
        candidate, count = stem, 1
        while folder / f"{candidate}.npy" in files.values():
            count += 1
            candidate = f"{stem}_{count}"
        files[name] = folder / f"{candidate}.npy"
    return files


def summary(execution: Execution, result: RunResult, made: list[str]) -> dict[str, object]:
    """The report of a run as plain values: inputs, outputs, steps, traffic."""
    artifact = execution.artifact
    report: dict[str, object] = {
        "model": artifact.plan.name,
        "target": artifact.target,
        "made_up_inputs": made,
        "outputs": {name: describe(array, artifact.plan.labels.get(name)) for name, array in result.outputs.items()},
        "steps": [
            {"name": step.name, "where": step.where, "tasks": step.tasks, "seconds": step.seconds}
            for step in result.steps
        ],
        "tasks": sum(len(program.tasks) for program in artifact.programs),
        "surface_bytes": sum(surface.size_bytes for program in artifact.programs for surface in program.surfaces),
        "constant_bytes": sum(len(program.constants) for program in artifact.programs),
        "crossings": len(artifact.plan.crossings),
        "crossing_bytes": sum(each.moved_bytes for each in artifact.plan.crossings),
        "warnings": [
            *artifact.warnings,
            *(f"{step.name}: {step.substitution}" for step in result.steps if step.substitution),
        ],
        "runtime": execution.choice.reason,
    }
    if all(session.inspectable for session in execution.sessions):
        statistics = [session.inspection.statistics for session in execution.sessions]
        moved = [both for each in statistics for both in each.buffer_bytes().values()]
        report |= {
            "macs": sum(each.macs for each in statistics),
            "dram_read_bytes": sum(read for read, _ in moved) + sum(each.kernel_bytes for each in statistics),
            "dram_written_bytes": sum(written for _, written in moved),
            "l2_high_water_bytes": max((each.l2_high_water for each in statistics), default=0),
        }
    return report


def describe(array: np.ndarray, labels: Sequence[str] | None = None) -> dict[str, object]:
    """Shape, type, range, and the top classes if the array looks like one row of scores.

    Args:
        array: an output.
        labels: names of the classes, where the model has them.
    """
    import numpy as np

    facts: dict[str, object] = {"shape": list(array.shape), "dtype": array.dtype.name}
    if array.size and array.dtype.kind in "fiu":
        facts |= {"minimum": array.min().item(), "maximum": array.max().item()}
        scores = array.reshape(-1)
        if 1 < scores.size == max(array.shape):
            best = np.argsort(-scores.astype(np.float64), kind="stable")[:TOP_COUNT]
            facts["top"] = [[int(index), scores[index].item()] for index in best]
            if labels is not None:
                facts["top_labels"] = [labels[index] for index in best]
    return facts


def show(report: dict[str, object], files: dict[str, Path]) -> None:
    """Prints the report as two short tables."""
    made = report["made_up_inputs"]
    assert isinstance(made, list)
    say_made_up(made)
    outputs = report["outputs"]
    assert isinstance(outputs, dict)
    rows: list[tuple[object, ...]] = []
    for name, facts in outputs.items():
        found = facts.get("top", ())
        names = facts.get("top_labels", [index for index, _ in found])
        top = "  ".join(f"{label}: {score:.4g}" for label, (_, score) in zip(names, found, strict=True))
        shape = "x".join(map(str, facts["shape"])) or "scalar"
        span = f"{facts['minimum']:.5g} .. {facts['maximum']:.5g}" if "minimum" in facts else "-"
        rows.append((name, shape, facts["dtype"], span, top or "-", files.get(name, "-")))
    print_table("outputs", ("name", "shape", "type", "range", "top classes", "file"), rows)
    steps = report["steps"]
    assert isinstance(steps, list)
    print_table(
        "steps",
        ("step", "where", "tasks", "seconds"),
        [(step["name"], step["where"], step["tasks"], f"{step['seconds']:.3f}") for step in steps],
        numeric=("tasks", "seconds"),
    )
    amounts = {name: quantity(value, "B") for name, value in report.items() if isinstance(value, int)}
    line = f"{report['tasks']} tasks, constants {amounts['constant_bytes']}"
    macs = report.get("macs")
    if isinstance(macs, int):
        line += (
            f", {quantity(macs)} multiply-adds; DRAM read {amounts['dram_read_bytes']}, "
            f"written {amounts['dram_written_bytes']}; L2 in use {amounts['l2_high_water_bytes']}"
        )
    say(line)
    if report["crossings"]:
        say(f"{report['crossings']} crossings between engine and host, {amounts['crossing_bytes']}")
    warnings = report["warnings"]
    assert isinstance(warnings, list)
    for warning in warnings:
        say(f"warning: {warning}", err=True)
