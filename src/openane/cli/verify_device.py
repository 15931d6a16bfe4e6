"""`openane verify-device`: compare small programs on a device with the simulator."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from openane.cli._ending import WRONG_STATUS
from openane.cli._options import TARGET_OPTION
from openane.cli._say import say
from openane.cli._show import FILE, JSON_OPTION, print_json, print_table
from openane.core.errors import InputError, UnavailableError
from openane.runtimes.registry import Choice, choose

if TYPE_CHECKING:
    from openane.runtimes.runtime import SessionOptions
    from openane.runtimes.verification import CaseResult, DeviceCase

SIMULATOR = "simulator"
DRY_RUN = "dry run, no device: "


@click.command(name="verify-device", short_help="Run the self-test on a device and compare with the simulator.")
@click.option("--on", default="auto", show_default=True, help="Runtime: auto, linux or macos.")
@click.option("--dry-run", is_flag=True, help="Rehearse on the simulator, which settles nothing.")
@click.option("--device", default="", help="Device node to use; by default the first suitable one.")
@click.option("-o", "--output", type=FILE, help="Write the results to this file; attach it to reports.")
@click.option("--case", "names", multiple=True, help="Run only this case or group; repeatable.")
@click.option("--kit", type=FILE, help="Run nothing; write programs, inputs and predictions to this folder.")
@click.option("--list", "listing", is_flag=True, help="Run nothing; list the cases and their questions.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=60.0,
    show_default=True,
    help="Seconds to wait for one run.",
)
@TARGET_OPTION
@JSON_OPTION
def command(
    on: str,
    dry_run: bool,
    device: str,
    output: Path | None,
    names: tuple[str, ...],
    kit: Path | None,
    listing: bool,
    timeout: float,
    target: str,
    as_json: bool,
) -> None:
    """Run small programs on a device and compare every bit with the prediction of the simulator.

    The outputs answer questions that need hardware: kernel order, padding, pooling, accumulator width, table edges,
    saturation. Cases with an assumed encoding run last, because they may hang the engine; the result file is complete
    up to the last case that finished. It says which assumptions of the docs it settles, and holds nothing about you:
    please submit it.

    Exit status: 0 if at least one case ran, and every case that ran matches or is explained by another hypothesis; 1 if
    one does not; 2 without a device.
    """
    from openane import targets
    from openane.core.files import write_atomically
    from openane.runtimes.doctor import examine
    from openane.runtimes.runtime import SessionOptions
    from openane.runtimes.verification import CheckOutcome, result_document, select_cases
    from openane.targets.target import RunOptions

    cases = select_cases(names)
    targets.get(target)
    if listing:
        _list(cases, as_json)
        return
    if kit is not None:
        _write_kit(cases, kit, target)
        return
    choice = _device(on, dry_run)
    mark = DRY_RUN if dry_run else ""
    say(f"{mark}running on {choice.reason}", err=True)
    report = examine()
    simulation = RunOptions(time_limit_seconds=timeout)
    options = SessionOptions(timeout_seconds=timeout, device=device, simulation=simulation)
    results: list[CaseResult] = []
    for case in cases:
        results.append(_run(case, choice, options, target, results))
        say(f"{mark}{results[-1].case.name}: {_line(results[-1])}", err=True)
        document = result_document(results, report, choice, is_rehearsal=dry_run)
        if output is not None:
            write_atomically(output, json.dumps(document, indent=1).encode() + b"\n")
    if as_json:
        print_json("verify-device", document)
    else:
        _show(results, mark)
        _show_answers(document["assumptions"])
    outcomes = {result.outcome for result in results}
    bad = {CheckOutcome.DIFFERS, CheckOutcome.FAULT, CheckOutcome.NOT_RUN}
    if outcomes & bad or outcomes <= {CheckOutcome.NOT_COMPILED}:
        raise click.exceptions.Exit(WRONG_STATUS)


def _device(on: str, dry_run: bool) -> Choice:
    """The device to use, or the simulator for a rehearsal.

    Raises:
        UnavailableError: there is no device.
        InputError: the simulator without --dry-run, or a device with it.
    """
    if dry_run:
        if on not in ("auto", SIMULATOR):
            raise InputError("a dry run uses the simulator", value=f"--on {on}", hint="Leave out --dry-run or --on.")
        return choose(SIMULATOR)
    if on == SIMULATOR:
        what = "the simulator is not a device: it would be compared with itself"
        raise InputError(what, value="--on simulator", hint="Rehearse with --dry-run.")
    choice = choose(on)
    if choice.runtime.name == SIMULATOR:
        hint = "`openane doctor` looks for one; --dry-run rehearses."
        raise UnavailableError("there is no device to verify", value=choice.reason, hint=hint)
    return choice


def _run(
    case: DeviceCase, choice: Choice, options: SessionOptions, target: str, before: list[CaseResult]
) -> CaseResult:
    """Runs one case; after the device is lost, the remaining cases are skipped."""
    from openane.runtimes.verification import CaseResult, CheckOutcome, check_case

    if before and before[-1].outcome is CheckOutcome.NOT_RUN:
        return CaseResult(case, CheckOutcome.NOT_RUN, before[-1].message)
    try:
        return check_case(case, choice.runtime, options, target)
    except UnavailableError as error:
        return CaseResult(case, CheckOutcome.NOT_RUN, str(error))


def _line(result: CaseResult) -> str:
    from openane.runtimes.verification import CheckOutcome

    if result.outcome is CheckOutcome.MATCHES:
        return "every bit as predicted"
    if result.outcome is CheckOutcome.EXPLAINED:
        return f"matches another hypothesis: {', '.join(result.agrees_with)}"
    if result.outcome is CheckOutcome.DIFFERS:
        return f"{result.differing} of {result.elements} elements differ, at most {result.largest_ulp} ulp"
    return f"{result.outcome.value}: {result.message}"


def _show(results: list[CaseResult], mark: str) -> None:
    rows: list[tuple[object, ...]] = [
        (result.case.group, f"{mark}{result.case.name}", result.outcome.value, _line(result)) for result in results
    ]
    print_table(f"{mark}Self-test", ("group", "case", "outcome", "details"), rows)


def _show_answers(answers: list[dict[str, Any]]) -> None:
    rows: list[tuple[object, ...]] = [
        (each["assumption"], each["subject"], each["answer"], ", ".join(each["hypotheses"])) for each in answers
    ]
    if rows:
        print_table("Assumptions of docs/assumptions.md", ("", "subject", "answer", "hypothesis"), rows)


def _list(cases: tuple[DeviceCase, ...], as_json: bool) -> None:
    if as_json:
        rows_of = [
            {"name": c.name, "group": c.group, "encoding": c.standing.value, "question": c.question} for c in cases
        ]
        print_json("verify-device-cases", {"cases": rows_of})
        return
    rows: list[tuple[object, ...]] = [(c.group, c.name, c.standing.value, c.question) for c in cases]
    print_table("Cases", ("group", "case", "encoding", "question"), rows)


def _write_kit(cases: tuple[DeviceCase, ...], folder: Path, target: str) -> None:
    from openane.runtimes.verification import write_kit

    if folder.exists() and not folder.is_dir():
        raise InputError("the path is a file, not a folder", where=str(folder))
    written = 0
    for case, problem in write_kit(cases, folder, target):
        written += not problem
        if problem:
            say(f"{case.name}: skipped: {problem}", err=True)
    say(f"{written} of {len(cases)} cases written to {folder}")
