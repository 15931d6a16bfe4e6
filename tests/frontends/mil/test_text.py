"""MIL text: what is read, and what is said about what is not."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.mil_texts import evaluate, graph, program

from openane.core.errors import FormatError, InputError, ModelError, OpenaneError, UnsupportedError
from openane.core.types import DType
from openane.frontends.mil import loads, sniff
from openane.graph import TensorType


def test_a_program_becomes_a_graph_with_its_names() -> None:
    found = graph(
        'tensor<fp32, [2, 3]> y = add(x = x, y = z)[name = string("sum")];',
        "tensor<fp32, [2, 3]> x, tensor<fp32, [2, 3]> z",
    )
    assert list(found.inputs) == ["x", "z"]
    assert found.inputs["x"] == TensorType((2, 3), DType.FLOAT32)
    assert found.outputs == ("y",)
    assert [node.name for node in found.nodes] == ["sum"]
    assert found.nodes[0].origin.layers == ("sum",)


def test_comments_escapes_and_number_forms() -> None:
    body = """
    // a comment, with "quotes" and ( brackets
    /* over
       two lines */
    tensor<fp32, [6]> c = const()[name = string("a \\"b\\" \\n"),
      val = tensor<fp32, [6]>([0x1p-1, -2, 3.5e1, .25, -inf, 0x10])];
    tensor<fp32, [6]> y = add(x = x, y = c)[name = string("y")];
    """
    value = evaluate(body, "tensor<fp32, [6]> x", x=np.zeros(6, np.float32))
    assert value.tolist() == [0.5, -2.0, 35.0, 0.25, -math.inf, 16.0]


def test_arguments_without_names_follow_the_order_of_the_operation() -> None:
    found = graph("tensor<fp32, [2, 3]> y = leaky_relu(x, fp32(0.5))[];")
    assert found.evaluate({"x": np.full((2, 3), -2.0)})["y"].tolist() == [[-1.0] * 3] * 2


def test_several_results_and_several_outputs() -> None:
    body = """
    int32 axis = const()[name = string("axis"), val = int32(1)];
    tensor<fp32, [2, 1]> a, tensor<fp32, [2, 2]> b = split(
      x = x, split_sizes = tensor<int32, [2]>([1, 2]), axis = axis)[name = string("s")];
    """
    found = graph(body, results="b, a")
    values = found.evaluate({"x": np.arange(6.0).reshape(2, 3)})
    assert found.outputs == ("b", "a")
    assert values["a"].tolist() == [[0.0], [3.0]]
    assert values["b"].tolist() == [[1.0, 2.0], [4.0, 5.0]]


def test_tuples_of_values_and_constants() -> None:
    body = """
    tensor<fp32, [1, 3]> c = const()[name = string("c"), val = tensor<fp32, [1, 3]>([[7, 8, 9]])];
    tensor<fp32, [3, 3]> y = concat(values = (x, c), axis = int32(0), interleave = bool(false))[name = string("y")];
    """
    assert evaluate(body, "tensor<fp32, [2, 3]> x", x=np.zeros((2, 3)))[2].tolist() == [7, 8, 9]


def test_older_spelling_of_constants() -> None:
    body = """
    tensor<int32, []> axis = const()[name = tensor<string, []>("axis"), val = tensor<int32, []>(-1)];
    tensor<fp16, [2, 3]> y = softmax(axis = axis, x = x)[name = tensor<string, []>("y")];
    """
    value = graph(body, "tensor<fp16, [2, 3]> x").evaluate({"x": np.zeros((2, 3), np.float16)})["y"]
    np.testing.assert_allclose(value, 1 / 3, rtol=1e-3)


def test_integers_of_another_width_are_converted() -> None:
    found = graph("tensor<int32, [2]> y = reduce_argmax(x = x, axis = int32(1), keep_dims = bool(false))[];")
    value = found.evaluate({"x": np.array([[1.0, 5.0, 2.0], [9.0, 0.0, 0.0]])})["y"]
    assert found.types["y"].dtype is DType.INT32
    assert value.tolist() == [1, 0]


def test_an_open_extent_takes_the_size_that_is_given() -> None:
    text = program("tensor<fp32, [2, 3]> y = relu(x = x)[];", "tensor<fp32, [?, 3]> x")
    assert loads(text, shapes={"x": (2, 3)}).inputs["x"].shape == (2, 3)
    with pytest.raises(UnsupportedError, match=r"model.mil:4:\d+: input 'x' has no fixed shape"):
        loads(text)
    with pytest.raises(InputError, match="the shape does not fit input 'x'"):
        loads(text, shapes={"x": (2, 4)})
    with pytest.raises(InputError, match="the program has no such input"):
        loads(text, shapes={"z": (2, 4)})


BAD = {
    "not mil": ("hello", "model.mil:1:1: expected 'program\\(VERSION\\)' at the start"),
    "unfinished": ("program(1.0)\n{ func main<ios18>(", r"model.mil:2:\d+: expected a type"),
    "strange character": (program("€"), "model.mil:5:1: unexpected character"),
    "comment without end": (program("/* "), "comment without an end"),
    "text without end": (program('string y = const()[val = string("a)];'), "text without an end"),
    "wrong count": (
        program("tensor<fp32, [3]> c = const()[val = tensor<fp32, [3]>([1, 2])];"),
        r"model.mil:5:37: a constant of type tensor<fp32, \[3\]> has the wrong number of elements \(found 2; allow",
    ),
    "wrong rows": (
        program("tensor<fp32, [2, 2]> c = const()[val = tensor<fp32, [2, 2]>([[1], [2], [3]])];"),
        "a list of the wrong length",
    ),
    "too large for its type": (
        program("tensor<int8, [1]> c = const()[val = tensor<int8, [1]>([200])];"),
        r"not a number of type int8 \(found 200; allowed: -128..127\)",
    ),
    "text for a number": (program('fp32 c = const()[val = fp32("a")];'), "expected a number of type fp32"),
    "unknown element type": (program("tensor<fp8, [1]> c = const()[val = fp32(1)];"), "unknown element type 'fp8'"),
    "argument twice": (program("tensor<fp32, [2, 3]> y = relu(x = x, x = x)[];"), "argument 'x' is given twice"),
    "no semicolon": (program("tensor<fp32, [2, 3]> y = relu(x = x)[]"), "expected ';'"),
    "control flow": (
        program("tensor<fp32, [2, 3]> y = cond(pred = x) { }[];"),
        "operation 'cond' has a block of its own",
    ),
    "no value": (program("tensor<fp32, [2]> c = const()[];"), "a constant without 'val'"),
    "a number of more than 64 bits": (
        program("tensor<fp32, [2, 3]> y = add(x = x, y = 18446744073709551616)[];"),
        r"model.mil:5:\d+: an integer has more than 64 bits",
    ),
    **{
        f"a weight file from {offset}": (
            program(
                'fp32 c = const()[val = tensor<fp32, [1]>(BLOBFILE(path = string("@model_path/weights.bin"), '
                f"offset = {offset}))];"
            ),
            "expected BLOBFILE",
        )
        for offset in ("fp32(nan)", "fp32(1e999)", "fp32(64)", "tensor<uint64, [0]>([])", "bool(true)", 'string("a")')
    },
}


@pytest.mark.parametrize("case", BAD)
def test_bad_text_is_refused_at_its_place(case: str) -> None:
    text, message = BAD[case]
    with pytest.raises(FormatError, match=message):
        loads(text)


REFUSED = {
    "unknown operation": (
        "tensor<fp32, [2, 3]> y = relus(x = x)[];",
        UnsupportedError,
        "'relus' cannot be read.*Is 'relu' meant",
    ),
    "unknown value": (
        "tensor<fp32, [2, 3]> y = relu(x = q)[];",
        ModelError,
        "reads 'q', which nothing before it defines",
    ),
    "missing argument": ("tensor<fp32, [2, 3]> y = add(x = x)[];", ModelError, "argument 'y' is missing"),
    "other shape": (
        "tensor<fp32, [3, 2]> y = relu(x = x)[];",
        ModelError,
        r"not what the text declares.*float32\[2,3\]",
    ),
    "other type": ("tensor<fp16, [2, 3]> y = relu(x = x)[];", ModelError, "not what the text declares"),
    "defined twice": ("tensor<fp32, [2, 3]> x = relu(x = x)[];", ModelError, "'x' is defined twice"),
    "axis out of range": (
        "tensor<fp32, [2, 3]> y = softmax(x = x, axis = int32(2))[];",
        ModelError,
        "axis is out of range",
    ),
    "axis at run time": (
        "tensor<fp32, [2, 3]> y = softmax(x = x, axis = x)[];",
        UnsupportedError,
        "argument 'axis' is not constant",
    ),
    "axis between two": (
        "tensor<fp32, [2, 3]> y = softmax(x = x, axis = fp32(0.5))[];",
        ModelError,
        "must be an integer",
    ),
    "axes between two": (
        "tensor<fp32, [2, 3]> y = reduce_sum(x = x, axes = tensor<fp32, [1]>([0.5]), keep_dims = bool(true))[];",
        ModelError,
        "must be integers",
    ),
    "too many arguments": ("tensor<fp32, [2, 3]> y = relu(x, x)[];", ModelError, "too many arguments without a name"),
    "never computed": ("tensor<fp32, [2, 3]> z = relu(x = x)[];", ModelError, "result 'y' is never computed"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused_with_its_place(case: str) -> None:
    body, kind, message = REFUSED[case]
    with pytest.raises(kind, match=message) as found:
        loads(program(body))
    if case != "never computed":
        assert "model.mil:5:" in str(found.value)


def test_deep_nesting_and_long_numbers_are_refused_at_once() -> None:
    with pytest.raises(FormatError, match="nested too deep"):
        loads(program(f"fp32 c = const()[val = fp32({'[' * 5000}1{']' * 5000})];"))
    with pytest.raises(FormatError, match="not a number"):
        loads(program(f"fp32 c = const()[val = fp32({'1' * 100_000})];"))
    with pytest.raises(FormatError, match="too large"):
        loads(program("", "tensor<fp32, [4000000000, 4000000000]> x"))


TEXT = program('fp32 c = const()[val = fp32(2)];\n tensor<fp32, [2, 3]> y = mul(x = x, y = c)[name = string("y")];')


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(TEXT) - 1), st.integers(0, 40), st.text('(){}[]<>,;="x0- ', max_size=4))
def test_damaged_text_gives_one_error_or_a_graph(start: int, length: int, instead: str) -> None:
    try:
        loads(TEXT[:start] + instead + TEXT[start + length :])
    except OpenaneError as error:
        assert "\n" not in str(error)


def test_sniffing_looks_through_comments(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "a.txt"
    path.write_text("// made by hand\n/* really */ program (1.0)\n")
    assert sniff(path)
    path.write_text("programs(1.0)")
    assert not sniff(path)
    (tmp_path / "model.mil").write_text(TEXT)
    assert sniff(tmp_path)
