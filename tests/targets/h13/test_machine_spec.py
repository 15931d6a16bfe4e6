"""The back end reads every limit from the machine spec: another spec, another compiler."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import pytest
from tests.support.h13_nets import between, compile_net, shape, single, weights

from openane.backend.compilation import Compilation
from openane.backend.machine import MachineSpec
from openane.backend.pipeline import PASSES, CompileOptions, refusals
from openane.core.errors import UnsupportedError
from openane.core.passes import run_passes
from openane.net.net import Net
from openane.net.units import (
    ConvParams,
    Dimension,
    GOCParams,
    LayerNormParams,
    LinearParams,
    PoolingKind,
    PoolingParams,
    SoftmaxParams,
)
from openane.targets.h13.engine import H13
from openane.targets.h13.spec import DIALECTS, MACHINE


class Smaller(H13):
    """H13 with other numbers."""

    def __init__(self, spec: MachineSpec) -> None:
        self._spec = spec

    @property
    def spec(self) -> MachineSpec:
        return self._spec


def placed(net: Net, spec: MachineSpec) -> Compilation:
    """The network up to addresses."""
    position = [step.name for step in PASSES].index("place") + 1
    state = Compilation(Smaller(spec), next(iter(DIALECTS.values())), net)
    return run_passes(PASSES[:position], state)


def l2_end(net: Net, spec: MachineSpec) -> int:
    """The highest L2 address that a task begins at."""
    placement = placed(net, spec).placement
    assert placement is not None
    return max(spot.l2_base for task in placement.tasks for spot in (*task.sources, task.result))


def test_a_spec_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        MACHINE.l2_bytes = 0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("net", "change", "rule", "limit"),
    [
        (single(GOCParams(2.0), shape(1, 1, 300)), {"max_width": 299}, "tensor-width", "1 to 299"),
        (single(GOCParams(2.0), shape(65, 1, 1)), {"max_channels": 64}, "tensor-channels", "1 to 64"),
        (
            single(PoolingParams(PoolingKind.MAX, (9, 2)), shape(4, 40, 40)),
            {"max_window": 8},
            "pool-window",
            "1 to 8 rows",
        ),
        (
            single(PoolingParams(PoolingKind.MAX, (2, 2), (3, 3)), shape(4, 9, 9)),
            {"max_pool_stride": 2},
            "pool-stride",
            "1 to 2",
        ),
        (single(LinearParams(weights(64, 4096)), shape(1, 1, 4096)), {"l2_bytes": 1 << 16}, "linear-size", "one row"),
        (single(SoftmaxParams(Dimension.WIDTH), shape(1, 4, 9000)), {"l2_bytes": 1 << 15}, "softmax-extent", "columns"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_rules_read_the_spec(net: Net, change: dict[str, int], rule: str, limit: str) -> None:
    assert not refusals(MACHINE, net)
    spec = replace(MACHINE, name="other", **change)
    found = next(each for each in refusals(spec, net) if each.rule == f"other.{rule}")
    assert limit in found.limit
    with pytest.raises(UnsupportedError, match=f"rule other.{rule}"):
        Smaller(spec).lower(net, CompileOptions())


@pytest.mark.parametrize(
    "net",
    [
        between(GOCParams(2.0, 0.5), shape(64, 64, 64)),
        between(ConvParams(weights(32, 32, 3, 3)), shape(32, 66, 66)),
        between(LayerNormParams(frozenset({Dimension.WIDTH})), shape(1, 512, 384)),
        between(SoftmaxParams(Dimension.CHANNEL), shape(64, 48, 48)),
        between(LinearParams(weights(256, 256)), shape(1, 300, 256)),
    ],
    ids=["goc", "conv", "layer norm", "softmax", "linear"],
)
@pytest.mark.parametrize("divisor", [1, 2, 4])
def test_allocation_stays_in_the_l2_of_the_spec(net: Net, divisor: int) -> None:
    spec = replace(MACHINE, l2_bytes=MACHINE.l2_bytes // divisor)
    assert l2_end(net, spec) < spec.l2_bytes


def test_a_smaller_l2_makes_another_program() -> None:
    net = between(ConvParams(weights(32, 32, 3, 3)), shape(32, 66, 66))
    large, small = placed(net, MACHINE), placed(net, replace(MACHINE, l2_bytes=MACHINE.l2_bytes // 8))
    assert large.placement is not None and small.placement is not None
    assert large.placement.places != small.placement.places
    assert small.placement.scratch_bytes > large.placement.scratch_bytes


def test_buffers_of_surfaces_follow_the_spec() -> None:
    net = single(GOCParams(2.0), shape(4, 4, 4))
    spec = replace(MACHINE, buffers=replace(MACHINE.buffers, first_surface=7))
    placement = placed(net, spec).placement
    assert placement is not None and sorted(placement.buffers.values()) == [7, 8]
    assert sorted(surface.buffer for surface in compile_net(net).surfaces) == [4, 5]
