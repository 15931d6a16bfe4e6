"""Tables for pandas, which is imported only here and only on use."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from openane.core.errors import UnavailableError


def to_frame(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Any:
    """A `pandas.DataFrame`.

    Args:
        columns: their names.
        rows: one value a column each.

    Raises:
        UnavailableError: pandas is not installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise UnavailableError("pandas is not installed", hint="pip install 'openane[notebook]'") from error
    return pandas.DataFrame([tuple(row) for row in rows], columns=list(columns))
