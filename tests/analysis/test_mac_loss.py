"""The predicted loss of the MAC array against published errors, and against the simulator on random layers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from openane.analysis.mac_loss import Activations, MacLoss, losses_of_net, predict_losses
from openane.analysis.sampled_sums import sample
from openane.backend.sums import sums_of
from openane.cli.explain import command
from openane.compiler.driver import Options, build
from openane.graph import Graph, Node, TensorType
from openane.graph import ops as g
from openane.net.net import Net, TensorShape, Unit, UnitParams
from openane.net.units import ConvParams, LinearParams, MatMulParams, Pads
from openane.targets.h13.engine import TARGET
from openane.targets.target import CompileOptions, RunOptions

FACTOR = 1.2
"""Within which the prediction agrees; by its number of samples 6 % is one standard deviation."""
PUBLISHED_PRODUCTS = {
    (64, 256, 256): 0.0012522854527169441,
    (256, 512, 512): 0.0025780039702379166,
    (256, 1024, 1024): 0.005528352999597531,
    (256, 2048, 2048): 0.012131920427695623,
    (256, 4096, 4096): 0.027237621125542195,
}
"""Rows, inner, columns; the 256 columns that are drawn here stand for all."""
PUBLISHED_CONVOLUTIONS = {64: 0.0003671660721200675, 128: 0.00037520404231831836, 256: 0.0003900783744201331}
"""3x3 with as many input and output channels."""


def net_of(params: UnitParams, *shapes: TensorShape) -> Net:
    inputs = {f"x{number}": each for number, each in enumerate(shapes)}
    return Net("net", inputs, {"out": "y"}, (Unit("y", params, tuple(inputs)),))


def predicted(net: Net, activations: Activations = Activations.GIVEN, **inputs: np.ndarray) -> MacLoss:
    (loss,) = losses_of_net(net, inputs, activations)
    return loss


PAGE = (Path(__file__).parents[2] / "docs" / "simulator.md").read_text()


def row(name: str, published: float, loss: MacLoss, digits: int) -> str:
    """A line of the table of the page about the simulator."""
    return f"| {name} | {published:.{digits}f} | {loss.expected_error:.{digits}f} | {loss.vanishing:.1%} |"


@pytest.mark.parametrize("sizes", PUBLISHED_PRODUCTS)
def test_published_errors_of_products_are_predicted(sizes: tuple[int, int, int]) -> None:
    rows, inner, outer = sizes
    random = np.random.default_rng(0)
    x = random.standard_normal((rows, inner)).astype(np.float32) / np.sqrt(inner)
    weight = random.standard_normal((256, inner)).astype(np.float32) / np.sqrt(inner)
    loss = predicted(net_of(LinearParams(weight), TensorShape(1, 1, rows, inner)), x0=x)
    assert 1 / FACTOR < loss.expected_error / PUBLISHED_PRODUCTS[sizes] < FACTOR
    assert loss.ideal_error == pytest.approx(0.00036, rel=0.1)
    assert loss.headroom > 1000
    assert loss.rescaled_error < 1e-5 and "--rescale" in loss.remedy
    assert row(f"product {rows} x {inner} x {outer}", PUBLISHED_PRODUCTS[sizes], loss, 5) in PAGE


@pytest.mark.parametrize("channels", PUBLISHED_CONVOLUTIONS)
def test_published_errors_of_convolutions_are_predicted(channels: int) -> None:
    random = np.random.default_rng(1)
    x = random.standard_normal((1, channels, 64, 64)).astype(np.float32)
    kernel = random.standard_normal((channels, channels, 3, 3)).astype(np.float32) * np.sqrt(2 / (channels * 9))
    loss = predicted(net_of(ConvParams(kernel, pads=Pads(1, 1, 1, 1)), TensorShape(1, channels, 64, 64)), x0=x)
    assert 1 / FACTOR < loss.expected_error / PUBLISHED_CONVOLUTIONS[channels] < FACTOR
    assert not loss.remedy
    assert row(f"convolution {channels}", PUBLISHED_CONVOLUTIONS[channels], loss, 6) in PAGE


@settings(max_examples=12, deadline=None, derandomize=True)
@given(data=st.data())
def test_the_simulator_loses_what_is_predicted(data: st.DataObject) -> None:
    """Layers small enough in value that the array loses most of the error."""
    number = st.integers
    groups, per_group, outputs = (data.draw(number(1, 3)), data.draw(number(2, 6)), data.draw(number(4, 8)))
    kernel, step = (
        (data.draw(number(1, 3)), data.draw(number(1, 3))),
        (data.draw(number(1, 2)), data.draw(number(1, 2))),
    )
    random = np.random.default_rng(data.draw(number(0, 99)))
    params = ConvParams(
        (random.standard_normal((groups * outputs, per_group, *kernel)) / 8).astype(np.float16),
        step,
        pads=Pads(*(data.draw(number(0, size - 1)) for size in (kernel[0],) * 2 + (kernel[1],) * 2)),
        groups=groups,
    )
    shape = TensorShape(1, groups * per_group, 12, 14)
    x = (random.standard_normal(shape.ndchw) / 64).astype(np.float16)
    net = net_of(params, shape)
    found = TARGET.machine(TARGET.lower(net, CompileOptions()), RunOptions(threads=1)).run({"x0": x})["out"]
    wanted = net.evaluate({"x0": x.astype(np.float64)})["out"]
    measured = np.linalg.norm(found - wanted) / np.linalg.norm(wanted)
    assert 1 / 1.25 < predicted(net, x0=x).expected_error / measured < 1.25


CONVOLUTIONS = {
    "plain": ConvParams(np.zeros((6, 4, 3, 2)), pads=Pads(1, 0, 1, 1)),
    "strides and dilation": ConvParams(np.zeros((6, 4, 3, 2)), (2, 3), (2, 1), Pads(2, 1, 0, 1)),
    "groups": ConvParams(np.zeros((6, 2, 3, 3)), groups=2),
    "transposed": ConvParams(np.zeros((6, 4, 3, 4)), (2, 3), (1, 2), Pads(1, 1, 2, 0), transposed=True),
    "transposed groups": ConvParams(np.zeros((6, 2, 2, 2)), (2, 2), groups=2, transposed=True),
    "matrix": LinearParams(np.zeros((5, 7))),
    "tensors": MatMulParams(),
    "transposed tensors": MatMulParams(transpose_a=True, transpose_b=True),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_sampled_sums_are_results_of_the_layer(name: str) -> None:
    params, random = CONVOLUTIONS[name], np.random.default_rng(3)
    shapes = [TensorShape(2, 4, 9, 7)]
    if isinstance(params, ConvParams):
        params = ConvParams(
            random.standard_normal(params.kernel.shape),
            params.step,
            params.dilation,
            params.pads,
            params.groups,
            params.transposed,
        )
    elif isinstance(params, LinearParams):
        params = LinearParams(random.standard_normal(params.weight.shape))
    else:
        shapes = [TensorShape(2, 4, 9, 7), TensorShape(2, 4, 7, 5)]
        if params.transpose_a:
            shapes = [TensorShape(2, 4, 7, 9), TensorShape(2, 4, 5, 7)]
    bottoms = [random.standard_normal(shape.ndchw) for shape in shapes]
    sums = sums_of(params)
    assert sums is not None
    sampled = sample(sums, bottoms, shapes)
    results = np.sort(params.evaluate(bottoms).reshape(-1))
    totals = (sampled.x * sampled.weight).sum(1) + sampled.bias
    nearest = np.clip(np.searchsorted(results, totals), 1, len(results) - 1)
    gap = np.minimum(np.abs(results[nearest] - totals), np.abs(results[nearest - 1] - totals))
    assert gap.max() < 1e-5
    assert len(np.unique(np.round(totals, 6))) > 50


def test_assumed_activations_have_variance_one() -> None:
    weight = np.random.default_rng(0).standard_normal((64, 1024)).astype(np.float32) / 32
    net = net_of(LinearParams(weight), TensorShape(1, 1, 8, 1024))
    x = np.random.default_rng(1).standard_normal((8, 1024))
    assumed = predicted(net, Activations.ASSUMED)
    assert assumed.activations is Activations.ASSUMED and assumed.doublings == 0
    assert assumed.error == pytest.approx(predicted(net, x0=x).error, rel=0.2)


def test_a_zero_layer_loses_nothing() -> None:
    assert not list(
        losses_of_net(net_of(LinearParams(np.zeros((4, 8))), TensorShape(1, 1, 2, 8)), {}, Activations.ASSUMED)
    )


def model(scale: float) -> Graph:
    weight = np.random.default_rng(0).standard_normal((256, 64)).astype(np.float32) * np.float32(scale)
    nodes = (
        Node("scores", g.MatMul(), ("x", "w"), ("s",)),
        Node("weights", g.Softmax(1), ("s",), ("p",)),
        Node("sums", g.MatMul(), ("p", "v"), ("y",)),
    )
    values = np.random.default_rng(1).standard_normal((64, 16)).astype(np.float32) / 64
    return Graph("model", {"x": TensorType((32, 256))}, ("y",), nodes, {"w": weight, "v": values})


def test_the_worst_layer_comes_first_with_a_remedy() -> None:
    x = {"x": np.random.default_rng(2).standard_normal((32, 256)).astype(np.float32)}
    losses = predict_losses(build(model(0.05), Options()), x, Activations.MADE_UP)
    assert [loss.layer for loss in losses] == ["sums", "scores"]
    worst, best = losses
    assert worst.doublings > 0 and worst.rescaled_error < worst.error / 50
    assert worst.remedy.startswith(f"Compile with --rescale: its kernel times 2^{worst.doublings}")
    assert best.doublings == 0


def test_explain_lists_the_losses(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    weight = np.random.default_rng(0).standard_normal((512, 64)).astype(np.float32) / 2000
    made = onnx.helper.make_model(
        onnx.helper.make_graph(
            [onnx.helper.make_node("MatMul", ["x", "w"], ["y"], name="product")],
            "model",
            [onnx.helper.make_tensor_value_info("x", 1, [8, 512])],
            [onnx.helper.make_tensor_value_info("y", 1, [8, 64])],
            [onnx.numpy_helper.from_array(weight, "w")],
        ),
        opset_imports=[onnx.helper.make_opsetid("", 17)],
    )
    onnx.save(made, str(tmp_path / "m.onnx"))
    np.save(tmp_path / "x.npy", np.random.default_rng(1).standard_normal((8, 512)).astype(np.float32))
    file, runner = str(tmp_path / "m.onnx"), CliRunner()
    text = runner.invoke(command, [file]).output
    assert "what the MAC array loses, worst first (generated inputs)" in text and "--calibrate" in text
    found = {
        name: json.loads(runner.invoke(command, [file, "--json", *arguments]).output)["mac_losses"][0]
        for name, arguments in (("given", ["--calibrate", str(tmp_path / "x.npy")]), ("assumed", ["--no-hazards"]))
    }
    assert found["given"]["activations"] == "given inputs" and found["given"]["doublings"] > 0
    assert found["assumed"]["activations"] == "assumed: variance 1"
    assert found["given"]["layer"] == "product" and found["given"]["error"] > found["given"]["rescaled_error"]
