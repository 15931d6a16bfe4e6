"""`openane grab`: capture what Apple's compiler generates for a model, on a Mac."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from openane.cli._ending import WRONG_STATUS
from openane.cli._options import TARGET_OPTION
from openane.cli._say import say
from openane.cli._show import FILE, JSON_OPTION, print_json, print_table, working
from openane.core.errors import OpenaneError, UnavailableError

if TYPE_CHECKING:
    from openane.program import Program
    from openane.runtimes.macos.capture import CaptureStep


@click.command(name="grab", short_help="Capture net.plist, weights and .hwx of a Core ML model, on a Mac.")
@click.argument("model", type=FILE)
@click.option("-o", "--output", "folder", type=FILE, required=True, help="Folder for the captured files.")
@click.option("--run/--no-run", default=True, show_default=True, help="Also run the programs on the engine.")
@TARGET_OPTION
@JSON_OPTION
def command(model: Path, folder: Path, run: bool, target: str, as_json: bool) -> None:
    """Capture what Apple's compiler generates for MODEL (.mlmodel, .mlpackage, .mlmodelc), and write a report.

    The command tries several methods, because each macOS version blocks some. The folder then holds net.plist and its
    weights, Apple's model.hwx, ours.hwx, and report.json, which compares the two. Untested on hardware.
    """
    from openane.core.files import write_atomically
    from openane.runtimes.macos import MacosRuntime
    from openane.runtimes.macos.capture import Capture, CaptureOutcome, check_model
    from openane.runtimes.macos.objc import SystemBridge

    check_model(model)
    availability = MacosRuntime().probe()
    if not availability.available:
        raise UnavailableError(
            f"the grabber needs a Mac with a neural engine: {availability.reason}",
            hint="Run it on a Mac, or ask someone with a Mac for net.plist and model.hwx.",
        )
    steps: list[CaptureStep] = []
    for step in Capture(SystemBridge(), model, folder, target).steps():
        steps.append(step)
        say(f"{step.name}: {step.outcome.value} {step.message}".rstrip(), err=True)
    document = _report(model, folder, steps, target, run)
    write_atomically(folder / "report.json", json.dumps(document, indent=1, ensure_ascii=False).encode() + b"\n")
    if as_json:
        print_json("grab", document)
    else:
        rows: list[tuple[object, ...]] = [
            (each.name, each.outcome.value, each.message or ", ".join(path.name for path in each.files))
            for each in steps
        ]
        print_table("Capture", ("step", "outcome", "details"), rows)
        say(f"Answer the questions in {folder / 'report.json'} and send us the folder.")
    if not any(step.outcome is CaptureOutcome.DONE and _is_result(step) for step in steps):
        raise click.exceptions.Exit(WRONG_STATUS)


def _is_result(step: CaptureStep) -> bool:
    return any(path.name == "net.plist" or path.suffix == ".hwx" for path in step.files)


def _report(model: Path, folder: Path, steps: list[CaptureStep], target: str, run: bool) -> dict[str, Any]:
    from openane.runtimes.doctor import examine
    from openane.runtimes.macos import MacosRuntime
    from openane.runtimes.macos.report import compare_programs, measurement_document, report_document

    apples = {
        path.relative_to(folder).as_posix(): program
        for path in sorted(folder.rglob("*.hwx"))
        if path.name != "ours.hwx" and (program := _try_read(path)) is not None
    }
    ours, problem = _compile_ours(folder, target)
    machine = {finding.name: finding.value for finding in examine().findings if finding.area == "machine"}
    document = report_document(model, folder, steps, machine)
    document["our compiler"] = problem or "compiled net.plist to ours.hwx"
    if ours is not None:
        document["comparison"] = {name: compare_programs(ours, program) for name, program in apples.items()}
    if run:
        programs = apples if ours is None else apples | {"ours.hwx": ours}
        with working("running on the engine"):
            document["measurements"] = measurement_document(programs, MacosRuntime())
    return document


def _try_read(path: Path) -> Program | None:
    from openane.runtimes.macos.report import read_program

    try:
        return read_program(path)
    except OpenaneError as error:
        say(f"{path.name}: {error}", err=True)
        return None


def _compile_ours(folder: Path, target: str) -> tuple[Program | None, str]:
    """Our program for the captured network, or the reason why it could not be compiled."""
    from openane.api import compile
    from openane.compiler.driver import save

    network = folder / "net.plist"
    if not network.is_file():
        return None, "there is no net.plist to compile"
    try:
        artifact = compile(network, target)
        save(artifact, folder / "ours.hwx")
        return artifact.program, ""
    except OpenaneError as error:
        return None, str(error)
