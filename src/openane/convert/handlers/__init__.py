"""How each operation of the Graph is spelled in MIL, Core ML's language: a table HANDLERS per family."""

from __future__ import annotations

from collections.abc import Mapping

from openane.convert.builder import Handler
from openane.core.registry import collect
from openane.graph import Operation

#: By class of the operation.
HANDLERS: Mapping[type[Operation], Handler] = collect(__name__, "HANDLERS")
