"""Random networks through every level: every case that once failed, and proof that a wrong program would be found."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnxruntime")

from differential import half, journal, levels
from differential.levels import Verdict, judge
from differential.network import Network, Step, Values, parse
from differential.page import page
from differential.report import report
from differential.running import SHARE_CASES, Numbers, Runner, kind
from differential.shrinking import shrink
from differential.strategy import make

import campaign
from openane.artifact.plan import EngineStep, Plan
from openane.graph import Graph, Node, TensorType, ops

FOUND = sorted((Path(__file__).parent / "found").glob("*.json"))
ROOT = Path(__file__).parents[2]
TOOL = ROOT / "tools" / "campaign.py"


@pytest.mark.parametrize("path", FOUND, ids=lambda path: path.stem)
def test_what_the_campaign_found_stays_mended(path: Path) -> None:
    network = parse(json.loads(path.read_text())["network"])
    verdict = judge(network)
    assert verdict.result == "ok", f"{verdict.detail}\n" + "\n".join(network.lines())


def convolutions(**step: object) -> Network:
    """Two convolutions with bias, a ReLU between them, and a sum."""
    first = ops.Conv((1, 1), (1, 1, 1, 1))
    return Network(
        {"x": Values((2, 6, 9, 11))},
        (
            Step(first, ("x", "w", "b"), ("y",)),
            Step(ops.Relu(), ("y",), ("z",)),
            Step(ops.Conv((2, 1), (1, 0, 0, 2)), ("z", "v", "c"), ("u",)),
            Step(ops.MaxPool((2, 2), (1, 1), (0, 0, 0, 0)), ("u",), ("p",)),
            Step(ops.Add(), ("p", "k"), ("t",)),
        ),
        ("t",),
        {
            "w": Values((8, 6, 3, 3), scale=0.13671875),
            "b": Values((8,), scale=0.03125, number=1),
            "v": Values((5, 8, 3, 3), scale=0.125, number=2),
            "c": Values((5,), scale=0.03125, number=3),
            "k": Values((5, 1, 1), scale=0.0625, number=4),
        },
    )


def constant(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Graph], Graph]:
    return lambda graph: replace(graph, constants={**graph.constants, name: change(graph.constants[name].copy())})


def node(result: str, change: Callable[[Node], Node]) -> Callable[[Graph], Graph]:
    return lambda graph: replace(graph, nodes=tuple(change(n) if result in n.outputs else n for n in graph.nodes))


def without_one(array: np.ndarray) -> np.ndarray:
    array[-1] = 0
    return array


def tap_moved(array: np.ndarray) -> np.ndarray:
    array[0, 0] = np.roll(array[0, 0], 1)
    return array


def one_part_in_a_hundred(array: np.ndarray) -> np.ndarray:
    return array * np.float32(1.01)


WRONG: dict[str, Callable[[Graph], Graph]] = {
    "no bias": constant("b", np.zeros_like),
    "no bias of the last channel": constant("c", without_one),
    "two channels of a kernel exchanged": constant("w", lambda array: array[[1, 0, 2, 3, 4, 5, 6, 7]]),
    "input channels exchanged": constant("v", lambda array: array[:, ::-1].copy()),
    "one kernel with its taps moved": constant("v", tap_moved),
    "weights a hundredth too large": constant("v", one_part_in_a_hundred),
    "another term": constant("k", lambda array: -array),
    "no relu": node("z", lambda n: replace(n, operation=ops.Identity())),
    "leaky relu": node("z", lambda n: replace(n, operation=ops.LeakyRelu(0.01))),
    "padding on the other side": node("u", lambda n: replace(n, operation=ops.Conv((2, 1), (0, 0, 1, 2)))),
    "minimum for maximum": node("p", lambda n: replace(n, operation=ops.AveragePool((2, 2), (1, 1), (0, 0, 0, 0)))),
    "difference for sum": node("t", lambda n: replace(n, operation=ops.Sub())),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=list(WRONG))
def test_a_wrong_program_is_found(wrong: Callable[[Graph], Graph], monkeypatch: pytest.MonkeyPatch) -> None:
    """The programs of a network that is a little different, in the place of the right ones, are distinguished."""
    sound = levels.build

    def build(graph: Graph, *args: object, **options: object) -> object:
        artifact = sound(graph, *args, **options)  # type: ignore[arg-type]
        other = sound(wrong(graph), *args, **options)  # type: ignore[arg-type]
        pairs = zip(artifact.plan.steps, other.plan.steps, strict=True)
        steps = tuple(
            replace(step, program=twin.program)
            for step, twin in pairs
            if isinstance(step, EngineStep) and isinstance(twin, EngineStep)
        )
        return replace(artifact, plan=replace(artifact.plan, steps=steps))

    assert judge(convolutions()).result == "ok"
    monkeypatch.setattr(levels, "build", build)
    assert judge(convolutions()).result == "the simulator differs"


def test_a_wrong_reference_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(levels, "run_pipeline", lambda graph: WRONG["no bias"](graph))
    assert judge(convolutions()).result == "graph passes change the result"


def test_movements_agree_to_the_bit() -> None:
    """Without arithmetic there is no tolerance, infinities and denormals included."""
    network = Network(
        {"x": Values((1, 3, 4, 5), "special")},
        (Step(ops.Transpose((0, 2, 3, 1)), ("x",), ("y",)), Step(ops.Relu(), ("y",), ("z",))),
        ("y", "z"),
    )
    verdict = judge(network)
    assert (verdict.result, verdict.margin) == ("ok", 0.0)


def test_a_case_is_its_number_and_its_text() -> None:
    network, _ = make(5)
    assert network == make(5)[0] != make(6)[0]
    for seed in range(40):
        network = make(seed)[0]
        assert parse(json.loads(json.dumps(network.json()))) == network
        assert network.graph().types  # legal


def test_shrinking_keeps_what_fails() -> None:
    """Hypothesis takes away what the failure does not need."""

    def fails(network: Network) -> bool:
        return any(isinstance(step.operation, ops.Softmax) for step in network.steps)

    seed = next(seed for seed in range(200) if fails(make(seed)[0]) and len(make(seed)[0].steps) > 6)
    network, choices = make(seed)
    small = shrink(network, choices, fails)
    assert fails(small)
    assert len(small.steps) <= 2
    assert all(np.prod(values.shape) <= 2 for values in small.inputs.values())


def test_the_journal_survives_a_line_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal.append(path, {"seed": 3})
    journal.append(path, {"seed": 5})
    with path.open("a") as file:
        file.write('{"seed": 9, "res')
    assert [line["seed"] for line in journal.read(path)] == [3, 5]
    journal.append(path, {"seed": 9})
    assert [line["seed"] for line in journal.read(path)] == [3, 5, 9]
    numbers = journal.unfinished(path, 3)
    assert [next(numbers) for _ in range(5)] == [4, 6, 7, 8, 10]


def test_the_share_is_always_the_same_cases(tmp_path: Path) -> None:
    """It ends with them, and stops the build when one fails; new journals explore others."""
    path = tmp_path / "journal.jsonl"
    journal.append(path, {"seed": 1})
    numbers = Numbers(path, 0, 4, multiprocessing.get_context("spawn"))
    assert [numbers() for _ in range(5)] == [0, 2, 3, None, None]
    assert campaign.fresh() >= SHARE_CASES
    recipe = next(line for line in (ROOT / "Makefile").read_text().splitlines() if "campaign.py --share" in line)
    assert recipe.startswith("\t$(BIN)/python")


@pytest.mark.parametrize(("results", "status"), [(["ok", "ok"], 0), (["ok", "the simulator differs"], 1), ([], 1)])
def test_a_failure_of_the_share_stops_the_build(
    results: list[str], status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """So does a share without a case."""

    def run(path: Path, start: int, seconds: float, jobs: int, count: int | None) -> list[str]:
        assert (start, count) == (0, SHARE_CASES)
        for seed, result in enumerate(results):
            journal.append(path, {"seed": seed, "result": result, "detail": "y: 1, not 2"})
        return []

    monkeypatch.setattr("campaign.run", run)
    monkeypatch.setattr(sys, "argv", ["campaign.py", "--share"])
    assert campaign.main() == status
    assert f"share: {len(results)} of {SHARE_CASES:,} cases" in capsys.readouterr().out


def test_a_spread_that_is_small_by_chance_is_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = []

    def expect(plan: Plan, inputs: object, number: int = 4) -> half.Expectation:
        runs.append(number)
        found = half.expect(plan, inputs, number)  # type: ignore[arg-type]
        small = 1e-6 if number == half.RUNS else 1.0
        return replace(found, tolerances={name: small * each for name, each in found.tolerances.items()})

    monkeypatch.setattr(levels, "expect", expect)
    assert judge(convolutions()).result == "ok"
    assert runs == [half.RUNS, half.SECOND_LOOK_RUNS]


def test_long_sums_of_other_programs_may_be_off() -> None:
    """onnxruntime adds one number after another; what that changes grows with their count."""
    node = Node("n", ops.ReduceMean((1, 2), False), ("x",), ("y",))
    assert half.longest_sum(Graph("sum", {"x": TensorType((2, 30, 40))}, ("y",), (node,), {})) == 1200
    whole = replace(node, operation=ops.GroupNorm(2, 1e-3))
    assert half.longest_sum(Graph("norm", {"x": TensorType((2, 6, 5))}, ("y",), (whole,), {})) == 30


def test_failures_are_told_with_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failing case is shrunk, kept as data, and reported with how to see it again."""
    monkeypatch.setattr("differential.running.judge", lambda network: Verdict("the simulator differs", "y: 1, not 2"))
    line = json.loads(json.dumps(Runner().case(12)))
    assert len(parse(line["network"]).steps) == 1
    lines = list(report([line]))
    assert any(failed for _, failed in lines)
    text = "\n".join(text for text, _ in lines)
    assert "case 12: the simulator differs: y: 1, not 2" in text
    assert "tools/campaign.py --seed 12" in text
    assert kind(Verdict()) == ""


def test_the_page_tells_every_mended_fault() -> None:
    """The page of the docs is made by the tool; its table is that of the folder."""
    written = (ROOT / "docs" / "campaign.md").read_text()
    for path in FOUND:
        assert json.loads(path.read_text())["wrong"] in written, f"{path.stem}: run tools/campaign.py --page"
    assert any("register fields" in text for text in page([]))


@pytest.mark.slow
def test_a_run_goes_on_where_the_last_one_stopped(tmp_path: Path) -> None:
    path = tmp_path / "campaign.jsonl"
    command = [sys.executable, str(TOOL), "--journal", str(path), "--jobs", "1", "--start", "40", "--seconds", "3"]
    for _ in range(2):
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ})
        assert done.returncode == 0, done.stdout + done.stderr
    seeds = [line["seed"] for line in journal.read(path)]
    assert seeds == list(range(40, 40 + len(seeds)))
