"""Inputs on the command line: arrays, archives, JSON and pictures; and files of other kinds, with what helps."""

from __future__ import annotations

import json
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

import openane
from openane.cli import main
from openane.cli._inputs import read_inputs
from openane.compiler.driver import load
from openane.core.errors import InputError, OpenaneError
from openane.graph import TensorType

DIGITS = Path(openane.__file__).parent / "data" / "digits.onnx"
WANTED = {"a": TensorType((1, 3)), "b": TensorType((2,))}
A, B = np.array([[1, 2, 3]], np.float32), np.array([4, 5], np.float32)


def test_an_archive_holds_all_inputs_by_name(tmp_path: Path) -> None:
    path = tmp_path / "all.npz"
    np.savez(path, **{"in:a": A, "in:b": B, "out:y": B})
    found = read_inputs((str(path),), WANTED)
    assert list(found) == ["a", "b"]
    np.savez(path, a=A, c=B)
    with pytest.raises(InputError, match="there is no input 'c'"):
        read_inputs((str(path),), WANTED)


def test_one_array_of_an_archive(tmp_path: Path) -> None:
    path = tmp_path / "one.npz"
    np.savez(path, a=A, other=B)
    np.testing.assert_array_equal(read_inputs((f"a={path}",), WANTED)["a"], A)
    with pytest.raises(InputError, match="the file has no array 'b'"):
        read_inputs((f"b={path}",), WANTED)


def test_json_holds_all_inputs_or_one(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps({"a": A.tolist(), "b": B.tolist()}))
    np.testing.assert_array_equal(read_inputs((str(path),), WANTED)["b"], B)
    path.write_text(json.dumps(B.tolist()))
    np.testing.assert_array_equal(read_inputs((f"b={path}",), WANTED)["b"], B)
    for text in ("[[1], [2, 3]]", '["x"]', "{", "null"):
        path.write_text(text)
        with pytest.raises(InputError, match=r"array of numbers|cannot read the JSON"):
            read_inputs((f"b={path}",), WANTED)


def test_a_picture_gets_the_size_and_range_of_the_input(tmp_path: Path, shared: Path) -> None:
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    path = tmp_path / "white.png"
    image.new("RGB", (10, 20), "white").save(path)
    (array,) = read_inputs((str(path),), {"x": TensorType((1, 3, 4, 6))}).values()
    assert array.shape == (1, 3, 4, 6) and array.max() == 1
    (array,) = read_inputs((f"x={path}",), {"x": TensorType((1, 4, 6, 3))}).values()
    assert array.shape == (1, 4, 6, 3)
    with pytest.raises(InputError, match="does not take a picture"):
        read_inputs((f"a={path}",), WANTED)


def test_a_model_that_takes_pictures_gets_their_values(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    tools = pytest.importorskip("coremltools", reason="coremltools is not installed")
    from coremltools.models import datatypes
    from coremltools.models.neural_network import NeuralNetworkBuilder
    from coremltools.models.neural_network.utils import make_image_input

    builder = NeuralNetworkBuilder([("x", datatypes.Array(3, 4, 6))], [("y", datatypes.Array(3, 4, 6))])
    builder.add_activation("relu", "RELU", "x", "y")
    model = make_image_input(
        tools.models.MLModel(builder.spec, skip_model_load=True), "x", image_format="NCHW", scale=1 / 255
    )
    file, picture = tmp_path / "m.mlmodel", tmp_path / "white.png"
    model.save(str(file))
    image.new("RGB", (10, 20), "white").save(picture)
    with openane.Session(file) as session:
        arrays = read_inputs((str(picture),), session.inputs, file)
        assert arrays["x"].max() == 255
        assert session.predict(arrays)["y"].max() == pytest.approx(1, rel=1e-3)


def safetensors() -> bytes:
    head = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    return struct.pack("<Q", len(head)) + head + b"\0" * 4


def graph_def() -> bytes:
    node = b"\x0a\x01x\x12\x0bPlaceholder"
    return b"\x0a" + bytes([len(node)]) + node + b"\x22\x03\x08\xe8\x07"


FOREIGN = {
    "m.tflite": (b"\x1c\0\0\0TFL3" + bytes(20), "tf2onnx.convert --tflite"),
    "m.pb": (graph_def(), "tf2onnx.convert --graphdef"),
    "m.safetensors": (safetensors(), "export it with torch"),
    "m.gguf": (b"GGUF\x03\0\0\0" + bytes(16), "export it with torch"),
    "m.onnx": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n", "git lfs pull"),
    "m.png": (b"\x89PNG\r\n\x1a\n" + bytes(20), "--input NAME=FILE"),
    "m.jpg": (b"\xff\xd8\xff\xe0" + bytes(20), "--input NAME=FILE"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_files_of_other_kinds_say_what_helps(tmp_path: Path, name: str) -> None:
    content, hint = FOREIGN[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(OpenaneError) as error:
        load(tmp_path / name)
    assert hint in error.value.diagnostic.hint


def test_a_zipped_model_is_to_be_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "m.mlpackage.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m.mlpackage/Data/com.apple.CoreML/model.mlmodel", b"x")
    with pytest.raises(InputError, match="unzip"):
        load(path)


@pytest.mark.parametrize("address", ["https://example.com/m.onnx", "s3://bucket/m.onnx"])
def test_an_address_is_to_be_downloaded(address: str) -> None:
    for source in (address, Path(address)):
        with pytest.raises(InputError, match="Download it first"):
            load(source)


def test_future_operator_sets_name_the_newest(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    model = onnx.load(str(DIGITS))
    model.opset_import[0].version = 99
    onnx.save(model, str(tmp_path / "future.onnx"))
    with pytest.raises(OpenaneError, match=f"opset_version={onnx.defs.onnx_opset_version()}"):
        load(tmp_path / "future.onnx")


def test_two_question_marks_are_two_dimensions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    make, kind = onnx.helper, onnx.TensorProto.FLOAT
    ends = [make.make_tensor_value_info(name, kind, ["?", "?", "n"]) for name in "xy"]
    graph = make.make_graph([make.make_node("Relu", ["x"], ["y"])], "g", [ends[0]], [ends[1]])
    path = tmp_path / "open.onnx"
    onnx.save(make.make_model(graph, opset_imports=[make.make_opsetid("", 18)], ir_version=9), str(path))
    found = load(path, shapes={"x": (2, 3, 4)})
    assert found.inputs["x"].shape == (2, 3, 4)  # type: ignore[union-attr]
    main_ok(["info", str(path)])
    assert "float32[?,?,n]" in capsys.readouterr().out
    main_ok(["info", str(path), "--shape", "x=2,3,4"])
    assert "operations" in capsys.readouterr().out


def main_ok(arguments: list[str]) -> None:
    try:
        main(arguments)
    except SystemExit as stop:
        assert not stop.code
