"""What each ONNX operation becomes: one handler per (domain, name), by family.

A module of this package brings its handlers in a table HANDLERS, or CONTRIBUTED for the domain of onnxruntime.
"""

from __future__ import annotations

from collections.abc import Mapping

from openane.core.registry import collect, merge
from openane.frontends.onnx.call import Handler
from openane.frontends.onnx.handlers.contributed import DOMAIN

#: Handlers by domain ("" for ONNX's own) and operation.
HANDLERS: Mapping[tuple[str, str], Handler] = merge(
    {("", name): handler for name, handler in collect(__name__, "HANDLERS").items()},
    {(DOMAIN, name): handler for name, handler in collect(__name__, "CONTRIBUTED").items()},
)
