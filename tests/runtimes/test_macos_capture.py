"""The plist grabber and its report form, on a fake Mac."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from tests.support.macos_fake import FakeBridge
from tests.support.runtime_programs import binary_program

from openane import runtimes
from openane.cli import root
from openane.core.errors import FaultError, InputError
from openane.formats.hwx import write_hwx
from openane.runtimes.macos import MacosRuntime, espresso
from openane.runtimes.macos.capture import Capture, CaptureOutcome, run_command
from openane.runtimes.macos.report import (
    compare_programs,
    measure,
    measurement_document,
    read_program,
    report_document,
    seeded_inputs,
)
from openane.targets import attach

PROGRAM = attach(binary_program())


class Mac(FakeBridge):
    """Espresso dumps a network, ANECCompile compiles it, Core ML fills aned's cache."""

    def __init__(self, tmp_path, **settings):
        super().__init__({"espresso_create_context": 1, "espresso_create_plan": 2}, **settings)
        self.answers |= {
            "espresso_dump_ir": self.dump,
            "ANECCompile": self.compile,
            "init": lambda: self.object(("configuration", "MLModelConfiguration")),
            "modelWithContentsOfURL:configuration:error:": self.load_model,
        }
        self.root = tmp_path
        self.cache = tmp_path / "cache"
        self.cache.mkdir()

    def dump(self, plan, place):
        folder = self.root / "dump"
        folder.mkdir()
        (folder / "net.plist").write_text("plist")
        (folder / "net.additional.weights").write_bytes(b"\0" * 8)
        return 0

    def compile(self, options, flags, block):
        (self.root / "out/apple/model.hwx").write_bytes(write_hwx(PROGRAM))
        return 0

    def load_model(self, url, configuration, error):
        folder = self.cache / "ModelAssetsCache/1"
        folder.mkdir(parents=True)
        (folder / "model.hwx").write_bytes(write_hwx(PROGRAM))
        return self.object(("model", "MLModel"))


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "net.mlmodelc"
    path.mkdir()
    (path / "model.espresso.net").write_text("{}")
    return path


def capture(bridge, model, tmp_path, monkeypatch, **settings):
    monkeypatch.setattr(espresso.dump_network, "__defaults__", (tmp_path / "dump",))
    return list(Capture(bridge, model, tmp_path / "out", caches=(tmp_path / "cache",), **settings).steps())


def test_every_way_is_tried_and_its_files_are_kept(tmp_path, model, monkeypatch):
    steps = capture(Mac(tmp_path), model, tmp_path, monkeypatch)
    assert [(step.name, step.outcome) for step in steps] == [
        ("lldb script for a capture by hand", CaptureOutcome.DONE),
        ("net.plist by Espresso", CaptureOutcome.DONE),
        ("model.hwx by Apple's compiler", CaptureOutcome.DONE),
        ("model.hwx from aned's cache", CaptureOutcome.DONE),
    ]
    out = tmp_path / "out"
    assert {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()} == {
        "capture.lldb",
        "net.plist",
        "net.additional.weights",
        "apple/model.hwx",
        "cache/0-model.hwx",
    }


def test_a_closed_way_is_reported_and_the_others_go_on(tmp_path, model, monkeypatch):
    bridge = Mac(tmp_path, missing={"espresso_dump_ir"})
    (model / "model.mil").write_text("program")
    steps = {step.name: step for step in capture(bridge, model, tmp_path, monkeypatch)}
    assert steps["net.plist by Espresso"].outcome is CaptureOutcome.FAILED
    assert "espresso_dump_ir is not on this system" in steps["net.plist by Espresso"].message
    assert steps["model.hwx by Apple's compiler"].outcome is CaptureOutcome.DONE
    bridge.answers["modelWithContentsOfURL:configuration:error:"] = bridge.fail(1, "not today")
    again = {step.name: step for step in capture(bridge, model, tmp_path, monkeypatch)}
    assert "loading net.mlmodelc: not today" in again["model.hwx from aned's cache"].message


def test_an_unreadable_cache_says_what_to_do(tmp_path, model, monkeypatch):
    bridge = Mac(tmp_path)
    bridge.cache.rmdir()
    step = capture(bridge, model, tmp_path, monkeypatch)[-1]
    assert step.outcome is CaptureOutcome.FAILED
    assert "before 26.6" in step.message


def test_models_are_compiled_first(tmp_path, monkeypatch):
    model = tmp_path / "net.mlpackage"
    model.mkdir()
    commands = []

    def run(command):
        commands.append(command)
        (tmp_path / "out/net.mlmodelc").mkdir()
        return 0, ""

    steps = capture(Mac(tmp_path), model, tmp_path, monkeypatch, run=run)
    assert commands == [("xcrun", "coremlcompiler", "compile", str(model), str(tmp_path / "out"))]
    assert steps[1].outcome is CaptureOutcome.DONE
    assert "no Espresso network" in steps[2].message
    assert steps[3].outcome is CaptureOutcome.SKIPPED


def test_a_failing_compiler_stops_with_its_last_line(tmp_path, monkeypatch):
    model = tmp_path / "net.mlmodel"
    model.touch()
    steps = capture(Mac(tmp_path), model, tmp_path, monkeypatch, run=lambda command: (1, "a\nbad model\n"))
    assert steps[-1].outcome is CaptureOutcome.FAILED
    assert "coremlcompiler failed: bad model" in steps[-1].message
    assert len(steps) == 2


@pytest.mark.parametrize(
    ("name", "message"), [("net.onnx", "not a Core ML model.*.onnx"), ("none.mlmodel", "no such model")]
)
def test_what_is_no_model_is_refused_at_once(tmp_path, name, message):
    with pytest.raises(InputError, match=message):
        next(Capture(FakeBridge(), tmp_path / name, tmp_path / "out").steps())


def test_a_command_that_is_missing_has_a_status():
    assert run_command(("no-such-command-at-all",))[0] == 127


def test_the_command_says_that_it_needs_a_mac(tmp_path):
    if runtimes.load("macos").probe().available:
        pytest.skip("this is a Mac")
    (tmp_path / "net.mlmodel").touch()
    result = CliRunner().invoke(root, ["grab", str(tmp_path / "net.mlmodel"), "-o", str(tmp_path / "out")])
    assert "needs a Mac with a neural engine" in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_the_whole_command_fills_in_the_report(tmp_path, model, monkeypatch):
    from openane.runtimes.runtime import Availability

    class Refusing:
        name = "macos"

        def probe(self):
            return Availability(True, "for the test")

        def open(self, program, options=None):
            raise FaultError("signature refused")

    monkeypatch.setattr(espresso.dump_network, "__defaults__", (tmp_path / "dump",))
    monkeypatch.setattr("openane.runtimes.macos.MacosRuntime", Refusing)
    bridge = Mac(tmp_path)
    monkeypatch.setattr("openane.runtimes.macos.objc.SystemBridge", lambda: bridge)
    result = CliRunner().invoke(root, ["grab", str(model), "-o", str(tmp_path / "out"), "--json"])
    assert result.exit_code == 0, result.output
    document = json.loads((tmp_path / "out/report.json").read_text())
    printed = json.loads(result.stdout)
    assert printed.pop("schema") == "grab" and printed.pop("schema_version") == 1
    assert document == printed
    assert "net.plist" in document["our compiler"]  # what Espresso "dumped" here is not a network
    assert document["measurements"]["apple/model.hwx"] == {"message": "signature refused"}
    assert str(tmp_path) not in json.dumps(document["files"])


def test_the_form_names_files_by_hash_and_no_place_on_the_machine(tmp_path, model, monkeypatch):
    steps = capture(Mac(tmp_path, missing={"ANECCompile"}), model, tmp_path, monkeypatch)
    text = json.dumps(report_document(model, tmp_path / "out", steps, {"chip": "Apple M1"}))
    assert str(tmp_path) not in text
    document = json.loads(text)
    assert document["files"]["net.additional.weights"]["bytes"] == 8
    assert document["questions"]
    assert read_program(tmp_path / "out/cache/0-model.hwx").tasks == PROGRAM.tasks


def test_programs_are_compared_part_by_part():
    same = compare_programs(PROGRAM, PROGRAM)
    assert same["text_equal"] and same["constants_equal"] and same["surfaces_equal"]
    other = compare_programs(PROGRAM, attach(binary_program("mul")))
    assert not other["text_equal"]
    assert other["first_different_text_byte"] is not None


def test_a_program_is_measured_against_the_simulator():
    measured = measure(PROGRAM, runtimes.load("simulator"))
    assert (measured.differing, len(measured.seconds)) == (0, 20)
    assert measured.elements == int(np.prod(PROGRAM.outputs[0].shape))

    class Refusing:
        name = "macos"

        def probe(self):
            raise NotImplementedError

        def open(self, program, options=None):
            raise FaultError("signature refused")

    document = measurement_document({"a.hwx": PROGRAM}, Refusing())
    assert document == {"a.hwx": {"message": "signature refused"}}


def test_seeded_inputs_do_not_depend_on_the_order_of_surfaces():
    first, second = (seeded_inputs(binary_program(inputs_first=order)) for order in (True, False))
    assert all(first[name].tobytes() == second[name].tobytes() for name in first)


def test_the_runtime_for_this_machine_is_made_without_loading_anything():
    assert MacosRuntime().name == "macos"
