"""The units that a net.plist can hold."""

from __future__ import annotations

from collections.abc import Mapping

from openane.core.registry import merge, modules_of
from openane.net import units
from openane.net.net import UnitParams

#: By `Type`, aliases included: the classes of the modules of :mod:`openane.net.units`.
UNITS: Mapping[str, type[UnitParams]] = merge(
    *(
        dict.fromkeys((kind.plist_type, *kind.plist_aliases), kind)
        for module in modules_of(units.__name__)
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, UnitParams) and kind.__module__ == module.__name__
    )
)
