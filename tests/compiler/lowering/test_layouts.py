"""Layouts, names, and the units that should come out where the form matters."""

from __future__ import annotations

import numpy as np
import pytest
from tests.support.lowering_graphs import assert_same_answers, chain

from openane.compiler.lowering import LoweringOptions, lower, why_not
from openane.compiler.lowering.layout import canonical, engine_shape
from openane.core.errors import UnsupportedError
from openane.core.types import DType
from openane.graph import Graph, Node, TensorType
from openane.graph import ops as g
from openane.net import ConvParams, GOCParams, LinearParams, Net

ROWS = LoweringOptions(rows=True)


def array(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def kinds(net: Net) -> list[str]:
    return [unit.params.plist_type for unit in net.units]


def checked(graph: Graph, options: LoweringOptions | None = None) -> Net:
    net = lower(graph, options)
    assert_same_answers(graph, net, {name: array(*kind.shape, seed=9) for name, kind in graph.inputs.items()})
    return net


def test_a_classifier_head_is_a_convolution_with_the_image_as_window() -> None:
    graph = chain(
        {"image": (1, 4, 7, 5)},
        (g.Relu(), "image", "a"),
        (g.Reshape((1, 140)), "a", "flat"),
        (g.MatMul(), "flat", array(140, 10), "product"),
        (g.Add(), "product", array(10, seed=1), "scores"),
        (g.Softmax(1), "scores", "probabilities"),
    )
    net = checked(graph)
    assert kinds(net) == ["Neuron", "Conv", "GOC", "Softmax"]
    assert [unit.name for unit in net.units] == ["a", "product", "scores", "probabilities"]
    conv = net.units[1].params
    assert isinstance(conv, ConvParams)
    assert conv.kernel.shape == (10, 4, 7, 5)


def test_a_window_larger_than_the_engine_takes_is_flattened_to_channels() -> None:
    graph = chain(
        {"image": (1, 2, 4, 14)},
        (g.Relu(), "image", "a"),
        (g.Reshape((1, 112)), "a", "flat"),
        (g.MatMul(), "flat", array(112, 3), "y"),
    )
    net = checked(graph)
    assert kinds(net) == ["Neuron", "Reshape", "Conv"]
    assert net.shapes["y"].ndchw == (1, 1, 3, 1, 1)


def test_a_global_average_meets_the_product_without_a_reshape() -> None:
    graph = chain(
        {"image": (1, 8, 6, 6)},
        (g.ReduceMean((2, 3)), "image", "pooled"),
        (g.Reshape((1, 8)), "pooled", "flat"),
        (g.MatMul(transpose_b=True), "flat", array(3, 8), "product"),
        (g.Add(), "product", array(3), "y"),
    )
    assert kinds(checked(graph)) == ["Reduction", "Conv", "GOC"]


def test_a_vector_lies_in_channels_or_as_a_row() -> None:
    graph = chain({"x": (1, 16)}, (g.MatMul(), "x", array(16, 4), "a"), (g.Add(), "a", array(4), "y"))
    net = checked(graph)
    assert net.inputs["x"].ndchw == (1, 1, 16, 1, 1)
    assert kinds(net) == ["Conv", "GOC"]
    rows = checked(graph, ROWS)
    assert rows.inputs["x"].ndchw == (1, 1, 1, 1, 16)
    assert kinds(rows) == ["Linear", "Constant", "ElementWise"]


def test_matrices_lie_in_height_and_width() -> None:
    graph = chain({"x": (32, 16)}, (g.MatMul(transpose_b=True), "x", array(4, 16), "y"))
    net = checked(graph)
    assert net.inputs["x"].ndchw == (1, 1, 1, 32, 16)
    assert isinstance(net.units[0].params, LinearParams)


@pytest.mark.parametrize(
    ("shape", "rows", "wanted"),
    [
        ((), False, (1, 1, 1, 1, 1)),
        ((7,), False, (1, 1, 7, 1, 1)),
        ((7,), True, (1, 1, 1, 1, 7)),
        ((3, 7), False, (1, 1, 1, 3, 7)),
        ((2, 3, 7), True, (1, 1, 2, 3, 7)),
        ((5, 2, 3, 7), False, (5, 1, 2, 3, 7)),
        ((5, 4, 2, 3, 7), False, (5, 4, 2, 3, 7)),
        ((1, 5, 1, 2, 3, 7), False, (1, 5, 2, 3, 7)),
    ],
)
def test_canonical_layouts(shape: tuple[int, ...], rows: bool, wanted: tuple[int, ...]) -> None:
    assert engine_shape(shape, canonical(shape, rows=rows)).ndchw == wanted


def test_sequences_of_channels_lie_along_width() -> None:
    graph = chain(
        {"x": (2, 6, 20)},
        (g.Conv((2,), (1, 1), (1,)), "x", array(4, 6, 3), array(4), "a"),
        (g.BatchNorm(), "a", *(np.abs(array(4, seed=i)) + 0.5 for i in range(4)), "b"),
        (g.MaxPool((2,), (2,), (0, 0)), "b", "y"),
    )
    net = checked(graph)
    assert net.inputs["x"].ndchw == (2, 1, 6, 1, 20)
    assert kinds(net) == ["Conv", "GOC", "GOC", "Pooling"]


def test_convolution_over_three_axes() -> None:
    graph = chain(
        {"x": (1, 2, 5, 6, 4)},
        (g.Conv((2, 1, 1), (1, 1, 0, 1, 1, 0), (1, 1, 1)), "x", array(3, 2, 3, 3, 2), array(3), "y"),
    )
    assert kinds(checked(graph)).count("Conv") == 1


def test_zeros_in_front_of_a_convolution_become_its_padding() -> None:
    graph = chain(
        {"x": (1, 3, 8, 8)},
        (g.Pad((0, 0, 1, 2, 0, 0, 0, 1)), "x", "padded"),
        (g.Conv((2, 2), (1, 0, 0, 0), (1, 1)), "padded", array(4, 3, 3, 3), "y"),
    )
    net = checked(graph)
    assert kinds(net) == ["Conv"]
    conv = net.units[0].params
    assert isinstance(conv, ConvParams)
    assert conv.pads == (2, 0, 2, 1)


def test_repeated_pixels_are_a_transposed_convolution() -> None:
    resize = g.Resize((1, 3, 8, 12), coordinates=g.Coordinates.ASYMMETRIC, rounding=g.Rounding.FLOOR)
    net = checked(chain({"x": (1, 3, 4, 4)}, (resize, "x", "y")))
    assert kinds(net) == ["Conv"]


def test_more_padding_than_a_window_takes_is_a_unit_of_its_own() -> None:
    conv = g.Conv((4, 1), (40, 0, 3, 0), (1, 1))
    net = checked(chain({"x": (1, 1, 64, 1)}, (conv, "x", array(2, 1, 50, 1), "y")))
    assert kinds(net) == ["Pad", "Conv"]
    small = g.Conv((4, 1), (31, 0, 40, 0), (1, 1))
    assert kinds(checked(chain({"x": (1, 1, 64, 1)}, (small, "x", array(2, 1, 50, 1), "y")))) == ["Conv"]


@pytest.mark.parametrize(
    ("pool", "wanted"),
    [
        (g.AveragePool((9, 7), (9, 7), (0,) * 4), ["Reduction"]),
        (g.MaxPool((9, 7), (1, 1), (0,) * 4), ["Reduction"]),
        (g.MaxPool((2, 2), (7, 5), (0,) * 4), ["Pooling", "InputView", "InputView"]),
        (g.MaxPool((2, 2), (4, 6), (1, 0, 1, 0)), ["Pooling", "InputView", "InputView"]),
        (g.AveragePool((8, 6), (7, 7), (0, 0, 1, 1), count_include_pad=True), ["Pooling"]),
        (g.MaxPool((3, 2), (2, 1), (1, 1, 1, 0), (2, 3)), None),
        (g.AveragePool((3, 2), (2, 1), (1, 1, 1, 0), (2, 3)), None),
        (g.AveragePool((2, 3), (1, 2), (1, 1, 1, 0), (2, 2), True, True), None),
    ],
)
def test_pooling_windows_take_the_engine_s_forms(pool: g.Pooling, wanted: list[str] | None) -> None:
    net = checked(chain({"x": (2, 3, 9, 7)}, (pool, "x", "y")))
    if wanted is None:
        assert "Pooling" not in kinds(net)
    else:
        assert kinds(net) == wanted


@pytest.mark.parametrize(
    "pool",
    [
        g.MaxPool((2, 3, 2), (2, 1, 2), (1, 1, 0, 0, 1, 1)),
        g.AveragePool((2, 3, 2), (1, 2, 2), (1, 1, 0, 0, 1, 1)),
        g.AveragePool((3, 2, 2), (2, 2, 2), (1, 0, 1, 0, 1, 1), (1, 2, 1), True, True),
    ],
)
def test_pooling_over_three_axes(pool: g.Pooling) -> None:
    checked(chain({"x": (2, 3, 5, 6, 7)}, (pool, "x", "y")))


@pytest.mark.parametrize(
    "equation",
    [
        "bhid,bhjd->bhij",
        "bij,bjk->bik",
        "bchw,bdhw->bcd",
        "ij,kj->ki",
        "i,j->ij",
        "...ij,...jk->...ik",
        "abc->cb",
        "ij,jk,kl->il",
    ],
)
def test_sums_of_products(equation: str) -> None:
    extents = dict(zip("abcdhijklw", (2, 3, 4, 2, 3, 4, 5, 2, 3, 4), strict=True))
    terms = equation.split("->")[0].replace("...", "ab").split(",")
    shapes = [tuple(extents[letter] for letter in term) for term in terms]
    names = [f"x{i}" for i in range(len(terms))]
    graph = chain(dict(zip(names, shapes, strict=True)), (g.Einsum(equation), *names, "y"))
    checked(graph)
    if len(terms) > 1:
        constant = chain({"x0": shapes[0]}, (g.Einsum(equation), "x0", *(array(*s) for s in shapes[1:]), "y"))
        checked(constant)


@pytest.mark.parametrize("known", ["", "c", "a", "b", "ca", "cb", "ab"])
def test_choices(known: str) -> None:
    random = np.random.default_rng(1)
    arrays = {"c": random.random((2, 1, 4)) < 0.5, "a": array(3, 4), "b": array(2, 3, 1, seed=2)}
    nodes = (Node("where", g.Where(), ("c", "a", "b"), ("y",)),)
    types = {n: TensorType(v.shape, DType.of(v)) for n, v in arrays.items() if n not in known}
    graph = Graph("choice", types, ("y",), nodes, {n: v for n, v in arrays.items() if n in known})
    assert_same_answers(graph, lower(graph), {name: arrays[name] for name in types})


def test_an_infinite_mask_becomes_the_largest_number() -> None:
    types = {"c": TensorType((4,), DType.BOOL), "x": TensorType((4,), DType.FLOAT64)}
    nodes = (Node("where", g.Where(), ("c", "x", "k"), ("y",)),)
    net = lower(Graph("mask", types, ("y",), nodes, {"k": np.array(-np.inf)}))
    found = net.evaluate({"c": np.array([1.0, 0, 1, 0]), "x": np.arange(4.0)})["y"]
    assert found.ravel().tolist() == [0, -65504, 2, -65504]


def test_constants_of_one_number_or_channels_are_gain_and_offset() -> None:
    graph = chain(
        {"x": (1, 3, 4, 4)},
        (g.Mul(), array(3, 1, 1), "x", "a"),
        (g.Sub(), np.array(2.0), "a", "b"),
        (g.Div(), "b", array(1, 3, 1, 1), "c"),
        (g.Max(), "c", np.array([0.0]), "y"),
    )
    net = checked(graph)
    assert kinds(net) == ["GOC", "GOC", "GOC", "Neuron"]
    assert all(isinstance(unit.params, GOCParams) for unit in net.units[:3])


def test_reshapes_and_copies_cost_nothing() -> None:
    graph = chain(
        {"x": (1, 12)},
        (g.Reshape((1, 3, 2, 2)), "x", "a"),
        (g.Identity(), "a", "b"),
        (g.Relu(), "b", "c"),
        (g.Transpose((0, 1, 3, 2)), "c", "t"),
        (g.Transpose((0, 1, 3, 2)), "t", "u"),
        (g.Reshape((3, 4)), "c", "y"),
        outputs=("y",),
    )
    assert kinds(checked(graph)) in (["Neuron"], ["Reshape", "Neuron"])


def test_an_input_takes_the_shape_its_first_reshape_gives_it() -> None:
    graph = chain(
        {"x": (1, 48)},
        (g.Reshape((1, 3, 4, 4)), "x", "a"),
        (g.Conv(), "a", array(2, 3, 1, 1), "y"),
    )
    net = checked(graph)
    assert kinds(net) == ["Conv"]
    assert net.inputs["x"].ndchw == (1, 1, 3, 4, 4)
    assert net.bindings["x"][0] == (1, 48)


def test_pixel_shuffle_written_with_six_axes() -> None:
    graph = chain(
        {"x": (1, 8, 3, 5)},
        (g.Reshape((1, 2, 2, 2, 3, 5)), "x", "a"),
        (g.Transpose((0, 1, 4, 2, 5, 3)), "a", "b"),
        (g.Reshape((1, 2, 6, 10)), "b", "y"),
    )
    assert kinds(checked(graph)).count("Transpose") == 1


def test_an_output_may_be_an_input_a_constant_or_another_output() -> None:
    graph = chain({"x": (2, 3)}, (g.Identity(), "x", "same"), (g.Relu(), "x", "a"), (g.Reshape((6,)), "a", "b"))
    graph = Graph(graph.name, graph.inputs, ("same", "a", "b", "x", "k"), graph.nodes, {"k": array(4)})
    net = lower(graph)
    assert net.outputs["same"] == net.outputs["x"] == "x"
    assert_same_answers(graph, net, {"x": array(2, 3)})


def test_truth_values_and_bytes_at_the_border() -> None:
    kinds_in = {"x": TensorType((1, 3, 4, 4), DType.UINT8), "m": TensorType((1, 3, 4, 4), DType.BOOL)}
    nodes = (
        Node("cast", g.Cast(DType.FLOAT32), ("x",), ("f",)),
        Node("where", g.Where(), ("m", "f", "k"), ("y",)),
        Node("less", g.Less(), ("y", "k"), ("z",)),
    )
    graph = Graph("bytes", kinds_in, ("y", "z"), nodes, {"k": np.full((1,), 7, np.float32)})
    net = lower(graph)
    assert net.input_dtypes == {"x": DType.UINT8}
    assert net.bindings["z"] == ((1, 3, 4, 4), DType.BOOL)
    random = np.random.default_rng(0)
    values = {"x": random.integers(0, 255, (1, 3, 4, 4)).astype(np.uint8), "m": random.random((1, 3, 4, 4)) < 0.5}
    wanted, found = graph.evaluate(values), net.evaluate(values)
    np.testing.assert_array_equal(wanted["y"], found["y"].reshape(1, 3, 4, 4))
    np.testing.assert_array_equal(wanted["z"], found["z"].reshape(1, 3, 4, 4) != 0)


def test_all_refusals_are_listed_and_name_their_node() -> None:
    graph = chain(
        {"x": (1, 3, 4, 4), "k": (2, 3, 1, 1)},
        (g.Relu(), "x", "a"),
        (g.Conv(), "a", "k", "b"),
        (g.ReduceProd((2,)), "a", "c"),
        outputs=("b", "c"),
    )
    with pytest.raises(UnsupportedError) as caught:
        lower(graph)
    first, second = caught.value.diagnostics
    assert "node 'n1' (Conv)" in first.where
    assert "must be constant" in first.what
    assert "node 'n2' (ReduceProd)" in second.where
    assert why_not(graph.nodes[0], graph) is None
    assert why_not(graph.nodes[1], graph) == first


def test_ids_that_come_as_floats_stay_off_the_engine() -> None:
    """Half precision would turn large ids into their neighbors."""
    table = array(5000, 4)
    nodes = (
        Node("abs", g.Abs(), ("ids",), ("a",)),
        Node("floor", g.Floor(), ("a",), ("b",)),
        Node("cast", g.Cast(DType.INT64), ("b",), ("c",)),
        Node("gather", g.Gather(0), ("table", "c"), ("d",)),
        Node("relu", g.Relu(), ("d",), ("y",)),
        Node("round", g.Round(), ("y",), ("r",)),
        Node("count", g.Cast(DType.INT64), ("r",), ("n",)),
        Node("used", g.Sqrt(), ("ids",), ("z",)),
    )
    types = {"ids": TensorType((3,), DType.FLOAT32)}
    graph = Graph("ids", types, ("y", "n", "z"), nodes, {"table": table.astype(np.float32)})
    refused = {node.name: why_not(node, graph) for node in nodes}
    assert [name for name, reason in refused.items() if reason is None] == ["relu", "round", "used"]
    assert refused["floor"] is not None
    assert "2048" in refused["floor"].what


def test_values_of_more_than_five_axes_only_pass_through() -> None:
    shape = (2, 2, 3, 2, 2, 2, 2)
    graph = chain(
        {"x": shape, "z": shape},
        (g.Tanh(), "x", "a"),
        (g.Mul(), "a", np.array(2.0), "b"),
        (g.Add(), "b", "z", "c"),
        (g.Transpose((0, 1, 2, 5, 3, 4, 6)), "c", "d"),
        (g.Reshape((12, 16)), "d", "y"),
        outputs=("c", "y"),
    )
    checked(graph)
    softmax = chain({"x": shape}, (g.Softmax(1), "x", "y"))
    reason = why_not(softmax.nodes[0], softmax)
    assert reason is not None
    assert "five dimensions" in reason.what


def test_empty_tensors_are_dropped_or_refused() -> None:
    graph = chain(
        {"x": (2, 4)},
        (g.Split(1, (4, 0)), "x", ("a", "b")),
        (g.Concat(1), "a", "b", "y"),
        outputs=("y",),
    )
    checked(graph)
    assert [why_not(node, graph) for node in graph.nodes] == [None, None]
    with pytest.raises(UnsupportedError, match="empty"):
        lower(Graph(graph.name, graph.inputs, ("y", "b"), graph.nodes, {}))


def test_units_know_the_user_s_layer() -> None:
    graph = chain({"x": (1, 4)}, (g.Softplus(), "x", "a"), (g.Mul(), "a", "a", "y"))
    net = lower(graph)
    assert [str(unit.origin) for unit in net.units] == ["n0", "n1"]


def test_the_same_graph_gives_the_same_net() -> None:
    graph = chain({"x": (1, 3, 4, 4)}, (g.LocalResponseNorm(3), "x", "a"), (g.Softmax(1), "a", "y"))
    first, second = lower(graph), lower(graph)
    assert [(u.name, u.bottoms) for u in first.units] == [(u.name, u.bottoms) for u in second.units]
