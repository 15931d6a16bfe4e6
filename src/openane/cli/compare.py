"""`openane compare`: find the first layer whose results are wrong, and why."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from openane.analysis.choices import EXECUTORS, RUNTIMES, TOLERANCE
from openane.cli._ending import WRONG_STATUS
from openane.cli._inputs import INPUT_OPTION, complete_inputs, read_inputs, say_made_up
from openane.cli._options import MEMORY_OPTION, TIME_OPTION, compile_options, limited, options_of
from openane.cli._say import say
from openane.cli._show import FILE, JSON_OPTION, print_json, print_table, working

if TYPE_CHECKING:
    from openane.analysis.comparison import LayerComparison, ModelComparison
    from openane.analysis.executable_pair import Executable, PairComparison
    from openane.analysis.measure import Error
    from openane.artifact.options import Options
    from openane.artifact.plan import Artifact

_COLUMNS = ("layer", "where", "ideal", "chip", "ideal alone", "chip alone", "verdict", "why")
_NUMERIC = _COLUMNS[2:6]


@click.command()
@click.argument("file", type=FILE)
@INPUT_OPTION
@click.option(
    "--with",
    "other",
    metavar="OTHER",
    help=f"Compare with another file, or with FILE on another executor: {', '.join(EXECUTORS)}. By default every "
    "layer of FILE is compared with its reference.",
)
@click.option(
    "--on", type=click.Choice(RUNTIMES), default="simulator", show_default=True, help="Runtime for the layers."
)
@click.option(
    "--tolerance",
    type=click.FloatRange(0),
    default=TOLERANCE,
    show_default=True,
    help="Error of an output, relative to its size, below which it is not called wrong.",
)
@MEMORY_OPTION
@TIME_OPTION
@compile_options()
@JSON_OPTION
def command(
    file: Path,
    inputs: tuple[str, ...],
    other: str | None,
    on: str,
    tolerance: float,
    memory_limit_bytes: int,
    time_limit_seconds: float | None,
    as_json: bool,
    **choices: Any,
) -> None:
    """Compare the results of FILE (a model, net.plist, .hwx or .anec) on the same inputs.

    Compares float32, ideal fp16 and the chip layer by layer. With --with, compares the values of two files; a program
    that has the tasks and surfaces of what FILE compiles to, such as a patched one, is compared layer by layer too.

    Exit status: 0 where every error is within what ideal fp16 and the engine's arithmetic give, 1 where a result is
    wrong, 2 where there is no result.

    Inputs that are not given are generated from a fixed seed, and the report lists them.
    """
    from openane.analysis.compare import compare_layers
    from openane.analysis.comparison import as_values
    from openane.analysis.executable_pair import executable_of
    from openane.compiler.driver import build
    from openane.compiler.generated_inputs import blaming_generated

    options, sessions = options_of(choices), limited(memory_limit_bytes, time_limit_seconds)
    patched = _patched(file, other, options) if other is not None else None
    if other is not None and patched is None:
        open_side = partial(executable_of, options=options, sessions=sessions)
        _compare_pair(open_side, file, other, inputs, tolerance, as_json)
        return
    with working(f"compiling {file.name}"):
        artifact = patched or build(file, options)
    arrays, made = complete_inputs(read_inputs(inputs, artifact.plan.inputs, file), artifact.plan)
    with working(f"running every layer of {file.name} on the {on}"), blaming_generated(made):
        found = compare_layers(artifact, arrays, on, tolerance, sessions)
    if as_json:
        print_json("compare", as_values(found) | {"made_up_inputs": made})
    else:
        say_made_up(made)
        _show(found)
    sys.exit(0 if found.right else WRONG_STATUS)


def _patched(file: Path, other: str, options: Options) -> Artifact | None:
    """The model FILE with the program of OTHER, where that is another form of what FILE compiles to."""
    from openane.analysis.compare import with_program
    from openane.compiler.driver import build, load
    from openane.formats.sniff import FileKind, sniff
    from openane.program import Program

    programs = {FileKind.HWX, FileKind.ANEC, FileKind.ASSEMBLY}
    if other in EXECUTORS or sniff(file) in programs or sniff(Path(other)) not in programs:
        return None
    program = load(Path(other))
    assert isinstance(program, Program)
    with working(f"compiling {file.name}"):
        return with_program(build(file, options), program)


def _compare_pair(
    open_side: Callable[..., Executable],
    file: Path,
    other: str,
    inputs: tuple[str, ...],
    tolerance: float,
    as_json: bool,
) -> None:
    from openane.analysis.executable_pair import compare_executables, pair_values
    from openane.compiler.generated_inputs import blaming_generated, complete

    with working(f"compiling {file.name}"):
        first = open_side(file)
        second = open_side(file, other) if other in EXECUTORS else open_side(Path(other))
    arrays, made = complete(read_inputs(inputs, first.inputs, file), first.inputs, first.graphs)
    with working("running both"), blaming_generated(made):
        found = compare_executables(first, second, arrays, tolerance)
    if as_json:
        print_json("compare-pair", pair_values(found) | {"made_up_inputs": made})
    else:
        say_made_up(made)
        _show_pair(found)
    sys.exit(0 if found.first_wrong is None else WRONG_STATUS)


def _ulps(error: Error | None) -> str:
    """The mean and the largest error in units of the last place, or the count of values that are not finite."""
    if error is None:
        return "-"
    return f"{error.not_finite} not finite" if error.not_finite else f"{error.mean_ulp:.2f} / {error.max_ulp:.3g}"


def _row(layer: LayerComparison) -> tuple[object, ...]:
    from openane.analysis.verdicts import Verdict

    return (
        layer.name,
        layer.where,
        _share(layer.ideal),
        _share(layer.engine),
        _share(layer.ideal_isolated),
        _share(layer.engine_isolated),
        "" if layer.verdict is Verdict.RIGHT else layer.verdict.value,
        "" if layer.verdict is Verdict.RIGHT else "; ".join(layer.causes),
    )


def _share(error: Error | None) -> str:
    """The root mean square error as a share of the value's, or the count of values that are not finite."""
    if error is None:
        return ""
    return f"{error.not_finite} not finite" if error.not_finite else f"{error.relative_rms:.1e}"


def _show(found: ModelComparison) -> None:
    """Prints the layers, the outputs, and the first layer that is wrong."""
    print_table(
        f"{found.model}: root mean square errors of ideal fp16 and of the chip ({found.runtime}) against float32",
        _COLUMNS,
        [_row(layer) for layer in found.layers],
        _NUMERIC,
    )
    print_table(
        "outputs",
        ("output", "float32", "ideal", "chip", "ideal, largest", "chip, largest", "near ties"),
        [
            (
                each.name,
                f"{each.range.least:.4g} .. {each.range.largest:.4g}",
                _share(each.ideal),
                _share(each.engine),
                f"{each.ideal.max_abs:.3g}",
                f"{each.engine.max_abs:.3g}",
                each.near_ties or "",
            )
            for each in found.outputs
        ],
        ("ideal", "chip", "ideal, largest", "chip, largest", "near ties"),
    )
    for note in found.notes:
        say(f"note: {note}")
    if found.right:
        say("right: every layer and output is within what ideal fp16 and the engine's arithmetic give")
        return
    for output in found.outputs:
        if output.wrong:
            say(f"output {output.name!r} is wrong: {_errors(output.engine)}; in ideal fp16 {_errors(output.ideal)}")
    if found.first_wrong is not None:
        layer = found.layers[found.first_wrong]
        why = f": {'; '.join(layer.causes)}" if layer.causes else ""
        say(f"the first wrong layer is {layer.name!r} ({layer.operation}), {layer.verdict.value}{why}")


def _errors(error: Error) -> str:
    odd = f", {error.not_finite} values not finite" if error.not_finite else ""
    return f"off by {error.relative_rms:.2g} of its root mean square{odd}"


def _show_pair(found: PairComparison) -> None:
    print_table(
        f"{found.second} against {found.first}",
        ("value", "shape", "range", "ulp", "max", "cosine"),
        [
            (
                f"{value.name}{' (wrong)' if value.wrong else ''}",
                "x".join(map(str, value.shape)) or "scalar",
                f"{value.range.least:.4g} .. {value.range.largest:.4g}",
                _ulps(value.error),
                f"{value.error.max_abs:.3g}",
                f"{value.error.cosine:.6f}",
            )
            for value in found.values
        ],
        ("ulp", "max", "cosine"),
    )
    if found.first_wrong is None:
        say(f"every value is within {found.tolerance:.2%} of its largest magnitude")
    else:
        say(f"the first value that differs is {found.values[found.first_wrong].name!r}")
