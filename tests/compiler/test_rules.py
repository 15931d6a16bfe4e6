"""Every rule of the registry refuses just beyond its limit and compiles at it, and nothing refuses without a rule."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from click.testing import CliRunner

from openane.artifact.options import Options
from openane.artifact.plan import HostStep
from openane.backend.machine import MachineSpec
from openane.backend.units.families import BY_PARAMS
from openane.cli.limits import command
from openane.compiler.driver import build
from openane.compiler.rules import limits
from openane.core.choices import AllowedEncodings
from openane.core.errors import Diagnostic, UnsupportedError
from openane.core.rules import MEANINGS, RULES, Rule, RuleKind, rule
from openane.core.types import DType
from openane.graph import Graph, Node, Operation, TensorType
from openane.graph import ops as g
from openane.net import units as u
from openane.net.net import Net, TensorShape, Unit, UnitParams
from openane.targets.h13.engine import H13, TARGET
from openane.targets.h13.spec import MACHINE
from openane.targets.target import CompileOptions

D = u.Dimension

Example = Graph | Net | Callable[[], object]
"""What a rule takes or refuses: a model, a network of units, or a step of the compiler alone."""


class Smaller(H13):
    """H13 with lower limits, where programs at the real ones would take minutes or gigabytes."""

    def __init__(self, changes: Mapping[str, int]) -> None:
        self._spec = replace(MACHINE, **changes)  # type: ignore[arg-type]

    @property
    def spec(self) -> MachineSpec:
        return self._spec


@dataclass(frozen=True)
class Boundary:
    """Two examples as close to each other as the limit allows.

    Attributes:
        accepted: makes one at the limit.
        refused: makes one beyond it.
        changes: limits of the generation that are lower here.
    """

    accepted: Callable[[], Example]
    refused: Callable[[], Example]
    changes: Mapping[str, int] = field(default_factory=dict)
    evidence: AllowedEncodings = AllowedEncodings.ANY

    def broken(self, example: Example) -> list[Diagnostic]:
        """The findings of the compiler."""
        try:
            if isinstance(example, Graph):
                steps = build(example, Options()).plan.steps
                return [each for step in steps if isinstance(step, HostStep) for each in step.reasons.values()]
            if isinstance(example, Net):
                Smaller(self.changes).lower(example, CompileOptions(evidence=self.evidence))
            else:
                example()
        except UnsupportedError as error:
            return list(error.diagnostics)
        return []


def onnx_node() -> g.OnnxNode:
    """A node of an ONNX model, from a tensor of (2, 3) to another."""
    operation = next(g.OnnxNode.cases()).operation
    assert isinstance(operation, g.OnnxNode)
    return operation


# Examples ------------------------------------------------------------------------------------------------------------


def ones(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


def half(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float16)


def graph(
    *operations: Operation, of: tuple[int, ...] | TensorType, w: tuple[np.ndarray | tuple[int, ...], ...] = ()
) -> Graph:
    """A chain of operations on x; `w` are further operands of each, constants or shapes of inputs."""
    types = {"x": of if isinstance(of, TensorType) else TensorType(of, DType.FLOAT32)}
    constants = {f"w{i}": each for i, each in enumerate(w) if isinstance(each, np.ndarray)}
    types |= {f"w{i}": TensorType(each, DType.FLOAT32) for i, each in enumerate(w) if not isinstance(each, np.ndarray)}
    known = types | {name: TensorType(each.shape, DType.of(each)) for name, each in constants.items()}
    nodes: list[Node] = []
    last = "x"
    for number, operation in enumerate(operations):
        operands = (last, *(f"w{i}" for i in range(len(w)))) if number == len(operations) // 2 else (last,)
        made = operation.infer([known[name] for name in operands])
        outputs = tuple(f"n{number}_{i}" for i in range(len(made)))
        known |= dict(zip(outputs, made, strict=True))
        nodes.append(Node(f"n{number}", operation, operands, outputs))
        last = outputs[0]
    return Graph("boundary", types, nodes[-1].outputs, tuple(nodes), constants)


def net(params: UnitParams, *shapes: tuple[int, ...]) -> Net:
    """One unit; shapes are (C, H, W) or (N, D, C, H, W)."""
    inputs = {f"x{i}": TensorShape.of((1,) * (5 - len(shape)) + shape) for i, shape in enumerate(shapes)}
    return Net("boundary", inputs, {"out": "y"}, (Unit("y", params, tuple(inputs)),))


def sigmoids(count: int) -> Net:
    """As many tasks as units."""
    sigmoid = u.NeuronParams(u.NeuronKind.SIGMOID)
    units = tuple(Unit(f"v{i + 1}", sigmoid, (f"v{i}",)) for i in range(count))
    return Net("boundary", {"v0": TensorShape(1, 2, 2, 2)}, {"out": f"v{count}"}, units)


def sum_of(count: int) -> Net:
    """The sum of as many inputs."""
    add = u.ElementWiseParams(u.ElementWiseKind.ADD)
    units = tuple(Unit(f"s{i + 1}", add, (f"s{i}" if i else "x0", f"x{i + 1}")) for i in range(count - 1))
    inputs = {f"x{i}": TensorShape(1, 2, 2, 2) for i in range(count)}
    return Net("boundary", inputs, {"out": f"s{count - 1}"}, units)


def repeated_over_a_batch(channels: int) -> Net:
    """A tensor that is copied into L2, because DMA does not repeat it."""
    inputs = {"x": TensorShape(2, channels, 128, 256), "b": TensorShape(1, channels, 128, 256)}
    add = u.ElementWiseParams(u.ElementWiseKind.ADD)
    units = (Unit("r", u.BroadcastParams({D.BATCH: 2}), ("b",)), Unit("y", add, ("x", "r")))
    return Net("boundary", inputs, {"out": "y"}, units)


def unit_without_family(params: UnitParams) -> Net:
    return Net("boundary", {"x": TensorShape(1, 2, 2, 2)}, {"out": "y"}, (Unit("y", params, ("x",)),))


class Unheard(UnitParams):
    """A unit that no family takes."""

    plist_type = "Unheard"

    def infer(self, bottoms):  # type: ignore[no-untyped-def]
        return bottoms[0]


def hanging(depth: int) -> Callable[[], object]:
    """A program with this word in Common.InDepth."""
    program = TARGET.lower(net(u.GOCParams(2.0), (2, 2, 2)), CompileOptions())
    return lambda: TARGET.refuse_hazards(program.set(0, "Common.InDepth", depth))


def conv(rank: int) -> g.Conv:
    return g.Conv((1,) * rank, (0,) * 2 * rank, (1,) * rank)


def conv_transpose(rank: int) -> g.ConvTranspose:
    return g.ConvTranspose((1,) * rank, (0,) * 2 * rank, (1,) * rank)


def lp_pool(rank: int, p: int = 2) -> g.LpPool:
    return g.LpPool((2,) * rank, (2,) * rank, (0,) * 2 * rank, p=p)


def max_pool(kernel: tuple[int, int], step: tuple[int, int] = (1, 1), **more: object) -> u.PoolingParams:
    return u.PoolingParams(u.PoolingKind.MAX, kernel, step, **more)  # type: ignore[arg-type]


def padded_conv(taps: int, top: int, dilation: int = 1) -> Net:
    return net(u.ConvParams(half(2, 3, taps, 3), dilation=(1, dilation), pads=u.Pads(top, 0, 0, 0)), (3, 40, 9))


def resize(size: int) -> Graph:
    return graph(g.Resize((1, 1, 1, size), g.ResizeMode.LINEAR), of=(1, 1, 1, 1 << 14))


def between_host_steps(operation: Operation, *weights: np.ndarray) -> Graph:
    return graph(g.CumProd(1), operation, g.CumProd(1), of=(1, 256, 32, 32), w=weights)


CROP = g.Resize((1, 2, 8, 8), coordinates=g.Coordinates.TF_CROP_AND_RESIZE, region=(0.0,) * 4 + (1.0,) * 4)

OPERATIONS: Mapping[str, Boundary] = {
    "axis-matrix": Boundary(lambda: resize(1024), lambda: resize(1025)),
    "channel-axes": Boundary(
        lambda: graph(g.InstanceNorm(), of=(1, 2, 3, 4), w=(ones(2), ones(2))),
        lambda: graph(g.InstanceNorm(), of=(1, 2, 3, 4, 5), w=(ones(2), ones(2))),
    ),
    "clip-limits": Boundary(
        lambda: graph(g.Clip(65504.0, np.inf), of=(2, 3)), lambda: graph(g.Clip(np.inf, np.inf), of=(2, 3))
    ),
    "constant-factors": Boundary(
        lambda: graph(g.Mul(), of=(2, 3), w=(65504 * ones(1),)), lambda: graph(g.Mul(), of=(2, 3), w=(65505 * ones(1),))
    ),
    "constant-nan": Boundary(
        lambda: graph(g.Less(), of=(2, 3), w=(ones(1),)), lambda: graph(g.Less(), of=(2, 3), w=(np.nan * ones(1),))
    ),
    "constant-weights": Boundary(
        lambda: graph(conv(2), of=(1, 2, 3, 4), w=(ones(2, 2, 1, 1),)),
        lambda: graph(conv(2), of=(1, 2, 3, 4), w=((2, 2, 1, 1),)),
    ),
    "convolution-axes": Boundary(
        lambda: graph(conv(3), of=(1, 2, 3, 4, 5), w=(ones(2, 2, 1, 1, 1),)),
        lambda: graph(conv(4), of=(1, 2, 3, 4, 5, 2), w=(ones(2, 2, 1, 1, 1, 1),)),
    ),
    "einsum-axes": Boundary(
        lambda: graph(g.Einsum("...ij->...i"), of=(1,) * 8 + (2, 3)),
        lambda: graph(g.Einsum("...ij->...i"), of=(1,) * 9 + (2, 3)),
    ),
    "einsum-diagonal": Boundary(
        lambda: graph(g.Einsum("ij->i"), of=(3, 3)), lambda: graph(g.Einsum("ii->i"), of=(3, 3))
    ),
    "einsum-sizes": Boundary(
        lambda: graph(g.Einsum("ij,jk->ik"), of=(2, 4), w=((4, 3),)),
        lambda: graph(g.Einsum("ij,jk->ik"), of=(2, 4), w=((1, 3),)),
    ),
    "element-types": Boundary(
        lambda: graph(g.Abs(), of=TensorType((2, 3), DType.FLOAT64)),
        lambda: graph(g.Abs(), of=TensorType((2, 3), DType.INT32)),
    ),
    "empty": Boundary(lambda: graph(g.Split(1, (3, 1)), of=(2, 4)), lambda: graph(g.Split(1, (4, 0)), of=(2, 4))),
    "five-dimensions": Boundary(lambda: graph(g.Softmax(1), of=(2,) * 5), lambda: graph(g.Softmax(1), of=(2,) * 6)),
    "matmul-axes": Boundary(
        lambda: graph(g.MatMul(), of=(3, 2, 2, 2, 1), w=(ones(1, 3),)),
        lambda: graph(g.MatMul(), of=(2, 3, 2, 2, 2, 1), w=(ones(1, 3),)),
    ),
    "matmul-batch-axes": Boundary(
        lambda: graph(g.MatMul(), of=(1, 2, 2, 3, 2), w=((1, 2, 2, 2, 3),)),
        lambda: graph(g.MatMul(), of=(1, 1, 2, 2, 3, 2), w=((1, 1, 2, 2, 2, 3),)),
    ),
    "moves-for-the-host": Boundary(
        lambda: graph(g.Transpose((1, 0)), g.Relu(), of=(2, 3)),
        lambda: graph(g.Transpose((1, 0)), g.CumProd(1), of=(2, 3)),
    ),
    "norm-axes": Boundary(
        lambda: graph(g.LayerNorm((5,)), of=(2, 2, 2, 2, 1, 2)), lambda: graph(g.LayerNorm((5,)), of=(2, 2, 2, 2, 2, 1))
    ),
    "onnxruntime-only": Boundary(lambda: graph(g.Celu(2.0), of=(2, 3)), lambda: graph(onnx_node(), of=(2, 3))),
    "no-implementation": Boundary(
        lambda: graph(g.Celu(2.0), of=(2, 3)),
        lambda: graph(replace(onnx_node(), problem="it is not a registered operation"), of=(2, 3)),
    ),
    "operations": Boundary(lambda: graph(g.ReduceSum((1,)), of=(2, 3)), lambda: graph(g.ReduceProd((1,)), of=(2, 3))),
    "padded-axes": Boundary(
        lambda: graph(g.Pad((0,) * 5 + (1,) * 5), of=(1, 2, 2, 2, 2)),
        lambda: graph(g.Pad((0,) * 6 + (1,) * 6), of=(1, 1, 2, 2, 2, 2)),
    ),
    "pooling-norm": Boundary(
        lambda: graph(lp_pool(2, p=2), of=(1, 2, 4, 4)), lambda: graph(lp_pool(2, p=3), of=(1, 2, 4, 4))
    ),
    "pooling-window": Boundary(
        lambda: graph(lp_pool(2), of=(1, 2, 4, 4)), lambda: graph(lp_pool(3), of=(1, 2, 4, 4, 4))
    ),
    "angles": Boundary(
        lambda: graph(g.Neg(), g.Mul(), g.Sin(), of=(2,), w=(np.array([1, 0.5], np.float32),)),
        lambda: graph(g.Neg(), g.Mul(), g.Sin(), of=(1,), w=(np.array([1, 0.5], np.float32),)),
    ),
    "positions": Boundary(
        lambda: graph(g.Abs(), g.Floor(), of=(3,)), lambda: graph(g.Abs(), g.Cast(DType.INT64), of=(3,))
    ),
    "repeated-axis": Boundary(
        lambda: graph(g.Gather(0), of=(1, 2, 2, 2, 2, 2), w=(np.array([0]),)),
        lambda: graph(g.Gather(0), of=(1, 2, 2, 2, 2, 2), w=(np.array([0, 0]),)),
    ),
    "resize-crop": Boundary(
        lambda: graph(g.Resize((1, 2, 8, 8)), of=(1, 2, 4, 4)), lambda: graph(CROP, of=(1, 2, 4, 4))
    ),
    "transposed-convolution-axes": Boundary(
        lambda: graph(conv_transpose(2), of=(1, 2, 3, 4), w=(ones(2, 2, 1, 1),)),
        lambda: graph(conv_transpose(3), of=(1, 2, 3, 4, 5), w=(ones(2, 2, 1, 1, 1),)),
    ),
    "unit-operands": Boundary(
        lambda: graph(g.MaxPool((2, 2), (1, 1), (1, 0, 0, 0)), of=(1, 2, 4, 4)),
        lambda: graph(g.MaxPool((2, 2), (1, 1), (2, 0, 0, 0)), of=(1, 2, 4, 4)),
    ),
    "worth-moving": Boundary(
        lambda: between_host_steps(g.Conv((1, 1), (1,) * 4, (1, 1)), ones(256, 256, 3, 3)),
        lambda: between_host_steps(g.Relu()),
    ),
}

UNITS: Mapping[str, Boundary] = {
    "conv-groups": Boundary(
        lambda: net(u.ConvParams(half(2 * 8191, 1, 1, 1), groups=8191), (8191, 1, 1)),
        lambda: net(u.ConvParams(half(2 * 8192, 1, 1, 1), groups=8192), (8192, 1, 1)),
    ),
    "function": Boundary(
        lambda: net(u.NeuronParams(u.NeuronKind.CLAMP, 1.0, 1.0), (1, 2, 3)),
        lambda: net(u.NeuronParams(u.NeuronKind.CLAMP, 2.0, 1.0), (1, 2, 3)),
    ),
    "kernel-padding": Boundary(lambda: padded_conv(3, 31, dilation=16), lambda: padded_conv(3, 32, dilation=16)),
    "kernel-reach": Boundary(lambda: padded_conv(3, 28), lambda: padded_conv(3, 29)),
    "known-unit": Boundary(lambda: unit_without_family(u.GOCParams(2.0)), lambda: unit_without_family(Unheard())),
    "linear-size": Boundary(
        lambda: net(u.LinearParams(half(64, 176)), (1, 32, 176)),
        lambda: net(u.LinearParams(half(64, 177)), (1, 32, 177)),
        {"l2_bytes": 4096},
    ),
    "matmul-inner": Boundary(
        lambda: net(u.MatMulParams(transpose_a=True), (1, 100, 2), (1, 100, 2)),
        lambda: net(u.MatMulParams(transpose_a=True), (1, 101, 2), (1, 101, 2)),
        {"max_width": 100},
    ),
    "norm-dimensions": Boundary(
        lambda: net(u.LayerNormParams(frozenset({D.CHANNEL, D.WIDTH})), (2, 3, 4)),
        lambda: net(u.LayerNormParams(frozenset({D.CHANNEL, D.HEIGHT})), (2, 3, 4)),
    ),
    "pad-value": Boundary(
        lambda: net(u.PadParams({D.WIDTH: (1, 1)}, value=65504.0), (2, 3, 4)),
        lambda: net(u.PadParams({D.WIDTH: (1, 1)}, value=65520.0), (2, 3, 4)),
    ),
    "pool-dilation": Boundary(
        lambda: net(max_pool((2, 2)), (2, 9, 9)), lambda: net(max_pool((2, 2), dilation=(2, 2)), (2, 9, 9))
    ),
    "pool-padding": Boundary(
        lambda: net(max_pool((9, 9), pads=u.Pads(7, 0, 0, 0)), (2, 40, 40)),
        lambda: net(max_pool((9, 9), pads=u.Pads(8, 0, 0, 0)), (2, 40, 40)),
        {"max_pad": 7},
    ),
    "pool-stride": Boundary(
        lambda: net(max_pool((2, 2), (3, 3)), (2, 40, 40)), lambda: net(max_pool((2, 2), (4, 4)), (2, 40, 40))
    ),
    "pool-window": Boundary(lambda: net(max_pool((31, 2)), (2, 40, 40)), lambda: net(max_pool((32, 2)), (2, 40, 40))),
    "softmax-extent": Boundary(
        lambda: net(u.SoftmaxParams(D.WIDTH), (1, 1, 4080)),
        lambda: net(u.SoftmaxParams(D.WIDTH), (1, 1, 4081)),
        {"l2_bytes": 16384},
    ),
    # At the real limit of 65,536 the rule `field` refuses first: 13 bits count the groups of a task.
    "tensor-batch": Boundary(
        lambda: net(u.GOCParams(2.0), (4, 1, 1, 1, 1)), lambda: net(u.GOCParams(2.0), (5, 1, 1, 1, 1)), {"max_batch": 4}
    ),
    "tensor-bytes": Boundary(
        lambda: net(u.GOCParams(2.0), (7, 16384, 16384)), lambda: net(u.GOCParams(2.0), (8, 16384, 16384))
    ),
    "tensor-channels": Boundary(
        lambda: net(u.GOCParams(2.0), (65536, 1, 1)), lambda: net(u.GOCParams(2.0), (65537, 1, 1))
    ),
    "tensor-height": Boundary(
        lambda: net(u.GOCParams(2.0), (1, 16384, 1)), lambda: net(u.GOCParams(2.0), (1, 16385, 1))
    ),
    "tensor-width": Boundary(
        lambda: net(u.GOCParams(2.0), (1, 1, 16384)), lambda: net(u.GOCParams(2.0), (1, 1, 16385))
    ),
    "weight-range": Boundary(
        lambda: net(u.GOCParams(65504.0), (1, 2, 3)), lambda: net(u.GOCParams(65505.0), (1, 2, 3))
    ),
}

PROGRAMS: Mapping[str, Boundary] = {
    "constant-bytes": Boundary(
        lambda: net(u.ConvParams(half(16, 64, 1, 1)), (64, 2, 2)),
        lambda: net(u.ConvParams(half(16, 65, 1, 1)), (65, 2, 2)),
        {"max_constant_bytes": 2048},
    ),
    "field": Boundary(
        lambda: net(u.NeuronParams(u.NeuronKind.SIGMOID), (8191, 1, 1, 1, 1)),
        lambda: net(u.NeuronParams(u.NeuronKind.SIGMOID), (8192, 1, 1, 1, 1)),
    ),
    "known-hang": Boundary(lambda: hanging(1), lambda: hanging(0)),
    "l2-block": Boundary(
        lambda: net(u.MatMulParams(), (1, 63, 64), (1, 64, 32)),
        lambda: net(u.MatMulParams(), (1, 64, 64), (1, 64, 32)),
        {"l2_bytes": 8192},
    ),
    "l2-resident": Boundary(lambda: repeated_over_a_batch(31), lambda: repeated_over_a_batch(33)),
    "on-record": Boundary(
        lambda: net(max_pool((3, 3)), (8, 9, 9)),
        lambda: net(u.ConvParams(half(16, 16, 5, 5)), (16, 9, 9)),
        evidence=AllowedEncodings.RECORDED,
    ),
    "surface-count": Boundary(lambda: sum_of(27), lambda: sum_of(28)),
    "task-count": Boundary(lambda: sigmoids(3), lambda: sigmoids(4), {"max_tasks": 3}),
    "tile-fits": Boundary(
        lambda: net(u.ConvParams(half(16, 79, 3, 3)), (79, 16, 16)),
        lambda: net(u.ConvParams(half(16, 80, 3, 3)), (80, 16, 16)),
        {"l2_bytes": 8192},
    ),
}

BOUNDARIES: Mapping[str, Boundary] = {**OPERATIONS, **UNITS, **PROGRAMS}


# Rules ---------------------------------------------------------------------------------------------------------------


def names() -> list[str]:
    return [limit.name for limit in limits(TARGET)]


def test_every_rule_has_a_boundary() -> None:
    assert sorted(BOUNDARIES) == sorted(name.removeprefix("h13.") for name in names())


@pytest.mark.parametrize("name", BOUNDARIES)
def test_at_the_limit_and_beyond(name: str) -> None:
    boundary, broken = BOUNDARIES[name], RULES[name]
    full = broken.full_name(MACHINE)
    found = next((each for each in boundary.broken(boundary.refused()) if each.rule == full), None)
    assert found is not None, boundary.broken(boundary.refused())
    assert found.what.startswith(broken.text) and found.value and found.limit and found.hint
    assert not re.search(r"\{\w+\}", found.hint)
    accepted = [each.rule for each in boundary.broken(boundary.accepted())]
    assert full not in accepted
    assert broken.kind is RuleKind.CHOICE or not accepted


@pytest.mark.parametrize("kind", list(u.ElementWiseKind))
def test_the_engine_has_every_elementwise_operation(kind: u.ElementWiseKind) -> None:
    assert TARGET.lower(net(u.ElementWiseParams(kind), (2, 3, 4), (2, 3, 4)), CompileOptions()).tasks


def test_the_command_lists_every_rule() -> None:
    listed = json.loads(CliRunner().invoke(command, ["h13", "--json"]).output)["limits"]
    assert [each["name"] for each in listed] == names()
    assert len(names()) == len(set(names())) == len(RULES)
    assert all(each[part] for each in listed for part in ("family", "text", "limit", "hint", "evidence", "kind"))
    assert "h13.pool-stride" in CliRunner().invoke(command, ["h13"]).output


def test_facts_about_the_hardware_cite_the_page_they_are_on() -> None:
    uncited = [name for name, each in RULES.items() if each.kind is RuleKind.ENGINE and ".md#" not in each.evidence]
    assert not uncited
    assert set(MEANINGS) == set(RuleKind)


def test_rules_of_units_name_a_family_that_checks_them() -> None:
    families = dict.fromkeys(BY_PARAMS.values())
    checked = {(family.name, each.name) for family in families for each in family.rules}
    assert checked and {name for _, name in checked} <= set(UNITS)
    assert {(RULES[name].family, name) for _, name in checked} <= checked


def test_no_error_names_a_rule_that_is_not_registered() -> None:
    with pytest.raises(ValueError, match=r"rule 'h13\.made-up' is not"):
        UnsupportedError(Diagnostic("made up", rule="h13.made-up"))
    with pytest.raises(ValueError, match="rule 'made-up' is not"):
        UnsupportedError(Diagnostic("fine"), others=(Diagnostic("made up", rule="made-up"),))
    with pytest.raises(TypeError):
        UnsupportedError("made up", rule="made-up")  # type: ignore[call-arg]
    error = UnsupportedError.of(RULES["tensor-width"], 16385, machine=MACHINE)
    assert error.at("unit 'y'").diagnostics == (replace(error.diagnostic, where="unit 'y'"),)


def test_a_rule_is_declared_once_and_completely() -> None:
    def declare(name: str, hint: str) -> Rule[[int]]:
        make = rule(name, family="tests", kind=RuleKind.CHOICE, limit="1", hint=hint, evidence="none")

        def check(value: int) -> object | None:
            """The value is too large."""
            return value if value > 1 else None

        return make(check)

    with pytest.raises(ValueError, match="two rules are named 'tensor-width'"):
        declare("tensor-width", "Take less.")
    with pytest.raises(ValueError, match="'without-hint' is not complete"):
        declare("without-hint", "")
    assert "without-hint" not in RULES
