"""Writes of rows at positions, as the cache of a language model has them, in terms of what the engine does.

One row at a computed position becomes a selection by mask: the engine does not address elements by computed positions,
but the host compares the position with every other, and the rest stays on the engine. Rows at known positions that
follow one another are joined to what is before and after them.
"""

from __future__ import annotations

import numpy as np

from openane.compiler.passes.rewriting import Editor, Replacement
from openane.graph import Graph, Node
from openane.graph.ops import Concat, Equal, Gather, Identity, Reshape, ScatterMode, ScatterND, Slice, Transpose, Where


def spell_out_writes(graph: Graph) -> Graph:
    """Turns a ScatterND of rows into Where(position == index, row, x), or into a Concat at constant indices.

    The result is the same. An index out of range is still an error, because the host looks the position up.
    """
    graph = Editor(graph, "write").run({Transpose: (_Writes().transposed,)})
    # A write between two transposes needs none of them, so that the others come later.
    return Editor(graph, "write").run({ScatterND: (_Writes().plain,)})


class _Writes:
    """The rules; writes at the same computed position share one mask."""

    def __init__(self) -> None:
        self._masks: dict[tuple[str, int, tuple[int, ...]], str] = {}

    def plain(self, editor: Editor, node: Node) -> Replacement | None:
        """Rows along the first axis."""
        if not _writes_rows(editor, node):
            return None
        x, indices, rows = node.inputs
        return self._written(editor, node, 0, (x, indices, rows))

    def transposed(self, editor: Editor, node: Node) -> Replacement | None:
        """Rows along another axis, which is moved to the front and back again."""
        write = editor.only(node.inputs[0], ScatterND)
        if write is None or not _writes_rows(editor, write):
            return None
        moved = editor.made_by(write.inputs[0], Transpose)
        assert isinstance(node.operation, Transpose)
        back = node.operation.permutation
        if moved is None or not isinstance(moved.operation, Transpose):
            return None
        forth = moved.operation.permutation
        if tuple(forth[axis] for axis in back) != tuple(range(len(back))):
            return None
        rows = editor.add(Transpose(back), (write.inputs[2],), node)
        return self._written(editor, node, forth[0], (moved.inputs[0], write.inputs[1], rows))

    def _written(self, editor: Editor, node: Node, axis: int, operands: tuple[str, str, str]) -> Replacement:
        """What is in place of a write of rows along an axis."""
        x, indices, rows = operands
        known = editor.constant(indices)
        if known is None:
            mask = self._mask(editor, node, indices, axis, editor.shape(x))
            return editor.put(node, Where(), (mask, rows, x))
        extent, start = editor.shape(x)[axis], int(known.flat[0]) % editor.shape(x)[axis]
        end = start + known.size
        parts = [_part(editor, node, x, axis, 0, start), rows, _part(editor, node, x, axis, end, extent)]
        found = [part for part in parts if part]
        return editor.put(node, Concat(axis) if len(found) > 1 else Identity(), found)

    def _mask(self, editor: Editor, node: Node, indices: str, axis: int, shape: tuple[int, ...]) -> str:
        """Booleans along an axis, true at the index; the other axes are 1."""
        wanted = tuple(extent if i == axis else 1 for i, extent in enumerate(shape))
        if (indices, axis, wanted) not in self._masks:
            positions = editor.add_constant(np.arange(shape[axis], dtype=np.int64), f"{node.name}_positions")
            index = editor.add(Reshape((1,)), (indices,), node)
            # Negative indices count from the end, others out of range are refused.
            found = editor.add(Gather(0), (positions, index), node)
            chosen = editor.add(Equal(), (positions, found), node)
            self._masks[indices, axis, wanted] = editor.add(Reshape(wanted), (chosen,), node)
        return self._masks[indices, axis, wanted]


def _writes_rows(editor: Editor, node: Node) -> bool:
    """Whether a node puts one row at a computed index of the first axis, or rows at constant ones in a row."""
    operation = node.operation
    assert isinstance(operation, ScatterND)
    x, indices, _ = node.inputs
    shape, extent = editor.shape(indices), editor.shape(x)[0]
    if operation.mode is not ScatterMode.REPLACE or shape[-1] != 1 or not editor.type_of(x).dtype.is_float:
        return False
    known = editor.constant(indices)
    if len(shape) != 2 or known is None:
        return shape == (1, 1)
    places = known.reshape(-1)
    if not places.size or not ((-extent <= places) & (places < extent)).all():
        return False
    return bool((np.diff(places % extent) == 1).all())


def _part(editor: Editor, node: Node, x: str, axis: int, start: int, end: int) -> str:
    """Rows of x; empty where there are none."""
    if start == end:
        return ""
    rank = editor.rank(x)
    starts, ends = [0] * rank, list(editor.shape(x))
    starts[axis], ends[axis] = start, end
    return editor.add(Slice(tuple(starts), tuple(ends), (1,) * rank), (x,), node)
