"""Input arrays on the command line: read from files, or generated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from openane.cli._say import is_quiet, say
from openane.core.errors import FormatError, InputError

if TYPE_CHECKING:
    import numpy as np

    from openane.artifact.plan import Plan
    from openane.graph import TensorType

INPUT_OPTION = click.option(
    "--input", "inputs", multiple=True, metavar="NAME=ARRAY.npy", help="Read an input from a file; repeatable."
)
ARRAY_LIMIT_BYTES = 4 << 30


def read_inputs(pairs: tuple[str, ...], wanted: Mapping[str, TensorType]) -> dict[str, np.ndarray]:
    """The arrays of `--input NAME=FILE.npy` options; FILE.npy alone is accepted if the model has one input.

    Raises:
        InputError: a bad pair, an unknown name, a missing file, or a file that is not a .npy array.
    """
    arrays: dict[str, np.ndarray] = {}
    for pair in pairs:
        name, sign, file = pair.rpartition("=")
        if not sign:
            if len(wanted) != 1:
                raise InputError("the file needs the name of an input", value=pair, limit="NAME=FILE.npy")
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
        InputError: the file does not exist, is not a .npy array, or is too large.
    """
    from openane.core.files import read_npy

    try:
        size = path.stat().st_size
        if size > ARRAY_LIMIT_BYTES:
            raise InputError(
                "the array file is too large",
                where=str(path),
                value=f"{size} bytes",
                limit=f"{ARRAY_LIMIT_BYTES} bytes",
            )
        return read_npy(path)
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot read: {reason}", where=str(path)) from error
    except FormatError as error:
        raise InputError(
            error.diagnostic.what, where=str(path), hint="Write it with numpy.save(path, array)."
        ) from error


def complete_inputs(arrays: Mapping[str, np.ndarray], plan: Plan) -> tuple[dict[str, np.ndarray], list[str]]:
    """The arrays with every missing input of a plan generated from the fixed seed, and the names of those.

    States are zeros, as in a first run.
    """
    from openane.compiler.generated_inputs import complete, host_graphs
    from openane.runtimes.execution import initial_states

    return complete({**initial_states(plan), **arrays}, plan.inputs, host_graphs(plan))


def say_made_up(made: Iterable[str]) -> None:
    """Reports which inputs were generated, if any."""
    names = ", ".join(made)
    if names and not is_quiet():
        say(f"generated from a fixed seed: {names} (pass arrays with --input NAME=FILE.npy)")
