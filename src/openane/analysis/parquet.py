"""Columns of numbers in a Parquet file, cell by cell; a group of rows is in memory at a time."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from openane.core.errors import FormatError, UnavailableError
from openane.core.files import open_regular

GROUP_LIMIT_BYTES = 4 << 30
"""Of the numbers of one group of rows: a few bytes of a file can say billions of them."""
ROW_LIMIT = 1 << 28
"""Of a file; a damaged one can say any number."""
_NUMBER_BYTES = 8


class ParquetColumn(Protocol):
    """One array per sample."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its first extent is the number of samples; () for a lone value."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Any: ...


class _ParquetColumn:
    """A column by its name."""

    def __init__(self, table: _Table, name: str) -> None:
        self._table, self._name = table, name
        self.shape = (table.rows,)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: int) -> np.ndarray:
        return self._table.cell(self._name, index)


class _Table:
    """An open file: where each group of rows begins, and the last group that was read."""

    def __init__(self, path: Path, file: Any) -> None:
        self.path, self.file = path, file
        facts = file.metadata
        sizes = [facts.row_group(number).num_rows for number in range(facts.num_row_groups)]
        self.starts = np.concatenate([[0], np.cumsum(np.clip(sizes, 0, ROW_LIMIT), dtype=np.int64)])
        self.rows = int(self.starts[-1])
        if min(sizes, default=0) < 0 or sum(sizes) > ROW_LIMIT:
            raise FormatError("an impossible number of rows", where=str(path), value=sum(sizes), limit=ROW_LIMIT)
        self.group = lru_cache(maxsize=1)(self._group)

    def cell(self, name: str, index: int) -> np.ndarray:
        """The numbers of a cell, flat.

        Raises:
            FormatError: the group of rows is damaged or too large.
        """
        number = int(np.searchsorted(self.starts, index, "right")) - 1
        offsets, values = self.group(number)[name]
        row = index - int(self.starts[number])
        return values[offsets[row] : offsets[row + 1]]

    def _group(self, number: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Of every column of a group of rows: where each cell begins, and all numbers."""
        import pyarrow.lib

        self._probe(number)
        facts = self.file.metadata.row_group(number)
        size = sum(facts.column(each).num_values for each in range(facts.num_columns)) * _NUMBER_BYTES
        if size > GROUP_LIMIT_BYTES:
            raise FormatError(
                "a group of rows is too large",
                where=str(self.path),
                value=f"{size} bytes",
                limit=f"{GROUP_LIMIT_BYTES} bytes",
                hint="Write the file with a smaller row_group_size.",
            )
        try:
            table = self.file.read_row_group(number).combine_chunks()
            return {name: _flat(table[name], facts.num_rows) for name in table.column_names}
        except (pyarrow.lib.ArrowException, OSError, ValueError, IndexError) as error:
            raise FormatError(f"row group {number} cannot be read", where=str(self.path)) from error

    def _probe(self, number: int) -> None:
        """Begins to read a group of rows: asking for its facts would end the process where they are damaged.

        Raises:
            FormatError: they are.
        """
        import pyarrow.lib

        try:
            next(self.file.iter_batches(1, row_groups=[number]), None)
        except (pyarrow.lib.ArrowException, OSError, ValueError) as error:
            raise FormatError(f"row group {number} cannot be read", where=str(self.path)) from error


def read_parquet(path: Path) -> Mapping[str, ParquetColumn]:
    """The columns of a file by name; each holds numbers, or lists of numbers, nested or not.

    Raises:
        UnavailableError: pyarrow is not installed.
        FormatError: not such a file, or a column of something else.
        OSError: the file cannot be opened.
    """
    try:
        import pyarrow.lib
        import pyarrow.parquet
    except ImportError as error:
        raise UnavailableError("reading Parquet needs pyarrow", hint="pip install 'openane[eval]'") from error
    try:
        with open_regular(path):  # refuses a pipe, which would be waited for
            file = pyarrow.parquet.ParquetFile(path)
    except pyarrow.lib.ArrowException as error:
        raise FormatError("not a Parquet file that can be read", where=str(path)) from error
    for column in file.schema_arrow:
        kind = column.type
        while pyarrow.types.is_nested(kind) and kind.num_fields == 1 and hasattr(kind, "value_type"):
            kind = kind.value_type
        number = pyarrow.types.is_integer(kind) or pyarrow.types.is_floating(kind) or pyarrow.types.is_boolean(kind)
        if not number:
            raise FormatError(
                f"column {column.name!r} holds no numbers", where=str(path), value=column.type, limit="numbers, lists"
            )
    table = _Table(path, file)
    return {name: _ParquetColumn(table, name) for name in file.schema_arrow.names}


def _flat(column: Any, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Where each cell begins in the numbers of a column, and the numbers.

    Raises:
        ValueError: cells without a value.
    """
    import pyarrow

    array = column.combine_chunks() if isinstance(column, pyarrow.ChunkedArray) else column
    array = array.chunk(0) if isinstance(array, pyarrow.ChunkedArray) else array
    ends: np.ndarray = np.arange(rows + 1)
    while pyarrow.types.is_nested(array.type):
        if array.null_count:
            raise ValueError("cells without a value")
        if pyarrow.types.is_fixed_size_list(array.type):
            inner: np.ndarray = np.arange(len(array) + 1) * array.type.list_size
        else:
            lengths = array.value_lengths().to_numpy(zero_copy_only=False)
            inner = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        ends, array = inner[ends], array.flatten()
    if array.null_count:
        raise ValueError("cells without a value")
    return ends, array.to_numpy(zero_copy_only=False)
