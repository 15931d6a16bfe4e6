"""`openane info`: describe a file of any level."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from openane.cli._evidence import show_findings
from openane.cli._say import say
from openane.cli._show import FILE, JSON_OPTION, SHAPE_OPTION, parse_shapes, print_json, print_table, quantity, working

if TYPE_CHECKING:
    from openane.analysis.describe import Description
    from openane.formats.sniff import FileKind
    from openane.graph import Graph
    from openane.net import Net


@click.command()
@click.argument("file", type=FILE)
@SHAPE_OPTION
@click.option("--function", metavar="NAME", help="One of several functions of a Core ML model.")
@click.option("--model", type=click.IntRange(0), metavar="N", help="One model of a Core ML pipeline, from 0 on.")
@JSON_OPTION
def command(file: Path, shapes: tuple[str, ...], function: str | None, model: int | None, as_json: bool) -> None:
    """Describe FILE: tensors and operations of a model, units of a network, tasks of a program, steps of a bundle."""
    from openane.analysis.describe import describe, describe_program
    from openane.formats.sniff import FileKind, sniff
    from openane.net import Net
    from openane.program import Program
    from openane.targets.assembly import open_container

    kind = sniff(file)
    if kind is FileKind.BUNDLE:
        show_bundle(file, as_json)
        return
    container = open_container(file)
    if container is not None:
        show_program(describe(container), as_json)
        return
    from openane.compiler.driver import load

    if kind is FileKind.ONNX and not shapes and show_open(file, as_json):
        return
    with working(f"reading {file.name}"):
        level = load(file, shapes=parse_shapes(shapes), function=function, model=model)
    if isinstance(level, Program):
        show_program(describe_program(level), as_json)
    elif isinstance(level, Net):
        show_facts(kind, net_facts(level), as_json)
    else:
        show_facts(kind, graph_facts(level), as_json)


def show_open(file: Path, as_json: bool) -> bool:
    """Prints the inputs of a model that leaves dimensions open, and how to fix them; whether it does."""
    from openane.frontends.onnx import open_inputs

    found = open_inputs(file)
    if not found:
        return False
    if as_json:
        print_json("info", {"kind": "ONNX model", "name": file.name, "inputs": found, "open": True})
        return True
    say(f"{file.name}: ONNX model with open dimensions")
    print_table("inputs", ("name", "shape"), list(found.items()))
    say("Give sizes to see the rest: --shape NAME=1,3,224,224, one for each input with open dimensions")
    return True


def show_bundle(file: Path, as_json: bool) -> None:
    """Prints the variants of a bundle and their steps."""
    from openane.artifact.bundle import read_bundle
    from openane.cli._bundle import bundle_facts, show_variants

    bundle = read_bundle(file)
    if as_json:
        print_json("bundle", bundle_facts(bundle))
        return
    say(f"{bundle.name}: compiled model (.openane)")
    show_variants(bundle)


def graph_facts(graph: Graph) -> dict[str, object]:
    """A model's tensors, parameters and operations as plain values."""
    counts = Counter(node.operation.title for node in graph.nodes)
    return {
        "name": graph.name,
        "inputs": {name: str(kind) for name, kind in graph.inputs.items()},
        "outputs": {name: str(graph.types[name]) for name in graph.outputs},
        "states": dict(graph.states),
        "parameters": sum(array.size for array in graph.constants.values()),
        "parameter_bytes": sum(array.nbytes for array in graph.constants.values()),
        "operations": dict(counts.most_common()),
    }


def net_facts(net: Net) -> dict[str, object]:
    """A network's tensors and units as plain values; shapes are (N, D, C, H, W)."""
    counts = Counter(unit.params.plist_type for unit in net.units)
    return {
        "name": net.name,
        "inputs": {name: "x".join(map(str, shape.ndchw)) for name, shape in net.inputs.items()},
        "outputs": {name: "x".join(map(str, net.shapes[source].ndchw)) for name, source in net.outputs.items()},
        "operations": dict(counts.most_common()),
        "notes": dict(net.notes),
    }


def show_facts(kind: FileKind, facts: dict[str, object], as_json: bool) -> None:
    """Prints the facts about a model or network."""
    if as_json:
        print_json("info", {"kind": kind.value, **facts})
        return
    say(f"{facts['name']}: {kind.value}")
    for role in ("inputs", "outputs"):
        tensors = facts[role]
        assert isinstance(tensors, dict)
        print_table(role, ("name", "shape"), list(tensors.items()))
    operations = facts["operations"]
    assert isinstance(operations, dict)
    print_table("operations", ("operation", "count"), list(operations.items()), numeric=("count",))
    states = facts.get("states", {})
    assert isinstance(states, dict)
    for name, output in states.items():
        say(f"state {name}: its next value is the output {output}")
    notes = facts.get("notes", {})
    assert isinstance(notes, dict)
    for name, text in notes.items():
        say(f"{name}: {text}")
    parameters, size = facts.get("parameters"), facts.get("parameter_bytes")
    if isinstance(parameters, int) and isinstance(size, int):
        say(f"{quantity(parameters)} parameters, {quantity(size, 'B')}")


def show_program(found: Description, as_json: bool) -> None:
    """Prints everything about a compiled program."""
    if as_json:
        print_json("info", asdict(found))
        return
    _show_header(found)
    _show_tables(found)
    if found.evidence:
        show_findings(found.evidence)
    say(
        f"text {quantity(found.text_bytes, 'B')}, constants {quantity(found.constant_bytes, 'B')}, "
        f"scratch {quantity(found.scratch_bytes, 'B')}, {found.relocation_count} relocations, "
        f"{found.symbol_count} symbols"
    )


def _show_header(found: Description) -> None:
    container = f".{found.container}, " if found.container else ""
    say(f"{found.file}: {container}{quantity(found.file_bytes, 'B')}, program {found.network!r}")
    say(f"generation {found.generation} ({found.chips}); {found.standing}")
    if found.compiler:
        say(f"compiler {found.compiler}, layout of {found.dialect}")
    if found.evidence:
        only = " (compiled with recorded encodings only)" if found.encodings else ""
        say(f"encoding: {found.evidence['text']}{only}")
    if found.functions:
        say(f"functions: {found.functions}")
    if found.rescale:
        say(f"kernels rescaled, bounds on their sums {found.rescale}")
    if found.container == "anec":
        named = "names are those of the operands file" if found.named else "no operands file: numbered, and as fp16"
        say(f"operands: {named}")
    if found.flags:
        say("flags " + " ".join(found.flags))
    for problem in found.problems:
        say(f"problem: {problem}")


def _show_tables(found: Description) -> None:
    print_table(
        "tensors",
        ("name", "role", "type", "N D C H W", "strides in bytes", "bytes", "buffer"),
        [
            (
                tensor.name,
                tensor.role,
                tensor.dtype,
                "x".join(map(str, tensor.shape)),
                " ".join(map(hex, tensor.strides_bytes)),
                tensor.size_bytes,
                tensor.buffer,
            )
            for tensor in found.tensors
        ],
        numeric=("bytes", "buffer"),
    )
    print_table(
        "buffers",
        ("index", "content", "bytes", "address"),
        [(each.index, each.content, each.size_bytes, _address(each.address)) for each in found.buffers],
        numeric=("index", "bytes", "address"),
    )
    print_table(
        "tasks",
        ("task", "offset", "bytes", "engine", "what it does", "encoding", "layers"),
        [
            (
                task.index,
                hex(task.offset),
                task.size_bytes,
                task.engine,
                task.summary,
                task.evidence,
                ", ".join(task.layers),
            )
            for task in found.tasks
        ],
        numeric=("task", "offset", "bytes"),
    )


def _address(address: int | None) -> str:
    return "-" if address is None else hex(address)
