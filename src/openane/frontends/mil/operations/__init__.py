"""What each MIL operation is in the Graph: one entry by name, grouped by family."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import NoReturn

from openane.core.errors import UnsupportedError
from openane.core.registry import collect
from openane.frontends.mil.operations.entry import Entry
from openane.frontends.mil.program import MilOperation

#: Every operation that can be read, by its MIL name: the tables ENTRIES of the modules of this package.
OPERATIONS: Mapping[str, Entry] = collect(__name__, "ENTRIES")


def refuse_unknown(operation: MilOperation) -> NoReturn:
    """Raises an UnsupportedError for an operation that is not in the table."""
    similar = difflib.get_close_matches(operation.kind, OPERATIONS, 1)
    raise UnsupportedError(
        f"operation {operation.kind!r} cannot be read",
        where=f"{operation.where}: {operation.name!r}",
        hint=f"Is {similar[0]!r} meant?" if similar else "",
    )
