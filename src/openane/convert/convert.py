"""Converting a model: written, read back, and compared on seeded inputs before it counts as done."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from types import MappingProxyType

import numpy as np

from openane.compiler.driver import Level, Options, build, load
from openane.compiler.generated_inputs import blaming_generated, complete
from openane.compiler.pipeline import run_pipeline
from openane.core.errors import InputError, ModelError, UnsupportedError
from openane.core.files import make_folder, staged, write_atomically
from openane.frontends import framework_outputs
from openane.graph import Graph
from openane.net import Net
from openane.net.plist import write_net
from openane.runtimes.execution import fit_inputs


class Form(Enum):
    """What can be written; the value is the file name's ending."""

    PLIST = ".plist"
    NETWORK = ".mlmodel"
    PACKAGE = ".mlpackage"
    MIL = ".mil"
    ONNX = ".onnx"


@dataclass(frozen=True, slots=True)
class Converted:
    """A model that was written and compared.

    Attributes:
        path: of what was written.
        form: what it is.
        error: length of the difference from the model that was read over the length of its answer, worst output.
        tolerance: what was allowed.
        made_up: names of the inputs whose data was generated for the comparison.
        checked_by: who took the file, in addition to openane: "onnxruntime" ran it, "coremltools" read it (and ran it
            on a Mac); "torch" ran the program that was read.
    """

    path: Path
    form: Form
    error: float
    tolerance: float
    made_up: tuple[str, ...] = ()
    checked_by: tuple[str, ...] = ()


SINGLE_TOLERANCE = 1e-3
"""For formats in single precision: orders of summation differ, nothing else."""
HALF_TOLERANCE = 0.1
"""For half precision: deep networks with made-up inputs lose up to two digits; a wrong operation loses all."""


def form_of(path: Path) -> Form:
    """What the ending of an output's name asks for.

    Raises:
        InputError: an unknown ending.
    """
    try:
        return Form(path.suffix.lower())
    except ValueError:
        endings = ", ".join(form.value for form in Form)
        raise InputError(
            "unknown file extension of the output", where=str(path), value=path.suffix or "none", limit=endings
        ) from None


def convert(
    source: str | Path | Graph,
    path: Path,
    *,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    constants: Mapping[str, np.ndarray] | None = None,
    inputs: Mapping[str, np.ndarray] | None = None,
    half: bool = True,
) -> Converted:
    """Writes a model in another format, reads it back with openane's own front end, and compares the answers.

    Where they are installed, onnxruntime also runs what was written as ONNX, and coremltools reads Core ML models (and
    runs them on a Mac). The reference of a .pt2 is PyTorch itself running the program.

    Args:
        source: a model file or a graph.
        path: what to write; its ending says which format. MIL text puts its weights into weights/weight.bin next to it.
        shapes: sizes for inputs whose dimensions the model leaves open.
        constants: values for inputs that decide shapes or branches; they stop being inputs (ONNX only).
        inputs: arrays to compare on, by input name; those that are not given are generated.
        half: half precision for .mlpackage and MIL text; otherwise single precision.

    Raises:
        UnsupportedError: operations have no counterpart; names each of them.
        ModelError: what was written computes something else; what was at `path` before stays.
        InputError: the source is not a model, an array does not fit, or the file cannot be written.
        UnavailableError: a package that writes this format is missing.
    """
    path = Path(path)
    form = form_of(path)
    level = source if isinstance(source, Graph) else load(source, shapes=shapes, constants=constants)
    if not isinstance(level, Graph):
        raise InputError("only models can be converted", where=str(source), hint="Try `openane compile`.")
    if not path.parent.is_dir():
        raise InputError("the folder to write to does not exist", where=str(path.parent))
    arrays, made = complete(inputs or {}, level.inputs, [level])
    arrays = fit_inputs(level.inputs, arrays, level.name)
    with blaming_generated(made):
        expected, by = _expected(source, level, arrays)
    graph = run_pipeline(level)
    if path.is_dir() and (form is not Form.PACKAGE or not (path / "Manifest.json").is_file()):
        raise InputError("a folder with other content is in the way", where=str(path))
    tolerance = HALF_TOLERANCE if half and form in (Form.PACKAGE, Form.MIL) else SINGLE_TOLERANCE
    with staged(path) as place:
        _WRITERS[form](graph, place, half)
        with blaming_generated(made):
            error = _difference(level, _read_back(place), arrays, expected)
            others = _VALIDATORS.get(form, _unchecked)(place, level, arrays)
        by = (*by, *((others.who,) if others.who else ()))
        if others.outputs is not None:
            pairs = zip(expected, others.outputs, strict=True)
            error = max([error, *(_relative(a.astype(np.float64), b.astype(np.float64)) for a, b in pairs)])
        if not error <= tolerance:
            raise ModelError(
                "what was written does not compute the same, and was removed",
                where=str(path),
                value=f"relative error {error:.3g}",
                limit=f"at most {tolerance:g}",
            )
    return Converted(path, form, error, tolerance, tuple(made), by)


def _expected(
    source: str | Path | Graph, graph: Graph, inputs: Mapping[str, np.ndarray]
) -> tuple[list[np.ndarray], tuple[str, ...]]:
    """The outputs that a conversion has to give, and who computed them if not openane.

    Raises:
        ModelError: the framework that wrote the file computes something else: its exporter is wrong.
    """
    own = list(graph.evaluate(inputs).values())
    found = None if isinstance(source, Graph) else framework_outputs(Path(source), list(inputs.values()))
    if found is None:
        return own, ()
    who, outputs = found
    errors = [_relative(a.astype(np.float64), b.astype(np.float64)) for a, b in zip(outputs, own, strict=True)]
    if not max(errors, default=0.0) <= SINGLE_TOLERANCE:
        raise ModelError(
            f"the program that {who} exports does not compute what {who} does",
            where=str(source),
            value=f"relative error {max(errors):.3g}",
            limit=f"at most {SINGLE_TOLERANCE:g}",
            hint=f"Rewrite the operation that differs, or report it to {who}.",
        )
    return outputs, (who,)


@dataclass(frozen=True, slots=True)
class _Opinion:
    """What another program says of a written file: its name, and the outputs if it ran the file."""

    who: str = ""
    outputs: list[np.ndarray] | None = None


def _unchecked(place: Path, graph: Graph, inputs: Mapping[str, np.ndarray]) -> _Opinion:
    return _Opinion()


def _check_onnx(place: Path, graph: Graph, inputs: Mapping[str, np.ndarray]) -> _Opinion:
    from openane.convert.validation import run_onnx

    found = run_onnx(place, inputs)
    return _Opinion("onnxruntime", found) if found is not None else _Opinion()


def _check_core_ml(place: Path, graph: Graph, inputs: Mapping[str, np.ndarray]) -> _Opinion:
    from openane.convert.builder import plain_names
    from openane.convert.validation import run_core_ml

    names = plain_names((*graph.inputs, *graph.outputs))
    fed = {names[name]: array for name, array in inputs.items()}
    return _Opinion("coremltools", run_core_ml(place, fed, [names[name] for name in graph.outputs]))


_VALIDATORS: Mapping[Form, Callable[[Path, Graph, Mapping[str, np.ndarray]], _Opinion]] = MappingProxyType(
    {Form.ONNX: _check_onnx, Form.NETWORK: _check_core_ml, Form.PACKAGE: _check_core_ml}
)


def _read_back(place: Path) -> Level:
    """What was written.

    Raises:
        UnsupportedError: openane writes more of this format than it reads.
    """
    try:
        return load(place)
    except UnsupportedError as error:
        what = f"openane cannot read back what it wrote, and so not check it: {error.diagnostic.what}"
        raise UnsupportedError(replace(error.diagnostic, what=what), others=error.others) from error


def _difference(graph: Graph, back: object, inputs: Mapping[str, np.ndarray], expected: Sequence[np.ndarray]) -> float:
    """The worst relative error of the outputs, taken in order."""
    if isinstance(back, Graph):
        wanted = zip(back.inputs.items(), graph.inputs, strict=True)
        fed = {name: inputs[ours].astype(kind.dtype.numpy) for (name, kind), ours in wanted}
        found = list(back.evaluate(fed).values())
    else:
        assert isinstance(back, Net)
        halves = {name: inputs[ours].astype(np.float32) for name, ours in zip(back.inputs, graph.inputs, strict=True)}
        found = list(back.evaluate(halves).values())
    pairs = zip(expected, found, strict=True)
    return max((_relative(a.astype(np.float64), b.astype(np.float64)) for a, b in pairs), default=0.0)


def _relative(expected: np.ndarray, found: np.ndarray) -> float:
    if expected.size != found.size:
        return float("inf")
    a, b = expected.reshape(-1), found.reshape(-1)
    finite = np.isfinite(a)
    if not np.array_equal(a[~finite], b[~finite], equal_nan=True) or not np.isfinite(b[finite]).all():
        return float("inf")
    length = float(np.linalg.norm(a[finite]))
    return float(np.linalg.norm(a[finite] - b[finite])) / (length or 1.0)


def _write_plist(graph: Graph, path: Path, half: bool) -> None:
    net = build(graph, Options(host=False)).net
    assert net is not None
    write_net(net, path)


def _write_network(graph: Graph, path: Path, half: bool) -> None:
    from openane.convert.coreml import write_network

    write_network(graph, path)


def _write_package(graph: Graph, path: Path, half: bool) -> None:
    from openane.convert.coreml import write_package

    write_package(graph, path, half=half)


def _write_mil(graph: Graph, path: Path, half: bool) -> None:
    from openane.convert.coreml import package_parts
    from openane.convert.text import WEIGHT_FILE, program_text

    with package_parts(graph, half=half) as (specification, weights):
        if weights is not None:
            target = path.parent / WEIGHT_FILE
            make_folder(target.parent)
            shutil.copyfile(weights, target)
        write_atomically(path, [program_text(specification).encode()])


def _write_onnx(graph: Graph, path: Path, half: bool) -> None:
    from openane.runtimes.host.export import export_model

    write_atomically(path, [export_model(graph).SerializeToString()])


_WRITERS: Mapping[Form, Callable[[Graph, Path, bool], None]] = MappingProxyType(
    {
        Form.PLIST: _write_plist,
        Form.NETWORK: _write_network,
        Form.PACKAGE: _write_package,
        Form.MIL: _write_mil,
        Form.ONNX: _write_onnx,
    }
)
