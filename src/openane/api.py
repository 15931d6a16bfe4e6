"""The public functions of `openane`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, TypeGuard, Unpack

import numpy as np

from openane.analysis.run_hazards import Outputs, run_hazards
from openane.artifact.bundle import Bundle, Variant, read_bundle
from openane.artifact.options import LIKE_APPLE, Functions, Options, Shapes, Weights
from openane.artifact.plan import Artifact
from openane.compiler.driver import Level, build, load_chosen
from openane.compiler.driver import load as load_level
from openane.compiler.generated_inputs import complete, host_graphs
from openane.core.choices import AllowedEncodings
from openane.core.deprecation import renamed_keyword
from openane.core.errors import InputError
from openane.core.files import write_atomically
from openane.core.passes import Stage
from openane.cost.chips import DEFAULT_CHIP
from openane.formats.sniff import FileKind, sniff
from openane.graph import Graph
from openane.net import Net
from openane.runtimes.execution import Execution
from openane.runtimes.runtime import SessionOptions
from openane.session import ServedModel
from openane.sources import Tracing, opened
from openane.targets.registry import DEFAULT_TARGET

if TYPE_CHECKING:
    from openane.analysis.comparison import ModelComparison
    from openane.analysis.estimate import Estimate
    from openane.analysis.explain import Explanation

__all__ = [
    "Session",
    "assemble",
    "bundle",
    "compare",
    "compile",
    "disassemble",
    "estimate",
    "explain",
    "load",
    "run",
    "view",
]

Source = str | Path | bytes | Level | Artifact | Bundle | Any
"""A path, the bytes of a file, a type of openane (Graph, Net, Program, Artifact, Bundle), or a model in memory:
`onnx.ModelProto`, torch `ExportedProgram`, `torch.nn.Module` (with `example_inputs`), `keras.Model`, coremltools'
`MLModel`."""


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
    weights: Weights | Literal["auto", "smallest", "dense"]
    rescale: bool
    calibration: Mapping[str, np.ndarray] | None
    observe: Callable[[Stage], None] | None
    time_limit_seconds: float | None
    like_apple: bool
    example_inputs: Sequence[Any]
    output_names: Sequence[str]


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
    weights: Weights | Literal["auto", "smallest", "dense"] = "auto",
    rescale: bool = False,
    calibration: Mapping[str, np.ndarray] | None = None,
    observe: Callable[[Stage], None] | None = None,
    time_limit_seconds: float | None = 600.0,
    like_apple: bool = False,
    example_inputs: Sequence[Any] = (),
    output_names: Sequence[str] = (),
) -> Artifact:
    """Compiles a model of any level to an artifact: `.program` with tasks and constants, `.plan`, `.net`, `.graph`.

    Args:
        source: see `Source`; an Artifact is returned as it is, and of a Bundle its model for `shapes`.
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
        weights: "auto" compresses kernels, exactly, where the model's file does, "smallest" all of them, "dense" none.
        rescale: multiply kernels by powers of two as far as sums are bounded, so that the MAC array loses less.
        calibration: typical inputs for `rescale`, one array per input.
        observe: called with every stage of the compilation, for dumps.
        time_limit_seconds: wall-clock time after which compiling stops; None for no limit.
        like_apple: make every such choice as Apple's compiler does.
        example_inputs: of a PyTorch module: tensors of the shapes to compile for, in the order of `forward`.
        output_names: of a PyTorch module: names for its outputs, in their order; none for the exporter's own.

    Raises:
        OpenaneError: InputError that lists the sources if this is none; see `openane.core.errors` for the others.
    """
    if isinstance(source, Artifact):
        return source
    options = Options(
        target=target, dialect=dialect, shapes=shapes or {}, constants=constants or {}, function=function, model=model,
        states=states or {}, host=host, keep_on_host=_layer_names(keep_on_host), rescale=rescale, observe=observe,
        calibration=calibration or {}, time_limit_seconds=time_limit_seconds, **_choices(functions, evidence, weights),
    )  # fmt: skip
    level = opened(source, options, Tracing(example_inputs, output_names))
    return build(level, replace(options, **LIKE_APPLE) if like_apple else options)


def _choices(functions: Functions | str, evidence: AllowedEncodings | str, weights: Weights | str) -> dict[str, Any]:
    """Options that may be given by name."""
    return {
        "functions": Functions.named(functions),
        "evidence": AllowedEncodings.named(evidence),
        "weights": Weights.named(weights),
    }


def _layer_names(names: Iterable[str]) -> frozenset[str]:
    if isinstance(names, str):
        raise InputError("keep_on_host is a set of names, not one name", value=names, limit="a set of names")
    return frozenset(names)


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
    if isinstance(source, Bundle) or _is_bundle(source):
        found = source if isinstance(source, Bundle) else read_bundle(source)
        shapes = {name: np.shape(array) for name, array in inputs.items()}
        source = found.select(shapes, choices.get("function"))
    artifact = compile(source, **choices)
    with Execution(artifact, on, options) as execution:
        outputs = execution.run(inputs).outputs
        wanted = (options or SessionOptions()).simulation.hazards
        return Outputs(outputs, run_hazards(execution, inputs, outputs) if wanted else ())


class InferenceSession(ServedModel):
    """A model that is compiled and loaded once, and run many times; `openane.Session`.

        with openane.Session("model.onnx") as session:
            outputs = session.run({"image": image})

    Args:
        source: as for `compile`.
        on: runtime by name: "simulator", "linux", "macos", or "auto" for the first that can be used.
        options: of the runtime's sessions.
        choices: the keywords of `compile`.

    Raises:
        InputError: the source is not a model, or the runtime is unknown.
        UnavailableError: the runtime cannot be used here.
        OpenaneError: as `compile`.
    """

    def __init__(
        self,
        source: Source,
        *,
        on: str = "simulator",
        options: SessionOptions | None = None,
        **choices: Unpack[CompileChoices],
    ) -> None:
        super().__init__(compile(source, **choices), on, options)


Session = InferenceSession


def explain(source: Source, **choices: Unpack[CompileChoices]) -> Explanation:
    """Where every layer of a model runs, engine or host, and why.

    Args:
        source: as for `compile`, but a model: a net.plist, a compiled program or an Artifact has no layers.
        choices: the keywords of `compile`.

    Returns:
        One entry per layer in `layers`; `report()` gives a table, `to_pandas()` a data frame.

    Raises:
        InputError: the source has no layers.
        OpenaneError: as `compile`.
    """
    from openane.analysis.explain import explain as explain_artifact

    level = None if isinstance(source, Artifact) else _level(source, choices)
    if not isinstance(level, Graph):
        raise InputError("only models have layers to explain", value=type(source).__name__, limit="a model")
    return explain_artifact(compile(level, **choices), level)


def estimate(source: Source, chip: str = DEFAULT_CHIP, **choices: Unpack[CompileChoices]) -> Estimate:
    """What one call costs on a chip: microseconds, bytes and energy, for every task and layer.

    Args:
        source: as for `compile`.
        chip: by name, such as "M1" (`openane.cost.chips.CHIPS`).
        choices: the keywords of `compile`.

    Returns:
        An estimate, with the accuracy of its cost model (docs/cost.md).

    Raises:
        InputError: there is no such chip.
        UnsupportedError: the cost of programs of this generation is not known.
        OpenaneError: as `compile`.
    """
    from openane.analysis.estimate import estimate as estimate_artifact

    return estimate_artifact(compile(source, **choices), chip)


def compare(
    source: Source,
    inputs: Mapping[str, np.ndarray] | None = None,
    *,
    on: str = "simulator",
    tolerance: float = 0.02,
    options: SessionOptions | None = None,
    **choices: Unpack[CompileChoices],
) -> ModelComparison:
    """Compares every layer of a compiled model with its reference in float32 (docs/how-to/compare.md).

    Args:
        source: as for `compile`; a compiled program has no reference.
        inputs: one array per input, in the model's shape; those that are missing are generated from a fixed seed.
        on: runtime by name.
        tolerance: error of an output, as a share of its size, below which it is not called wrong.
        options: of the runtime's sessions.
        choices: the keywords of `compile`.

    Returns:
        `right` is the verdict; `layers` and `outputs` hold errors and causes.

    Raises:
        InputError: there is no reference, or the inputs do not fit.
        WrongProgramError: a task does something that the engine does not allow.
        OpenaneError: as `compile`.
    """
    from openane.analysis.compare import compare_layers

    artifact = compile(source, **choices)
    arrays, _ = complete(inputs or {}, artifact.plan.inputs, host_graphs(artifact.plan))
    return compare_layers(artifact, arrays, on, tolerance, options)


def view(
    source: Source,
    path: str | Path | None = None,
    *,
    chip: str = DEFAULT_CHIP,
    inputs: Mapping[str, np.ndarray] | None = None,
    **choices: Unpack[CompileChoices],
) -> str:
    """A page about a compiled model: graph, timeline, memory, registers, tables, weights; one self-contained file.

    Args:
        source: as for `compile`.
        path: where to write the page; None writes nothing.
        chip: for the times.
        inputs: one array per input: runs every layer and shows its errors, as `compare`.
        choices: the keywords of `compile`.

    Returns:
        The page as HTML.

    Raises:
        InputError: there is no such chip, the inputs do not fit, or the file cannot be written.
        OpenaneError: as `compile`.
    """
    from openane.viewer import Choices, document, page

    level = None if isinstance(source, Artifact) else _level(source, choices)
    artifact = compile(source if level is None else level, **choices)
    found = None if inputs is None else compare(artifact, inputs)
    shown = level if isinstance(level, (Graph, Net)) else None
    text = page(document(artifact, Choices(chip, shown, found)))
    if path is not None:
        write_atomically(Path(path), text.encode())
    return text


def _level(source: Source, choices: CompileChoices) -> Level | Bundle:
    """A source in memory, so that what is shown and what is compiled are the same."""
    options = Options(
        shapes=choices.get("shapes") or {},
        constants=choices.get("constants") or {},
        function=choices.get("function"),
        model=choices.get("model"),
    )
    tracing = Tracing(choices.get("example_inputs", ()), choices.get("output_names", ()))
    found = opened(source, options, tracing)
    if not isinstance(found, (str, Path)):
        return found
    return read_bundle(found) if _is_bundle(found) else load_chosen(found, options)


def _is_bundle(source: Source) -> TypeGuard[str | Path]:
    """Whether it is the path of one."""
    return isinstance(source, (str, Path)) and sniff(source) is FileKind.BUNDLE


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
