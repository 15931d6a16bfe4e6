"""The whole pipeline, one step per line: file -> Graph -> Net -> Program -> image."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from enum import Enum
from pathlib import Path

import numpy as np

from openane.artifact.bundle import Bundle, Variant, read_bundle
from openane.artifact.options import Options as Options
from openane.artifact.options import Shapes, Weights
from openane.artifact.plan import Artifact, EngineStep, HostStep, Plan, Step
from openane.compiler.calibration import Calibration
from openane.compiler.crowding import crowded_layers
from openane.compiler.eligibility import ineligible_nodes, kept_on_host, refusal
from openane.compiler.lowering import LoweringOptions, lower
from openane.compiler.pipeline import FOLDINGS, run_pipeline, without_long_axes
from openane.compiler.splitting import Splitter
from openane.core.choices import AllowedEncodings
from openane.core.deadline import deadline
from openane.core.errors import InputError
from openane.core.files import write_atomically
from openane.core.passes import Pass, Stage
from openane.formats.anec import HEADER_SIZES, read_anec, save_anec
from openane.formats.hwx import hwx_pieces, read_hwx
from openane.formats.sniff import FileKind, sniff
from openane.frontends import load_graph
from openane.graph import Graph, TensorType
from openane.graph.text import describe
from openane.net import Net
from openane.net.plist import read_net, write_net
from openane.program import Program, Surface
from openane.runtimes.bundles import save_bundle
from openane.targets import generation, get, load_program
from openane.targets.assembly import load_assembly
from openane.targets.target import CompileOptions

Level = Graph | Net | Program


def load(
    path: str | Path,
    *,
    shapes: Shapes | None = None,
    constants: Mapping[str, np.ndarray] | None = None,
    function: str | None = None,
    model: int | None = None,
) -> Level:
    """Reads a file of any level; its content says which.

    Args:
        path: .onnx, .mlmodel, .mlpackage, net.plist, .hwx, .anec, ...
        shapes: sizes for inputs whose dimensions the model leaves open, by name.
        constants: values for inputs that decide shapes or branches, by name; they stop being inputs (ONNX only).
        function: name of one of several functions (Core ML only); None for the default.
        model: number of one model of a Core ML pipeline, from 0 on; None for all of them in a row.

    Returns:
        A Graph for a model, a Net for a net.plist, a Program for a compiled file.

    Raises:
        InputError: the file cannot be read or is none of these.
        FormatError: it is damaged.
        ModelError: it contradicts itself.
        UnsupportedError: it uses what openane does not have.
    """
    path = Path(path)
    kind = sniff(path)
    if kind is FileKind.HWX:
        return load_program(read_hwx(path))
    if kind is FileKind.ANEC:
        return load_program(read_anec(path))
    if kind is FileKind.ASSEMBLY:
        return load_assembly(path)
    if kind is FileKind.PLIST:
        return read_net(path)
    return load_graph(path, kind, shapes or {}, constants or {}, function, model)


def load_chosen(path: str | Path, options: Options) -> Level:
    """Reads a file as the options of a compilation say. Errors: as `load`."""
    return load(
        path, shapes=options.shapes, constants=options.constants, function=options.function, model=options.model
    )


def build(source: str | Path | Level | Bundle, options: Options | None = None) -> Artifact:
    """Compiles a source of any level as far down as it goes: to programs. Of a bundle it selects a compiled model.

    Raises:
        As `load` and `read_bundle`, UnsupportedError with every node that the engine cannot run, and InputError beyond
        the time limit.
    """
    options = options or Options()
    if options.rescale and options.evidence is AllowedEncodings.RECORDED:
        raise InputError(
            "rescaled kernels are on no record", value="rescale with recorded encodings", hint="Leave one of them out."
        )
    level: Level
    with deadline(options.time_limit_seconds):
        if isinstance(source, (str, Path)) and sniff(source) is FileKind.BUNDLE:
            source = read_bundle(source)
        if isinstance(source, Bundle):
            artifact = source.select(options.shapes, options.function)
            return replace(artifact, options=replace(options, target=artifact.target))
        if isinstance(source, (str, Path)):
            level = load_chosen(source, options)
        else:
            level = source
        if isinstance(level, Program):
            return _of_program(level, options)
        if isinstance(level, Net):
            return _of_net(level, options)
        graph = replace(_simplified(level, options), rows=level.rows)
        return _of_graph(
            graph, level, LoweringOptions(level.rows, get(options.target).spec, functions=options.functions), options
        )


def _simplified(graph: Graph, options: Options) -> Graph:
    observe = options.observe
    if observe is None:
        return run_pipeline(graph)
    observe(Stage("graph", "as the front end read it", lambda: describe(graph)))

    def show(step: Pass[Graph], after: Graph) -> None:
        observe(Stage(step.name, step.reason, lambda: describe(after)))

    return run_pipeline(graph, show)


class OutputKind(Enum):
    """What can be written; the value is the file name's ending."""

    HWX = ".hwx"
    ANEC = ".anec"
    PLIST = ".plist"
    BUNDLE = ".openane"


def output_kind(path: Path) -> OutputKind:
    """What the ending of an output's name asks for.

    Raises:
        InputError: an unknown ending.
    """
    try:
        return OutputKind(path.suffix.lower())
    except ValueError:
        endings = ", ".join(kind.value for kind in OutputKind)
        raise InputError(
            "unknown file extension of the output", where=str(path), value=path.suffix or "none", limit=endings
        ) from None


def save(artifact: Artifact, path: Path, *, header_bytes: int = HEADER_SIZES[0]) -> None:
    """Writes a compiled model; the ending chooses the form: .openane, .hwx, .anec or .plist (with weights next to it).

    Args:
        artifact: the compiled model.
        path: of the file.
        header_bytes: of a .anec: 0x1000 or 0x800, as the library that reads it expects.

    Raises:
        InputError: an unknown ending, or the file cannot be written; nothing is left after.
        UnsupportedError: a host step of a bundle has no form in ONNX.
    """
    kind = output_kind(path)
    if kind is OutputKind.BUNDLE:
        save_bundle(Bundle(artifact.plan.name, (Variant(artifact),)), path)
    elif kind is OutputKind.HWX:
        write_atomically(path, hwx_pieces(artifact.program))
    elif kind is OutputKind.ANEC:
        save_anec(artifact.program, path, header_bytes=header_bytes)
    elif artifact.net is None:
        raise InputError("a compiled program has no units to write as a net.plist", where=str(path))
    else:
        write_net(artifact.net, path)


def _of_graph(graph: Graph, source: Graph, lowering: LoweringOptions, options: Options) -> Artifact:
    kept = kept_on_host(options.keep_on_host, graph, source)
    reasons = {**ineligible_nodes(graph, lowering, get(options.target)), **kept}
    movable = {name: why for name, why in reasons.items() if name not in kept}
    folded = without_long_axes(graph, movable, lowering.machine)
    if folded is not graph:
        graph = folded
        reasons = {**ineligible_nodes(graph, lowering, get(options.target)), **kept}
    if options.observe is not None:
        options.observe(Stage(*FOLDINGS[0], lambda: describe(folded)))
    if reasons and not options.host:
        raise refusal([reasons[node.name] for node in graph.nodes if node.name in reasons])
    costs = generation(options.target).chip_costs
    calibration = Calibration(graph, options.calibration)
    splitter = Splitter(
        graph,
        lambda part: _engine_step(lower(part, lowering), options, calibration, source.compressed),
        whole_only=not options.host,
        planned_for=costs[0] if costs else None,
    )
    steps = splitter.steps(reasons)
    crossing = {name for step in steps for name in _names_at_border(step)}
    types = {name: graph.types[name] for name in (*graph.inputs, *graph.outputs, *crossing)}
    inputs, outputs = dict(graph.inputs), {name: graph.types[name] for name in graph.outputs}
    constants = {name: graph.constants[name] for name in graph.outputs if name in graph.constants}
    states = checked_states({**source.states, **options.states}, inputs, outputs, graph.name)
    plan = Plan(graph.name, inputs, outputs, steps, types, constants, states, source.labels)
    return Artifact(plan, options.target, graph, (*splitter.warnings, *crowded_layers(graph, steps)), options)


def checked_states(
    states: Mapping[str, str], inputs: Mapping[str, TensorType], outputs: Mapping[str, TensorType], where: str
) -> dict[str, str]:
    """The states, each an input and an output of the same type.

    Raises:
        InputError: one is not.
    """
    for name, output in states.items():
        for role, known, wanted in (("input", inputs, name), ("output", outputs, output)):
            if wanted not in known:
                text = f"{name}={output}"
                raise InputError(f"a state needs an {role}", where=where, value=text, limit=", ".join(known) or "none")
        if inputs[name] != outputs[output]:
            raise InputError(
                f"the output {output!r} does not fit the state {name!r}",
                where=where,
                value=outputs[output],
                limit=inputs[name],
            )
    return dict(states)


def _names_at_border(step: Step) -> tuple[str, ...]:
    if isinstance(step, HostStep):
        return (*step.graph.inputs, *step.graph.outputs)
    return (*step.inputs.values(), *step.outputs.values())


def _of_net(net: Net, options: Options) -> Artifact:
    units = (replace(unit, origin=replace(unit.origin, nodes=(unit.name,))) for unit in net.units)
    net = replace(net, units=tuple(units))
    step = _engine_step(net, options, lambda name: _given(net, name, options.calibration))
    bound = {surface.name: surface for surface in step.program.surfaces}
    inputs = {name: _logical(net, name, bound[name]) for name in net.inputs}
    outputs = {name: _logical(net, name, bound[name]) for name in net.outputs}
    return Artifact(Plan(net.name, inputs, outputs, (step,), {**inputs, **outputs}), options.target, options=options)


def _engine_step(
    net: Net, options: Options, value: Callable[[str], np.ndarray], compressed: bool = False
) -> EngineStep:
    calibration = {name: value(name) for name in net.inputs} if options.rescale and options.calibration else {}
    compress = options.weights is not Weights.DENSE and (compressed or options.weights is Weights.SMALLEST)
    compress &= options.evidence is not AllowedEncodings.RECORDED  # no record shows these kernels
    choices = CompileOptions(
        dialect=options.dialect,
        evidence=options.evidence,
        compress=compress,
        rescale=options.rescale,
        calibration=calibration,
        observe=options.observe,
    )
    program = get(options.target).lower(net, choices)
    notes = {"rescale": "calibrated" if calibration else "proven"} if options.rescale else {}
    if options.evidence is AllowedEncodings.RECORDED:
        notes["encodings"] = options.evidence.value
    notes |= {"weights": "compressed where exact"} if compress else {}
    program = replace(program, notes={**net.notes, **notes, **program.notes})
    return EngineStep(program, {name: name for name in net.inputs}, {name: name for name in net.outputs}, net)


def _given(net: Net, name: str, calibration: Mapping[str, np.ndarray]) -> np.ndarray:
    array = calibration.get(name)
    if array is None or array.size != net.inputs[name].size:
        found = "none" if array is None else f"{array.size} elements"
        limit = f"an array of {net.inputs[name].size} elements"
        raise InputError(f"calibration data does not fit the input {name!r}", where=net.name, value=found, limit=limit)
    return array


def _logical(net: Net, name: str, surface: Surface) -> TensorType:
    if name in net.bindings:
        shape, dtype = net.bindings[name]
        return TensorType(shape, dtype)
    return _surface_type(surface)


def _of_program(program: Program, options: Options) -> Artifact:
    inputs = {surface.name: _surface_type(surface) for surface in program.inputs}
    outputs = {surface.name: _surface_type(surface) for surface in program.outputs}
    step = EngineStep(program, {name: name for name in inputs}, {name: name for name in outputs})
    plan = Plan(program.name, inputs, outputs, (step,), {**inputs, **outputs})
    return Artifact(plan, program.target, options=replace(options, target=program.target))


def _surface_type(surface: Surface) -> TensorType:
    """(N, C, H, W), or (N, D, C, H, W) when there is depth: how a caller sees a surface that has no other name."""
    n, d, c, h, w = surface.shape
    shape = (n, c, h, w) if d == 1 else surface.shape
    return TensorType(shape, surface.dtype)
