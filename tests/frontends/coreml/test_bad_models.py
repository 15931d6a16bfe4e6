"""Damaged, hostile and unsuitable Core ML models: one clear error each."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.coreml_models import network, read, setter

from openane.core.errors import FormatError, InputError, ModelError, OpenaneError, UnsupportedError
from openane.frontends.coreml import load, read_model
from openane.frontends.coreml.proto import module, parse_model

RELU = setter(ReLU=None)


def small() -> Any:
    kernel = np.ones((2, 3, 1, 1))
    return network(
        {"x": (1, 3, 4, 4)},
        {"y": ()},
        (
            "conv",
            "convolution",
            ["x"],
            ["c"],
            setter(outputChannels=2, kernelChannels=3, kernelSize=[1, 1], weights=kernel),
        ),
        ("relu", "activation", ["c"], ["y"], RELU),
    )


@given(st.data())
@settings(deadline=None, derandomize=True, max_examples=300)
def test_damaged_bytes_never_crash(data: st.DataObject) -> None:
    raw = bytearray(small().SerializeToString())
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(raw)))
    with contextlib.suppress(OpenaneError):
        read_model(bytes(raw[:cut]), {})


@pytest.mark.parametrize("data", [b"", b"hello, world", b"\x08\x04", bytes(100)], ids=range(4))
def test_what_is_no_model(data: bytes) -> None:
    with pytest.raises(FormatError, match="not a Core ML model"):
        read_model(data, {})


def test_a_truncated_file_is_named(shared: Path, tmp_path: Path) -> None:
    whole = (shared / "models" / "digits_cnn.mlmodel").read_bytes()
    path = tmp_path / "digits.mlmodel"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FormatError, match=r"digits\.mlmodel: not a Core ML model, or damaged"):
        load(path)


def edit(change: Callable[[Any], object]) -> Any:
    model = small()
    change(model)
    return model


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (lambda m: m.neuralNetwork.ClearField("layers"), ModelError, "no layers"),
        (lambda m: m.neuralNetwork.layers[0].input.__setitem__(0, "z"), ModelError, "reads 'z'"),
        (lambda m: m.neuralNetwork.layers[0].input.__setitem__(0, "y"), ModelError, "reads 'y'"),
        (lambda m: m.neuralNetwork.layers[0].ClearField("output"), ModelError, "no output"),
        (lambda m: m.neuralNetwork.layers[0].ClearField("convolution"), UnsupportedError, "cannot be read"),
        (lambda m: m.description.input[0].type.multiArrayType.shape.__setitem__(1, 5), ModelError, "channels"),
        (
            lambda m: m.description.input[0].type.multiArrayType.shape.__setitem__(1, -5),
            ModelError,
            "impossible extents",
        ),
        (lambda m: m.description.input[0].type.multiArrayType.shape.__setitem__(1, 1 << 40), ModelError, "impossible"),
        (lambda m: m.description.input[0].type.multiArrayType.ClearField("shape"), ModelError, "no shape"),
        (lambda m: m.description.input[0].type.stringType.SetInParent(), UnsupportedError, "tensors and images"),
        (lambda m: m.description.input.append(m.description.input[0]), ModelError, "used twice"),
        (lambda m: m.treeEnsembleClassifier.SetInParent(), UnsupportedError, "kind of Core ML model"),
    ],
)
def test_contradictions(change: Callable[[Any], object], kind: type[OpenaneError], message: str) -> None:
    with pytest.raises(kind, match=message):
        read(edit(change))


def test_shapes_of_inputs_can_be_chosen_where_the_model_leaves_them_open() -> None:
    model = network({"x": (1, 3, 4, 4)}, {"y": ()}, ("relu", "activation", ["x"], ["y"], RELU))
    with pytest.raises(InputError, match="fixed"):
        read(model, {"x": (1, 3, 8, 8)})
    with pytest.raises(InputError, match="no input 'z'"):
        read(model, {"z": (1,)})
    array = model.description.input[0].type.multiArrayType
    for low, high in ((1, 1), (3, 3), (4, 16), (4, -1)):
        array.shapeRange.sizeRanges.add(lowerBound=low, upperBound=high)
    assert read(model).inputs["x"].shape == (1, 3, 4, 4)
    assert read(model, {"x": (1, 3, 16, 100)}).inputs["x"].shape == (1, 3, 16, 100)
    with pytest.raises(InputError, match="does not take this shape"):
        read(model, {"x": (1, 3, 17, 4)})
    array.enumeratedShapes.shapes.add(shape=[1, 3, 8, 8])
    assert read(model, {"x": (1, 3, 8, 8)}).inputs["x"].shape == (1, 3, 8, 8)
    with pytest.raises(InputError, match=r"\[1, 3, 8, 8\]"):
        read(model, {"x": (1, 3, 9, 9)})


# -- packages ---------------------------------------------------------------------------------------------------


@pytest.fixture
def package(shared: Path, tmp_path: Path) -> Path:
    """A copy of the digits package that a test may damage."""
    target = tmp_path / "digits.mlpackage"
    shutil.copytree(shared / "models" / "digits_cnn.mlpackage", target, copy_function=shutil.copyfile)
    for path in [target, *target.rglob("*")]:
        path.chmod(0o755)
    return target


SPECIFICATION = Path("Data", "com.apple.CoreML", "model.mlmodel")
WEIGHTS = Path("Data", "com.apple.CoreML", "weights", "weight.bin")


def test_a_copied_package_is_whole(package: Path) -> None:
    assert load(package).outputs == ("probabilities",)


def rewrite_manifest(package: Path, path: str) -> None:
    manifest = json.loads((package / "Manifest.json").read_text())
    manifest["itemInfoEntries"][manifest["rootModelIdentifier"]]["path"] = path
    (package / "Manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("path", ["../../secret", "/etc/hostname", "a\0b", "..\\x"])
def test_a_root_model_outside_of_the_package(package: Path, path: str) -> None:
    (package.parent / "secret").write_bytes(b"x")
    rewrite_manifest(package, path)
    with pytest.raises(FormatError, match="outside of the package"):
        load(package)


def test_a_link_out_of_the_package(package: Path) -> None:
    outside = package.parent / "outside.mlmodel"
    shutil.move(package / SPECIFICATION, outside)
    (package / SPECIFICATION).symlink_to(outside)
    with pytest.raises(FormatError, match="outside of the package"):
        load(package)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"rootModelIdentifier": 1}', "[" * 100_000, '{"itemInfoEntries": 3}']
)
def test_broken_manifests(package: Path, text: str) -> None:
    (package / "Manifest.json").write_text(text)
    with pytest.raises(FormatError, match="names no root model"):
        load(package)


def test_packages_with_parts_missing(package: Path, tmp_path: Path) -> None:
    (package / WEIGHTS).unlink()
    with pytest.raises(FormatError, match="weight file is missing"):
        load(package)
    (package / SPECIFICATION).unlink()
    with pytest.raises(FormatError, match="root model is missing"):
        load(package)
    (tmp_path / "bare").mkdir()
    with pytest.raises(FormatError, match="no Manifest"):
        load(tmp_path / "bare")
    with pytest.raises(InputError, match="no such file"):
        load(tmp_path / "none.mlmodel")


def test_truncated_and_damaged_weights(package: Path) -> None:
    data = (package / WEIGHTS).read_bytes()
    (package / WEIGHTS).write_bytes(data[: len(data) // 2])
    with pytest.raises(FormatError, match="weight"):
        load(package)
    (package / WEIGHTS).write_bytes(bytes(len(data)))
    with pytest.raises(FormatError, match="weight"):
        load(package)


def edit_program(package: Path, change: Callable[[Any], object]) -> None:
    model = parse_model((package / SPECIFICATION).read_bytes(), "model")
    function = model.mlProgram.functions["main"]
    change(function.block_specializations[function.opset])
    (package / SPECIFICATION).write_bytes(model.SerializeToString())


def constants(block: Any) -> list[Any]:
    return [o.attributes["val"] for o in block.operations if o.type == "const"]


def stored(block: Any) -> Any:
    return next(c for c in constants(block) if c.WhichOneof("value") == "blobFileValue").blobFileValue


def test_classifiers_give_their_probabilities(package: Path) -> None:
    def change(block: Any) -> None:
        step = block.operations.add(type="classify")
        step.inputs["probabilities"].arguments.add(name=block.outputs[0])
        for name in ("label", "label_probs"):
            step.outputs.add(name=name)
        block.outputs[:] = ["label", "label_probs"]

    wanted = load(package)
    edit_program(package, change)
    found = load(package)
    assert found.outputs == ("label_probs",)
    image = {"image": np.ones((1, 1, 28, 28), np.float32)}
    np.testing.assert_array_equal(found.evaluate(image)["label_probs"], wanted.evaluate(image)["probabilities"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: setattr(stored(b), "fileName", "@model_path/../../../secret.bin"), "folder|missing"),
        (lambda b: setattr(stored(b), "fileName", "/etc/hostname"), "folder|missing"),
        (lambda b: setattr(stored(b), "offset", 1 << 50), "weight"),
        (lambda b: setattr(stored(b), "offset", 1), "weight"),
        (lambda b: setattr(b.operations[-1], "type", "no_such_operation"), "no_such_operation"),
        (lambda b: b.outputs.__setitem__(0, "nothing"), "never computed"),
        (lambda b: b.operations[-1].blocks.add(), "with blocks"),
        (lambda b: b.operations[-1].ClearField("outputs"), "defines nothing"),
        (lambda b: b.operations[0].attributes.clear(), "without 'val'"),
        (lambda b: b.operations.append(b.operations[-1]), "defined twice"),
    ],
)
def test_hostile_programs(package: Path, change: Callable[[Any], object], message: str) -> None:
    edit_program(package, change)
    with pytest.raises(OpenaneError, match=message) as caught:
        load(package)
    assert "digits.mlpackage" in str(caught.value)


def test_constants_of_the_wrong_size(package: Path) -> None:
    def change(block: Any) -> None:
        ints = next(c for c in constants(block) if c.immediateValue.tensor.WhichOneof("value") == "ints")
        ints.immediateValue.tensor.ints.values.append(3)

    edit_program(package, change)
    with pytest.raises(FormatError, match="wrong number of elements"):
        load(package)


def test_unknown_extents_need_a_shape(package: Path) -> None:
    model = parse_model((package / SPECIFICATION).read_bytes(), "model")
    array = model.description.input[0].type.multiArrayType
    for low, high in ((1, 8), (1, 1), (28, 28), (28, 28)):
        array.shapeRange.sizeRanges.add(lowerBound=low, upperBound=high)
    kind = model.mlProgram.functions["main"].inputs[0].type.tensorType
    kind.dimensions[0].unknown.variadic = False
    for operation in model.mlProgram.functions["main"].block_specializations["CoreML5"].operations:
        if operation.type == "const":
            continue
        for result in operation.outputs:
            if result.type.tensorType.dimensions:
                result.type.tensorType.dimensions[0].unknown.variadic = False
    (package / SPECIFICATION).write_bytes(model.SerializeToString())
    assert load(package).inputs["image"].shape == (1, 1, 28, 28)
    assert module("MIL_pb2").DataType.Name(kind.dataType) == "FLOAT32"
    with pytest.raises(InputError, match="does not take this shape"):
        load(package, {"image": (9, 1, 28, 28)})
