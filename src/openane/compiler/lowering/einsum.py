"""Sums of products by Einstein's convention, as matrix products with transposes and reshapes around them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from openane.compiler.lowering.context import GraphLowering
from openane.core.errors import require
from openane.core.rules import RuleKind, rule
from openane.graph import Node, Operation
from openane.graph import ops as g

#: Letters that stand for the axes of "...", which no equation uses.
_ELLIPSIS = "\u03b1\u03b2\u03b3\u03b4\u03b5\u03b6\u03b7\u03b8"


@rule(
    "einsum-axes",
    family="einsum",
    kind=RuleKind.COMPILER,
    limit=f"at most {len(_ELLIPSIS)} axes in an ellipsis",
    hint="Write it as Transpose and MatMul of at most three batch axes.",
    evidence="openane.compiler.lowering.einsum: an ellipsis is spelled by as many letters",
)
def ellipsis_axes(count: int, equation: str) -> object | None:
    """An ellipsis has too many axes."""
    return f"{count} axes in {equation!r}" if count > len(_ELLIPSIS) else None


@rule(
    "einsum-diagonal",
    family="einsum",
    kind=RuleKind.COMPILER,
    limit="each letter once per operand",
    hint="Multiply by a constant identity matrix and sum, or write it as Transpose and MatMul.",
    evidence="openane.compiler.lowering.einsum: matmuls and sums",
)
def no_diagonal(operands: Sequence[str], equation: str) -> object | None:
    """An operand of an einsum is read along its diagonal."""
    return equation if any(len(set(letters)) != len(letters) for letters in operands) else None


@rule(
    "einsum-sizes",
    family="einsum",
    kind=RuleKind.COMPILER,
    limit="one size per letter",
    hint="Expand the operand to the size of the other one first.",
    evidence="openane.compiler.lowering.einsum: a letter that two operands share is one axis of a matmul",
)
def equal_sizes(left: Mapping[str, int], right: Mapping[str, int]) -> object | None:
    """Axes with the same letter have different sizes."""
    differing = [letter for letter, size in right.items() if left.get(letter, size) != size]
    return ", ".join(f"{letter}: {left[letter]} and {right[letter]}" for letter in differing) or None


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
    require(ellipsis_axes, free, equation)
    if not arrow:
        letters = left.replace(",", "").replace(".", "")
        right = ("..." if "..." in left else "") + "".join(sorted(c for c in set(letters) if letters.count(c) == 1))
    spelled = []
    for part, rank in zip(parts, ranks, strict=True):
        own = rank - len(part) + 3 if "..." in part else 0
        spelled.append(part.replace("...", _ELLIPSIS[free - own : free]))
    return spelled, right.replace("...", _ELLIPSIS[:free])


def _lower_einsum(ctx: GraphLowering, node: Node) -> None:
    operation = node.operation
    assert isinstance(operation, g.Einsum)
    spelled, wanted = _terms(operation.equation, [len(ctx.shape(name)) for name in node.inputs])
    require(no_diagonal, spelled, operation.equation)
    terms = [_Term(name, letters) for name, letters in zip(node.inputs, spelled, strict=True)]
    total = terms[0]
    for i, term in enumerate(terms[1:], 1):
        needed = set(wanted).union(*(later.letters for later in terms[i + 1 :]))
        total = _product(ctx, _summed(ctx, total, needed | set(term.letters)), term, needed)
    result = _ordered(ctx, _summed(ctx, total, set(wanted)), wanted)
    value = ctx.values[result.name]
    ctx.define(node.outputs[0], value.handle, value.layout)


def _summed(ctx: GraphLowering, term: _Term, needed: set[str]) -> _Term:
    """The sum over letters that nothing else has."""
    axes = tuple(i for i, letter in enumerate(term.letters) if letter not in needed)
    if not axes:
        return term
    kept = "".join(letter for letter in term.letters if letter in needed)
    return _Term(ctx.apply(g.ReduceSum(axes, False), term.name), kept)


def _ordered(ctx: GraphLowering, term: _Term, letters: str) -> _Term:
    if term.letters == letters:
        return term
    order = tuple(term.letters.index(letter) for letter in letters)
    return _Term(ctx.apply(g.Transpose(order), term.name), letters)


def _product(ctx: GraphLowering, a: _Term, b: _Term, needed: set[str]) -> _Term:
    """A batched matrix product: shared letters that stay are batch axes, shared ones that go are summed over."""
    b = _summed(ctx, b, needed | set(a.letters))
    shared = [letter for letter in a.letters if letter in b.letters]
    batch = "".join(letter for letter in shared if letter in needed)
    inner = "".join(letter for letter in shared if letter not in needed)
    rows = "".join(letter for letter in a.letters if letter not in shared)
    columns = "".join(letter for letter in b.letters if letter not in shared)
    left_sizes = dict(zip(a.letters, ctx.shape(a.name), strict=True))
    right_sizes = dict(zip(b.letters, ctx.shape(b.name), strict=True))
    require(equal_sizes, left_sizes, right_sizes)
    extents = right_sizes | left_sizes

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


LOWERINGS: Mapping[type[Operation], Callable[[GraphLowering, Node], None]] = MappingProxyType({g.Einsum: _lower_einsum})
