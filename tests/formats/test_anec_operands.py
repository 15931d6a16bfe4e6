"""Operands of .anec files: names that survive, and roles that every library reads alike."""

from __future__ import annotations

import importlib.util
import json
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from tests.support.onnx_models import model, node, value

import openane
from openane.cli import root
from openane.core.errors import FormatError, InputError
from openane.formats.anec import read_anec, write_anec
from openane.formats.anec_operands import operands_path
from openane.targets.assembly import disassemble, open_container

IDLE = 0x8880


def save(folder: Path, name: str, nodes: Sequence[onnx.NodeProto], shapes: dict[str, list[int]], *out: str) -> Path:
    path = folder / f"{name}.onnx"
    onnx.save(model(nodes, [value(n, s) for n, s in shapes.items()], out), path)
    return path


@pytest.fixture(scope="module")
def attention(tmp_path_factory: pytest.TempPathFactory) -> Path:
    nodes = [
        node("MatMul", ["q", "k"], ["scores"]),
        node("Softmax", ["scores"], ["weights"]),
        node("MatMul", ["weights", "v"], ["y"]),
    ]
    shapes = {"q": [1, 2, 16, 32], "k": [1, 2, 32, 16], "v": [1, 2, 16, 32]}
    return save(tmp_path_factory.mktemp("models"), "attention", nodes, shapes, "y")


@pytest.fixture(scope="module")
def matmul(tmp_path_factory: pytest.TempPathFactory) -> Path:
    shapes = {"a": [1, 1, 16, 24], "b": [1, 1, 24, 40]}
    return save(tmp_path_factory.mktemp("models"), "matmul", [node("MatMul", ["a", "b"], ["y"])], shapes, "y")


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two outputs, one of them read again, a plain input and one that is an operand of a matmul."""
    nodes = [
        node("Relu", ["x"], ["r"]),
        node("MatMul", ["r", "b"], ["m"]),
        node("Add", ["m", "c"], ["s"]),
    ]
    shapes = {"b": [1, 1, 24, 24], "c": [1, 1, 16, 24], "x": [1, 1, 16, 24]}
    return save(tmp_path_factory.mktemp("models"), "several", nodes, shapes, "r", "s")


def roles_of_the_stream(data: bytes, header_bytes: int) -> tuple[list[int], list[int]]:
    """Outputs and inputs as a library finds them in the task stream: written and read by tile DMA, then the others."""
    _, first, count, _, _, inputs, outputs = struct.unpack_from("<QIIQQII", data)
    tiles = struct.unpack_from("<32I", data, 40)
    read, written, offset, size = set(), set(), header_bytes, first
    for _ in range(count):
        words = struct.unpack_from(f"<{size // 4}I", data, offset)
        registers, position = {}, 10 + ((words[9] & 3) == 3)
        while position < len(words):
            length, address = (words[position] >> 26) + 1, words[position] & 0x3FFFFFF
            registers.update(zip(range(address, address + 4 * length, 4), words[position + 1 :], strict=False))
            position += 1 + length
        for register, shift, found in ((0x13800, 0, read), (0x13804, 6, read), (0x17800, 12, written)):
            channel = words[8] >> shift & 31
            if registers.get(register, IDLE) != IDLE and channel >= 4:
                found.add(channel)
        offset, size = header_bytes + words[7], 4 * ((words[1] >> 16 & 0x1FF) + 1)
    results, sources = sorted(written), sorted(read - written)
    for channel in range(4, 32):
        if tiles[channel] and channel not in written | read:
            (results if len(results) < outputs else sources).append(channel)
    assert len(sources) == inputs
    return results, sources


@pytest.mark.parametrize("name", ["attention", "matmul", "several"])
@pytest.mark.parametrize("header_bytes", [0x1000, 0x800])
def test_every_library_finds_the_same_operands(
    name: str, header_bytes: int, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    path = tmp_path / "m.anec"
    openane.compile(request.getfixturevalue(name)).save(path, header_bytes=header_bytes)
    facts = json.loads(operands_path(path).read_bytes())
    found = roles_of_the_stream(path.read_bytes(), header_bytes)
    assert found == tuple([each["buffer"] for each in facts[role]] for role in ("outputs", "inputs"))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the script leaves files open
def test_the_recorded_reading_of_the_newer_library(shared: Path, attention: Path, matmul: Path, tmp_path: Path) -> None:
    source = shared / "cases" / "linux" / "bind.py"
    if not source.is_file():
        pytest.skip(f"{source.name} is missing")
    spec = importlib.util.spec_from_file_location("bind", source)
    assert spec is not None
    assert spec.loader is not None
    bind = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bind)
    for each in (attention, matmul):
        path = tmp_path / "m.anec"
        openane.compile(each).save(path)
        assert bind.check(str(path))[1] == []


def test_names_survive(attention: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.anec"
    artifact = openane.compile(attention)
    artifact.save(path)
    program = openane.load(path)
    assert {surface.name for surface in program.inputs} == {"q", "k", "v"}
    assert program.name == artifact.program.name
    rng = np.random.default_rng(0)
    inputs = {n: rng.standard_normal(kind.shape).astype(np.float16) for n, kind in artifact.plan.inputs.items()}
    expected = openane.run(artifact, {n: array.astype(np.float32) for n, array in inputs.items()})["y"]
    found = openane.run(path, inputs)["y"]
    np.testing.assert_array_equal(found.reshape(expected.shape), expected.astype(np.float16))
    operands_path(path).unlink()
    assert {surface.name for surface in openane.load(path).inputs} == {"input0", "input1", "input2"}


def test_a_text_describes_the_container_without_names(matmul: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.anec"
    openane.compile(matmul).save(path)
    file = open_container(path)
    assert file is not None
    text = disassemble(file)
    assert '"input0"' in text
    assert openane.assemble(text) == path.read_bytes()


CHANGES: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "another file": (lambda f: f["anec"].update(sha256="0" * 64), r"does not belong to m\.anec.*Remove it"),
    "another size": (lambda f: f["anec"].update(bytes=3), r"does not belong to m\.anec"),
    "a newer schema": (lambda f: f.update(schema=2), "another schema.*found 2; allowed: 1"),
    "another format": (lambda f: f.update(format="names"), "not the expected one"),
    "a missing list": (lambda f: f.pop("inputs"), "'inputs' is missing"),
    "an unknown type": (lambda f: f["inputs"][0].update(type="float8"), "inputs/0/type.*float8.*float16, int8"),
    "one name twice": (lambda f: f["inputs"][0].update(name=f["inputs"][1]["name"]), "one name or buffer"),
    "a buffer of tasks": (lambda f: f["inputs"][0].update(buffer=0), "out of range"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_operands_that_do_not_fit(matmul: Path, tmp_path: Path, name: str) -> None:
    path = tmp_path / "m.anec"
    openane.compile(matmul).save(path)
    facts = json.loads(operands_path(path).read_bytes())
    change, message = CHANGES[name]
    change(facts)
    operands_path(path).write_text(json.dumps(facts))
    with pytest.raises(FormatError, match=message):
        openane.load(path)
    read_anec(path.read_bytes())  # the file itself is sound


@pytest.mark.parametrize("text", ["", "{", "3", "[" * 100_000])
def test_operands_that_are_not_json(matmul: Path, tmp_path: Path, text: str) -> None:
    path = tmp_path / "m.anec"
    openane.compile(matmul).save(path)
    operands_path(path).write_text(text)
    with pytest.raises(FormatError, match=r"m\.anec\.json"):
        openane.load(path)


@pytest.mark.parametrize(("option", "size"), [("0x800", 0x800), ("0X1000", 0x1000), ("2048", 0x800)])
def test_both_headers(matmul: Path, tmp_path: Path, option: str, size: int) -> None:
    path = tmp_path / "m.anec"
    result = CliRunner().invoke(root, ["compile", str(matmul), "-o", str(path), "--header", option, "--no-cache"])
    assert result.exit_code == 0, result.output
    assert "input 0" in result.output
    assert f"header of {size:#x} bytes" in result.output
    assert read_anec(path).header_bytes == size
    assert path.stat().st_size == size + read_anec(path).header.body_bytes
    facts = json.loads(CliRunner().invoke(root, ["info", str(path), "--json"]).output)
    assert facts["named"]
    assert {tensor["name"] for tensor in facts["tensors"]} == {"a", "b", "y"}


@pytest.mark.parametrize("option", ["0x900", "4K", "", "-1"])
def test_other_headers(matmul: Path, tmp_path: Path, option: str) -> None:
    path = tmp_path / "m.anec"
    result = CliRunner().invoke(root, ["compile", str(matmul), "-o", str(path), "--header", option, "--no-cache"])
    assert isinstance(result.exception, InputError)
    assert "0x1000 for libane" in str(result.exception)
    assert not path.exists()


def test_a_header_of_another_output(matmul: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.hwx"
    result = CliRunner().invoke(root, ["compile", str(matmul), "-o", str(path), "--header", "0x800", "--no-cache"])
    assert isinstance(result.exception, InputError)
    assert "only a .anec" in str(result.exception)


def test_patch_and_asm_write_operands(matmul: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.anec"
    openane.compile(matmul).save(path)
    for arguments in (
        ["patch", str(path), "task[0].Header.NID=1", "-o", str(tmp_path / "p.anec")],
        ["patch", str(matmul), "task[0].Header.NID=1", "-o", str(tmp_path / "q.anec")],
    ):
        result = CliRunner().invoke(root, arguments)
        assert result.exit_code == 0, result.exception
        program = openane.load(tmp_path / arguments[-1])
        assert [(each.name, each.buffer) for each in program.surfaces] == [("y", 4), ("b", 5), ("a", 6)]
    source = tmp_path / "m.s"
    source.write_text(disassemble(openane.compile(matmul).program))
    assert CliRunner().invoke(root, ["asm", str(source), "-o", str(path)]).exit_code == 0
    assert {surface.name for surface in openane.load(path).inputs} == {"a", "b"}


def test_the_library_form_has_no_names(matmul: Path) -> None:
    surfaces = read_anec(write_anec(openane.compile(matmul).program)).image().surfaces
    assert [surface.name for surface in surfaces] == ["output0", "input0", "input1"]
