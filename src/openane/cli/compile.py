"""`openane compile`: compile a file of any level to .hwx, .anec or net.plist."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from openane.cli._inputs import complete_inputs
from openane.cli._options import CACHE_OPTION, Seconds, compile_options, options_of
from openane.cli._say import say
from openane.cli._show import FILE, JSON_OPTION, print_json, quantity, working
from openane.core.errors import InputError, WrongProgramError

if TYPE_CHECKING:
    import numpy as np

    from openane.analysis.mac_loss import Gain
    from openane.artifact.plan import Artifact
    from openane.compiler.driver import Options


@click.command()
@click.argument("file", type=FILE)
@click.option(
    "-o", "--output", type=FILE, required=True, metavar="OUT", help="OUT.openane, OUT.hwx, OUT.anec or OUT.plist."
)
@click.option("--dump", type=FILE, metavar="DIR", help="Write every stage of the compilation to DIR, as text.")
@click.option(
    "--stop-after",
    metavar="PASS",
    help="Stop after a pass, given by name or number (see openane passes), and write its result to OUT as text.",
)
@click.option(
    "--check", is_flag=True, help="Compare with the reference on generated inputs; report the first wrong layer."
)
@click.option(
    "--time-limit",
    "time_limit_seconds",
    type=Seconds(),
    default="600",
    show_default=True,
    metavar="SECONDS",
    help="Stop compiling after this time; 0 for no limit.",
)
@click.option(
    "--header",
    metavar="0x1000|0x800",
    help="Size of the header of OUT.anec: 0x1000 (default) or 0x800, as the library that reads it expects.",
)
@click.option("--anec", is_flag=True, help="Write each program of OUT.openane as .anec too, for the Linux driver.")
@compile_options("time_limit_seconds")
@CACHE_OPTION
@JSON_OPTION
def command(file: Path, output: Path, as_json: bool, **choices: Any) -> None:
    """Compile FILE (a model, net.plist or program) and write OUT; its extension selects the format.

    OUT.openane is a bundle: it may have steps on the host, and a variant for each --shape of an input and for each
    shape that a Core ML model enumerates. The other formats have one program.
    """
    from openane.artifact.cache import Cache, default_folder
    from openane.cli._anec import header_size
    from openane.cli._stages import Dump, StopAfter
    from openane.compiler.cached_build import build_cached
    from openane.compiler.driver import OutputKind, build, output_kind, save

    dump: Path | None = choices["dump"]
    recorded, wanted = choices["evidence"] == "recorded", choices["stop_after"]
    stop = None if wanted is None else StopAfter(wanted, choices["rescale"], recorded)
    kind = OutputKind.HWX if stop else output_kind(output)
    header = header_size(choices["header"], kind)
    observe = stop or (None if dump is None else Dump(dump))
    options = options_of(choices, time_limit_seconds=choices["time_limit_seconds"], observe=observe)
    if kind is OutputKind.BUNDLE:
        write_bundle(file, output, options, as_json, choices)
        return
    if choices["anec"]:
        raise InputError("--anec adds to a bundle", value=str(output), limit="OUT.openane")
    if options.keep_on_host:
        raise InputError("only a bundle has steps on the host", value=str(output), limit="OUT.openane")
    options = replace(options, host=False)  # a file of one program
    if stop is not None:
        stop.write(file, options, output)
        return
    if recorded and kind is OutputKind.PLIST:
        raise InputError("a net.plist has units, not encodings", hint="Write a .hwx or .anec with --evidence recorded.")
    if options.rescale and kind is OutputKind.PLIST:
        raise InputError("a net.plist has units before rescaling", hint="Write a .hwx or .anec with --rescale.")
    with working(f"compiling {file.name}"):
        # The output needs more than the program.
        whole = choices["check"] or options.rescale or dump is not None or kind is OutputKind.PLIST
        if choices["cache"] and not whole:
            artifact = build_cached(file, options, Cache(default_folder()))
        else:
            artifact = build(file, options)
    if choices["check"]:
        with working(f"checking {file.name}"):
            check(artifact)
    save(artifact, output, header_bytes=header)
    gain = rescaling_gain(artifact, options.calibration) if options.rescale else None
    report_program(artifact, output, gain, header if kind is OutputKind.ANEC else None, as_json)


def report_program(
    artifact: Artifact, output: Path, gain: Gain | None, header_bytes: int | None, as_json: bool
) -> None:
    """Prints what was written: one program.

    Args:
        artifact: the compiled model.
        output: the file.
        gain: of rescaling; None without it.
        header_bytes: of a .anec; None for another file.
        as_json: whether to print JSON.
    """
    from openane.analysis.evidence import evidence_of_model
    from openane.cli._anec import anec_facts, show_operands

    program = artifact.program
    size = output.stat().st_size
    evidence = evidence_of_model(artifact)
    facts = {
        "output": str(output),
        "bytes": size,
        "target": artifact.target,
        "dialect": program.dialect,
        "functions": program.notes.get("functions", ""),
        "evidence": None if evidence is None else evidence.values(),
        "rescale": None if gain is None else asdict(gain),
        "tasks": len(program.tasks),
        "constant_bytes": len(program.constants),
        "scratch_bytes": program.scratch_bytes,
        "warnings": list(artifact.warnings),
    }
    if as_json:
        print_json("compile", facts | ({} if header_bytes is None else anec_facts(program, header_bytes)))
    else:
        say(
            f"{output}: {quantity(size, 'B')}, {len(program.tasks)} tasks for {artifact.target} "
            f"({program.dialect}), constants {quantity(len(program.constants), 'B')}"
        )
        if evidence is not None:
            say(f"encoding: {evidence.text}")
        if gain is not None:
            say(str(gain))
        if header_bytes is not None:
            show_operands(program, header_bytes)
    for warning in artifact.warnings:
        say(f"warning: {warning}", err=True)


def write_bundle(file: Path, output: Path, options: Options, as_json: bool, choices: Mapping[str, Any]) -> None:
    """Compiles a bundle, checks it if asked, and reports it."""
    from openane.cli._bundle import compile_bundle, report_bundle, shape_sets

    cached = choices["cache"] and choices["dump"] is None and not choices["check"]
    shapes = shape_sets(file, choices["shapes"])
    bundle = compile_bundle(file, output, options, shapes, cached=cached, anec=choices["anec"])
    if choices["check"]:
        for variant in bundle.variants:
            with working(f"checking {file.name}"):
                check(variant.artifact)
    report_bundle(bundle, output, as_json)


def rescaling_gain(artifact: Artifact, calibration: Mapping[str, np.ndarray]) -> Gain:
    """The expected gain of rescaling, on calibration data or on generated inputs."""
    from openane.analysis.mac_loss import Activations, gain_of
    from openane.compiler.generated_inputs import blaming_generated

    if calibration:
        return gain_of(artifact, calibration, Activations.GIVEN)
    inputs, made = complete_inputs({}, artifact.plan)
    with blaming_generated(made):
        return gain_of(artifact, inputs, Activations.MADE_UP)


def check(artifact: Artifact) -> None:
    """Runs the compiled program and the reference on generated inputs.

    Raises:
        WrongProgramError: they differ; names the first wrong layer.
    """
    from openane.analysis.compare import compare_layers  # imports the simulator, which compiling does not need
    from openane.compiler.generated_inputs import blaming_generated

    inputs, made = complete_inputs({}, artifact.plan)
    with blaming_generated(made):
        found = compare_layers(artifact, inputs)
    if found.first_wrong is not None:
        layer = found.layers[found.first_wrong]
        raise WrongProgramError(
            f"the compiled program differs from the reference ({layer.verdict.value})",
            where=f"{found.model}: layer {layer.name!r}",
            value=f"off by {layer.engine.rms:.3g} (root mean square)",
            limit=f"{layer.ideal.rms:.3g} in ideal fp16",
            hint="; ".join(layer.causes) or "Please report it with the model.",
        )
