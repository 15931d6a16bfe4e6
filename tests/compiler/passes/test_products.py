"""Einsums become matrix products."""

from __future__ import annotations

import pytest
from tests.support.pass_graphs import Sketch, counts, simplified

from openane.graph import ops

EXTENTS = {"a": 2, "b": 3, "c": 4, "d": 5, "h": 2, "q": 3, "k": 4, "i": 3, "j": 4, "o": 1}


@pytest.mark.parametrize(
    "equation",
    [
        "ij,jk->ik",
        "ij,kj->ik",
        "ij,jk",
        "bhqd,bhkd->bhqk",
        "bhqk,bhkd->bqhd",
        "abc,cd->abd",
        "abc,dc->dba",
        "ab,ab->",
        "abc,ab->ac",
        "oa,ab->ob",
        "abcd,cdij->abij",
    ],
)
def test_two_tensors(equation: str) -> None:
    left, right = equation.split("->")[0].split(",")
    s = Sketch(x=tuple(EXTENTS[c] for c in left), z=tuple(EXTENTS[c] for c in right))
    after = simplified(s.graph(s.add(ops.Einsum(equation), "x", "z")))
    assert counts(after)["MatMul"] == 1 and not counts(after)["Einsum"]


@pytest.mark.parametrize("equation", ["ab,cd->abcd", "ab,cd->dbac", "ab,ab->ab", "ab,ba->ba", "abc,d->ad", "a,b->ba"])
def test_products_without_sums(equation: str) -> None:
    left, right = equation.split("->")[0].split(",")
    s = Sketch(x=tuple(EXTENTS[c] for c in left), z=tuple(EXTENTS[c] for c in right))
    after = simplified(s.graph(s.add(ops.Einsum(equation), "x", "z")))
    assert counts(after)["Mul"] == 1 and not counts(after)["Einsum"] and not counts(after)["MatMul"]


@pytest.mark.parametrize("equation", ["ij->ji", "ij->i", "abc->ca", "ab->ab", "abc->"])
def test_one_tensor(equation: str) -> None:
    s = Sketch(x=tuple(EXTENTS[c] for c in equation.split("->")[0]))
    after = simplified(s.graph(s.add(ops.Relu(), s.add(ops.Einsum(equation), "x"))))
    assert not counts(after)["Einsum"]


@pytest.mark.parametrize("equation", ["ii->i", "...ij,...jk->...ik", "ij,jk,ka->ia"])
def test_others_stay(equation: str) -> None:
    s = Sketch(x=(3, 3), z=(3, 3))
    terms = equation.split("->")[0].count(",") + 1
    inputs = ["x", "z", "x"][:terms]
    after = simplified(s.graph(s.add(ops.Einsum(equation), *inputs)))
    assert counts(after)["Einsum"] == 1
