"""Net -> Program, the whole way."""

from __future__ import annotations

from functools import partial

from openane.backend import describe, lowering
from openane.backend.alloc import allocate, constants, reuse
from openane.backend.machine import DEFAULT_DIALECT, DIALECTS, Dialect
from openane.backend.passes import chains, fusion
from openane.backend.rules import Query, unknown_unit, violations
from openane.backend.units.families import family_of
from openane.backend.units.tensor import TENSOR_RULES
from openane.core.errors import Diagnostic, FaultError, InputError, InternalError
from openane.net.net import Net, UnitParams
from openane.program import Program
from openane.targets.h13 import hazards, link
from openane.targets.h13.machine import check_program
from openane.targets.target import CompileOptions, Stage


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
        InternalError: the program is not one that the simulator runs.
    """
    dialect = dialect_of(options)
    show = options.observe or (lambda stage: None)
    for step in (*fusion.PASSES, *chains.PASSES):
        net = step.run(net)
        show(Stage(step.name, step.reason, partial(describe.net_text, net)))
    plan = lowering.lower(net, dialect, family_of)
    show(Stage("lower", "each unit by its family, into tasks without addresses", partial(describe.plan_text, plan)))
    plan = reuse.reuse(plan)
    show(Stage("reuse", "before places are chosen: fewer moves", partial(describe.plan_text, plan)))
    section = constants.build(plan)
    placement = allocate.place(plan, dialect, section.tensors)
    show(Stage("place", "after constants have offsets", partial(describe.plan_text, plan, placement)))
    program = link.link(plan, placement, section, dialect)
    if options.check:
        hazards.refuse_hazards(program)
    prove(program)
    return program


def prove(program: Program) -> None:
    """Checks every address of a compiled program as the simulator does before it runs one.

    Raises:
        InternalError: the program breaks a rule; the compiler must not have made it.
    """
    try:
        check_program(program)
    except FaultError as error:
        found = error.diagnostic
        raise InternalError(
            f"openane compiled a program that its simulator refuses: {found.what}",
            where=f"{program.name}: {found.where}",
            limit=found.limit,
            value=found.value,
            hint="This is a bug in openane: please report it with the model.",
        ) from error


def refusals(net: Net) -> tuple[Diagnostic, ...]:
    """Every rule that the inputs and units of a network break; nothing is planned or built."""
    fused = fusion.fuse(net)
    found = [
        entry.diagnostic(value, f"{net.name}: input {name!r}")
        for name, shape in fused.inputs.items()
        for entry, value in violations(TENSOR_RULES, Query(UnitParams(), (), shape))
    ]
    for unit in fused.units:
        where = f"{net.name}: unit {unit.name!r}"
        family = family_of(unit.params)
        if family is None:
            found.append(unknown_unit(unit.params, where))
            continue
        bottoms = tuple(fused.shapes[name] for name in unit.bottoms)
        query = Query(unit.params, bottoms, fused.shapes[unit.name])
        broken = violations((*TENSOR_RULES, *family.rules), query)
        found.extend(entry.diagnostic(value, where) for entry, value in broken)
    return tuple(found)
