"""Networks that half precision spoils: the hazard is found, names its outputs, and its remedy gives the right result.

The witness is the model in double precision; the twins with ordinary inputs show that nothing else is reported.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from tests.support.hazard_networks import NETWORKS

from openane.analysis.effects import differs
from openane.analysis.hazards import HazardKind, find_hazards, hazards_of_run
from openane.compiler.driver import Options, build
from openane.graph import Graph
from openane.runtimes.execution import Execution

SEEDS = range(2)


def truth(graph: Graph, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return graph.evaluate({n: a.astype(np.float64) if a.dtype.kind == "f" else a for n, a in inputs.items()})


def off(found: Mapping[str, np.ndarray], wanted: Mapping[str, np.ndarray]) -> set[str]:
    return {name for name, array in wanted.items() if differs(found[name].astype(np.float64), array)}


def run(graph: Graph, inputs: Mapping[str, np.ndarray], wide: frozenset[str] = frozenset()) -> dict[str, np.ndarray]:
    with Execution(build(graph, Options(keep_on_host=wide))) as execution:
        return execution.run(inputs).outputs


SPOILED = [name for name, make in NETWORKS.items() if make(np.random.default_rng(0)).spoiled is not None]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", SPOILED)
def test_a_spoiled_output_has_a_hazard_and_its_remedy_works(name: str, seed: int) -> None:
    made = NETWORKS[name](np.random.default_rng(seed))
    assert made.spoiled is not None
    wanted, found = truth(made.graph, made.spoiled), run(made.graph, made.spoiled)
    wrong = off(found, wanted)
    assert wrong, "the network is not what it says"
    hazards = hazards_of_run(build(made.graph), made.spoiled, found)
    assert {output for hazard in hazards for output in hazard.outputs} == wrong
    fixed = run(made.graph, made.spoiled, frozenset(node for hazard in hazards for node in hazard.keep))
    assert off(fixed, wanted) == set()
    assert all(f"--keep-on-host '{node}'" in hazard.hint for hazard in hazards for node in hazard.keep)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_right_result_has_no_hazard(name: str, seed: int) -> None:
    made = NETWORKS[name](np.random.default_rng(seed))
    found = run(made.graph, made.right)
    assert off(found, truth(made.graph, made.right)) == set(), "the network is not what it says"
    assert hazards_of_run(build(made.graph), made.right, found) == ()


def test_small_sums_are_told_from_large_ones() -> None:
    for name, kind in (
        ("small_results", HazardKind.UNDERFLOW),
        ("product_beyond_the_accumulator", HazardKind.OVERFLOW),
    ):
        made = NETWORKS[name](np.random.default_rng(0))
        assert made.spoiled is not None
        assert [hazard.kind for hazard in find_hazards(made.graph, [made.spoiled])] == [kind]


@pytest.mark.parametrize("name", ["constant_mask", "mean_of_squares", "close_logits", "norm_far_from_zero"])
def test_calibration_gives_no_false_alarm(name: str) -> None:
    made = NETWORKS[name](np.random.default_rng(0))
    assert find_hazards(made.graph, [made.right]) == ()
