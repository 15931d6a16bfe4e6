"""Places in decoded JSON, and copies with something else at one of them."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

Position = tuple[Any, ...]
"""Keys and numbers from the root; a last step ("key", name) is the key itself."""


def positions(value: Any, kind: type = object, path: Position = ()) -> Iterator[Position]:
    """The position of every key and of every value of a type below the root."""
    if path and isinstance(value, kind):
        yield path
    if isinstance(value, dict):
        for key, each in value.items():
            yield (*path, ("key", key))
            yield from positions(each, kind, (*path, key))
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from positions(each, kind, (*path, number))


def planted(value: Any, path: Position, payload: Any) -> Any:
    """A copy with a payload at one position; a key becomes its JSON text if it is not a text."""
    found = copy.deepcopy(value)
    inner = found
    for step in path[:-1]:
        inner = inner[step]
    if isinstance(path[-1], tuple):
        inner[payload if isinstance(payload, str) else json.dumps(payload)] = inner.pop(path[-1][1])
    else:
        inner[path[-1]] = payload
    return found
