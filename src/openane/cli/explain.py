"""`openane explain`: report which layer runs where, and why."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from openane.cli._ending import WRONG_STATUS
from openane.cli._evidence import show_findings
from openane.cli._inputs import complete_inputs, read_inputs
from openane.cli._losses import losses_of, show_losses
from openane.cli._options import OLD_WIDE_OPTION, compile_options, options_of
from openane.cli._placement import placement_options, plain_layer, plain_placement, show_placement
from openane.cli._say import say, say_json, say_text
from openane.cli._show import FILE, JSON_OPTION, print_json, print_table, quantity, working
from openane.core.errors import Diagnostic, FormatError, InputError, ModelError, OpenaneError, UnsupportedError
from openane.core.version import __version__
from openane.coreml_placement.platforms import Platform, Units, of_generation, platform
from openane.targets.registry import DEFAULT_CHIP

if TYPE_CHECKING:
    from openane.analysis.explain import Explanation
    from openane.analysis.hazards import Hazard
    from openane.analysis.layer_placement import LayerPlacement, ModelPlacement
    from openane.analysis.placement_policy import Outcome, Policy
    from openane.artifact.plan import Artifact
    from openane.compiler.driver import Options
    from openane.coreml_placement.program import PlacedProgram
    from openane.graph import Graph

SHOWN_CROSSINGS = 8
"""Largest ones that the totals name."""


@click.command()
@click.argument("files", metavar="FILE...", type=FILE, nargs=-1, required=True)
@click.option(
    "--require",
    type=click.FloatRange(0, 100),
    metavar="PERCENT",
    help="Fail unless this share of the multiply-adds (of the layers, where there are none) is on the engine.",
)
@compile_options("host", "calibration")
@OLD_WIDE_OPTION
@click.option(
    "--calibrate",
    multiple=True,
    metavar="NAME=ARRAY.npy",
    help="A typical input for the search for hazards of half precision; made up where none is given.",
)
@click.option("--no-hazards", is_flag=True, help="Do not run the model to look for hazards of half precision.")
@placement_options
@JSON_OPTION
def command(files: tuple[Path, ...], as_json: bool, **choices: Any) -> None:
    """Report for every layer of the model FILE: can the engine run it, will Core ML, and what does openane do.

    Each answer comes with the rule that decided and with what would change it. Several files are reported one by one.
    """
    from openane.analysis.placement_policy import parse_policy

    form = "json" if as_json else choices["form"]
    if len(files) > 1 and form in ("json", "sarif"):
        raise InputError(f"{form} holds one model", value=f"{len(files)} files", limit=1, hint="Run it once per file.")
    asked = Asked(
        form,
        tuple(parse_policy(text) for text in choices["policies"]),
        platform(choices["platform"]) if choices["platform"] is not None else None,
    )
    met = [explain_file(file, asked, choices) for file in files]  # every file, also after one that fails
    if not all(met):
        sys.exit(WRONG_STATUS)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line asks of every file.

    Attributes:
        form: of the output.
        policies: that must hold.
        platform: that Core ML decides for; None for the one of the target.
    """

    form: str
    policies: tuple[Policy, ...]
    platform: Platform | None


def explain_file(file: Path, asked: Asked, choices: Mapping[str, Any]) -> bool:
    """Prints the answers for one file; whether it has what is required."""
    from openane.analysis.layer_placement import place_layers
    from openane.analysis.placement_policy import check
    from openane.formats.sniff import FileKind, sniff

    if sniff(file) is FileKind.BUNDLE:
        explain_bundle(file, asked, choices)
        return True
    with working(f"compiling {file.name}"):
        options = options_of(choices, host=True, calibration={})
        read = read_model(file, options)
        found, failure = _compile(read, options, choices)
        placed = place_layers(
            read.program,
            read.graph,
            found,
            platform=asked.platform or of_generation(options.target),
            units=Units(choices["units"]),
            system=choices["system"],
            failure=failure,
            plan=Path(choices["plan"]) if choices["plan"] is not None else None,
            what_if=choices["what_if"],
        )
        outcomes = [check(policy, placed) for policy in asked.policies]
    _print(asked.form, file, found, placed, outcomes)
    if failure is not None:
        say(f"warning: openane does not compile this model: {failure}", err=True)
    failed = [outcome for outcome in outcomes if not outcome.met]
    for outcome in failed:
        say(f"error: policy {outcome.policy.text!r} is not met: {outcome.found}", err=True)
    return _enough(found, choices["require"], failure) and not failed


def explain_bundle(file: Path, asked: Asked, choices: Mapping[str, Any]) -> None:
    """Prints the steps of a bundle, and why the engine does not run those of the host.

    Raises:
        InputError: more is asked than a compiled model can answer.
    """
    if choices["require"] is not None or asked.policies or asked.form not in ("json", "table"):
        raise InputError(
            "a bundle has steps and no layers: it answers no policies and has no other forms than table and json",
            where=str(file),
            hint="Explain the model that it was compiled from.",
        )
    from openane.artifact.bundle import read_bundle
    from openane.cli._bundle import bundle_facts, show_variants

    bundle = read_bundle(file)
    if asked.form == "json":
        print_json("bundle", bundle_facts(bundle))
    else:
        show_variants(bundle)


def _compile(
    read: ReadModel, options: Options, choices: Mapping[str, Any]
) -> tuple[Explanation | None, OpenaneError | None]:
    """What openane does with a model; why it does nothing where Core ML's answer is enough."""
    from openane.analysis.explain import explain
    from openane.compiler.driver import build

    if read.graph is None:
        return None, read.failure
    try:
        artifact = build(read.graph, options)
    except (ModelError, UnsupportedError) as error:
        if read.program is None:
            raise
        return None, error
    hazards = () if choices["no_hazards"] else hazards_of(artifact, choices["calibrate"])
    losses = losses_of(artifact, choices["calibrate"], run=not choices["no_hazards"])
    return explain(artifact, read.graph, hazards, losses), None


@dataclass(frozen=True, slots=True)
class ReadModel:
    """A model file, for Core ML and for openane.

    Attributes:
        program: where Core ML takes the file as it is; None for other formats.
        graph: as openane reads it; None where it cannot.
        failure: why it cannot.
    """

    program: PlacedProgram | None
    graph: Graph | None
    failure: OpenaneError | None = None


def read_model(file: Path, options: Options) -> ReadModel:
    """Reads a model. A program that only Core ML can run is enough: its placement needs neither weights nor openane.

    Raises:
        OpenaneError: the file is not a model, or damaged.
    """
    from openane.compiler.driver import load_chosen
    from openane.coreml_placement.read import read_program
    from openane.graph import Graph

    try:
        source = load_chosen(file, options)
    except (FormatError, ModelError, UnsupportedError) as error:
        program = read_program(file, options.function)
        if program is None:
            raise
        return ReadModel(program, None, error)
    if not isinstance(source, Graph):
        raise InputError("only models have layers to explain", where=str(file), hint="Try `openane info`.")
    return ReadModel(read_program(file, options.function), source)


def _print(
    form: str, file: Path, found: Explanation | None, placed: ModelPlacement, outcomes: Sequence[Outcome]
) -> None:
    """Prints the answer in the form that was asked for."""
    from openane.analysis.placement_report import placement_report, to_csv, to_github, to_markdown, to_sarif

    if form == "json":
        print_json("explain", as_plain(found, placed, outcomes))
    elif form == "csv":
        say_text(to_csv(placement_report(placed)))
    elif form == "markdown":
        say_text(to_markdown(placement_report(placed)))
    elif form == "sarif":
        say_json(to_sarif(placed, outcomes, file.as_posix(), __version__).rstrip("\n"))
    elif form == "github":
        say_text(to_github(placed, outcomes, file.as_posix()))
    else:
        if found is not None:
            show(found)
        show_placement(placed)


def _enough(found: Explanation | None, require: float | None, failure: OpenaneError | None) -> bool:
    """Whether openane puts the required share of the work on the engine; prints why not."""
    if require is None:
        return True
    if found is None:
        say(f"error: {require:g} % is required, but openane does not compile this model: {failure}", err=True)
        return False
    share = 100 * found.engine_share
    if share >= require:
        return True
    say(f"error: {share:.1f} % of the work is on the engine, {require:g} % is required", err=True)
    for layer in found.layers:
        if layer.reason is not None and (layer.macs or not any(each.macs for each in found.layers)):
            say(f"error: layer {layer.name!r}: {layer.reason.what}. {layer.reason.hint}", err=True)
    return False


def hazards_of(artifact: Artifact, calibrate: tuple[str, ...]) -> tuple[Hazard, ...]:
    """The hazards of half precision on the given arrays, with made-up ones for the inputs that are not given."""
    from openane.analysis.hazards import find_hazards
    from openane.artifact.plan import HostStep
    from openane.compiler.generated_inputs import blaming_generated
    from openane.runtimes.execution import fit_inputs

    graph, wanted = artifact.graph, artifact.plan.inputs
    assert graph is not None
    arrays, made = complete_inputs(read_inputs(calibrate, wanted), artifact.plan)
    batch = fit_inputs(wanted, arrays, artifact.plan.name)
    on_host = {n.name for step in artifact.plan.steps if isinstance(step, HostStep) for n in step.graph.nodes}
    with blaming_generated(made):
        return find_hazards(graph, [batch], frozenset(on_host), artifact.options)


def as_plain(found: Explanation | None, placed: ModelPlacement, outcomes: Sequence[Outcome] = ()) -> dict[str, object]:
    """The explanation as plain values."""
    from openane.analysis.hazards import as_values
    from openane.analysis.mac_loss import report

    return {
        **(_compiled(found) if found is not None else {"model": placed.prediction.program.name, "target": None}),
        "core_ml": plain_placement(placed, outcomes),
        "layers": [_plain_layer(layer) for layer in placed.layers],
        "hazards": [as_values(hazard) for hazard in (found.hazards if found is not None else ())],
        "mac_losses": report(found.mac_losses if found is not None else ()).records(),
    }


def _compiled(found: Explanation) -> dict[str, object]:
    """What is said of the compiled model as a whole."""
    return {
        "model": found.model,
        "target": found.target,
        "engine_share": found.engine_share,
        "macs": sum(layer.macs for layer in found.layers),
        "programs": found.programs,
        "host_layers": found.host_layers,
        "crossings": len(found.crossings),
        "crossing_bytes": found.crossing_bytes,
        "crossing_values": [
            {"value": each.value, "from_step": each.source, "to_step": each.reader, "bytes": each.moved_bytes}
            for each in found.crossings
        ],
        "estimated_engine_us": found.engine_us,
        "estimated_host_us": found.host_us,
        "weights": [each.values() for each in found.weights],
        "warnings": list(found.warnings),
        "evidence": None if found.evidence is None else found.evidence.values(),
    }


def _plain_layer(placed: LayerPlacement) -> dict[str, object]:
    layer = placed.layer
    return {
        "name": placed.name,
        "operation": placed.operation,
        "where": placed.openane.where,
        "tasks": list(placed.openane.tasks),
        "macs": 0 if layer is None else layer.macs,
        "evidence": None if layer is None or layer.evidence is None else layer.evidence.text,
        "reason": None if layer is None or layer.reason is None else _reason(layer.reason),
        **plain_layer(placed),
    }


def _reason(reason: Diagnostic) -> dict[str, str]:
    return {
        "what": reason.what,
        "rule": reason.rule,
        "limit": reason.limit,
        "value": reason.value,
        "hint": reason.hint,
    }


def show(found: Explanation) -> None:
    """Prints the tables and the totals."""
    from openane.cli._weights import show_weights

    rows: list[tuple[object, ...]] = []
    for layer in found.layers:
        reason = layer.reason
        why = "" if reason is None else f"{reason.rule}: {reason.what}" if reason.rule else reason.what
        limit = "" if reason is None else "; ".join(part for part in (reason.value, reason.limit) if part)
        hint = "" if reason is None else reason.hint
        encoding = "" if layer.evidence is None else layer.evidence.text
        rows.append((layer.name, layer.operation, layer.where.value, _spans(layer.tasks), encoding, why, limit, hint))
    columns = ("layer", "operation", "where", "tasks", "encoding", "rule", "value; limit", "what would move it")
    print_table(f"{found.model} on {found.target}", columns, rows)
    if found.hazards:
        print_table(
            "hazards of half precision (give typical inputs with --calibrate)",
            ("layer", "operation", "hazard", "found by", "value", "limit", "what to do"),
            [
                (h.layers[-1], h.operation, f"{h.kind.value}: {h.what}", h.source.value, h.value, h.limit, h.hint)
                for h in found.hazards
            ],
        )
    show_losses(found.mac_losses)
    if found.evidence is not None:
        show_findings(found.evidence.values())
    show_weights(found.weights)
    show_totals(found)


def show_totals(found: Explanation) -> None:
    """Prints the totals: shares, programs, crossings, estimated time."""
    total = sum(layer.macs for layer in found.layers)
    work = f"{quantity(total)} multiply-adds" if total else "the layers"
    say(
        f"{found.engine_share:.1%} of {work} on the engine; {found.programs} programs, "
        f"{found.host_layers} layers on the host"
    )
    if found.evidence is not None:
        say(f"encoding: {found.evidence.text}")
    largest = sorted(found.crossings, key=lambda each: -each.moved_bytes)[:SHOWN_CROSSINGS]
    names = ", ".join(f"{each.value} {quantity(each.moved_bytes, 'B')}" for each in largest)
    more = f" and {len(found.crossings) - len(largest)} more" if len(found.crossings) > len(largest) else ""
    listed = f": {names}{more}" if names else ""
    say(f"{len(found.crossings)} crossings between engine and host, {quantity(found.crossing_bytes, 'B')}{listed}")
    engine = "not known" if found.engine_us is None else f"{found.engine_us:.0f} us on the engine ({DEFAULT_CHIP})"
    say(f"estimated time: {engine}, {found.host_us:.0f} us on the host (a guess)")
    for warning in found.warnings:
        say(f"warning: {warning}", err=True)


def _spans(numbers: tuple[int, ...]) -> str:
    """Task numbers as ranges: "3-5, 9"."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in spans)
