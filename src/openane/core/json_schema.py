"""Checks a JSON value against a schema: the part of JSON Schema 2020-12 that the schemas of this package use.

Keywords: type, const, enum, pattern (of the whole text), minLength, maxLength, minimum, maximum, items, minItems,
maxItems, properties, required, additionalProperties, and $ref to "#/$defs/NAME". Patterns are anchored at both ends.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from openane.core.errors import FormatError

_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
}


def check_json(value: Any, schema: Mapping[str, Any], where: str) -> None:
    """Refuses a value that the schema does not allow.

    Args:
        value: as `json.loads` makes it.
        schema: the whole schema, with its $defs.
        where: for messages; the path of the wrong value is added ("bundle.json/variants/0").

    Raises:
        FormatError: names the first value that is not allowed, what was found, and what is allowed.
    """
    _check(value, schema, schema, where)


def _check(value: Any, schema: Mapping[str, Any], whole: Mapping[str, Any], where: str) -> None:
    if "$ref" in schema:
        _check(value, whole["$defs"][schema["$ref"].removeprefix("#/$defs/")], whole, where)
    if "const" in schema and (value != schema["const"] or isinstance(value, bool)):
        _refuse("the value is not the expected one", where, value, schema["const"])
    if "enum" in schema and (not isinstance(value, str) or value not in schema["enum"]):
        _refuse("the value is not one of those known", where, value, ", ".join(schema["enum"]))
    kind = schema.get("type")
    if kind is not None and (not isinstance(value, _TYPES[kind]) or isinstance(value, bool)):
        _refuse("a value of another kind is expected", where, value, kind)
    _check_bounds(value, schema, where)
    if isinstance(value, list) and "items" in schema:
        for index, item in enumerate(value):
            _check(item, schema["items"], whole, f"{where}/{index}")
    if isinstance(value, dict) and kind == "object":
        _check_object(value, schema, whole, where)


def _check_bounds(value: Any, schema: Mapping[str, Any], where: str) -> None:
    if isinstance(value, int):
        _within(value, schema.get("minimum"), schema.get("maximum"), "the number is out of range", where)
    if isinstance(value, str):
        _within(len(value), schema.get("minLength"), schema.get("maxLength"), "the text has a wrong length", where)
        if "pattern" in schema and re.fullmatch(schema["pattern"], value) is None:
            _refuse("the text has a wrong form", where, value, schema["pattern"])
    if isinstance(value, list):
        _within(len(value), schema.get("minItems"), schema.get("maxItems"), "a wrong number of items", where)


def _within(found: int, low: int | None, high: int | None, what: str, where: str) -> None:
    if (low is not None and found < low) or (high is not None and found > high):
        _refuse(what, where, found, f"{0 if low is None else low} to {'any' if high is None else high}")


def _check_object(value: dict[str, Any], schema: Mapping[str, Any], whole: Mapping[str, Any], where: str) -> None:
    properties = schema.get("properties", {})
    for name in schema.get("required", ()):
        if name not in value:
            _refuse(f"{name!r} is missing", where, ", ".join(value)[:200], ", ".join(properties))
    others = schema.get("additionalProperties", True)
    for name, item in value.items():
        if name in properties:
            _check(item, properties[name], whole, f"{where}/{name}")
        elif others is False:
            _refuse(f"there is no property {name!r}", where, name, ", ".join(properties))
        elif others is not True:
            _check(item, others, whole, f"{where}/{name}")


def _refuse(what: str, where: str, value: object, limit: object) -> None:
    raise FormatError(what, where=where, value=value, limit=limit)
