"""Whole networks: residency, buffers, order, determinism, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.h13_nets import check, compile_net, random_inputs, shape, simulate, single, weights

from openane.backend.passes.editor import edited
from openane.backend.pipeline import CHAINS, FUSION, PASSES
from openane.core.errors import InputError, UnsupportedError
from openane.net.net import Net, Unit
from openane.net.units import (
    ConcatParams,
    ConvParams,
    ElementWiseKind,
    ElementWiseParams,
    GOCParams,
    NeuronKind,
    NeuronParams,
    Pads,
    PoolingKind,
    PoolingParams,
    ReshapeParams,
)
from openane.numerics.lookup import to_fp16_words
from openane.targets.h13.engine import TARGET
from openane.targets.h13.hazards import hazards
from openane.targets.target import CompileOptions, Stage

SAME = Pads(1, 1, 1, 1)


def residual(blocks: int, extent: int = 16, channels: int = 16) -> Net:
    """A chain of residual blocks with a branch."""
    units, last = [], "x"
    for number in range(blocks):
        kernel = weights(channels, channels, 3, 3, seed=number)
        units += [
            Unit(f"c{number}", ConvParams(kernel, pads=SAME), (last,)),
            Unit(f"r{number}", NeuronParams(NeuronKind.RELU), (f"c{number}",)),
            Unit(f"s{number}", ElementWiseParams(ElementWiseKind.ADD), (f"r{number}", last)),
        ]
        last = f"s{number}"
    return Net("chain", {"x": shape(channels, extent, extent)}, {"out": last}, tuple(units))


def test_intermediates_stay_in_l2() -> None:
    program = check(residual(4))
    assert len(program.tasks) == 8
    assert program.scratch_bytes == 0
    moved = [task.registers()[0x17800] & 1 for task in program.tasks]
    assert moved == [0] * 7 + [1]


def test_what_does_not_fit_goes_to_scratch() -> None:
    program = check(residual(2, extent=160, channels=16))
    assert program.scratch_bytes > 0
    assert program.scratch_bytes % 0x4000 == 0


def test_no_address_leaves_l2() -> None:
    for net in (residual(3), residual(2, extent=160)):
        for task in compile_net(net).tasks:
            registers = task.registers()
            assert registers[0x4808] < TARGET.spec.l2_bytes
            assert registers[0x4834] < TARGET.spec.l2_bytes


def test_the_same_bytes_every_time() -> None:
    first, second = compile_net(residual(3)), compile_net(residual(3))
    assert first == second
    assert bytes(first.constants) == bytes(second.constants)


def test_equal_weights_are_stored_once() -> None:
    kernel = weights(16, 16, 3, 3)
    units = (Unit("a", ConvParams(kernel, pads=SAME), ("x",)), Unit("y", ConvParams(kernel, pads=SAME), ("a",)))
    both = compile_net(Net("net", {"x": shape(16, 8, 8)}, {"out": "y"}, units))
    one = compile_net(Net("net", {"x": shape(16, 8, 8)}, {"out": "a"}, units[:1]))
    assert len(both.constants) == len(one.constants)


def test_outputs_of_every_kind() -> None:
    """An input, a view, a value that is also read on, and one value under two names."""
    units = (
        Unit("a", GOCParams(2.0, 0.5), ("x",)),
        Unit("r", ReshapeParams(shape(1, 32, 4)), ("a",)),
        Unit("b", GOCParams(0.5), ("a",)),
    )
    outputs = {"same": "x", "view": "r", "value": "a", "twin": "a", "last": "b"}
    check(Net("net", {"x": shape(8, 4, 4)}, outputs, units), tolerance=6e-4)


@pytest.mark.parametrize(
    ("dialect", "order"),
    [("macos-26", ["in", "out", "second"]), ("macos-11", ["out", "second", "in"]), ("linux", ["out", "second", "in"])],
)
def test_dialects_number_buffers(dialect: str, order: list[str]) -> None:
    units = (Unit("y", ElementWiseParams(ElementWiseKind.ADD), ("second", "in")),)
    net = Net("net", {"second": shape(4, 2, 2), "in": shape(4, 2, 2)}, {"out": "y"}, units)
    program = compile_net(net, dialect)
    assert [surface.name for surface in sorted(program.surfaces, key=lambda each: each.buffer)] == order
    inputs = random_inputs(net)
    expected = to_fp16_words(inputs["second"].astype(np.float32) + inputs["in"]).view(np.float16)
    assert np.array_equal(simulate(program, inputs)["out"], expected)


def test_every_stage_can_be_seen() -> None:
    stages: list[Stage] = []
    TARGET.lower(residual(2, extent=160), CompileOptions(observe=stages.append))
    assert [stage.name for stage in stages] == [step.name for step in PASSES]
    late = ["lower", "elide-copies", "keep-inputs", "split-channels"]
    late += ["compress-kernels", "collect-constants", "place", "link"]
    assert [stage.name for stage in stages][-8:] == late
    assert all(stage.reason and stage.text().endswith("\n") for stage in stages)
    assert "L2 0x0" in stages[-1].text() and "scratch" in stages[-1].text()


def test_an_unknown_dialect_is_refused() -> None:
    with pytest.raises(InputError, match=r"no such dialect.*macos-11, macos-26"):
        compile_net(residual(1), "macos-99")


def test_no_program_contains_a_known_hang() -> None:
    for task in compile_net(residual(2)).tasks:
        assert not list(hazards(task))
        assert list(hazards(task.with_registers({0x4830: 0})))


@pytest.mark.parametrize(
    ("net", "rule"),
    [
        (single(GOCParams(2.0), shape(1, 1, 16385)), "h13.tensor-width"),
        (single(GOCParams(2.0), shape(1, 16385, 1)), "h13.tensor-height"),
        (single(GOCParams(2.0), shape(65537, 1, 1)), "h13.tensor-channels"),
        (single(ConvParams(weights(8, 3, 3, 3), pads=Pads(32, 0, 0, 0)), shape(3, 9, 9)), "h13.kernel-padding"),
        (single(ConvParams(weights(8, 3, 3, 3), pads=Pads(29, 0, 0, 0)), shape(3, 9, 9)), "h13.kernel-reach"),
        (single(PoolingParams(PoolingKind.MAX, (33, 2)), shape(4, 40, 40)), "h13.pool-window"),
        (single(PoolingParams(PoolingKind.MAX, (2, 2), (4, 4)), shape(4, 40, 40)), "h13.pool-stride"),
        (single(PoolingParams(PoolingKind.MAX, (2, 2), dilation=(2, 2)), shape(4, 40, 40)), "h13.pool-dilation"),
    ],
)
def test_a_refusal_names_its_rule(net: Net, rule: str) -> None:
    with pytest.raises(UnsupportedError) as caught:
        compile_net(net)
    diagnostic = caught.value.diagnostic
    assert diagnostic.rule == rule
    assert diagnostic.value and diagnostic.limit and diagnostic.hint
    assert "unit 'y'" in diagnostic.where or "input" in diagnostic.where


@pytest.mark.parametrize(
    "net",
    [
        single(GOCParams(2.0), shape(1, 1, 16384)),
        single(GOCParams(2.0), shape(1, 16384, 1)),
        single(GOCParams(2.0), shape(65536, 1, 1)),
        single(GOCParams(np.linspace(0, 1, 40000), 0.5), shape(40000, 1, 1)),
        single(ConvParams(weights(8, 64, 1, 1)), shape(64, 1, 16384)),
        single(ConvParams(weights(8, 3, 3, 3), pads=Pads(28, 0, 0, 0)), shape(3, 9, 9)),
        single(PoolingParams(PoolingKind.MAX, (31, 2)), shape(2, 40, 40)),
        single(PoolingParams(PoolingKind.MAX, (2, 2), (3, 3)), shape(2, 40, 40)),
    ],
)
def test_at_the_limit(net: Net) -> None:
    check(net)


UNITS = st.sampled_from(["conv", "pool", "relu", "scale", "add", "concat"])


@settings(max_examples=25, deadline=None, derandomize=True)
@given(kinds=st.lists(UNITS, min_size=1, max_size=8), data=st.data())
def test_random_networks(kinds: list[str], data: st.DataObject) -> None:
    """Fused network = network, pass by pass; simulator = network."""
    extents, units, values = {"x": shape(8, 8, 8)}, [], ["x"]
    for number, kind in enumerate(kinds):
        name = f"u{number}"
        bottom = data.draw(st.sampled_from(values))
        same = [value for value in values if extents[value].ndchw[3:] == extents[bottom].ndchw[3:]]
        channels = extents[bottom].channels
        other = data.draw(st.sampled_from([value for value in same if extents[value] == extents[bottom]]))
        unit = {
            "conv": Unit(name, ConvParams(weights(12, channels, 3, 3, seed=number), pads=SAME), (bottom,)),
            "pool": Unit(name, PoolingParams(PoolingKind.MAX, (2, 2), (1, 1), Pads(0, 1, 0, 1)), (bottom,)),
            "relu": Unit(name, NeuronParams(NeuronKind.RELU), (bottom,)),
            "scale": Unit(name, GOCParams(np.linspace(0.5, 1, channels), 0.25), (bottom,)),
            "add": Unit(name, ElementWiseParams(ElementWiseKind.ADD, 0.5), (bottom, other)),
            "concat": Unit(name, ConcatParams(), (bottom, data.draw(st.sampled_from(same)))),
        }[kind]
        units.append(unit)
        values.append(name)
        extents[name] = unit.params.infer([extents[each] for each in unit.bottoms])
    shown = data.draw(st.lists(st.sampled_from(values), min_size=1, max_size=2, unique=True))
    net = Net(
        "net",
        {"x": extents["x"]},
        {f"o{number}": each for number, each in enumerate([*shown, values[-1]])},
        tuple(units),
    )
    inputs = {"x": random_inputs(net)["x"].astype(np.float64)}
    expected, current = net.evaluate(inputs), net
    for name, (edit, _) in (*FUSION.items(), *CHAINS.items()):
        current = edited(current, TARGET.spec, edit)
        for name, array in current.evaluate(inputs).items():
            assert np.allclose(array, expected[name], rtol=1e-4, atol=1e-5), name
    check(net, tolerance=5e-3)
