"""Input arrays on the command line: read from files, or generated."""

from __future__ import annotations

import json
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
    "--input",
    "inputs",
    multiple=True,
    metavar="NAME=FILE",
    help="Read an input from a .npy, .npz or .json file, or from a picture; repeatable. Without NAME= for a model of "
    "one input, or a .npz or .json of all inputs by name.",
)
ARRAY_LIMIT_BYTES = 4 << 30
_PREFIX = "in:"
"""Before the name of an input in a .npz that holds expected outputs too."""


def read_inputs(
    pairs: tuple[str, ...], wanted: Mapping[str, TensorType], model: Path | None = None
) -> dict[str, np.ndarray]:
    """The arrays of `--input` options.

    Args:
        pairs: "NAME=FILE"; or "FILE" for a model of one input, or for a .npz or .json of several inputs by name.
        wanted: the inputs of the model.
        model: its file, which says how pictures are scaled.

    Raises:
        InputError: a bad pair, an unknown name, a missing file, or a file without an array or picture.
    """
    arrays: dict[str, np.ndarray] = {}
    for pair in pairs:
        name, sign, file = pair.rpartition("=")
        path = Path(file)
        found = {name: _one(path, name, wanted, model)} if sign else _several(path, wanted, model)
        for each, array in found.items():
            if each in arrays:
                raise InputError(f"input {each!r} is given twice", value=pair)
            arrays[each] = array
    return arrays


def _several(path: Path, wanted: Mapping[str, TensorType], model: Path | None) -> dict[str, np.ndarray]:
    """The arrays of a file without the name of an input."""
    named = _named_arrays(path)
    if named is not None and (len(named) > 1 or set(named) & set(wanted)):
        unknown = [name for name in named if name not in wanted]
        if unknown:
            raise InputError(f"there is no input {unknown[0]!r}", where=str(path), limit=", ".join(wanted))
        return named
    if len(wanted) != 1:
        raise InputError("the file needs the name of an input", value=str(path), limit="NAME=FILE")
    (name,) = wanted
    return {name: _one(path, name, wanted, model)}


def _one(path: Path, name: str, wanted: Mapping[str, TensorType], model: Path | None) -> np.ndarray:
    """The array of one input."""
    from openane.analysis.dataset import PICTURES

    if name not in wanted:
        raise InputError(f"there is no input {name!r}", value=f"{name}={path}", limit=", ".join(wanted) or "no inputs")
    if path.suffix.lower() in PICTURES:
        return _picture(path, name, wanted[name], model)
    if path.suffix.lower() == ".json":
        found = _json(path)
        return _numbers(found.get(name) if isinstance(found, dict) else found, path)
    named = _named_arrays(path)
    if named is None:
        return read_array(path)
    if name not in named and len(named) != 1:
        raise InputError(f"the file has no array {name!r}", where=str(path), value=", ".join(named) or "none")
    return named.get(name, next(iter(named.values())))


def _named_arrays(path: Path) -> dict[str, np.ndarray] | None:
    """The inputs in a .npz or .json by name; None for every other file."""
    if path.suffix.lower() == ".json":
        found = _json(path)
        return {name: _numbers(value, path) for name, value in found.items()} if isinstance(found, dict) else None
    if path.suffix.lower() != ".npz":
        return None
    from openane.core.files import read_npz

    try:
        arrays = read_npz(path)
    except FormatError as error:
        raise InputError(error.diagnostic.what, where=str(path), hint="Write it with numpy.savez.") from error
    marked = {name.removeprefix(_PREFIX): array for name, array in arrays.items() if name.startswith(_PREFIX)}
    return marked or arrays


def _json(path: Path) -> object:
    from openane.core.files import open_regular

    try:
        with open_regular(path) as file:
            return json.loads(file.read(ARRAY_LIMIT_BYTES))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError("cannot read the JSON file", where=str(path), value=" ".join(str(error).split())) from error


def _numbers(value: object, path: Path) -> np.ndarray:
    import numpy as np

    try:
        array = np.asarray(value)
    except ValueError:  # rows of several lengths
        array = np.asarray(None)
    if array.dtype.kind not in "fiub":
        raise InputError("the values are not an array of numbers", where=str(path), limit="nested lists of numbers")
    return array


def _picture(path: Path, name: str, kind: TensorType, model: Path | None) -> np.ndarray:
    """A picture in the size of an input; from 0 to 255 where the model takes pictures itself, else from 0 to 1."""
    from openane.analysis.dataset import read_picture
    from openane.frontends import takes_pictures

    if len(kind.shape) < 3:
        raise InputError(
            f"input {name!r} does not take a picture", where=str(path), value=kind, limit="three or more dimensions"
        )
    own = model is not None and name in takes_pictures(model)
    scale = 1.0 if own or not kind.dtype.is_float else 255.0
    array = read_picture(path, kind, scale).reshape(kind.shape)
    which = "as the model takes pictures" if own else "of the element type" if scale == 1.0 else "by our choice"
    if not is_quiet():
        say(f"{path.name}: {kind}, values from 0 to {255 / scale:g}, {which}", err=True)
    return array


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
