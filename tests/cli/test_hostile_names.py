"""Names that speak to the terminal: in models, programs, arrays and file names. Every verb shows them as text."""

from __future__ import annotations

import json
import os
import plistlib
import re
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import openane
from openane.cli import main
from openane.cli._say import say_json
from openane.cli._show import print_table, working
from openane.compiler.driver import build
from openane.formats.anec import write_anec
from openane.formats.hwx import write_hwx
from openane.program import Program
from openane.targets.assembly import assemble, disassemble, open_container

coreml = pytest.importorskip("openane.frontends.coreml.proto")

CLI = Path(openane.__file__).parent / "cli"
HOSTILE = "a\x1b]0;title\x07\x9b2J\r\nerror: b\u2028c\u202egnp\x7f"
"""Sets the title, clears the screen, begins a line of its own, writes backwards."""


def network(name: str) -> dict[str, object]:
    """A network of one activation; the names of network, tensors and units begin with `name`."""
    sizes = {"BatchSize": 1, "InputChannels": 3, "InputDepth": 1, "InputHeight": 4, "InputInterleave": 1}
    entry = {**sizes, "InputType": "Float16", "InputWidth": 4}
    unit = {"Bottom": f"{name} in", "Name": f"{name} unit", "OutputType": "Float16", "Type": "Neuron"}
    content = {
        "Inputs": [f"{name} in"],
        "Outputs": [f"{name} out"],
        "Units": [f"{name} unit"],
        "Weights": [],
        f"{name} in": entry,
        f"{name} unit": {**unit, "Params": {"Type": "ReLU"}},
        f"{name} out": {"Bottom": f"{name} unit"},
    }
    return {"Version": "1.0.11", "Networks": [name], name: content}


def renamed(program: Program, name: str) -> Program:
    """The same program with other names of network, tensors and layers."""
    surfaces = tuple(replace(each, name=f"{name} {each.name}") for each in program.surfaces)
    tasks = tuple(replace(t, origin=replace(t.origin, layers=(f"{name} layer",))) for t in program.tasks)
    return replace(program, name=name, surfaces=surfaces, tasks=tasks)


def write_model(path: Path, name: str) -> None:
    """A Core ML model of two layers, one of which the engine cannot run."""
    message = coreml.module("Model_pb2").Model(specificationVersion=5)
    for word, features in (("in", message.description.input), ("out", message.description.output)):
        feature = features.add(name=f"{name} {word}")
        feature.type.multiArrayType.shape.extend((1, 3, 4, 4))
        feature.type.multiArrayType.dataType = 65568
    network = message.neuralNetwork
    network.arrayInputShapeMapping = 1
    first = network.layers.add(name=f"{name} layer", input=[f"{name} in"], output=[f"{name} mid"])
    first.activation.ReLU.SetInParent()
    second = network.layers.add(name=f"{name} other", input=[f"{name} mid"], output=[f"{name} out"])
    second.cumSum.axis = 1
    path.write_bytes(message.SerializeToString())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files from an untrusted source, with hostile names inside and outside."""
    place = tmp_path_factory.mktemp("names") / HOSTILE
    place.mkdir()
    (place / "net.plist").write_bytes(plistlib.dumps(network(HOSTILE), fmt=plistlib.FMT_BINARY))
    program = renamed(build(place / "net.plist").program, HOSTILE)
    (place / "a.hwx").write_bytes(write_hwx(program))
    (place / "b.hwx").write_bytes(write_hwx(renamed(program, HOSTILE * 2)))
    (place / "a.anec").write_bytes(write_anec(program))
    write_model(place / "model.mlmodel", HOSTILE)
    np.save(place / "in.npy", np.zeros((1, 3, 4, 4), np.float16))
    np.savez(
        place / "set.npz", **{f"{HOSTILE} in": np.zeros((2, 3, 4, 4)), f"out:{HOSTILE} out": np.ones((2, 3, 4, 4))}
    )
    return place


VERBS: dict[str, tuple[str, ...]] = {
    **{f"info {kind}": ("info", kind) for kind in ("net.plist", "a.hwx", "a.anec", "model.mlmodel")},
    **{f"dis {kind}": ("dis", kind) for kind in ("net.plist", "a.hwx", "a.anec")},
    "diff": ("diff", "a.hwx", "b.hwx"),
    "estimate": ("estimate", "a.hwx", "--tasks"),
    "estimate a model": ("estimate", "model.mlmodel", "--tasks"),
    "explain": ("explain", "model.mlmodel", "--require", "100"),
    "run": ("run", "a.hwx", "--top", "2"),
    "run a model": ("run", "model.mlmodel", "--no-cache"),
    "compare": ("compare", "model.mlmodel"),
    "compare two": ("compare", "a.hwx", "b.hwx"),
    "eval": ("eval", "model.mlmodel", "set.npz", "--metric", "rmse", "--no-cache"),
    "compile": ("compile", "net.plist", "-o", "new.hwx"),
    "convert": ("convert", "model.mlmodel", "new.onnx"),
    "view": ("view", "a.hwx", "-o", "new.html"),
    "patch": ("patch", "a.hwx", "task[0].Header.NID=1", "-o", "new.hwx"),
    "asm": ("asm", "model.mlmodel", "-o", "new.hwx"),
    "a wrong input": ("run", "a.hwx", "--input", f"{HOSTILE}=in.npy"),
    "a wrong layer": ("explain", "model.mlmodel", "--keep-on-host", HOSTILE),
    "a wrong name": ("info", HOSTILE),
    "a wrong verb": (HOSTILE,),
    "a wrong option": ("info", f"--{HOSTILE}"),
    "too many files": ("info", "a.hwx", HOSTILE),
}


@pytest.fixture
def speak(folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Runs the command line in the folder; everything it prints."""

    def run(*arguments: str) -> str:
        monkeypatch.chdir(folder)
        monkeypatch.setenv("COLUMNS", "5000")
        with suppress(SystemExit):
            main(list(arguments))
        out, err = capfd.readouterr()
        assert "openane failed" not in err
        return out + err

    return run


@pytest.mark.parametrize("label", VERBS)
def test_names_are_shown_and_not_obeyed(label: str, speak: Callable[..., str]) -> None:
    text = speak(*VERBS[label])
    assert text
    assert [char for char in text if not char.isprintable() and char != "\n"] == []
    assert not re.search("^error: b", text, re.MULTILINE)


@pytest.mark.parametrize(
    "label", [*(f"info {kind}" for kind in ("a.hwx", "net.plist", "model.mlmodel")), "diff", "run", "explain", "eval"]
)
def test_json_means_the_same(label: str, speak: Callable[..., str]) -> None:
    words = [word for word in VERBS[label] if word not in ("--require", "100", "--top", "2")]
    text = speak(*words, "--json")
    assert [char for char in text if not char.isprintable() and char != "\n"] == []
    assert HOSTILE in repr_of(json.loads(text))


def repr_of(value: object) -> str:
    """All texts in a value of JSON."""
    if isinstance(value, dict):
        return "".join(key + repr_of(item) for key, item in value.items())
    return "".join(map(repr_of, value)) if isinstance(value, list) else str(value)


def test_a_disassembly_of_hostile_names_assembles_to_the_same_bytes(folder: Path) -> None:
    for name in ("a.hwx", "a.anec"):
        container = open_container(folder / name)
        assert container is not None
        text = disassemble(container)
        assert all(line.isprintable() for line in text.split("\n"))
        assert b"".join(assemble(text).file(name[2:])) == (folder / name).read_bytes()


def test_json_of_any_character(capsys: pytest.CaptureFixture[str]) -> None:
    text = "".join(map(chr, (*range(0x300), *range(0x2000, 0x2100), 0xDFFF, 0xD800, 0xE0001, 0x1F600)))
    say_json(json.dumps(text, ensure_ascii=False))
    found = capsys.readouterr().out.rstrip("\n")
    assert found.isprintable()
    assert json.loads(found) == text


def test_only_one_file_writes_to_the_terminal() -> None:
    """Each other one goes through it, so that no verb can forget to escape."""
    for path in sorted(CLI.glob("*.py")):
        found = re.findall(
            r"\bclick\.s?echo\(|\bclick\.secho\(|(?<![\w.])print\(|sys\.std(?:out|err)\.write", path.read_text()
        )
        assert not found or path.name == "_say.py", path.name


@pytest.mark.parametrize("name", ["[/b]", "[bold]x", ":bomb:", "[link=file:///]x[/link]"])
def test_names_are_no_markup(name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither in tables nor where progress is shown, which terminals see only."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    print_table(name, ("a",), [(name,)])
    with working(name):
        pass
    out, err = capsys.readouterr()
    assert out.count(name) == 2
    assert name in err


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are Unicode here")
def test_names_of_files_that_are_no_text(speak: Callable[..., str], folder: Path) -> None:
    """Bytes that are not UTF-8 in the name of a model: every verb goes on, and shows them as escapes."""
    name = os.fsdecode(b"m\xff\xc3")
    shutil.copy(Path(openane.__file__).parent / "data" / "digits.onnx", folder / f"{name}.onnx")
    samples = folder / f"{name} samples"
    samples.mkdir()
    np.savez(samples / f"{name}.npz", image=np.zeros((28, 28)), labels=np.zeros((), np.int64))
    for words in (
        ("info", ".onnx"),
        ("compile", ".onnx", "-o", ".hwx"),
        ("compile", ".onnx", "-o", ".anec", "--dump", " stages"),
        ("dis", ".hwx", "-o", ".s"),
        ("asm", ".s", "-o", " new.hwx"),
        ("diff", ".hwx", " new.hwx"),
        ("convert", ".onnx", " new.mil"),
        ("view", ".onnx", ".hwx", "-o", ".html"),
        ("explain", ".onnx", "--json"),
        ("eval", ".onnx", " samples", "--journal", ".jsonl"),
    ):
        text = speak(*(f"{name}{word}" if word[0] in ". " else word for word in words))
        assert [char for char in text if not char.isprintable() and char != "\n"] == [], words
        assert "error: " not in text, words
