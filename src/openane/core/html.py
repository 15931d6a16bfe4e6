"""Small HTML for notebooks: tables and bars. Every text is escaped; nothing loads anything from outside."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

ROW_LIMIT = 200
"""Rows of a table in a notebook; what is left out is said."""
_BAR_WIDTH = 640
_BAR_HEIGHT = 22
_LETTER_WIDTH = 7
"""Width in pixels of one letter of a label, about."""


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], numeric: Iterable[str] = ()) -> str:
    """A table; `numeric` columns are aligned to the right."""
    right = {index for index, column in enumerate(columns) if column in set(numeric)}
    head = "".join(
        f'<th scope="col" style="{_align(index in right)}">{escape(c)}</th>' for index, c in enumerate(columns)
    )
    lines = []
    rows = list(rows)
    for row in rows[:ROW_LIMIT]:
        cells = (f'<td style="{_align(index in right)}">{escape(str(c))}</td>' for index, c in enumerate(row))
        lines.append(f"<tr>{''.join(cells)}</tr>")
    more = f"<p>and {len(rows) - ROW_LIMIT} more</p>" if len(rows) > ROW_LIMIT else ""
    return f"<table>{_caption(title)}<thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>{more}"


def facts(title: str, pairs: Iterable[tuple[str, object]]) -> str:
    """A list of names and values under a title."""
    left = _align(False)
    lines = "".join(
        f'<tr><th scope="row" style="{left}">{escape(name)}</th><td style="{left}">{escape(str(value))}</td></tr>'
        for name, value in pairs
    )
    return f"<table>{_caption(title)}<tbody>{lines}</tbody></table>"


def shares(title: str, parts: Sequence[tuple[str, float, str]]) -> str:
    """One bar of parts, as inline SVG.

    Args:
        title: read aloud instead of the picture.
        parts: (label, amount, CSS color); parts of nothing are left out.
    """
    total = sum(amount for _, amount, _ in parts)
    if total <= 0:
        return ""
    pieces, at = [], 0.0
    for label, amount, color in parts:
        width = _BAR_WIDTH * amount / total
        text = f"{label} {amount / total:.0%}"
        if amount > 0:
            pieces.append(
                f'<rect x="{at:.1f}" y="0" width="{width:.1f}" height="{_BAR_HEIGHT}" fill="{escape(color)}">'
                f"<title>{escape(text)}</title></rect>"
            )
            if width > _LETTER_WIDTH * len(text):
                pieces.append(
                    f'<text x="{at + 4:.1f}" y="15" font-size="11" fill="#fff" font-family="sans-serif">'
                    f"{escape(text)}</text>"
                )
        at += width
    return (
        f'<svg role="img" aria-label="{escape(title)}" width="{_BAR_WIDTH}" height="{_BAR_HEIGHT}" '
        f'viewBox="0 0 {_BAR_WIDTH} {_BAR_HEIGHT}">{"".join(pieces)}</svg>'
    )


def _caption(title: str) -> str:
    return f'<caption style="text-align:left;font-weight:bold">{escape(title)}</caption>'


def _align(right: bool) -> str:
    return f"text-align:{'right' if right else 'left'}"
