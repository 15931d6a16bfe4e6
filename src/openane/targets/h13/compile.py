"""Net -> Program, the whole way."""

from __future__ import annotations

from openane.core.errors import InputError
from openane.net.net import Net
from openane.program import Program
from openane.targets.h13 import allocate, constants, fusion, link, lowering
from openane.targets.h13.families import family_of
from openane.targets.h13.limits import DEFAULT_DIALECT, DIALECTS, Dialect
from openane.targets.target import CompileOptions


def dialect_of(options: CompileOptions) -> Dialect:
    """The layout habits to follow.

    Raises:
        InputError: no dialect of that name.
    """
    name = options.dialect or DEFAULT_DIALECT
    if name not in DIALECTS:
        raise InputError("no such dialect", value=name, limit=", ".join(sorted(DIALECTS)))
    return DIALECTS[name]


def compile_net(net: Net, options: CompileOptions) -> Program:
    """Compiles a network of units into one program.

    Raises:
        UnsupportedError: a unit breaks a rule of the hardware or of this back end.
        InputError: an unknown dialect.
    """
    dialect = dialect_of(options)
    plan = lowering.lower(fusion.fuse(net), dialect, family_of)
    section = constants.build(plan)
    placement = allocate.place(plan, dialect, section.tensors)
    return link.link(plan, placement, section, dialect)
