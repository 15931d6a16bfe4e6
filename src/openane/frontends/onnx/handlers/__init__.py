"""What each ONNX operation becomes: one handler per (domain, name), by family."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from types import MappingProxyType

from openane.frontends.onnx.call import Handler
from openane.frontends.onnx.handlers import (
    constants,
    contributed,
    control,
    convolution,
    elementwise,
    indexing,
    normalization,
    quantization,
    recurrent,
    reduction,
    resize,
    shape,
)

_FAMILIES = (
    constants,
    control,
    convolution,
    elementwise,
    indexing,
    normalization,
    quantization,
    recurrent,
    reduction,
    resize,
    shape,
)


def _registry() -> Mapping[tuple[str, str], Handler]:
    table: dict[tuple[str, str], Handler] = {}
    standard = ((("", name), handler) for family in _FAMILIES for name, handler in family.HANDLERS.items())
    other = (((contributed.DOMAIN, name), handler) for name, handler in contributed.HANDLERS.items())
    for key, handler in chain(standard, other):
        assert key not in table, f"two handlers for {key}"
        table[key] = handler
    return MappingProxyType(table)


#: Handlers by domain ("" for ONNX's own) and operation.
HANDLERS = _registry()
