"""A report: columns and rows, once, for every form that people read it in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from openane.core import html
from openane.core.errors import UnavailableError


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a report.

    Attributes:
        name: its heading, and its key in records.
        numeric: aligned to the right where people read it.
        show: the text of a value.
        in_tables: whether tables for people have the column; records and data frames have all of them.
        in_records: whether records and data frames have the column.
    """

    name: str
    numeric: bool = False
    show: Callable[[Any], str] = str
    in_tables: bool = True
    in_records: bool = True


def numbers(*names: str, form: str = "{}") -> tuple[Column, ...]:
    """Numeric columns that are shown by a format, such as "{:.2f}"."""
    return tuple(Column(name, numeric=True, show=form.format) for name in names)


def texts(*names: str) -> tuple[Column, ...]:
    """Columns of text."""
    return tuple(Column(name) for name in names)


@dataclass(frozen=True, slots=True)
class Report:
    """A table.

    Attributes:
        title: one line.
        columns: what the values of a row are.
        rows: one value per column.
    """

    title: str
    columns: tuple[Column, ...]
    rows: Sequence[Sequence[object]]

    def to_pandas(self) -> Any:
        """A `pandas.DataFrame` of the plain values.

        Raises:
            UnavailableError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise UnavailableError("pandas is not installed", hint="pip install 'openane[notebook]'") from error
        kept = [i for i, column in enumerate(self.columns) if column.in_records]
        rows = [tuple(row[i] for i in kept) for row in self.rows]
        return pandas.DataFrame(rows, columns=[self.columns[i].name for i in kept])

    def records(self) -> list[Mapping[str, object]]:
        """One mapping from column to plain value per row, for JSON."""
        return [
            {column.name: value for column, value in zip(self.columns, row, strict=True) if column.in_records}
            for row in self.rows
        ]

    def table(self) -> tuple[list[Column], list[list[str]]]:
        """The columns that people read, and the text of their cells."""
        kept = [(i, column) for i, column in enumerate(self.columns) if column.in_tables]
        return [column for _, column in kept], [[column.show(row[i]) for i, column in kept] for row in self.rows]

    def to_html(self) -> str:
        """An HTML table; every text is escaped."""
        columns, rows = self.table()
        numeric = [column.name for column in columns if column.numeric]
        return html.table(self.title, [column.name for column in columns], rows, numeric)
