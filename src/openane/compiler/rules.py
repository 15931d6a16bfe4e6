"""Every rule by which a model, one of its operations, a unit or a program is refused, or kept on the host."""

from __future__ import annotations

from openane.compiler import lowering, partition
from openane.core import rules
from openane.core.rules import Limit
from openane.targets.target import Target

RULE_MODULES = (lowering, partition)
"""The modules of the compiler whose rules hold for every generation; those of a generation are in the back end."""


def limits(target: Target) -> tuple[Limit, ...]:
    """The rules of the compiler, in the order of the levels: operations of a graph first, then units and programs."""
    return (*rules.limits(target.spec, of_generation=False), *target.limits())
