"""Bundles on the command line: compiling one with several shapes, and describing one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from openane.artifact.bundle import Bundle, Variant
from openane.artifact.bundle.bundle import MAIN, evidence_text, shape_text
from openane.artifact.cache import Cache, default_folder
from openane.artifact.options import Options, Shapes
from openane.artifact.plan import Artifact, EngineStep, HostStep, Plan
from openane.cli._say import say
from openane.cli._show import parse_shapes, print_json, print_table, quantity, working
from openane.compiler.cached_build import build_cached
from openane.compiler.driver import build
from openane.frontends import enumerated_shapes, function_names
from openane.runtimes.bundles import save_bundle


def compile_bundle(
    file: Path, output: Path, options: Options, shapes: Sequence[Shapes], *, cached: bool, anec: bool
) -> Bundle:
    """Compiles each function of a model once per set of shapes and writes the bundle.

    Args:
        file: the model.
        output: the bundle.
        options: of the compilation; its shapes are replaced.
        shapes: one mapping per variant, the default first.
        cached: whether to reuse compiled models.
        anec: whether to write each program as .anec too.

    Raises:
        OpenaneError: as `openane.bundle` and `Bundle.save`; nothing is written.
    """
    names: list[str | None] = [*function_names(file)] if options.function is None else [options.function]
    wanted = [(name, each) for name in names or [None] for each in shapes]
    variants = []
    for number, (name, each) in enumerate(wanted, 1):
        of_many = f" ({number} of {len(wanted)})" if len(wanted) > 1 else ""
        with working(f"compiling {file.name}{of_many}"):
            chosen = replace(options, shapes=each, function=name)
            artifact = build_cached(file, chosen, Cache(default_folder())) if cached else build(file, chosen)
        variants.append(Variant(artifact, name or MAIN))
    name_of_all = file.stem if len(names) > 1 else variants[0].artifact.plan.name
    bundle = Bundle(name_of_all, tuple(variants))
    with working(f"writing {output.name}"):
        save_bundle(bundle, output, anec=anec)
    return bundle


def shape_sets(file: Path, pairs: tuple[str, ...]) -> list[dict[str, tuple[int, ...]]]:
    """The variants of repeated `--shape` options: the n-th shape of each input makes the n-th variant.

    An input with fewer shapes keeps its last one. Without options, these are the shapes that the model enumerates.

    Raises:
        InputError: a shape is malformed, or the file cannot be read.
    """
    if not pairs:
        return enumerated_shapes(file)
    by_name: dict[str, list[tuple[int, ...]]] = {}
    for pair in pairs:
        for name, shape in parse_shapes((pair,)).items():
            by_name.setdefault(name, []).append(shape)
    count = max(map(len, by_name.values()), default=1)
    return [{name: found[min(i, len(found) - 1)] for name, found in by_name.items()} for i in range(count)]


def report_bundle(bundle: Bundle, output: Path, as_json: bool) -> None:
    """Prints what a bundle contains after it was written."""
    size = output.stat().st_size
    if as_json:
        print_json("bundle", {"output": str(output), "bytes": size, **bundle_facts(bundle)})
        return
    count = len(bundle.variants)
    say(f"{output}: {quantity(size, 'B')}, {count} variant{'' if count == 1 else 's'} of {bundle.name}")
    show_variants(bundle)
    for warning in dict.fromkeys(line for variant in bundle.variants for line in variant.artifact.warnings):
        say(f"warning: {warning}", err=True)


def bundle_facts(bundle: Bundle) -> dict[str, object]:
    """A bundle as plain values."""
    return {"name": bundle.name, "variants": [_variant_facts(variant) for variant in bundle.variants]}


def _variant_facts(variant: Variant) -> dict[str, object]:
    plan = variant.artifact.plan
    return {
        "function": variant.function,
        "target": variant.artifact.target,
        "inputs": {name: str(kind) for name, kind in plan.inputs.items()},
        "outputs": {name: str(kind) for name, kind in plan.outputs.items()},
        "steps": [_step_facts(step) for step in plan.steps],
        "states": dict(plan.states),
        "warnings": list(variant.artifact.warnings),
    }


def _step_facts(step: EngineStep | HostStep) -> dict[str, object]:
    if isinstance(step, HostStep):
        return {
            "where": "host",
            "inputs": list(step.graph.inputs),
            "outputs": list(step.graph.outputs),
            "reasons": {node: str(why) for node, why in step.reasons.items()},
        }
    program = step.program
    return {
        "where": "engine",
        "inputs": [{"value": value, "surface": name} for name, value in step.inputs.items()],
        "outputs": [{"value": value, "surface": name} for name, value in step.outputs.items()],
        "buffers": {surface.name: surface.buffer for surface in program.surfaces},
        "tasks": len(program.tasks),
        "constant_bytes": len(program.constants),
        "evidence": evidence_text(program),
    }


def show_variants(bundle: Bundle) -> None:
    """Prints a table of variants, and the steps of the first one of each function."""
    rows: list[tuple[object, ...]] = [
        (
            variant.function,
            shape_text(variant.shapes) or "-",
            len(variant.artifact.programs),
            len(variant.artifact.plan.steps) - len(variant.artifact.programs),
            sum(len(program.tasks) for program in variant.artifact.programs),
            sum(len(program.constants) for program in variant.artifact.programs),
        )
        for variant in bundle.variants
    ]
    columns = ("function", "inputs", "programs", "host steps", "tasks", "constant bytes")
    print_table("variants", columns, rows, columns[2:])
    for function in bundle.functions:
        show_steps(function, bundle.of_function(function)[0].artifact)


def show_steps(title: str, artifact: Artifact) -> None:
    """Prints the steps of a compiled model: where each runs, what it reads and makes, and why it is on the host."""
    plan: Plan = artifact.plan
    rows: list[tuple[object, ...]] = []
    for number, step in enumerate(plan.steps, 1):
        if isinstance(step, HostStep):
            inputs, outputs = list(step.graph.inputs), list(step.graph.outputs)
            why = "; ".join(dict.fromkeys(found.what for found in step.reasons.values()))
            rows.append((number, "host", ", ".join(inputs), ", ".join(outputs), "-", why))
        else:
            buffers = {surface.name: surface.buffer for surface in step.program.surfaces}
            read, made = (
                ", ".join(f"{value} ({buffers[name]})" for name, value in bound.items())
                for bound in (step.inputs, step.outputs)
            )
            rows.append((number, "engine", read, made, len(step.program.tasks), evidence_text(step.program)))
    columns = ("step", "where", "reads (buffer)", "makes (buffer)", "tasks", "evidence, or why it is on the host")
    print_table(f"steps of {title}", columns, rows, ("step", "tasks"))
