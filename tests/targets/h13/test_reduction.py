"""Reductions on the simulator: every set of dimensions, every kind, bands, and the flat form."""

from __future__ import annotations

from itertools import combinations

import pytest
from tests.support.h13_nets import between, check, shape, single, weakest

from openane.net.net import Net, TensorShape, Unit
from openane.net.units import Dimension, ReductionKind, ReductionParams, ReshapeParams
from openane.program.evidence import EncodingEvidence

SETS = [frozenset(found) for count in range(1, 6) for found in combinations(Dimension, count)]


@pytest.mark.parametrize("kind", ReductionKind)
@pytest.mark.parametrize("extents", [(20, 8, 9), (7, 1, 1), (1, 1, 40), (2, 3, 4, 5, 6)], ids=str)
def test_every_set_of_dimensions(extents: tuple[int, ...], kind: ReductionKind) -> None:
    for dimensions in SETS:
        check(single(ReductionParams(kind, dimensions), shape(*extents)), tolerance=5e-3)


@pytest.mark.parametrize("dimension", [Dimension.CHANNEL, Dimension.HEIGHT, Dimension.WIDTH])
def test_between_other_layers(dimension: Dimension) -> None:
    check(between(ReductionParams(ReductionKind.MEAN, frozenset({dimension})), shape(12, 10, 20)), tolerance=5e-3)


@pytest.mark.parametrize(
    ("extents", "dimensions"),
    [
        ((1, 1500, 700), (Dimension.WIDTH,)),
        ((1, 1500, 700), (Dimension.HEIGHT,)),
        ((300, 60, 130), (Dimension.CHANNEL,)),
        ((3000, 20, 20), (Dimension.CHANNEL, Dimension.HEIGHT, Dimension.WIDTH)),
        ((2, 9000, 20), (Dimension.WIDTH,)),
    ],
    ids=str,
)
def test_what_does_not_fit_into_l2(extents: tuple[int, ...], dimensions: tuple[Dimension, ...]) -> None:
    program = check(single(ReductionParams(ReductionKind.MEAN, frozenset(dimensions)), shape(*extents)), tolerance=5e-3)
    assert weakest(program) < EncodingEvidence.ASSUMED


def test_a_pooled_vector_is_written_as_a_row_by_the_same_task() -> None:
    image = frozenset({Dimension.HEIGHT, Dimension.WIDTH})
    units = (
        Unit("pooled", ReductionParams(ReductionKind.MEAN, image), ("x",)),
        Unit("row", ReshapeParams(TensorShape(width=64)), ("pooled",)),
    )
    net = Net("net", {"x": shape(64, 8, 8)}, {"y": "row"}, units)
    assert len(check(net).tasks) == 1
