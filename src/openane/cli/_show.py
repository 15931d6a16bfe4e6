"""What verbs share: tables, progress, JSON, reading input arrays."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from openane.artifact.plan import Plan
from openane.cli._say import say, say_json
from openane.compiler.driver import LIKE_APPLE
from openane.compiler.generated_inputs import complete, host_graphs
from openane.compiler.lowering import Functions
from openane.core.errors import FormatError, InputError, printable
from openane.core.files import read_npy
from openane.graph import TensorType
from openane.runtimes.runtime import SessionOptions
from openane.targets.registry import DEFAULT_TARGET
from openane.targets.target import RunOptions

FILE = click.Path(path_type=Path)
JSON_OPTION = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of tables.")
TARGET_OPTION = click.option(
    "--target", default=DEFAULT_TARGET, show_default=True, help="Chip generation to compile for."
)
SHAPE_OPTION = click.option(
    "--shape",
    "shapes",
    multiple=True,
    metavar="NAME=1,3,224,224",
    help="Size of an input whose dimensions the model leaves open; repeat for several.",
)
INPUT_OPTION = click.option(
    "--input", "inputs", multiple=True, metavar="NAME=ARRAY.npy", help="An input; repeat for several."
)
CONSTANT_OPTION = click.option(
    "--constant",
    "constants",
    multiple=True,
    metavar="NAME=VALUE",
    help="Make an ONNX input that decides shapes or branches a constant: a number, numbers by commas, or FILE.npy.",
)
HOST_OPTION = click.option(
    "--host",
    type=click.Choice(["allow", "forbid"]),
    default="allow",
    show_default=True,
    help="Whether the host may run what the engine cannot.",
)
WIDE_OPTION = click.option(
    "--wide", multiple=True, metavar="LAYER", help="Keep this layer (or node) on the host, in its own precision."
)
DESCRIPTION = TextColumn("{task.description}", markup=False)
"""Of a display of progress: names of files are no markup."""
PAGE_COLUMNS = 160
"""Width of tables that go to a file or a pipe."""
ARRAY_LIMIT_BYTES = 4 << 30


def print_json(value: Any) -> None:
    """Prints a value as JSON, numbers that JSON has not (inf, nan) as text."""
    say_json(json.dumps(_plain(value), indent=2, ensure_ascii=False))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    return value


def print_table(
    title: str, columns: tuple[str, ...], rows: list[tuple[object, ...]], numeric: tuple[str, ...] = ()
) -> None:
    """Prints a table to standard output; `numeric` columns are aligned to the right."""
    table = Table(
        title=printable(title, keep=""), title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0)
    )
    for column in columns:
        table.add_column(column, justify="right" if column in numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(printable(str(cell), keep="") for cell in row), style=None)
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console = Console(highlight=False, markup=False, emoji=False, width=PAGE_COLUMNS)
    console.print(table)


def compiler_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --functions and --like-apple to a command; `compiler_choices` reads them."""
    functions = click.option(
        "--functions",
        type=click.Choice([choice.value for choice in Functions]),
        default=Functions.ACCURATE.value,
        show_default=True,
        help="Functions of one element: in the most accurate form, or by the table that Apple's compiler writes.",
    )
    like_apple = click.option("--like-apple", is_flag=True, help="Choose as Apple's compiler does: --functions apple.")
    return functions(like_apple(command))


def compiler_choices(choices: Mapping[str, Any]) -> dict[str, Any]:
    """What the options of `compiler_options` stand for, as fields of `Options`."""
    return {"functions": Functions(choices["functions"])} | (dict(LIKE_APPLE) if choices["like_apple"] else {})


@contextmanager
def working(what: str) -> Iterator[None]:
    """Shows on the terminal, while the block runs, what is being done and for how long; silent elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    columns = (SpinnerColumn(), DESCRIPTION, TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        progress.add_task(printable(what, keep=""))
        yield


CACHE_OPTION = click.option(
    "--cache/--no-cache", default=True, help="Keep compiled models for the next time (default), or do not."
)


class ByteCount(click.ParamType):  # type: ignore[type-arg]  # generic in newer versions of click only
    """A number of bytes with an optional K, M, G or T for powers of 1024: "8G"."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number of bytes."""
        match = re.fullmatch(r"(\d{1,15})([KMGT]?)(?:i?B)?", str(value).strip(), re.ASCII | re.IGNORECASE)
        if match is None or not int(match[1]):
            self.fail(f"{value!r} is not a size, like 512M or 8G", param, ctx)
        return int(match[1]) << 10 * " KMGT".index(match[2].upper() or " ")


class Seconds(click.ParamType):  # type: ignore[type-arg]  # generic in newer versions of click only
    """A time in seconds; 0 stands for no limit."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | None:
        """The seconds; None for no limit."""
        try:
            seconds = float(value)
        except ValueError:
            seconds = -1.0
        if not 0 <= seconds < math.inf:
            self.fail(f"{value!r} is not a number of seconds, like 90 or 0.5", param, ctx)
        return seconds or None


MEMORY_OPTION = click.option(
    "--memory-limit",
    "memory_limit_bytes",
    type=ByteCount(),
    default="8G",
    show_default=True,
    metavar="SIZE",
    help="Refuse a program whose buffers need more.",
)
TIME_OPTION = click.option(
    "--time-limit",
    "time_limit_seconds",
    type=Seconds(),
    default="600",
    show_default=True,
    metavar="SECONDS",
    help="Stop one simulated run that takes longer; 0 for no limit.",
)


def limited(memory_limit_bytes: int, time_limit_seconds: float | None) -> SessionOptions:
    """Options of a session with the limits of the command line and nothing else."""
    simulation = RunOptions(memory_limit_bytes=memory_limit_bytes, time_limit_seconds=time_limit_seconds)
    return SessionOptions(memory_limit_bytes=memory_limit_bytes, simulation=simulation)


def parse_shapes(pairs: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
    """The sizes of `--shape NAME=1,3,224,224` options.

    Raises:
        InputError: not of that form, or a size below 1.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for pair in pairs:
        name, sign, sizes = pair.rpartition("=")
        try:
            shape = tuple(int(size) for size in sizes.replace("x", ",").split(","))
        except ValueError:
            shape = ()
        if not sign or not name or not shape or min(shape) < 1:
            raise InputError("not a shape", value=pair, limit="NAME=1,3,224,224, sizes of at least 1")
        shapes[name] = shape
    return shapes


def parse_constants(pairs: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The arrays of `--constant NAME=VALUE` options: one number is a scalar, several are a vector.

    Raises:
        InputError: not of that form.
    """
    constants: dict[str, np.ndarray] = {}
    for pair in pairs:
        name, sign, text = pair.partition("=")
        if not sign or not name or not text:
            raise InputError("not a constant", value=pair, limit="NAME=NUMBER, NAME=1,2,3 or NAME=FILE.npy")
        if text.endswith(".npy"):
            constants[name] = read_array(Path(text))
            continue
        words = text.split(",")
        try:
            numbers = [int(word) if word.strip().lstrip("+-").isdigit() else float(word) for word in words]
            constants[name] = np.array(numbers if len(numbers) > 1 else numbers[0])
        except (ValueError, OverflowError):
            raise InputError("not a number", value=pair, limit="NAME=NUMBER, NAME=1,2,3 or NAME=FILE.npy") from None
    return constants


def read_inputs(pairs: tuple[str, ...], wanted: Mapping[str, TensorType]) -> dict[str, np.ndarray]:
    """The arrays of `--input NAME=FILE.npy` options; a lone FILE.npy goes to a lone input.

    Raises:
        InputError: a bad pair, an unknown name, a file that is missing or no .npy array.
    """
    arrays: dict[str, np.ndarray] = {}
    for pair in pairs:
        name, sign, file = pair.rpartition("=")
        if not sign:
            if len(wanted) != 1:
                raise InputError("say which input the file is for", value=pair, limit="NAME=FILE.npy")
            name = next(iter(wanted))
        if name not in wanted:
            raise InputError(f"there is no input {name!r}", value=pair, limit=", ".join(wanted) or "no inputs")
        if name in arrays:
            raise InputError(f"input {name!r} is given twice", value=pair)
        arrays[name] = read_array(Path(file))
    return arrays


def read_array(path: Path) -> np.ndarray:
    """The array of a .npy file; pickled objects are refused.

    Raises:
        InputError: no such file, not a .npy array, too large.
    """
    try:
        size = path.stat().st_size
        if size > ARRAY_LIMIT_BYTES:
            raise InputError("the array file is too large", where=str(path), value=f"{size} bytes")
        return read_npy(path)
    except (OSError, ValueError) as error:  # ValueError: a zero character in the name
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot read: {reason}", where=str(path)) from error
    except FormatError as error:
        raise InputError(
            error.diagnostic.what, where=str(path), hint="Write it with numpy.save(path, array)."
        ) from error


def complete_inputs(arrays: Mapping[str, np.ndarray], plan: Plan) -> tuple[dict[str, np.ndarray], list[str]]:
    """The arrays with every missing input of a plan generated from the fixed seed, and the names of those."""
    return complete(arrays, plan.inputs, host_graphs(plan))


def say_made_up(made: Iterable[str]) -> None:
    """Says which inputs were generated, when some were."""
    names = ", ".join(made)
    if names:
        say(f"made up from a fixed seed: {names} (give arrays with --input NAME=FILE.npy)")


def quantity(count: float, unit: str = "") -> str:
    """A count in thousands: 1234567 -> "1.23 M"; for bytes use powers of 1024: "B" -> "1.18 MiB"."""
    step, prefixes = (1024.0, ("", "Ki", "Mi", "Gi", "Ti")) if unit == "B" else (1000.0, ("", "k", "M", "G", "T"))
    index = 0
    while abs(count) >= step and index < len(prefixes) - 1:
        count /= step
        index += 1
    number = f"{count:.0f}" if index == 0 else f"{count:.3g}" if count < 100 else f"{count:.0f}"
    return f"{number} {prefixes[index]}{unit}".strip()
