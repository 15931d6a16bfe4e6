"""Random networks through every level: a share of the campaign, and every case that once failed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("onnxruntime")

from campaign import append, check, coverage, describe, finished, make_case, shrink
from openane.graph import Graph

FAILED = ()
"""Cases that the campaign found to fail and that were mended; the number makes the network."""
SHARE = tuple(range(700_000, 700_006))
"""A share that is run each time; chosen by nothing but their number."""


@pytest.mark.slow
@pytest.mark.parametrize("seed", FAILED + SHARE)
def test_all_levels_agree(seed: int) -> None:
    graph = make_case(seed)
    verdict = check(graph, seed)
    assert verdict.result in ("ok", "refused"), f"{verdict.result}: {verdict.detail}\n" + "\n".join(describe(graph))


def test_a_case_is_its_number() -> None:
    assert describe(make_case(5)) == describe(make_case(5)) != describe(make_case(6))


def test_shrinking_keeps_what_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    import campaign

    graph = next(graph for graph in map(make_case, range(100)) if len(graph.nodes) > 4)
    culprit = graph.nodes[1]

    def judge(candidate: Graph, seed: int) -> campaign.Verdict:
        return campaign.Verdict("wrong" if culprit in candidate.nodes else "ok")

    monkeypatch.setattr(campaign, "judge", judge)
    small = shrink(graph, 0, "wrong")
    assert culprit in small.nodes
    assert len(small.nodes) <= 2


def test_the_journal_survives_a_line_cut_short(tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    append(journal, {"seed": 3})
    append(journal, {"seed": 5})
    with journal.open("a") as file:
        file.write('{"seed": 9, "res')
    assert [line["seed"] for line in finished(journal)] == [3, 5]
    append(journal, {"seed": 9})
    assert [line["seed"] for line in finished(journal)] == [3, 5, 9]
    assert json.loads(journal.read_text().splitlines()[-1]) == {"seed": 9}


def test_coverage_counts_fields_and_names_what_is_missing() -> None:
    verdict = next(
        verdict for verdict in (check(make_case(seed), seed) for seed in range(700_000, 700_010)) if verdict.tasks
    )
    text = "\n".join(coverage([{"tasks": verdict.tasks, "fields": verdict.fields, "operations": []}]))
    assert "fields:" in text
    assert "never other than" in text
