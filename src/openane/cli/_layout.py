"""Fits tables into the width of a terminal: columns without content go, long names lose their middle."""

from __future__ import annotations

from collections.abc import Collection, Sequence

GAP = 2
"""Columns between two cells."""
_NARROWEST = 12
"""Columns that a shortened name keeps."""
_PROSE = 24
"""Columns that the sentences of the last column keep, over several lines."""
_EMPTY = frozenset({"", "-"})


def fit(
    columns: Sequence[str], rows: Sequence[Sequence[str]], numeric: Collection[str], width: int
) -> tuple[list[str], list[list[str]]]:
    """The columns and rows that fit into a width, as far as they can.

    Args:
        columns: titles.
        rows: cells.
        numeric: titles of columns that are never shortened.
        width: of the terminal, in columns.
    """
    kept = [i for i in range(len(columns)) if not rows or any(row[i] not in _EMPTY for row in rows)]
    titles, cells = [columns[i] for i in kept], [[row[i] for i in kept] for row in rows]
    wide = [max([len(title), *(len(row[i]) for row in cells)]) for i, title in enumerate(titles)]
    excess = sum(wide) + GAP * len(wide) - width
    last = len(titles) - 1
    if excess > 0 and last >= 0 and titles[last] not in numeric and any(" " in row[last] for row in cells):
        given = min(excess, max(wide[last] - _PROSE, 0))
        wide[last], excess = wide[last] - given, excess - given
        prose = {last}
    else:
        prose = set()
    names = [i for i, title in enumerate(titles) if title not in numeric and i not in prose]
    while excess > 0:
        widest = max(names, key=lambda i: wide[i], default=None)
        if widest is None or wide[widest] <= _NARROWEST:
            break
        wide[widest], excess = wide[widest] - 1, excess - 1
    for row in cells:
        for i in names:
            row[i] = shortened(row[i], wide[i])
    return titles, cells


def shortened(text: str, width: int) -> str:
    """A text of at most `width` characters: its beginning and its end around an ellipsis."""
    if len(text) <= width:
        return text
    end = (width - 1) // 2
    return f"{text[: width - 1 - end]}…{text[len(text) - end :] if end else ''}"
