"""The self-test kit: its cases ask what they claim, and its comparison reports a match from a difference."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from openane.cli import root
from openane.core.errors import InputError, OpenaneError, UnavailableError
from openane.net.units import ConvParams
from openane.runtimes import Choice, SessionOptions
from openane.runtimes.linux import LinuxRuntime
from openane.runtimes.linux.emulation import EmulatedDriver, EmulatedSystem
from openane.runtimes.linux.engine import SimulatedEngine
from openane.runtimes.verification import (
    CaseResult,
    CheckOutcome,
    Standing,
    all_cases,
    check_case,
    predict,
    select_cases,
)
from openane.runtimes.verification.case import impulses, numbered_kernel
from openane.runtimes.verification.check import compare, compile_case, unpack_array
from openane.runtimes.verification.mac_kit import kit_cases
from openane.runtimes.verification.questions import QUESTIONS, answers
from openane.targets.target import RunOptions

CASES = {case.name: case for case in all_cases()}


def emulated(profile=None):
    driver = EmulatedDriver(SimulatedEngine(RunOptions(profile=profile or {})))
    return driver, LinuxRuntime(EmulatedSystem(driver))


def test_names_are_unique_and_the_open_questions_are_covered():
    assert len(CASES) == len(all_cases())
    groups = {case.group for case in CASES.values()}
    assert {"kernel order", "padding and stride", "pooling", "accumulator", "tables", "saturation"} <= groups
    assert all(case.question.endswith("?") for case in CASES.values())


def test_cases_that_may_hang_the_engine_come_last():
    standings = [case.standing for case in all_cases()]
    assert standings == sorted(standings, key=lambda standing: standing is Standing.ASSUMED)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_case_compiles_and_its_prediction_is_repeatable(case):
    program = compile_case(case, "h13")
    first, second = predict(case, program), predict(case, program)
    assert [array.tobytes() for array in first.values()] == [array.tobytes() for array in second.values()]
    assert first["out"].size


EXACT_GROUPS = {"layout", "views", "kernel order", "padding and stride", "broadcast"}


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.group in EXACT_GROUPS])
def test_questions_about_places_do_not_depend_on_arithmetic(name):
    """Their predictions equal the units' reference in every bit, so a difference on a device is one of order."""
    case = CASES[name]
    inputs = {key: array.astype(np.float64) for key, array in case.inputs.items()}
    expected = case.net.evaluate(inputs)["out"].astype(np.float16)
    np.testing.assert_array_equal(predict(case, compile_case(case, "h13"))["out"], expected)


@pytest.mark.parametrize(
    "variant", sorted({(name, *options.items()) for case in CASES.values() for name, options in case.variants.items()})
)
def test_every_other_hypothesis_is_told_apart_by_some_case(variant):
    name = variant[0]
    apart = []
    for case in CASES.values():
        if name in case.variants:
            program = compile_case(case, "h13")
            usual, other = predict(case, program), predict(case, program, case.variants[name])
            apart += [case.name] if any(usual[k].tobytes() != other[k].tobytes() for k in usual) else []
    assert apart


@pytest.mark.parametrize("shape", [(3, 1, 1), (20, 1, 1), (4, 3, 3), (3, 2, 5)])
def test_impulses_show_every_weight_alone(shape):
    """Swapping any two weights would change the output: each appears by itself, in a place of its own."""
    channels, rows, columns = shape
    image, kernel = impulses(channels, rows, columns)[0, 0], numbered_kernel(2, *shape)
    height, width = image.shape[1] - rows + 1, image.shape[2] - columns + 1
    seen = np.zeros((2, height, width))
    hits = np.zeros((height, width), int)
    for i in range(rows):
        for j in range(columns):
            window = image[:, i : i + height, j : j + width]
            seen += np.einsum("oc,chw->ohw", kernel[:, :, i, j].astype(float), window)
            hits += window.sum(0).astype(int)
    assert hits.max() == 1
    assert set(seen[seen != 0]) == set(kernel.ravel().astype(float))


def test_numbered_weights_are_exact_and_all_differ():
    kernel = numbered_kernel(4, 1023, 1, 1)
    assert np.unique(kernel).size == kernel.size
    assert np.isfinite(kernel).all()


@pytest.mark.parametrize("name", ["add-image", "order-5x4x3x3", "table-tanh", "softmax"])
def test_the_whole_path_matches_on_the_emulated_device(name):
    driver, runtime = emulated()
    result = check_case(CASES[name], runtime, SessionOptions(), "h13")
    assert result.outcome is CheckOutcome.MATCHES, result.message
    assert result.differing == 0 and result.found == {} and len(result.digest) == 64
    assert driver.used_bytes == 0


def test_a_device_with_other_arithmetic_is_explained():
    _, runtime = emulated({"overflow_order": "total"})
    result = check_case(CASES["sum-sticky"], runtime, SessionOptions(), "h13")
    assert result.outcome is CheckOutcome.EXPLAINED
    assert result.agrees_with == ("only the complete sum may overflow",)
    assert result.differences[0].expected != result.differences[0].found


def test_differences_are_counted_in_bits_and_ulps():
    case = CASES["add-rows"]
    program = compile_case(case, "h13")
    expected = predict(case, program)
    found = {"out": expected["out"].copy()}
    bits = found["out"].view(np.uint16)
    bits[0, 0, 0, 2, 5] += 3
    bits[0, 0, 0, 6, 76] ^= 0x8000
    result = compare(case, program, expected, found)
    assert result.outcome is CheckOutcome.DIFFERS
    assert result.differing == 2
    assert [difference.index for difference in result.differences] == [(0, 0, 0, 2, 5), (0, 0, 0, 6, 76)]
    assert result.largest_ulp == 2 * (int(expected["out"].view(np.uint16)[0, 0, 0, 6, 76]) & 0x7FFF)
    np.testing.assert_array_equal(unpack_array(result.found["out"], expected["out"]).view(np.uint16), bits)


def test_nan_payloads_and_signed_zeros_count():
    case = CASES["add-rows"]
    program = compile_case(case, "h13")
    expected = {"out": np.array([0.0, np.nan], np.float16)}
    found = {"out": np.array([0x8000, 0x7E01], np.uint16).view(np.float16)}
    result = compare(replace(case, variants={}), program, expected, found)
    assert (result.differing, result.largest_ulp) == (2, 0)


def test_unknown_cases_are_refused():
    assert {case.group for case in select_cases(("pooling",))} == {"pooling"}
    assert [case.name for case in select_cases(("softmax",))] == ["softmax"]
    with pytest.raises(InputError, match=r"no such case or group.*nonsense.*pooling"):
        select_cases(("nonsense",))


class BrokenRuntime:
    """Runs the first program, then loses the device."""

    name = "linux"

    def __init__(self, error):
        self.error, self.runs = error, 0
        self.inner = emulated()[1]

    def probe(self):
        return self.inner.probe()

    def open(self, program, options=None):
        self.runs += 1
        if self.runs > 1:
            raise self.error
        return self.inner.open(program, options)


@pytest.fixture
def use(monkeypatch):
    def put(runtime):
        choice = Choice(runtime, "linux: for the test", runtime.probe())
        monkeypatch.setattr("openane.cli.verify_device.choose", lambda name: choice)

    return put


def test_the_result_file_is_complete_up_to_the_case_that_lost_the_device(use, tmp_path):
    use(BrokenRuntime(UnavailableError("the device is gone")))
    output = tmp_path / "result.json"
    result = CliRunner().invoke(root, ["verify-device", "--case", "layout", "-o", str(output)])
    assert result.exit_code == 1
    document = json.loads(output.read_text())
    assert document["summary"] == {"matches": 1, "not run": len(document["cases"]) - 1}
    assert document["cases"][1]["message"] == "the device is gone"
    assert document["runtime"] == "linux"
    assert document["device"]["driver"].startswith("ane 1.0.0")


def test_a_fault_of_one_case_does_not_stop_the_others(use, tmp_path):
    use(BrokenRuntime(OpenaneError("the engine reported a fault")))
    result = CliRunner().invoke(root, ["verify-device", "--case", "layout", "--json"])
    assert result.exit_code == 1
    outcomes = [case["outcome"] for case in json.loads(result.stdout)["cases"]]
    assert outcomes == ["matches"] + ["fault"] * (len(outcomes) - 1)


def test_all_matching_is_status_0(use):
    use(emulated()[1])
    result = CliRunner().invoke(root, ["verify-device", "--case", "layout"])
    assert result.exit_code == 0, result.output
    assert "every bit as predicted" in result.output


def test_the_kit_as_files(tmp_path):
    folder = tmp_path / "kit"
    result = CliRunner().invoke(root, ["verify-device", "--case", "layout", "--kit", str(folder)])
    assert result.exit_code == 0, result.output
    manifest = json.loads((folder / "manifest.json").read_text())
    assert {case["left out"] for case in manifest["cases"]} == {""}
    for case in manifest["cases"]:
        names = {path.name for path in (folder / case["name"]).iterdir()}
        assert {"program.hwx", "program.anec", "out-out.npy", "in-x.npy"} <= names
    case = CASES["add-rows"]
    np.testing.assert_array_equal(np.load(folder / "add-rows/in-x.npy"), case.inputs["x"])


def test_an_unknown_target_is_refused_at_once():
    result = CliRunner().invoke(root, ["verify-device", "--on", "simulator", "--target", "h99"])
    assert isinstance(result.exception, InputError)
    assert "no target 'h99'" in str(result.exception)


def test_the_list_names_every_question():
    result = CliRunner().invoke(root, ["verify-device", "--list", "--json"])
    assert [case["name"] for case in json.loads(result.stdout)["cases"]] == list(CASES)


def test_without_a_device_it_fails():
    for arguments in ([], ["--on", "simulator"]):
        with pytest.raises(OpenaneError, match=r"no device|not a device"):
            CliRunner().invoke(root, ["verify-device", "--case", "layout", *arguments], catch_exceptions=False)


def test_a_dry_run_says_so_on_every_line_and_settles_nothing(tmp_path):
    output = tmp_path / "result.json"
    result = CliRunner().invoke(root, ["verify-device", "--dry-run", "--case", "layout", "-o", str(output)])
    assert result.exit_code == 0, result.output
    lines = [line for line in result.output.splitlines() if line and not line.startswith("group")]
    assert lines and all("dry run, no device" in line for line in lines)
    document = json.loads(output.read_text())
    assert document["dry_run"] is True
    assert document["assumptions"] == []


def test_a_device_settles_assumptions(use):
    use(emulated()[1])
    arguments = [word for case in ("stride-2", "stride-2-odd", "dilation-2") for word in ("--case", case)]
    result = CliRunner().invoke(root, ["verify-device", "--json", *arguments])
    found = {each["assumption"]: each["answer"] for each in json.loads(result.stdout)["assumptions"]}
    assert (found["A4"], found["A5"], found["A1"]) == ("confirmed", "confirmed", "open")


def test_answers_follow_the_outcomes():
    def answer(*outcomes):
        names = ("view-channel", "view-height", "view-width")
        results = [
            CaseResult(CASES[name], outcome, agrees_with=("other",) if outcome is CheckOutcome.EXPLAINED else ())
            for name, outcome in zip(names, outcomes, strict=True)
        ]
        return next(each["answer"] for each in answers(results) if each["assumption"] == "A16")

    matches, explained, differs = CheckOutcome.MATCHES, CheckOutcome.EXPLAINED, CheckOutcome.DIFFERS
    assert answer(matches, matches, matches) == "confirmed"
    assert answer(matches, explained, matches) == "another hypothesis"
    assert answer(matches, differs, CheckOutcome.NOT_RUN) == "contradicted"
    assert answer(matches, CheckOutcome.FAULT, matches) == "open"


def test_every_question_names_an_assumption_of_the_docs_and_cases_that_exist():
    page = (Path(__file__).parents[2] / "docs" / "assumptions.md").read_text()
    for number, (_, cases) in QUESTIONS.items():
        assert f"| {number} |" in page
        assert set(cases) <= set(CASES)


def test_the_kit_has_the_published_vectors(shared):
    """Of the sums that others measured on later chips, nine in ten are asked of this one, bit for bit."""
    asked = {vector for case in kit_cases() for vector in sums(case)}
    wanted = set()
    for entry in json.loads((shared / "hw" / "measured-2026-12.json").read_text()):
        if entry["table"].startswith("mac_") and "w_hex" in entry and "x_hex" in entry:
            x, w = (tuple(int(word, 16) for word in entry[key]) for key in ("x_hex", "w_hex"))
            wanted.add((x, w if len(w) == len(x) else w * len(x), int(entry.get("bias_hex", "0"), 16)))
    assert len(wanted) > 300
    assert len(wanted & asked) / len(wanted) > 0.9


def sums(case):
    """The sums of a case: words of values and weights, up to the last channel that counts, and of the bias."""
    unit, *rest = (unit.params for unit in case.net.units)
    if not isinstance(unit, ConvParams):
        return
    kernel = unit.kernel[:, :, 0, 0].astype(np.float16)
    biases = np.zeros(len(kernel), np.float16) if not rest else np.asarray(rest[0].bias, np.float16)
    for weights, bias in zip(kernel, biases, strict=True):
        for column in np.ascontiguousarray(case.inputs["x"][0, 0, :, 0, :].T):
            used = np.flatnonzero((column.view(np.uint16) != 0) & (weights != 0))
            count = int(used[-1]) + 1 if used.size else 1
            x, w = (tuple(map(int, array[:count].view(np.uint16))) for array in (column, weights))
            yield x, w, int(bias.view(np.uint16))
