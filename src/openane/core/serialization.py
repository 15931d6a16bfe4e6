"""Frozen dataclasses as plain values that JSON can hold, and back, checked against the declared types."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Callable, Mapping
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np

KIND = "kind"
"""Key under which the name of a class is, where a base class leaves several open."""

Choose = Callable[[type, str], type]


def to_plain(value: Any) -> Any:
    """A value as numbers, texts (bytes in base64), lists (sorted, of a set) and dictionaries;
    of a dataclass its fields and class name.

    Raises:
        TypeError: it holds something else.
    """
    if isinstance(value, np.generic):
        return to_plain(value.item())
    if isinstance(value, Enum):
        return value.name
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, (tuple, list)):
        return [to_plain(item) for item in value]
    if isinstance(value, frozenset):
        return sorted(to_plain(item) for item in value)
    if isinstance(value, Mapping):
        return {key: to_plain(item) for key, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: to_plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return {KIND: type(value).__name__, **fields}
    raise TypeError(f"{type(value).__name__} is not a plain value")


def from_plain(kind: Any, plain: Any, choose: Choose = lambda base, name: base) -> Any:
    """A value of a type from what `to_plain` made of it.

    Args:
        kind: the type: of the standard ones, tuples, mappings, unions, enumerations, dataclasses.
        plain: numbers, texts, lists and dictionaries.
        choose: from a declared class and the name that was stored, the class to make.

    Raises:
        ValueError: it is not a value of that type.
    """
    if get_origin(kind) in (Union, UnionType):
        return _of_union(get_args(kind), plain, choose)
    if kind in (str, bool, int, NoneType):
        return _checked(kind, plain)
    if kind is bytes:
        return base64.b64decode(_checked(str, plain), validate=True)
    if kind is float:
        return float(plain) if isinstance(plain, int) and not isinstance(plain, bool) else _checked(float, plain)
    if get_origin(kind) is tuple:
        return _of_tuple(get_args(kind), _checked(list, plain), choose)
    if get_origin(kind) is Mapping:
        key_kind, item_kind = get_args(kind)
        return {
            from_plain(key_kind, key, choose): from_plain(item_kind, item, choose)
            for key, item in _checked(dict, plain).items()
        }
    if isinstance(kind, type) and issubclass(kind, Enum):
        if plain not in kind.__members__:
            raise ValueError(f"{plain!r} is not a {kind.__name__}")
        return kind[plain]
    return _of_class(kind, _checked(dict, plain), choose)


def _checked(kind: Any, plain: Any) -> Any:
    if type(plain) is not kind:
        raise ValueError(f"{type(plain).__name__} instead of {kind.__name__}")
    return plain


def _of_union(kinds: tuple[Any, ...], plain: Any, choose: Choose) -> Any:
    for kind in kinds:
        try:
            return from_plain(kind, plain, choose)
        except ValueError:
            continue
    raise ValueError("none of the types of a union")


def _of_tuple(kinds: tuple[Any, ...], items: list[Any], choose: Choose) -> tuple[Any, ...]:
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        return tuple(from_plain(kinds[0], item, choose) for item in items)
    if len(kinds) != len(items):
        raise ValueError("another number of elements")
    return tuple(from_plain(each, item, choose) for each, item in zip(kinds, items, strict=True))


def _of_class(declared: Any, plain: dict[str, Any], choose: Choose) -> Any:
    kind = choose(declared, _checked(str, plain.get(KIND)))
    if not dataclasses.is_dataclass(kind) or not issubclass(kind, declared):
        raise ValueError(f"{plain[KIND]!r} is not a {getattr(declared, '__name__', declared)}")
    hints = _hints(kind)
    if plain.keys() != {KIND, *hints}:
        raise ValueError(f"other fields than {kind.__name__} has")
    return kind(**{name: from_plain(hint, plain[name], choose) for name, hint in hints.items()})


@cache
def _hints(kind: type) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}
