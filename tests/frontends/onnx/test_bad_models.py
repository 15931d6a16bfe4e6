"""Bad models give one clear error, at once."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tests.support.onnx_models import model, node, value

from openane.compiler.driver import build
from openane.core.errors import FormatError, InputError, ModelError, OpenaneError, UnsupportedError
from openane.frontends.onnx import load, load_model
from openane.runtimes.execution import Execution

X = value("x", [1, 3, 8, 8])


def _external(location: str, offset: int = 0, length: int = 36, dims: tuple[int, ...] = (3, 3)) -> onnx.ModelProto:
    """A model with one weight outside."""
    result = model([node("MatMul", ["x", "w"], ["y"])], [value("x", [2, 3])], ["y"])
    tensor = result.graph.initializer.add()
    tensor.name, tensor.data_type, tensor.data_location = "w", TensorProto.FLOAT, TensorProto.EXTERNAL
    tensor.dims.extend(dims)
    for key, text in (("location", location), ("offset", str(offset)), ("length", str(length))):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, text
    return result


def _weight(dims: tuple[int, ...], data: bytes) -> onnx.ModelProto:
    result = model([node("MatMul", ["x", "w"], ["y"])], [value("x", [2, 3])], ["y"])
    tensor = result.graph.initializer.add()
    tensor.name, tensor.data_type, tensor.raw_data = "w", TensorProto.FLOAT, data
    tensor.dims.extend(dims)
    return result


def _calls_itself() -> onnx.ModelProto:
    body = [helper.make_node("f", ["a"], ["b"], domain="local")]
    function = helper.make_function("local", "f", ["a"], ["b"], body, [helper.make_opsetid("local", 1)])
    call = helper.make_node("f", ["x"], ["y"], domain="local", name="call")
    return model([call], [X], ["y"], functions=[function], domains=["local"])


def _doubling(depth: int) -> onnx.ModelProto:
    """Functions that each call the next one twice."""
    opsets = [helper.make_opsetid("local", 1), helper.make_opsetid("", 17)]
    functions = []
    for i in range(depth):
        inner = f"f{i + 1}" if i + 1 < depth else "Relu"
        domain = "local" if i + 1 < depth else ""
        body = [
            helper.make_node(inner, ["a"], ["t"], domain=domain),
            helper.make_node(inner, ["t"], ["b"], domain=domain),
        ]
        functions.append(helper.make_function("local", f"f{i}", ["a"], ["b"], body, opsets))
    call = helper.make_node("f0", ["x"], ["y"], domain="local", name="call")
    return model([call], [X], ["y"], functions=functions, domains=["local"])


def _nested(depth: int) -> onnx.ModelProto:
    """Branches inside branches."""
    inner = [node("Relu", ["x"], ["out"])]
    other = helper.make_graph([node("Exp", ["x"], ["out"])], "other", [], [value("out", None)])
    for i in range(depth):
        graph = helper.make_graph(inner, f"g{i}", [], [value("out", None)])
        inner = [node("If", ["c"], ["out"], then_branch=graph, else_branch=other, name=f"if{i}")]
    return model(inner, [X], ["out"], {"c": np.array(True)})


Build = Callable[[], onnx.ModelProto]

CASES: dict[str, tuple[Build, type[OpenaneError], str]] = {
    "cycle": (
        lambda: model([node("Relu", ["b"], ["a"]), node("Relu", ["a"], ["b"])], [X], ["b"]),
        ModelError,
        "circle",
    ),
    "own input": (lambda: model([node("Relu", ["a"], ["a"])], [X], ["a"]), ModelError, "circle"),
    "missing weight": (
        lambda: model([node("Conv", ["x", "w"], ["y"])], [X], ["y"]),
        ModelError,
        "'w', which no input, weight or node defines",
    ),
    "missing output": (lambda: model([node("Relu", ["x"], ["y"])], [X], ["z"]), ModelError, "'z' is never computed"),
    "defined twice": (
        lambda: model([node("Relu", ["x"], ["y"]), node("Exp", ["x"], ["y"])], [X], ["y"]),
        ModelError,
        "'y' is defined twice",
    ),
    "no outputs": (lambda: model([node("Relu", ["x"], ["y"])], [X], []), ModelError, "no outputs"),
    "channels": (
        lambda: model([node("Conv", ["x", "w"], ["y"])], [X], ["y"], {"w": np.zeros((4, 5, 3, 3), "f")}),
        ModelError,
        "channels of x and weight differ",
    ),
    "mixed types": (
        lambda: model([node("Add", ["x", "w"], ["y"])], [X], ["y"], {"w": np.zeros(8, np.float64)}),
        ModelError,
        "one element type",
    ),
    "broadcast": (
        lambda: model([node("Add", ["x", "w"], ["y"])], [X], ["y"], {"w": np.zeros(7, "f")}),
        ModelError,
        "do not broadcast",
    ),
    "reshape": (
        lambda: model([node("Reshape", ["x", "s"], ["y"])], [X], ["y"], {"s": np.array([5, 5])}),
        ModelError,
        "another number of elements",
    ),
    "kernel too large": (
        lambda: model([node("MaxPool", ["x"], ["y"], kernel_shape=[9, 9])], [X], ["y"]),
        ModelError,
        "larger than the padded input",
    ),
    "axis": (lambda: model([node("Softmax", ["x"], ["y"], axis=7)], [X], ["y"]), ModelError, "axis is out of range"),
    "groups": (
        lambda: model([node("Conv", ["x", "w"], ["y"], group=0)], [X], ["y"], {"w": np.zeros((4, 3, 1, 1), "f")}),
        ModelError,
        "groups must be positive",
    ),
    "strides": (
        lambda: model(
            [node("Conv", ["x", "w"], ["y"], strides=[0, 1])], [X], ["y"], {"w": np.zeros((4, 3, 1, 1), "f")}
        ),
        ModelError,
        "must be positive",
    ),
    "attribute type": (
        lambda: model([node("Softmax", ["x"], ["y"], axis=1.5)], [X], ["y"]),
        ModelError,
        "checker refuses",
    ),
    "unknown operation": (lambda: model([node("Frobnicate", ["x"], ["y"])], [X], ["y"]), OpenaneError, "Frobnicate"),
    "old opset": (lambda: model([node("Relu", ["x"], ["y"])], [X], ["y"], opset=5), UnsupportedError, "allowed: 6.."),
    "new opset": (lambda: model([node("Relu", ["x"], ["y"])], [X], ["y"], opset=999), UnsupportedError, "found 999"),
    "open dimension": (
        lambda: model([node("Relu", ["x"], ["y"])], [value("x", ["batch", 3, 8, 8])], ["y"]),
        InputError,
        "found [batch,3,8,8]). Fix it, for example with --shape 'x=1,3,8,8'",
    ),
    "no shape": (lambda: model([node("Relu", ["x"], ["y"])], [value("x", None)], ["y"]), InputError, "no shape at all"),
    "negative dimension": (
        lambda: model([node("Relu", ["x"], ["y"])], [value("x", [1, -7])], ["y"]),
        ModelError,
        "dimension is negative",
    ),
    "absurd input": (
        lambda: model([node("Relu", ["x"], ["y"])], [value("x", [1 << 40, 1 << 40])], ["y"]),
        ModelError,
        "absurdly large",
    ),
    "absurd constant": (
        lambda: model([node("ConstantOfShape", ["s"], ["y"])], [X], ["y"], {"s": np.array([1 << 40, 1 << 20])}),
        ModelError,
        "absurdly large",
    ),
    "absurd range": (
        lambda: model(
            [node("Range", ["a", "b", "c"], ["y"])],
            [X],
            ["y"],
            {"a": np.array(0), "b": np.array(1 << 60), "c": np.array(1)},
        ),
        ModelError,
        "absurdly long",
    ),
    "absurd tile": (
        lambda: model([node("Tile", ["x", "r"], ["y"])], [X], ["y"], {"r": np.array([1 << 20] * 4)}),
        ModelError,
        "absurdly large",
    ),
    "absurd pad": (
        lambda: model([node("Pad", ["x", "p"], ["y"])], [X], ["y"], {"p": np.array([0, 0, 0, 0, 0, 0, 0, 1 << 50])}),
        ModelError,
        "absurdly large",
    ),
    "absurd loop": (
        lambda: model(
            [
                node(
                    "Loop",
                    ["n", "c", "x"],
                    ["y"],
                    body=helper.make_graph(
                        [node("Identity", ["k"], ["k2"]), node("Relu", ["v"], ["v2"])],
                        "body",
                        [value("i", [], TensorProto.INT64), value("k", [], TensorProto.BOOL), value("v", None)],
                        [value("k2", [], TensorProto.BOOL), value("v2", None)],
                    ),
                )
            ],
            [X],
            ["y"],
            {"n": np.array(1 << 60), "c": np.array(True)},
        ),
        UnsupportedError,
        "too long to unroll",
    ),
    "reshape by input": (
        lambda: model([node("Reshape", ["x", "s"], ["y"])], [X, value("s", [2], TensorProto.INT64)], ["y"]),
        UnsupportedError,
        "depends on the model's inputs (found 's', computed from 's')",
    ),
    "complex numbers": (
        lambda: model([node("Identity", ["t"], ["y"])], [value("t", [1], TensorProto.COMPLEX64)], ["y"]),
        UnsupportedError,
        "element type without support",
    ),
    "short weight": (lambda: _weight((3, 3), b"\0" * 20), ModelError, "w"),
    "long weight": (lambda: _weight((3, 3), b"\0" * 200), ModelError, "w"),
    "negative weight": (lambda: _weight((-3, 3), b"\0" * 36), ModelError, "egative"),
    "absurd weight": (lambda: _weight((1 << 62, 1 << 62), b"\0" * 36), ModelError, "w"),
    "external without folder": (lambda: _external("w.bin"), FormatError, "external data"),
    "function calls itself": (_calls_itself, ModelError, "recursive"),
    "functions explode": (lambda: _doubling(22), ModelError, "too many nodes"),
    "deep branches": (lambda: _nested(29), OpenaneError, "nested too deeply"),
    "control characters": (
        lambda: model([node("Relu", ["x"], ["y"], name="\x1b[2J\nevil")], [X], ["y"]),
        ModelError,
        "control characters",
    ),
    "long name": (
        lambda: model([node("Relu", ["x"], ["y" * 100_000])], [X], ["y" * 100_000]),
        ModelError,
        "absurdly long",
    ),
    "index out of range": (
        lambda: model([node("Gather", ["w", "i"], ["y"])], [X], ["y"], {"w": np.zeros(3, "f"), "i": np.array([7])}),
        ModelError,
        "index is out of range",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_one_clear_error(name: str) -> None:
    build, kind, text = CASES[name]
    with pytest.raises(kind) as caught:
        load_model(build(), name="model.onnx")
    message = str(caught.value)
    assert text in message
    assert message.startswith("model.onnx: ")
    assert "\n" not in message and len(message) < 1200


#: Models that are read and explained, but not run.
NOT_RUN = {
    "unknown domain": (
        lambda: model([helper.make_node("Magic", ["x"], ["y"], domain="acme", name="n")], [X], ["y"], domains=["acme"]),
        "model: node 'n' (acme.Magic): Neither openane nor onnxruntime computes the operation: onnxruntime: ",
    ),
    "training": (
        lambda: model(
            [node("BatchNormalization", ["x", "a", "a", "a", "a"], ["y"], training_mode=1)],
            [X],
            ["y"],
            {"a": np.ones(3, "f")},
        ),
        "training is not supported",
    ),
}


@pytest.mark.parametrize("name", NOT_RUN)
def test_one_clear_error_when_it_runs(name: str) -> None:
    make, text = NOT_RUN[name]
    artifact = build(load_model(make()))
    with pytest.raises(UnsupportedError) as caught:
        Execution(artifact)
    message = str(caught.value)
    assert text in message and "rule no-implementation" in message
    assert "\n" not in message and len(message) < 1200


def test_all_unknown_operations_are_listed() -> None:
    nodes = [helper.make_node(f"Magic{i}", ["x"], [f"y{i}"], domain="acme", name=f"n{i}") for i in range(3)]
    artifact = build(load_model(model(nodes, [X], ["y0", "y1", "y2"], domains=["acme"])))
    with pytest.raises(UnsupportedError) as caught:
        Execution(artifact)
    assert [d.value for d in caught.value.diagnostics] == [f"acme.Magic{i}" for i in range(3)]


def test_wrong_shapes_given() -> None:
    good = model([node("Relu", ["x"], ["y"])], [value("x", ["n", 3])], ["y"])
    for shapes, text in (
        ({"z": (1, 3)}, "'z', which is not an input"),
        ({"x": (1, 4)}, "does not fit"),
        ({"x": (1, 3, 1)}, "another rank"),
        ({"x": (-1, 3)}, "must not be negative"),
    ):
        with pytest.raises(InputError, match=text):
            load_model(good, shapes)


@pytest.mark.parametrize(
    "location", ["../w.bin", "/etc/passwd", "a/../../w.bin", "..\\w.bin", "C:\\w.bin", "\\\\host\\w.bin", "", "w\0.bin"]
)
def test_external_data_outside(tmp_path: Path, location: str) -> None:
    (tmp_path / "w.bin").write_bytes(bytes(64))
    inside = tmp_path / "folder"
    inside.mkdir()
    path = inside / "m.onnx"
    onnx.save(_external(location), path)
    with pytest.raises(FormatError, match="outside the model's folder"):
        load(path)


def test_external_data_by_links(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(bytes(64))
    inside = tmp_path / "folder"
    inside.mkdir()
    (inside / "w.bin").symlink_to(tmp_path / "w.bin")
    (inside / "sub").symlink_to(tmp_path)
    for location in ("w.bin", "sub/w.bin"):
        onnx.save(_external(location), inside / "m.onnx")
        with pytest.raises(FormatError, match="outside the model's folder"):
            load(inside / "m.onnx")


def test_external_data_is_read(tmp_path: Path) -> None:
    weight = np.arange(9, dtype=np.float32).reshape(3, 3)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "w.bin").write_bytes(bytes(16) + weight.tobytes())
    onnx.save(_external("data/w.bin", 16), tmp_path / "m.onnx")
    assert np.array_equal(load(tmp_path / "m.onnx").constants["w"], weight)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"offset": 1000}, "reaches beyond its file"),
        ({"length": 1 << 60}, "more external data"),
        ({"offset": -4}, "negative place"),
        ({"length": 8}, "another number of elements"),
        ({"location": "none.bin"}, "cannot read external data"),
        ({"location": "."}, "external data"),
        ({"dims": (1 << 20, 1 << 20)}, "absurdly large"),
    ],
)
def test_bad_external_data(tmp_path: Path, change: dict[str, object], text: str) -> None:
    (tmp_path / "w.bin").write_bytes(bytes(64))
    onnx.save(_external(**{"location": "w.bin", **change}), tmp_path / "m.onnx")  # type: ignore[arg-type]
    with pytest.raises(OpenaneError, match=text):
        load(tmp_path / "m.onnx")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes here")
def test_external_data_in_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "w.bin")
    onnx.save(_external("w.bin"), tmp_path / "m.onnx")
    with pytest.raises(OpenaneError, match="not a regular file"):
        load(tmp_path / "m.onnx")


@pytest.mark.parametrize("data", [b"", b"hello", b"\x00" * 100, b"\x08", b"PK\x03\x04", os.urandom(0) + b"\xff" * 64])
def test_not_a_model(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(data)
    with pytest.raises(FormatError, match="not an ONNX model"):
        load(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read"):
        load(tmp_path / "none.onnx")
    with pytest.raises(InputError, match="not a regular file"):
        load(tmp_path)


def _whole_model() -> bytes:
    weights = {"w": np.ones((4, 3, 3, 3), "f"), "b": np.zeros(4, "f"), "s": np.array([1, -1])}
    nodes = [
        node("Conv", ["x", "w", "b"], ["c"], pads=[1, 1, 1, 1]),
        node("Relu", ["c"], ["r"]),
        node("Reshape", ["r", "s"], ["y"]),
    ]
    return bytes(model(nodes, [X], [value("y", [1, 256])], weights).SerializeToString())


def test_truncated_files(tmp_path: Path) -> None:
    data = _whole_model()
    for size in range(0, len(data) - 1, 7):
        path = tmp_path / "m.onnx"
        path.write_bytes(data[:size])
        with pytest.raises(OpenaneError):
            load(path)


def test_damaged_files(tmp_path: Path) -> None:
    """A flipped byte gives a model or an error of ours, nothing else."""
    data, rng = _whole_model(), random.Random(0)
    path = tmp_path / "m.onnx"
    for _ in range(400):
        damaged = bytearray(data)
        for _ in range(rng.choice([1, 1, 1, 4])):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        path.write_bytes(damaged)
        try:
            load(path)
        except OpenaneError as error:
            assert "\n" not in str(error)
