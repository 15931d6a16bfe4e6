"""`openane convert`: write a model in another format."""

from __future__ import annotations

from pathlib import Path

import click

from openane.cli._inputs import INPUT_OPTION, read_inputs, say_made_up
from openane.cli._options import CONSTANT_OPTION, parse_constants
from openane.cli._say import say
from openane.cli._show import FILE, JSON_OPTION, SHAPE_OPTION, parse_shapes, print_json, working


@click.command()
@click.argument("file", type=FILE)
@click.option(
    "-o",
    "--output",
    type=FILE,
    required=True,
    metavar="OUT",
    help="OUT.mlpackage, OUT.mlmodel, OUT.mil (with weights/weight.bin), OUT.plist (with weights) or OUT.onnx.",
)
@click.option(
    "--precision",
    type=click.Choice(["half", "single"]),
    default="half",
    show_default=True,
    help="Precision of weights and arithmetic in .mlpackage and .mil.",
)
@INPUT_OPTION
@SHAPE_OPTION
@CONSTANT_OPTION
@JSON_OPTION
def command(
    file: Path,
    output: Path,
    precision: str,
    inputs: tuple[str, ...],
    shapes: tuple[str, ...],
    constants: tuple[str, ...],
    as_json: bool,
) -> None:
    """Convert the model FILE to the format given by the extension of OUT, and compare the result with FILE.

    The comparison uses the given inputs. Other inputs are generated from a fixed seed, and the report lists them.
    """
    from openane.compiler.driver import load
    from openane.convert import Form, convert, form_of
    from openane.convert.coreml import coremltools, without_frameworks
    from openane.formats.sniff import FileKind, sniff
    from openane.graph import Graph

    form = form_of(output)
    with working(f"converting {file.name}"):
        if form in (Form.NETWORK, Form.PACKAGE, Form.MIL):
            with without_frameworks():
                coremltools()
        level = load(file, shapes=parse_shapes(shapes), constants=parse_constants(constants))
        model = level if isinstance(level, Graph) else None
        arrays = read_inputs(inputs, model.inputs, file) if model is not None else {}
        source = file if model is None or sniff(file) is FileKind.PT2 else model
        fixed = parse_constants(constants)
        done = convert(
            source, output, shapes=parse_shapes(shapes), constants=fixed, inputs=arrays, half=precision == "half"
        )
    if as_json:
        print_json(
            "convert",
            {
                "output": str(done.path),
                "form": done.form.value,
                "relative_error": done.error,
                "tolerance": done.tolerance,
                "made_up_inputs": list(done.made_up),
                "checked_by": list(done.checked_by),
            },
        )
    else:
        say_made_up(done.made_up)
        others = f", checked by {' and '.join(done.checked_by)} too" if done.checked_by else ""
        limit = f"at most {done.tolerance:g} allowed"
        say(f"{done.path}: read back and compared{others}, relative error {done.error:.2g} ({limit})")
