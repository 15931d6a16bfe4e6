"""Networks of everyday sizes: a fixed share of the campaign, and proof that it notices what it looks for."""

from __future__ import annotations

import pytest

pytest.importorskip("onnxruntime")

from differential import everyday
from differential.everyday import Count

from openane.backend.alloc import allocate


@pytest.mark.parametrize("first", range(0, 40, 10))
def test_programs_of_everyday_sizes_pass_the_address_check(first: int) -> None:
    count = everyday.run(first, 10, numeric=False)
    assert not count.rejected and not count.failed, "\n".join(count.lines())
    assert count.programs >= 30


def test_networks_of_everyday_sizes_agree_on_all_levels() -> None:
    count = Count()
    for seed in (5, 9):
        everyday.judge_case(seed, count)
    assert not count.failed, "\n".join(count.lines())


def test_a_conflict_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = allocate._Placer._stage
    monkeypatch.setattr(allocate._Placer, "_stage", lambda *arguments: (stage(*arguments)[0], 0))
    count = everyday.run(0, 3, numeric=False)
    assert count.rejected


def test_networks_are_made_from_their_number() -> None:
    first, second = everyday.make(11), everyday.make(11)
    assert first == second
    assert {step.operation for step in first.steps}
