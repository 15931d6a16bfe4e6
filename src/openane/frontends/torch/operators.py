"""Which operators of a file may be called.

PyTorch follows the dotted name of a target by getattr from `torch`, which reaches any function of the package
(`torch.load`, `torch.utils...`). Admitted are the tensor operators of ATen and a few control structures. An operator of
ATen is judged by its own signature: it computes with tensors and numbers, and its texts select a mode. Operators that
open files or print (`aten::from_file`, `aten::save`, `aten::warn`) take other texts and so fall out.
"""

from __future__ import annotations

import functools
import re
from typing import Any

from openane.core.errors import UnsupportedError

HIGHER_ORDER = frozenset({"cond", "while_loop", "wrap_with_autocast", "wrap_with_set_grad_enabled"})
SELECTORS = frozenset(
    {
        *("UPLO", "approximate", "assert_msg", "driver", "equation", "indexing", "interpolation", "mode", "norm"),
        *("ord", "p", "pad_mode", "padding", "padding_side", "reduce", "rounding_mode", "side"),
    }
)
"""Parameters of ATen operators whose text chooses between variants."""
_TARGET = re.compile(r"torch\.ops\.(aten|higher_order)\.([A-Za-z0-9_]{1,100})(?:\.([A-Za-z0-9_]{1,100}))?", re.ASCII)


def check_target(value: Any, where: str) -> str:
    """A schema: the dotted name of an operator that is admitted.

    Raises:
        UnsupportedError: it is another name.
    """
    if type(value) is str and _admitted(value):
        return value
    raise UnsupportedError(
        "the program calls something that is not a tensor operator",
        where=where,
        value=repr(value),
        limit=f"torch.ops.aten.*, torch.ops.higher_order.{{{', '.join(sorted(HIGHER_ORDER))}}}",
        hint="Export the module with plain operators of PyTorch.",
    )


@functools.lru_cache(maxsize=4096)
def _admitted(target: str) -> bool:
    found = _TARGET.fullmatch(target)
    if found is None:
        return False
    space, name, overload = found.groups()
    if space == "higher_order":
        return overload is None and name in HIGHER_ORDER
    return overload is not None and _computes(name, overload)


def _computes(name: str, overload: str) -> bool:
    """Whether an operator of ATen exists and takes tensors, numbers and selecting texts only."""
    import torch

    packet = getattr(torch.ops.aten, name, None)
    operator = getattr(packet, overload, None) if isinstance(packet, torch._ops.OpOverloadPacket) else None
    if not isinstance(operator, torch._ops.OpOverload):
        return False
    declared = operator._schema
    variant = "" if overload == "default" else overload
    if (declared.name, declared.overload_name) != (f"aten::{name}", variant):
        return False
    takes_tensors = any("Tensor" in str(each.type) for each in (*declared.arguments, *declared.returns))
    return takes_tensors and all(_harmless(each.name, str(each.type)) for each in declared.arguments)


_NUMERIC = re.compile(
    r"(?:Optional\[|List\[)*(?:Tensor|int|float|number|bool|complex|Device|Layout|ScalarType|Generator)\]*"
)
_TEXT = re.compile(r"(?:Optional\[)?str\]?")


def _harmless(name: str, kind: str) -> bool:
    return bool(_NUMERIC.fullmatch(kind)) or (name in SELECTORS and bool(_TEXT.fullmatch(kind)))
