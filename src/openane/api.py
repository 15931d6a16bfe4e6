"""The public functions of `openane`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypedDict, Unpack

import numpy as np

from openane.analysis.run_hazards import Outputs, run_hazards
from openane.artifact.bundle import Bundle, Variant, read_bundle
from openane.artifact.options import LIKE_APPLE, Functions, Options, Shapes
from openane.artifact.plan import Artifact
from openane.compiler.driver import Level, build
from openane.compiler.driver import load as load_level
from openane.core.deprecation import renamed_keyword
from openane.core.encodings import AllowedEncodings
from openane.core.errors import InputError
from openane.core.passes import Stage
from openane.formats.sniff import FileKind, sniff
from openane.graph import Graph
from openane.net import Net
from openane.program import Program
from openane.runtimes.execution import Execution
from openane.runtimes.runtime import SessionOptions
from openane.targets.registry import DEFAULT_TARGET

__all__ = ["assemble", "bundle", "compile", "disassemble", "load", "run"]

Source = str | Path | Level | Artifact | Bundle | Any
"""A path, an object of one of the levels, a compiled artifact, a bundle, or a `torch.nn.Module`."""


def load(
    path: str | Path,
    *,
    shapes: Shapes | None = None,
    constants: Mapping[str, np.ndarray] | None = None,
    function: str | None = None,
    model: int | None = None,
) -> Level | Bundle:
    """Reads a file of any level, or a bundle of compiled models; its content says which.

    Args:
        path: .onnx, .mlmodel, .mlpackage, net.plist, .hwx, .anec, .openane, ...
        shapes: sizes for inputs whose dimensions the model leaves open, by name.
        constants: values for inputs that decide shapes or branches, by name; they stop being inputs (ONNX only).
        function: name of one of several functions (Core ML only); None for the default.
        model: number of one model of a Core ML pipeline, from 0 on; None for all of them in a row.

    Returns:
        A Graph for a model, a Net for a net.plist, a Program for a compiled file, a Bundle for a bundle.

    Raises:
        InputError: the file cannot be read or is none of these.
        FormatError: it is damaged.
        ModelError: it contradicts itself.
        UnsupportedError: it uses what openane does not have.
    """
    if sniff(path) is FileKind.BUNDLE:
        return read_bundle(path)
    return load_level(path, shapes=shapes, constants=constants, function=function, model=model)


def bundle(
    source: Source | Mapping[str, Source], shape_sets: Sequence[Shapes] = (), **choices: Unpack[CompileChoices]
) -> Bundle:
    """Compiles a model for several input shapes, or several functions, into one bundle.

    Args:
        source: as for `compile`; or a source for each function, by its name, the default function first.
        shape_sets: sizes for inputs, one mapping per variant, the default first; none for one variant of each function.
        choices: the keywords of `compile`, for all of them.

    Returns:
        The bundle: `save` writes it, `select` gives one of its compiled models, and `run` takes it.

    Raises:
        OpenaneError: as `compile`; InputError also for two variants with the same shapes.
    """
    if isinstance(source, Bundle):
        return source
    functions = source if isinstance(source, Mapping) else {"main": source}
    variants = []
    for function, model in functions.items():
        for each in shape_sets or ({},):
            chosen = choices.copy()
            chosen["shapes"] = {**(choices.get("shapes") or {}), **each}
            variants.append(Variant(compile(model, **chosen), function))
    return Bundle(variants[0].artifact.plan.name if variants else "", tuple(variants))


class CompileChoices(TypedDict, total=False):
    """The keywords of `compile`, which `run` passes on."""

    target: str
    dialect: str | None
    shapes: Shapes | None
    constants: Mapping[str, np.ndarray] | None
    function: str | None
    model: int | None
    states: Mapping[str, str] | None
    host: bool
    keep_on_host: Iterable[str]
    functions: Functions | Literal["accurate", "apple"]
    evidence: AllowedEncodings | Literal["any", "recorded"]
    rescale: bool
    calibration: Mapping[str, np.ndarray] | None
    observe: Callable[[Stage], None] | None
    time_limit_seconds: float | None
    like_apple: bool
    example_inputs: Sequence[Any]


@renamed_keyword("wide", "keep_on_host")
def compile(
    source: Source,
    target: str = DEFAULT_TARGET,
    *,
    dialect: str | None = None,
    shapes: Shapes | None = None,
    constants: Mapping[str, np.ndarray] | None = None,
    function: str | None = None,
    model: int | None = None,
    states: Mapping[str, str] | None = None,
    host: bool = True,
    keep_on_host: Iterable[str] = frozenset(),
    functions: Functions | Literal["accurate", "apple"] = "accurate",
    evidence: AllowedEncodings | Literal["any", "recorded"] = "any",
    rescale: bool = False,
    calibration: Mapping[str, np.ndarray] | None = None,
    observe: Callable[[Stage], None] | None = None,
    time_limit_seconds: float | None = 600.0,
    like_apple: bool = False,
    example_inputs: Sequence[Any] = (),
) -> Artifact:
    """Compiles a model of any level.

    Args:
        source: a path, a Graph, a Net, a Program, a PyTorch module, an Artifact, a Bundle (its model for `shapes`).
        target: chip generation by name.
        dialect: whose layout habits to follow ("macos-26", "macos-11", "linux"); None takes the target's default.
        shapes: sizes for inputs whose dimensions the model leaves open, by name.
        constants: values for inputs that decide shapes or branches, by name; they stop being inputs (ONNX only).
        function: name of one of several functions of a Core ML model or bundle; None for the default.
        model: number of one model of a Core ML pipeline, from 0 on; None for all of them in a row.
        states: inputs that take the value of an output of the last run, by name, in addition to those of the model.
        host: whether the host may run what the engine cannot; if not, such a model is refused.
        keep_on_host: names of layers (or nodes) to keep on the host, in the model's own precision.
        functions: of one element, "accurate" combines the tables that lose least, "apple" takes Apple's table for each.
        evidence: "recorded" uses only encodings that programs of Apple's compiler show; that costs tasks and time.
        rescale: multiply kernels by powers of two as far as sums are bounded, so that the MAC array loses less.
        calibration: typical inputs for `rescale`, one array per input.
        observe: called with every stage of the compilation, for dumps.
        time_limit_seconds: wall-clock time after which compiling stops; None for no limit.
        like_apple: make every such choice as Apple's compiler does.
        example_inputs: for a PyTorch module: tensors of the shapes to compile for, in the order of `forward`.

    Returns:
        The artifact: `.program` with its tasks and constants, `.plan`, `.net`, `.graph`.

    Raises:
        OpenaneError: see `openane.core.errors` for the kinds; the message names the place and what to do.
    """
    if isinstance(source, Artifact):
        return source
    options = Options(
        target=target, dialect=dialect, shapes=shapes or {}, constants=constants or {}, function=function, model=model,
        states=states or {}, host=host, keep_on_host=_layer_names(keep_on_host),
        functions=functions if isinstance(functions, Functions) else Functions.named(functions),
        evidence=evidence if isinstance(evidence, AllowedEncodings) else AllowedEncodings.named(evidence),
        rescale=rescale, calibration=calibration or {}, observe=observe, time_limit_seconds=time_limit_seconds,
    )  # fmt: skip
    loadable = _loadable(source, example_inputs)
    return build(loadable, replace(options, **LIKE_APPLE) if like_apple else options)


def _layer_names(names: Iterable[str]) -> frozenset[str]:
    if isinstance(names, str):
        raise InputError("keep_on_host is a set of names, not one name", value=names, limit="a set of names")
    return frozenset(names)


def _loadable(source: Any, example_inputs: Sequence[Any]) -> str | Path | Level | Bundle:
    """What `build` takes: a PyTorch module becomes a Graph."""
    if isinstance(source, (str, Path, Graph, Net, Program, Bundle)):
        return source
    from openane.frontends.torch import load_module

    return load_module(source, example_inputs)


def run(
    source: Source,
    inputs: Mapping[str, np.ndarray],
    *,
    on: str = "simulator",
    options: SessionOptions | None = None,
    **choices: Unpack[CompileChoices],
) -> Outputs:
    """Compiles if needed, and runs once. Of a bundle, runs the compiled model for the shapes of the inputs.

    Args:
        source: as for `compile`.
        inputs: one array per input by name; any float type for float inputs.
        on: runtime by name, or "auto".
        options: of the runtime's session.
        choices: the keywords of `compile`: target, shapes, constants, host, keep_on_host and so on.
            They have no effect on an Artifact, which is compiled already.

    Returns:
        One array per output, in the model's shape and element type: a dict by name. Its attribute `hazards` lists the
        layers at which half precision spoils an output, with what to do; `RunOptions.hazards` turns that off.

    Raises:
        OpenaneError: see `openane.core.errors`.
        TypeError: a keyword that `compile` does not have.
    """
    if not isinstance(inputs, Mapping):
        raise InputError("inputs must be a mapping from name to array", value=type(inputs).__name__, limit="dict")
    if isinstance(source, Bundle) or (isinstance(source, (str, Path)) and sniff(source) is FileKind.BUNDLE):
        found = source if isinstance(source, Bundle) else read_bundle(source)
        shapes = {name: np.shape(array) for name, array in inputs.items()}
        source = found.select(shapes, choices.get("function"))
    artifact = compile(source, **choices)
    with Execution(artifact, on, options) as execution:
        outputs = execution.run(inputs).outputs
        wanted = (options or SessionOptions()).simulation.hazards
        return Outputs(outputs, run_hazards(execution, inputs, outputs) if wanted else ())


def disassemble(source: Source) -> str:
    """Assembly text.

    Args:
        source: a .hwx or .anec, whose text assembles to the same bytes; or anything that `compile` takes.

    Raises:
        OpenaneError: see `openane.core.errors`.
    """
    from openane.targets.assembly import disassemble as disassemble_program
    from openane.targets.assembly import open_container

    container = open_container(source) if isinstance(source, (str, Path)) else None
    return disassemble_program(container or compile(source, host=False).program)


def assemble(source: str | Path) -> bytes:
    """The compiled file that an assembly text says: exactly the one it was made from, else a new .hwx.

    Args:
        source: a text, or the path of one.

    Raises:
        OpenaneError: with line and column of what is wrong.
    """
    from openane.targets.assembly import assemble as assemble_text
    from openane.targets.assembly import assemble_file

    is_text = isinstance(source, str) and "\n" in source
    assembled = assemble_text(str(source)) if is_text else assemble_file(Path(source))
    return b"".join(assembled.file(assembled.container or "hwx"))
