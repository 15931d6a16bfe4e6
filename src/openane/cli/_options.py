"""Options that commands share: the fields of `Options`, limits of time and memory, the cache."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from openane.artifact.options import LIKE_APPLE, Functions, Options, Weights
from openane.cli._inputs import read_array
from openane.cli._say import say
from openane.cli._show import SHAPE_OPTION, parse_shapes
from openane.core.choices import AllowedEncodings
from openane.core.errors import InputError
from openane.targets.registry import DEFAULT_TARGET

if TYPE_CHECKING:
    import numpy as np

    from openane.runtimes.runtime import SessionOptions

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

TARGET_OPTION = click.option(
    "--target", default=DEFAULT_TARGET, show_default=True, help="Chip generation to compile for."
)
CONSTANT_OPTION = click.option(
    "--constant",
    "constants",
    multiple=True,
    metavar="NAME=VALUE",
    help="Fix an ONNX input that shapes or branches depend on: a number, comma-separated numbers, or FILE.npy.",
)
CACHE_OPTION = click.option("--cache/--no-cache", default=True, help="Reuse compiled models from earlier calls.")


class ByteCount(click.ParamType):  # type: ignore[type-arg]  # generic in newer versions of click only
    """A number of bytes with an optional suffix K, M, G or T for powers of 1024: "8G"."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number of bytes."""
        match = re.fullmatch(r"(\d{1,15})([KMGT]?)(?:i?B)?", str(value).strip(), re.ASCII | re.IGNORECASE)
        if match is None or not int(match[1]):
            self.fail(f"{value!r} is not a size, like 512M or 8G", param, ctx)
        return int(match[1]) << 10 * " KMGT".index(match[2].upper() or " ")


class Seconds(click.ParamType):  # type: ignore[type-arg]  # generic in newer versions of click only
    """A time in seconds; 0 means no limit."""

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
    help="Refuse a program whose buffers need more memory.",
)
TIME_OPTION = click.option(
    "--time-limit",
    "time_limit_seconds",
    type=Seconds(),
    default="600",
    show_default=True,
    metavar="SECONDS",
    help="Stop a simulated run after this time; 0 for no limit.",
)


@dataclass(frozen=True, slots=True)
class CompileOption:
    """A field of `Options` on the command line.

    Attributes:
        declare: adds the option to a command.
        read: the field's value from the command's parameters.
    """

    declare: Decorator
    read: Callable[[Mapping[str, Any]], Any]


OLD_WIDE_OPTION = click.option("--wide", multiple=True, hidden=True, help="The old name of --keep-on-host.")
"""For the commands that had the option before it was renamed."""


def _kept_on_host(choices: Mapping[str, Any]) -> frozenset[str]:
    old = choices.get("wide", ())
    if old:
        say("warning: --wide is deprecated and will be removed in the next version; use --keep-on-host", err=True)
    return frozenset((*choices["keep_on_host"], *old))


COMPILE_OPTIONS: Mapping[str, CompileOption] = {
    "target": CompileOption(TARGET_OPTION, lambda choices: choices["target"]),
    "dialect": CompileOption(
        click.option("--dialect", metavar="NAME", help="Layout conventions to follow: macos-26, macos-11 or linux."),
        lambda choices: choices["dialect"],
    ),
    "shapes": CompileOption(SHAPE_OPTION, lambda choices: parse_shapes(choices["shapes"])),
    "constants": CompileOption(CONSTANT_OPTION, lambda choices: parse_constants(choices["constants"])),
    "function": CompileOption(
        click.option("--function", metavar="NAME", help="One of several functions of a Core ML model or bundle."),
        lambda choices: choices["function"],
    ),
    "model": CompileOption(
        click.option(
            "--model",
            "model_number",
            type=click.IntRange(0),
            metavar="N",
            help="One model of a Core ML pipeline, from 0 on.",
        ),
        lambda choices: choices["model_number"],
    ),
    "states": CompileOption(
        click.option(
            "--state",
            "states",
            multiple=True,
            metavar="INPUT=OUTPUT",
            help="An input that takes the value of an output of the last run; repeatable.",
        ),
        lambda choices: parse_states(choices["states"]),
    ),
    "host": CompileOption(
        click.option(
            "--host",
            type=click.Choice(["allow", "forbid"]),
            default="allow",
            show_default=True,
            help="Whether the host may run layers that the engine cannot.",
        ),
        lambda choices: choices["host"] == "allow",
    ),
    "keep_on_host": CompileOption(
        click.option(
            "--keep-on-host",
            multiple=True,
            metavar="LAYER",
            help="Keep this layer (or node) on the host, in its own precision.",
        ),
        _kept_on_host,
    ),
    "functions": CompileOption(
        click.option(
            "--functions",
            type=click.Choice([choice.value for choice in Functions]),
            default=Functions.ACCURATE.value,
            show_default=True,
            help="Unary functions: the most accurate form, or the lookup table that Apple's compiler writes.",
        ),
        lambda choices: Functions(choices["functions"]),
    ),
    "evidence": CompileOption(
        click.option(
            "--evidence",
            type=click.Choice([choice.value for choice in AllowedEncodings]),
            default=AllowedEncodings.ANY.value,
            show_default=True,
            help="Encodings to use: any, or only those that programs of Apple's compiler show, at a cost in tasks.",
        ),
        lambda choices: AllowedEncodings(choices["evidence"]),
    ),
    "weights": CompileOption(
        click.option(
            "--weights",
            type=click.Choice([choice.value for choice in Weights]),
            default=Weights.AUTO.value,
            show_default=True,
            help="Kernels: compressed as in the model's file, in the fewest bytes, or as fp16.",
        ),
        lambda choices: Weights(choices["weights"]),
    ),
    "rescale": CompileOption(
        click.option(
            "--rescale",
            is_flag=True,
            help="Multiply kernels by powers of two, and undo it after the sum, so that the MAC array loses less.",
        ),
        lambda choices: choices["rescale"],
    ),
    "calibration": CompileOption(
        click.option(
            "--calibrate",
            multiple=True,
            metavar="NAME=ARRAY.npy",
            help="A typical input for --rescale; without one, kernels are rescaled as far as proven bounds allow.",
        ),
        lambda choices: parse_calibration(choices["calibrate"]),
    ),
    "time_limit_seconds": CompileOption(
        click.option(
            "--compile-time-limit",
            "compile_seconds",
            type=Seconds(),
            default="600",
            show_default=True,
            metavar="SECONDS",
            help="Stop compiling after this time; 0 for no limit.",
        ),
        lambda choices: choices["compile_seconds"],
    ),
}
"""Every field of `Options` except `observe`, which `openane compile --dump` and `--stop-after` set."""

LIKE_APPLE_OPTION = click.option(
    "--like-apple", is_flag=True, help="Make the choices of Apple's compiler: --functions apple, no --rescale."
)


def compile_options(*without: str) -> Decorator:
    """Adds the options of a compilation to a command; `options_of` reads them.

    Args:
        without: fields of `Options` that the command sets itself.
    """
    declared = [option.declare for name, option in COMPILE_OPTIONS.items() if name not in without]

    def declare(command: Callable[..., Any]) -> Callable[..., Any]:
        command = LIKE_APPLE_OPTION(command)
        for each in reversed(declared):
            command = each(command)
        return command

    return declare


def options_of(choices: Mapping[str, Any], **decided: Any) -> Options:
    """The options of a compilation from the parameters of a command.

    Args:
        choices: the parameters.
        decided: the fields that the command sets itself; every other field is an option of the command.

    Raises:
        InputError: a shape, constant or calibration array is malformed, or --calibrate is given without --rescale.
    """
    read = {name: option.read(choices) for name, option in COMPILE_OPTIONS.items() if name not in decided}
    options = Options(**read, **decided)
    options = replace(options, **LIKE_APPLE) if choices["like_apple"] else options
    if options.calibration and not options.rescale:
        raise InputError("--calibrate needs --rescale")
    return options


def limited(memory_limit_bytes: int, time_limit_seconds: float | None) -> SessionOptions:
    """Options of a session that sets only the limits of the command line."""
    from openane.runtimes.runtime import SessionOptions
    from openane.targets.target import RunOptions

    simulation = RunOptions(memory_limit_bytes=memory_limit_bytes, time_limit_seconds=time_limit_seconds)
    return SessionOptions(memory_limit_bytes=memory_limit_bytes, simulation=simulation)


def parse_calibration(pairs: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The arrays of `--calibrate NAME=ARRAY.npy` options.

    Raises:
        InputError: not of that form.
    """
    found: dict[str, np.ndarray] = {}
    for pair in pairs:
        name, sign, file = pair.rpartition("=")
        if not sign or not name or name in found:
            raise InputError("malformed --calibrate option", value=pair, limit="NAME=ARRAY.npy, each name once")
        found[name] = read_array(Path(file))
    return found


def parse_states(pairs: tuple[str, ...]) -> dict[str, str]:
    """Input -> output of `--state INPUT=OUTPUT` options.

    Raises:
        InputError: not of that form.
    """
    found: dict[str, str] = {}
    for pair in pairs:
        name, sign, output = pair.partition("=")
        if not sign or not name or not output or name in found:
            raise InputError("malformed --state option", value=pair, limit="INPUT=OUTPUT, each input once")
        found[name] = output
    return found


def parse_constants(pairs: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The arrays of `--constant NAME=VALUE` options: one number is a scalar, several are a vector.

    Raises:
        InputError: not of that form.
    """
    import numpy as np

    constants: dict[str, np.ndarray] = {}
    for pair in pairs:
        name, sign, text = pair.partition("=")
        if not sign or not name or not text:
            raise InputError(
                "malformed --constant option", value=pair, limit="NAME=NUMBER, NAME=1,2,3 or NAME=FILE.npy"
            )
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
