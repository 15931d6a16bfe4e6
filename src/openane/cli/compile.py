"""`openane compile`: compile a file of any level to .hwx, .anec or net.plist."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from openane.cli._say import say
from openane.cli._show import (
    CACHE_OPTION,
    CONSTANT_OPTION,
    FILE,
    JSON_OPTION,
    SHAPE_OPTION,
    TARGET_OPTION,
    Seconds,
    compiler_choices,
    compiler_options,
    complete_inputs,
    parse_constants,
    parse_shapes,
    print_json,
    quantity,
    working,
)
from openane.compiler.cache import Cache, build_cached, default_folder
from openane.compiler.driver import Options, OutputKind, build, output_kind, save
from openane.compiler.generated_inputs import blaming_generated
from openane.compiler.plan import Artifact
from openane.core.errors import FaultError
from openane.core.files import make_folder, safe_file_name, write_atomically
from openane.targets.target import Stage


@click.command()
@click.argument("file", type=FILE)
@click.option("-o", "--output", type=FILE, required=True, metavar="OUT", help="OUT.hwx, OUT.anec or OUT.plist.")
@click.option("--dialect", metavar="NAME", help="Whose layout habits to follow: macos-26, macos-11 or linux.")
@click.option("--dump", type=FILE, metavar="DIR", help="Write every stage of the compilation to DIR, as text.")
@click.option("--check", is_flag=True, help="Compare with the reference on made-up inputs; name the first wrong layer.")
@click.option(
    "--time-limit",
    "time_limit_seconds",
    type=Seconds(),
    default="600",
    show_default=True,
    metavar="SECONDS",
    help="Give up when it takes longer; 0 for no limit.",
)
@compiler_options
@SHAPE_OPTION
@CONSTANT_OPTION
@CACHE_OPTION
@TARGET_OPTION
@JSON_OPTION
def command(file: Path, output: Path, as_json: bool, **choices: Any) -> None:
    """Compile FILE (a model, net.plist or program) and write OUT; its ending says what to write."""
    kind = output_kind(output)
    dump: Path | None = choices["dump"]
    options = Options(
        choices["target"],
        choices["dialect"],
        parse_shapes(choices["shapes"]),
        parse_constants(choices["constants"]),
        host=False,
        observe=None if dump is None else Dump(dump),
        time_limit_seconds=choices["time_limit_seconds"],
        **compiler_choices(choices),
    )
    with working(f"compiling {file.name}"):
        whole = choices["check"] or dump is not None or kind is OutputKind.PLIST  # more than a program is asked for
        if choices["cache"] and not whole:
            artifact = build_cached(file, options, Cache(default_folder()))
        else:
            artifact = build(file, options)
    if choices["check"]:
        with working(f"checking {file.name}"):
            check(artifact)
    save(artifact, output)
    program = artifact.program
    facts = {
        "output": str(output),
        "bytes": output.stat().st_size,
        "target": artifact.target,
        "dialect": program.dialect,
        "functions": program.notes.get("functions", ""),
        "evidence": program.notes.get("evidence", ""),
        "tasks": len(program.tasks),
        "constant_bytes": len(program.constants),
        "scratch_bytes": program.scratch_bytes,
        "warnings": list(artifact.warnings),
    }
    if as_json:
        print_json(facts)
    else:
        say(
            f"{output}: {quantity(output.stat().st_size, 'B')}, {len(program.tasks)} tasks for {artifact.target} "
            f"({program.dialect}), constants {quantity(len(program.constants), 'B')}"
        )
        if facts["evidence"]:
            say(f"encoding: {facts['evidence']}")
    for warning in artifact.warnings:
        say(f"warning: {warning}", err=True)


class Dump:
    """Writes every stage it is called with to a numbered file of a folder, which is made at the first one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0

    def __call__(self, stage: Stage) -> None:
        make_folder(self._folder)
        path = self._folder / f"{self._count:02}-{safe_file_name(stage.name)}.txt"
        self._count += 1
        write_atomically(path, f"; {stage.name}: {stage.reason}\n{stage.text()}".encode())


def check(artifact: Artifact) -> None:
    """Runs the compiled program and the reference on made-up inputs.

    Raises:
        FaultError: they differ; names the first layer that goes wrong.
    """
    from openane.analysis.compare import (
        compare_layers,
    )  # brings the simulator along, which compiling alone does not need

    inputs, made = complete_inputs({}, artifact.plan)
    with blaming_generated(made):
        found = compare_layers(artifact, inputs)
    if found.first_wrong is not None:
        layer = found.layers[found.first_wrong]
        raise FaultError(
            "the compiled program differs from the reference",
            where=f"{found.model}: layer {layer.name!r}",
            value=f"off by {layer.engine.max_abs:.3g}",
            limit=f"{found.tolerance:g} of the largest value",
            hint="; ".join(layer.causes) or "Please report it with the model.",
        )
