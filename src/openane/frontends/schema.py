"""Whitelist schemas: rebuild decoded JSON from the fields, types and texts that are declared, and from nothing else.

A framework may evaluate, import or unpickle what a file says. A schema is a function that takes decoded JSON and
returns a new value made of checked parts; undeclared fields are dropped. Only that value goes on to a framework.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from openane.core.errors import FormatError

Schema = Callable[[Any, str], Any]
"""(decoded JSON, place for messages) -> a checked copy; raises FormatError."""

LARGEST_INTEGER = 2**63 - 1


def integer(low: int = -LARGEST_INTEGER - 1, high: int = LARGEST_INTEGER) -> Schema:
    """An integer within bounds, both included; a boolean is not one."""

    def check(value: Any, where: str) -> int:
        if type(value) is not int or not low <= value <= high:
            raise FormatError("an integer is expected", where=where, value=value, limit=f"{low} to {high}")
        return value

    return check


def boolean(value: Any, where: str) -> bool:
    """A schema: true or false."""
    if type(value) is not bool:
        raise FormatError("true or false is expected", where=where, value=value)
    return value


def number(value: Any, where: str) -> float | str:
    """A schema: a finite number, or the three names by which JSON writers spell the others."""
    if type(value) is str and value in ("Infinity", "-Infinity", "NaN"):
        return value
    if type(value) in (int, float):
        try:
            found = float(value)
        except OverflowError as error:
            raise FormatError("a number is too large", where=where, value=value) from error
        return found if abs(found) < float("inf") else str(found).replace("inf", "Infinity").replace("nan", "NaN")
    raise FormatError("a number is expected", where=where, value=value)


def text(pattern: str, what: str = "a text", forbidden: Callable[[str], bool] = lambda _: False) -> Schema:
    """A string that matches a pattern from end to end and is not forbidden."""
    compiled = re.compile(pattern, re.ASCII)

    def check(value: Any, where: str) -> str:
        if type(value) is not str or not compiled.fullmatch(value) or forbidden(value):
            raise FormatError(f"{what} is expected", where=where, value=repr(value), limit=f"what matches {pattern}")
        return value

    return check


def fixed(value: Any) -> Schema:
    """Ignores what the file says and returns a constant."""
    return lambda _, __: value


def optional(schema: Schema) -> Schema:
    """null, or what the schema accepts."""
    return lambda value, where: None if value is None else schema(value, where)


def array(item: Schema, most: int = 1 << 22) -> Schema:
    """A list whose items follow a schema."""

    def check(value: Any, where: str) -> list[Any]:
        if type(value) is not list or len(value) > most:
            raise FormatError("a list is expected", where=where, value=type(value).__name__, limit=f"{most} items")
        return [item(each, f"{where}[{number}]") for number, each in enumerate(value)]

    return check


def mapping(key: Schema, item: Schema) -> Schema:
    """An object with keys of one schema and values of another."""

    def check(value: Any, where: str) -> dict[str, Any]:
        _expect_object(value, where)
        return {key(name, f"{where}: key"): item(each, f"{where}.{name}") for name, each in value.items()}

    return check


def record(required: Mapping[str, Schema], more: Mapping[str, Schema] | None = None) -> Schema:
    """An object with declared fields.

    Args:
        required: fields that must be there.
        more: fields that may be absent; they stay absent.
    """

    def check(value: Any, where: str) -> dict[str, Any]:
        _expect_object(value, where)
        for name in required:
            if name not in value:
                raise FormatError(f"the field {name!r} is missing", where=where)
        fields = {**required, **(more or {})}
        return {name: schema(value[name], f"{where}.{name}") for name, schema in fields.items() if name in value}

    return check


def union(variants: Mapping[str, Schema]) -> Schema:
    """An object with one field, whose name selects the schema of its value."""

    def check(value: Any, where: str) -> dict[str, Any]:
        _expect_object(value, where)
        (name,) = value if len(value) == 1 else ("",)
        if name not in variants:
            raise FormatError("one known variant is expected", where=where, value=list(value), limit=list(variants))
        return {name: variants[name](value[name], f"{where}.{name}")}

    return check


def _expect_object(value: Any, where: str) -> None:
    if type(value) is not dict:
        raise FormatError("an object is expected", where=where, value=type(value).__name__)
