"""`openane convert`: a model in, the same model in another format out."""

from __future__ import annotations

from pathlib import Path

import click

from openane.cli._say import say
from openane.cli._show import FILE, JSON_OPTION, SHAPE_OPTION, parse_shapes, print_json, working
from openane.convert import Form, convert, form_of
from openane.convert.coreml import coremltools, without_frameworks


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
    help="Of weights and arithmetic in .mlpackage and .mil.",
)
@SHAPE_OPTION
@JSON_OPTION
def command(file: Path, output: Path, precision: str, shapes: tuple[str, ...], as_json: bool) -> None:
    """Write the model FILE in the format that the ending of OUT names, and compare what was written."""
    form = form_of(output)
    with working(f"converting {file.name}"):
        if form in (Form.NETWORK, Form.PACKAGE, Form.MIL):
            with without_frameworks():
                coremltools()
        done = convert(file, output, shapes=parse_shapes(shapes), half=precision == "half")
    if as_json:
        print_json(
            {
                "output": str(done.path),
                "form": done.form.value,
                "relative_error": done.error,
                "tolerance": done.tolerance,
            }
        )
    else:
        say(
            f"{done.path}: read back and compared, relative error {done.error:.2g} (at most {done.tolerance:g} allowed)"
        )
