"""Tables that are split over the modules of a package and found there, so that an addition touches one file."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from types import MappingProxyType, ModuleType
from typing import Any


def modules_of(package: str) -> Iterator[ModuleType]:
    """Imports the modules of a package, in alphabetical order.

    Args:
        package: dotted name of a package that is being imported or was imported.
    """
    paths = importlib.import_module(package).__path__
    for found in sorted(pkgutil.iter_modules(paths), key=lambda each: each.name):
        yield importlib.import_module(f"{package}.{found.name}")


def merge(*tables: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """The entries of all tables.

    Raises:
        TypeError: two tables have an entry for one key.
    """
    merged: dict[Any, Any] = {}
    for table in tables:
        for key, entry in table.items():
            if key in merged:
                raise TypeError(f"{getattr(key, '__name__', key)} is registered twice: {merged[key]} and {entry}")
            merged[key] = entry
    return MappingProxyType(merged)


def collect(package: str, name: str) -> Mapping[Any, Any]:
    """The entries of the tables called `name` in the modules of a package; modules without one are left out.

    Raises:
        TypeError: two modules have an entry for one key.
    """
    return merge(*(getattr(module, name) for module in modules_of(package) if hasattr(module, name)))
