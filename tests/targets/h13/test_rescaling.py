"""Rescaled kernels on the simulator: what is lost without, what is left with, and that no sum overflows."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.h13_nets import random_inputs, shape, simulate, single, weights

import openane
from openane.artifact.cache import Cache
from openane.artifact.options import LIKE_APPLE, Options
from openane.artifact.plan import EngineStep
from openane.backend.passes.rescaling import sum_bounds
from openane.backend.pipeline import fused, rescaled
from openane.backend.ranges import bounds
from openane.backend.sums import sums_of
from openane.cli import main
from openane.compiler.cached_build import build_cached, key_of
from openane.compiler.driver import build, save
from openane.core.errors import InputError
from openane.core.types import DType
from openane.graph import Graph, Node, TensorType, ops
from openane.net.net import Net, Unit
from openane.net.plist import write_net
from openane.net.units import (
    ConcatParams,
    ConvParams,
    Dimension,
    ElementWiseKind,
    ElementWiseParams,
    GOCParams,
    InputViewParams,
    LayerNormParams,
    LinearParams,
    MatMulParams,
    NeuronKind,
    NeuronParams,
    Pads,
    ReductionKind,
    ReductionParams,
    ReshapeParams,
    SoftmaxParams,
    TransposeParams,
)
from openane.numerics.limits import HALF_SMALLEST, HALF_SMALLEST_NORMAL, SUM_LIMIT
from openane.program import Program
from openane.targets.h13.engine import TARGET
from openane.targets.target import CompileOptions, RunOptions

sys.path.insert(0, str(Path(__file__).parents[3] / "bench"))

import language_blocks

W = Dimension.WIDTH
SAME = Pads(1, 1, 1, 1)
SMALL = 2.0**-7
FORMS = {
    "dense": (ConvParams(weights(24, 16, 3, 3), pads=SAME), shape(16, 9, 11)),
    "stride 2": (ConvParams(weights(32, 16, 3, 3), (2, 2), pads=SAME), shape(16, 9, 11)),
    "depthwise": (ConvParams(weights(24, 1, 3, 3), pads=SAME, groups=24), shape(24, 10, 10)),
    "grouped": (ConvParams(weights(24, 6, 3, 3), pads=SAME, groups=4), shape(24, 8, 8)),
    "dilation": (ConvParams(weights(16, 8, 3, 3), dilation=(12, 12), pads=Pads(12, 12, 12, 12)), shape(8, 16, 15)),
    "high kernel": (ConvParams(weights(8, 4, 64, 1), (1, 4), pads=Pads(30, 30, 0, 0)), shape(4, 200, 1)),
    "large kernel": (ConvParams(weights(8, 8, 15, 15), pads=Pads(7, 7, 7, 7)), shape(8, 20, 20)),
    "transposed": (ConvParams(weights(8, 6, 4, 4), (2, 2), pads=SAME, transposed=True), shape(6, 7, 9)),
    "linear": (LinearParams(weights(48, 96)), shape(1, 16, 96)),
    "tiled linear": (LinearParams(weights(256, 256)), shape(1, 64, 256)),
    "chain": (LinearParams(weights(64, 64)), shape(1, 8, 64)),
}


def after(params: ConvParams | LinearParams, function: NeuronKind | None, bias: bool) -> tuple[Unit, ...]:
    units = [Unit("y", params, ("x0",))]
    if bias:
        count = params.kernel.shape[0] if isinstance(params, ConvParams) else 1
        units.append(Unit("b", GOCParams(1.0, np.linspace(-SMALL, SMALL, count) if count > 1 else SMALL), ("y",)))
    if function is not None:
        units.append(Unit("f", NeuronParams(function), (units[-1].name,)))
    return tuple(units)


def relative(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.linalg.norm(found.astype(np.float64) - wanted) / np.linalg.norm(wanted))


def small_run(
    name: str, function: NeuronKind | None
) -> tuple[Net, Mapping[str, np.ndarray], Program, dict[str, np.ndarray]]:
    """A form with small inputs, its program with rescaled kernels, and the results of that."""
    params, extents = FORMS[name]
    units = after(params, function, bias=function is not None)
    net = Net("net", {"x0": extents}, {"out": units[-1].name}, units)
    inputs = {key: (array * SMALL).astype(np.float16) for key, array in random_inputs(net).items()}
    program = TARGET.lower(net, CompileOptions(rescale=True, calibration=inputs))
    return net, inputs, program, simulate(program, inputs)


@pytest.mark.parametrize("function", [None, NeuronKind.RELU])
@pytest.mark.parametrize("name", FORMS)
def test_small_activations_keep_their_bits(name: str, function: NeuronKind | None) -> None:
    net, inputs, _, found = small_run(name, function)
    wanted = net.evaluate({key: array.astype(np.float64) for key, array in inputs.items()})["out"]
    left = relative(found["out"], wanted)
    assert left < 4e-4
    assert left < relative(simulate(TARGET.lower(net, CompileOptions()), dict(inputs))["out"], wanted)


@pytest.mark.parametrize("name", ["dense", "linear"])
def test_a_table_reads_the_sum_after_post_scale(name: str) -> None:
    net, inputs, _, found = small_run(name, NeuronKind.TANH)
    wanted = net.evaluate({key: array.astype(np.float64) for key, array in inputs.items()})["out"]
    lost = relative(simulate(TARGET.lower(net, CompileOptions()), dict(inputs))["out"], wanted)
    left = relative(found["out"], wanted)
    assert left < lost


@pytest.mark.parametrize("name", ["depthwise", "chain"])
def test_both_candidate_roundings_of_post_scale_agree(name: str) -> None:
    """PostScale is a power of two: only subnormal results may differ, by a last place."""
    _, inputs, program, found = small_run(name, NeuronKind.RELU)
    machine = TARGET.machine(program, RunOptions(threads=1, profile={"post_scale": "fp16-sum"}))
    first, second = (outputs["out"].astype(np.float64) for outputs in (found, machine.run(inputs)))
    normal = np.abs(first) >= HALF_SMALLEST_NORMAL
    assert normal.any() and np.array_equal(first[normal], second[normal])
    assert np.abs(first - second).max() <= HALF_SMALLEST


def published_product(rows: int, inner: int, outputs: int) -> tuple[Net, dict[str, np.ndarray], np.ndarray]:
    random = np.random.default_rng(0)
    x = random.standard_normal((rows, inner)).astype(np.float32) / np.float32(np.sqrt(inner))
    weight = random.standard_normal((outputs, inner)).astype(np.float32) / np.float32(np.sqrt(inner))
    net = single(LinearParams(weight), shape(1, rows, inner))
    return net, {"x0": x.astype(np.float16).reshape(1, 1, 1, rows, inner)}, x.astype(np.float64) @ weight.T


def test_a_published_product_becomes_ideal() -> None:
    """64 x 256 x 256: .00125228 on an M1 Max; ideal fp16 is .00035618."""
    net, inputs, wanted = published_product(64, 256, 256)
    plain = simulate(TARGET.lower(net, CompileOptions()), inputs)["out"]
    scaled = simulate(TARGET.lower(net, CompileOptions(rescale=True, calibration=inputs)), inputs)["out"]
    assert relative(plain.reshape(wanted.shape), wanted) == pytest.approx(0.0012522854527169441, rel=1e-14)
    assert relative(scaled.reshape(wanted.shape), wanted) == pytest.approx(0.00035618, rel=1e-3)


# Proven bounds -----------------------------------------------------------------------------------------

BOUNDED = {
    "softmax": (Unit("a", SoftmaxParams(W), ("x",)),),
    "norm": (Unit("a", LayerNormParams(frozenset({W})), ("x",)),),
    "norm without a mean": (Unit("a", LayerNormParams(frozenset({W}), center=False), ("x",)),),
    "norm and gain": (
        Unit("n", LayerNormParams(frozenset({W})), ("x",)),
        Unit("a", GOCParams(np.float32([3.0]), 0.0), ("n",)),
    ),
    "sigmoid": (Unit("a", NeuronParams(NeuronKind.SIGMOID), ("x",)),),
    "clamp": (Unit("a", NeuronParams(NeuronKind.CLAMP, 2.0, 6.0), ("x",)),),
    "clamp around zero": (Unit("a", NeuronParams(NeuronKind.CLAMP, -6.0, 6.0), ("x",)),),
    "gate": (
        Unit("n", LayerNormParams(frozenset({W})), ("x",)),
        Unit("g", NeuronParams(NeuronKind.SILU), ("n",)),
        Unit("a", ElementWiseParams(ElementWiseKind.MULT), ("n", "g")),
    ),
    "sum": (
        Unit("n", LayerNormParams(frozenset({W})), ("x",)),
        Unit("s", SoftmaxParams(W), ("x",)),
        Unit("a", ElementWiseParams(ElementWiseKind.SUB, 2.0), ("n", "s")),
    ),
    "average of rows": (
        Unit("n", LayerNormParams(frozenset({W})), ("x",)),
        Unit("s", MatMulParams(transpose_b=True), ("n", "n")),
        Unit("p", SoftmaxParams(W), ("s",)),
        Unit("a", MatMulParams(), ("p", "n")),
    ),
    "heads": (
        Unit("n", LayerNormParams(frozenset({W})), ("x",)),
        Unit("r", ReshapeParams(shape(1, 32, 16)), ("n",)),
        Unit("a", ReshapeParams(shape(1, 16, 32)), ("r",)),
    ),
    "turned": (
        Unit("n", LayerNormParams(frozenset({W})), ("x",)),
        Unit("t", TransposeParams((0, 1, 4, 3, 2)), ("n",)),
        Unit("c", ConvParams(weights(32, 32, 1, 1)), ("t",)),
        Unit("a", TransposeParams((0, 1, 4, 3, 2)), ("c",)),
    ),
    "joined": (
        Unit("n", LayerNormParams(frozenset({W})), ("x",)),
        Unit("v", InputViewParams(W, 3, 20), ("n",)),
        Unit("j", ConcatParams(W), ("v", "n")),
        Unit("a", InputViewParams(W, 10, 32), ("j",)),
    ),
    "reduced": (
        Unit("n", LayerNormParams(frozenset({W})), ("x",)),
        Unit("m", ReductionParams(ReductionKind.SUM, frozenset({Dimension.HEIGHT})), ("n",)),
        Unit("a", ConcatParams(Dimension.HEIGHT), ("m",) * 16),
    ),
}
SPIKE = np.zeros((1, 1, 1, 16, 32), np.float16)
SPIKE[..., 5] = 1000.0
EVEN = np.tile(np.where(np.arange(32) % 2, -300.0, 300.0), (1, 1, 1, 16, 1)).astype(np.float16)
HUGE = np.full((1, 1, 1, 16, 32), 60000.0, np.float16)
NORMAL = np.random.default_rng(0).standard_normal((1, 1, 1, 16, 32)).astype(np.float16)
ADVERSARIES = {"spike": SPIKE, "even": EVEN, "huge": HUGE, "normal": NORMAL, "small": NORMAL * np.float16(1e-3)}


def after_bounded(name: str, weight: np.ndarray) -> Net:
    units = (*BOUNDED[name], Unit("y", LinearParams(weight), ("a",)))
    return Net("net", {"x": shape(1, 16, 32)}, {"out": "y"}, units)


@pytest.mark.parametrize("name", BOUNDED)
def test_bounds_hold_for_adversarial_inputs(name: str) -> None:
    """Weights that follow the sign of a row make the sums as large as they get."""
    for x in ADVERSARIES.values():
        known = after_bounded(name, weights(8, 32)).evaluate({"x": x.astype(np.float64)}, keep=["a"])["a"]
        net = after_bounded(name, np.concatenate([weights(8, 32), np.sign(known[0, 0, 0, :4])]))
        limits, largest = bounds(net), sum_bounds(net, {})
        for unit, bottoms, result in net.trace({"x": x.astype(np.float64)}):
            limit, sums = limits[unit.name], sums_of(unit.params)
            assert np.abs(result).max() <= limit.peak * (1 + 1e-6)
            if limit.dimension is not None:
                axis = limit.dimension.axis
                assert np.sqrt(np.square(result).sum(axis)).max() <= limit.norm * (1 + 1e-6)
                assert np.abs(result).sum(axis).max() <= limit.total * (1 + 1e-6)
            if sums is not None and sums.kernel is not None:
                assert sums.magnitudes(bottoms).max() <= largest[unit.name]


@pytest.mark.parametrize("name", ["softmax", "norm", "norm and gain", "sigmoid", "clamp", "gate"])
def test_a_proven_kernel_is_rescaled_and_never_overflows(name: str) -> None:
    for x in ADVERSARIES.values():
        known = after_bounded(name, weights(8, 32)).evaluate({"x": x.astype(np.float64)}, keep=["a"])["a"]
        net = after_bounded(name, np.concatenate([weights(8, 32), np.sign(known[0, 0, 0, :8]) / 32]))
        whole = rescaled(fused(net, TARGET.spec), TARGET.spec, {})
        assert whole.units[-1].params.rescale > 0  # type: ignore[attr-defined]
        found = simulate(TARGET.lower(net, CompileOptions(rescale=True)), {"x": x})["out"]
        plain = simulate(TARGET.lower(net, CompileOptions()), {"x": x})["out"]
        assert np.array_equal(np.isfinite(found), np.isfinite(plain))


def test_the_exponent_is_the_largest_that_is_safe() -> None:
    """Sigmoids are at most 1: the sum of magnitudes of the weights is the bound, doubled for the engine's errors."""
    for total in (0.7, 1.0, 3.0, 1000.0):
        net = after_bounded("sigmoid", np.full((4, 32), total / 32, np.float32))
        exponent = rescaled(fused(net, TARGET.spec), TARGET.spec, {}).units[-1].params.rescale  # type: ignore[attr-defined]
        assert 2 * total * 2.0**exponent < SUM_LIMIT
        assert 2 * total * 2.0 ** (exponent + 1) * 1.01 >= SUM_LIMIT or exponent == 14


def test_without_a_bound_nothing_changes() -> None:
    net = single(LinearParams(weights(8, 32)), shape(1, 16, 32))
    assert TARGET.lower(net, CompileOptions(rescale=True)).constants == TARGET.lower(net, CompileOptions()).constants


def test_sums_that_already_overflow_stay() -> None:
    net = single(LinearParams(np.ones((8, 32), np.float16)), shape(1, 16, 32))
    program = TARGET.lower(
        net, CompileOptions(rescale=True, calibration={"x0": np.full((1, 1, 1, 16, 32), 5000.0, np.float16)})
    )
    assert program.constants == TARGET.lower(net, CompileOptions()).constants


# Choices -----------------------------------------------------------------------------------------------


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "net.plist"
    write_net(after_bounded("norm", weights(16, 32)), path)
    return path


def test_like_apple_does_not_rescale(model: Path, tmp_path: Path) -> None:
    files = [tmp_path / f"{name}.hwx" for name in ("plain", "apple", "scaled")]
    for file, options in zip(
        files, (Options(), Options(**{"rescale": True, **LIKE_APPLE}), Options(rescale=True)), strict=True
    ):
        save(build(model, options), file)
    assert files[0].read_bytes().replace(b"accurate", b"") != files[2].read_bytes().replace(b"accurate", b"")
    assert (
        build(model, Options()).program.constants
        == build(model, replace(Options(rescale=True), **LIKE_APPLE)).program.constants
    )
    assert build(model, Options(rescale=True)).program.constants != build(model, Options()).program.constants


def test_the_cache_knows_the_choice(model: Path, tmp_path: Path) -> None:
    assert key_of(model, Options()) != key_of(model, Options(rescale=True))
    x = {"x": np.zeros((1, 1, 1, 16, 32), np.float32)}
    assert key_of(model, Options(rescale=True, calibration=x)) is None
    cache = Cache(tmp_path / "cache")
    first = build_cached(model, Options(rescale=True), cache).program.constants
    assert build_cached(model, Options(), cache).program.constants != first
    assert build_cached(model, Options(rescale=True), cache).program.constants == first


def test_compile_prints_the_gain_and_info_the_choice(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, array = tmp_path / "net.hwx", tmp_path / "x.npy"
    np.save(array, NORMAL)
    main(["compile", str(model), "-o", str(out), "--rescale"])
    assert "rescaled 1 of 1 kernels" in capsys.readouterr().out
    main(["info", str(out)])
    assert "kernels rescaled, bounds on their sums proven" in capsys.readouterr().out
    main(["compile", str(model), "-o", str(out), "--rescale", "--calibrate", f"x={array}", "--json"])
    gain = json.loads(capsys.readouterr().out)["rescale"]
    assert gain["rescaled"] == gain["kernels"] == 1 and gain["worst_rescaled_error"] < gain["worst_error"]
    main(["info", str(out), "--json"])
    assert json.loads(capsys.readouterr().out)["rescale"] == "calibrated"


def test_calibration_that_does_not_fit_is_refused(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    array = tmp_path / "x.npy"
    np.save(array, NORMAL[..., :7])
    arguments = ["compile", str(model), "-o", str(tmp_path / "net.hwx"), "--calibrate", f"x={array}"]
    with pytest.raises(SystemExit):
        main(arguments)
    assert "--calibrate needs --rescale" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*arguments, "--rescale"])
    message = " ".join(capsys.readouterr().err.split())
    assert "does not fit the input 'x' (found 112 elements; allowed: an array of 512 elements)" in message
    assert not (tmp_path / "net.hwx").exists()
    with pytest.raises(SystemExit):
        main(["compile", str(model), "-o", str(tmp_path / "other.plist"), "--rescale"])
    assert "a net.plist has units before rescaling" in capsys.readouterr().err


# Products of two tensors -------------------------------------------------------------------------------


def attention(keys: int, biased: bool) -> Net:
    """One head over many keys: a softmax of scores times values that a linear layer makes of normalized rows."""
    value = Unit("v", LinearParams(weights(32, 32, seed=5) / 128), ("n",))
    bias = (Unit("vb", GOCParams(1.0, SMALL), ("v",)),) if biased else ()
    units = (
        Unit("n", LayerNormParams(frozenset({W})), ("x",)),
        Unit("q", LinearParams(weights(32, 32, seed=4)), ("n",)),
        Unit("k", LinearParams(weights(32, 32, seed=6)), ("n",)),
        value,
        *bias,
        Unit("s", MatMulParams(transpose_b=True), ("q", "k")),
        Unit("p", SoftmaxParams(W), ("s",)),
        Unit("y", MatMulParams(), ("p", "vb" if biased else "v")),
    )
    return Net("net", {"x": shape(1, keys, 32)}, {"out": "y"}, units)


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("calibrated", [False, True])
def test_values_of_an_attention_are_doubled_and_its_product_halved(calibrated: bool, biased: bool) -> None:
    """Probabilities of 1 / 512 times small values lose much; a kernel that is rescaled itself makes the values."""
    net = attention(512, biased)
    x, other = np.random.default_rng(7).standard_normal((2, 1, 1, 1, 512, 32)).astype(np.float16)
    options = CompileOptions(rescale=True, calibration={"x": other} if calibrated else {})
    wanted = net.evaluate({"x": x.astype(np.float64)})["out"]
    plain, scaled = TARGET.lower(net, CompileOptions()), TARGET.lower(net, options)
    assert len(plain.tasks) == len(scaled.tasks)
    lost, left = (relative(simulate(program, {"x": x})["out"], wanted) for program in (plain, scaled))
    assert left < lost / 2, (lost, left)
    whole = rescaled(fused(net, TARGET.spec), TARGET.spec, options.calibration)
    found = whole.evaluate({"x": x.astype(np.float64)})["out"]
    assert np.abs(found - wanted).max() < 1e-5 * np.abs(wanted).max()


def test_an_operand_that_others_read_stays() -> None:
    net = attention(64, biased=False)
    units = (*net.units, Unit("z", NeuronParams(NeuronKind.RELU), ("v",)))
    shown = replace(net, units=units, outputs={"out": "y", "other": "z"})
    x = {"x": np.random.default_rng(7).standard_normal((1, 1, 1, 64, 32)).astype(np.float64)}
    whole = rescaled(fused(shown, TARGET.spec), TARGET.spec, {})
    before, after = shown.evaluate(x), whole.evaluate(x)
    for name in shown.outputs:
        assert np.abs(after[name] - before[name]).max() < 1e-5 * np.abs(before[name]).max()


# Models ------------------------------------------------------------------------------------------------


GAINED = {"bert": 1.0, "gpt2": 0.5, "llama": 0.8}
"""Share of the error that is left at most; the sums of a BERT with unit inputs lose little at this size."""


@pytest.mark.parametrize("name", language_blocks.BLOCKS)
def test_blocks_of_language_models_gain_with_proven_bounds_and_more_with_data(name: str) -> None:
    graph = language_blocks.BLOCKS[name](16, 128, 4)
    (kind,) = graph.inputs.values()
    deviation = language_blocks.DEVIATIONS[name]
    x, other = (np.random.default_rng(8).standard_normal((2, *kind.shape)) * deviation).astype(np.float32)
    wanted = graph.evaluate({"x": x.astype(np.float64)})[graph.outputs[0]].astype(np.float64)

    def error(**choices: Any) -> float:
        return relative(openane.run(graph, {"x": x}, host=False, **choices)[graph.outputs[0]], wanted)

    plain, proven, calibrated = error(), error(rescale=True), error(rescale=True, calibration={"x": other})
    assert proven < 1.05 * plain
    assert calibrated < 1.05 * proven
    assert calibrated < GAINED[name] * plain, (plain, proven, calibrated)


def test_calibration_reaches_programs_after_host_steps() -> None:
    """The second product reads what the host computes; the graph is run to calibrate it."""
    small = np.array(1 / 64, np.float32)
    nodes = (
        Node("first", ops.MatMul(), ("x", "a"), ("p",)),
        Node("place", ops.ArgMax(1), ("p",), ("i",)),
        Node("cast", ops.Cast(DType.FLOAT32), ("i",), ("c",)),
        Node("scaled", ops.Mul(), ("c", "s"), ("f",)),
        Node("second", ops.MatMul(), ("f", "b"), ("y",)),
    )
    constants = {"a": weights(64, 64).astype(np.float32), "b": weights(64, 64).astype(np.float32), "s": small}
    graph = Graph("steps", {"x": TensorType((1, 64, 64))}, ("y",), nodes, constants)
    x = {"x": np.random.default_rng(9).standard_normal((1, 64, 64)).astype(np.float32)}
    artifact = build(graph, Options(rescale=True, calibration=x))
    assert {step.program.notes["rescale"] for step in artifact.plan.steps if isinstance(step, EngineStep)} == {
        "calibrated"
    }
    with pytest.raises(InputError, match="there is no input 'z'"):
        build(graph, Options(rescale=True, calibration={"z": x["x"]}))
