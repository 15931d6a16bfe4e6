"""Sums of products by Einstein's convention, as matrix products with transposes and reshapes around them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from openane.compiler.lowering.context import Lowering
from openane.core.errors import UnsupportedError
from openane.graph import Node, Operation
from openane.graph import ops as g

#: Letters that stand for the axes of "...", which no equation uses.
_ELLIPSIS = "\u03b1\u03b2\u03b3\u03b4\u03b5\u03b6\u03b7\u03b8"


@dataclass(frozen=True, slots=True)
class _Term:
    """A value whose axes have letters."""

    name: str
    letters: str


def _terms(equation: str, ranks: Sequence[int]) -> tuple[list[str], str]:
    """Letters of the operands and of the result, "..." spelled out."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    parts = left.split(",")
    free = max((rank - len(part) + 3 for part, rank in zip(parts, ranks, strict=True) if "..." in part), default=0)
    if free > len(_ELLIPSIS):
        raise UnsupportedError("too many axes", value=equation)
    if not arrow:
        letters = left.replace(",", "").replace(".", "")
        right = ("..." if "..." in left else "") + "".join(sorted(c for c in set(letters) if letters.count(c) == 1))
    spelled = []
    for part, rank in zip(parts, ranks, strict=True):
        own = rank - len(part) + 3 if "..." in part else 0
        spelled.append(part.replace("...", _ELLIPSIS[free - own : free]))
    return spelled, right.replace("...", _ELLIPSIS[:free])


def _lower_einsum(ctx: Lowering, node: Node) -> None:
    operation = node.operation
    assert isinstance(operation, g.Einsum)
    spelled, wanted = _terms(operation.equation, [len(ctx.shape(name)) for name in node.inputs])
    if any(len(set(letters)) != len(letters) for letters in spelled):
        raise UnsupportedError("diagonals are not taken on the engine", value=operation.equation)
    terms = [_Term(name, letters) for name, letters in zip(node.inputs, spelled, strict=True)]
    total = terms[0]
    for i, term in enumerate(terms[1:], 1):
        needed = set(wanted).union(*(later.letters for later in terms[i + 1 :]))
        total = _product(ctx, _summed(ctx, total, needed | set(term.letters)), term, needed)
    result = _ordered(ctx, _summed(ctx, total, set(wanted)), wanted)
    value = ctx.values[result.name]
    ctx.define(node.outputs[0], value.handle, value.layout)


def _summed(ctx: Lowering, term: _Term, needed: set[str]) -> _Term:
    """The sum over letters that nothing else has."""
    axes = tuple(i for i, letter in enumerate(term.letters) if letter not in needed)
    if not axes:
        return term
    kept = "".join(letter for letter in term.letters if letter in needed)
    return _Term(ctx.apply(g.ReduceSum(axes, False), term.name), kept)


def _ordered(ctx: Lowering, term: _Term, letters: str) -> _Term:
    if term.letters == letters:
        return term
    order = tuple(term.letters.index(letter) for letter in letters)
    return _Term(ctx.apply(g.Transpose(order), term.name), letters)


def _product(ctx: Lowering, a: _Term, b: _Term, needed: set[str]) -> _Term:
    """A batched matrix product: shared letters that stay are batch axes, shared ones that go are summed over."""
    b = _summed(ctx, b, needed | set(a.letters))
    shared = [letter for letter in a.letters if letter in b.letters]
    batch = "".join(letter for letter in shared if letter in needed)
    inner = "".join(letter for letter in shared if letter not in needed)
    rows = "".join(letter for letter in a.letters if letter not in shared)
    columns = "".join(letter for letter in b.letters if letter not in shared)
    extents = {
        **dict(zip(b.letters, ctx.shape(b.name), strict=True)),
        **dict(zip(a.letters, ctx.shape(a.name), strict=True)),
    }
    if any(extents[letter] != extent for letter, extent in zip(b.letters, ctx.shape(b.name), strict=True)):
        raise UnsupportedError("axes of the same letter have different extents")

    def size(letters: str) -> int:
        return math.prod(extents[letter] for letter in letters)

    lead = (size(batch),) if batch else ()
    left = _ordered(ctx, a, batch + rows + inner).name
    right = _ordered(ctx, b, batch + inner + columns).name
    left = ctx.apply(g.Reshape((*lead, size(rows), size(inner))), left)
    right = ctx.apply(g.Reshape((*lead, size(inner), size(columns))), right)
    product = ctx.apply(g.MatMul(), left, right)
    letters = batch + rows + columns
    return _Term(ctx.apply(g.Reshape(tuple(extents[letter] for letter in letters)), product), letters)


LOWERINGS: Mapping[type[Operation], Callable[[Lowering, Node], None]] = MappingProxyType({g.Einsum: _lower_einsum})

HINTS: Mapping[type[Operation], str] = MappingProxyType(
    {g.Einsum: "Write it as Transpose and MatMul of at most three batch axes."}
)
