"""Net -> Program: every pass of the back end in order, each with the reason for its place."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from openane.backend.alloc import allocate, constants, reuse
from openane.backend.compilation import Compilation
from openane.backend.ir.plan import ProgramPlan
from openane.backend.lowering import lower
from openane.backend.machine import Dialect, MachineSpec
from openane.backend.options import CompileOptions
from openane.backend.passes import chains, fusion, recorded, rescaling
from openane.backend.passes.editor import Edit, edited
from openane.backend.program_rules import on_record
from openane.backend.rules import Query, known_unit, violations
from openane.backend.target import CodeGenerator
from openane.backend.units.families import family_of
from openane.backend.units.tensor import TENSOR_RULES
from openane.backend.verify import verify
from openane.core.choices import AllowedEncodings
from openane.core.errors import Diagnostic, InputError, UnsupportedError
from openane.core.passes import Pass, Stage, run_passes
from openane.net.net import Net, UnitParams
from openane.program import Program
from openane.program.evidence import EncodingEvidence

_log = logging.getLogger(__name__)


def _edit(edit: Edit) -> Callable[[Compilation], Compilation]:
    return lambda state: replace(state, net=edited(state.net, state.target.spec, edit))


def _replan(run: Callable[[CodeGenerator, ProgramPlan], ProgramPlan]) -> Callable[[Compilation], Compilation]:
    def step(state: Compilation) -> Compilation:
        assert state.plan is not None
        return replace(state, plan=run(state.target, state.plan))

    return step


def _rescale(state: Compilation) -> Compilation:
    return replace(state, net=rescaled(state.net, state.target.spec, state.calibration))


def _on_record(state: Compilation) -> Compilation:
    def tasks(net: Net) -> int | None:
        part = run_passes(PASSES[len(FUSION) + len(CHAINS) :], Compilation(state.target, state.dialect, net)).program
        assert part is not None
        return None if _unrecorded(part) else len(part.tasks)

    return replace(state, net=recorded.on_record(state.net, state.target.spec, tasks))


def _unrecorded(program: Program) -> dict[str, str]:
    """What no record shows: the layer of a task (or its number) -> the first finding."""
    assert program.codec is not None
    found: dict[str, str] = {}
    for number, task in enumerate(program.tasks):
        evidence = program.codec.evidence_of(task)
        if evidence is not None and evidence.level is not EncodingEvidence.RECORDED:
            found.setdefault(str(task.origin) or f"task {number}", str(evidence.findings[0]))
    return found


def _lower(state: Compilation) -> Compilation:
    return replace(state, plan=lower(state.target, state.net, state.dialect, family_of))


def _compress(state: Compilation) -> Compilation:
    assert state.plan is not None
    if not state.compress:
        return state
    blocks = tuple(
        replace(block, tasks=tuple(state.target.compressed(task) for task in block.tasks))
        for block in state.plan.blocks
    )
    return replace(state, plan=replace(state.plan, blocks=blocks))


def _collect(state: Compilation) -> Compilation:
    assert state.plan is not None
    return replace(state, constants=constants.build(state.target.spec, state.plan))


def _place(state: Compilation) -> Compilation:
    assert state.plan is not None and state.constants is not None
    placement = allocate.place(state.target, state.plan, state.dialect, state.constants.tensors)
    return replace(state, placement=placement)


def _link(state: Compilation) -> Compilation:
    assert state.plan is not None and state.constants is not None and state.placement is not None
    program = state.target.link(state.plan, state.placement, state.constants, state.dialect)
    return replace(state, program=program)


FUSION: Mapping[str, tuple[Edit, str]] = {
    "remove-dead": (lambda editor: None, "before uses are counted"),
    "constants-to-scalars": (
        fusion.constants_to_scalars,
        "before broadcasts are folded: a scalar needs no operand",
    ),
    "products-by-constants": (
        fusion.products_by_constants,
        "before epilogues, which absorb a multiplication by a constant",
    ),
    "fold-broadcasts": (
        fusion.fold_broadcasts,
        "before epilogues: a row added after a matmul is its bias",
    ),
    "fuse-epilogues": (
        fusion.fuse_epilogues,
        "before elementwise fusion: a function is free in the MAC engine",
    ),
    "fuse-elementwise": (fusion.fuse_elementwise, "after epilogues have absorbed what they can"),
}
"""The edits after which a unit is what the engine computes in one pass; rules look at these units."""

CHAINS: Mapping[str, tuple[Edit, str]] = {
    "flat-reductions": (chains.flat_reductions, "before shapes become views"),
    "products": (chains.products, "after epilogues: a chain absorbs a matmul with its bias and function"),
    "residual-functions": (chains.residual_functions, "after elementwise fusion of x + relu(x)"),
    "attention": (chains.attention, "after the scale of the scores is folded into their matmul"),
}
"""The edits that join units to chains whose intermediate values stay in L2."""

PASSES: tuple[Pass[Compilation], ...] = (
    *(Pass(name, _edit(edit), reason) for name, (edit, reason) in (*FUSION.items(), *CHAINS.items())),
    Pass("lower", _lower, "each unit by its family, to tasks without addresses"),
    Pass("elide-copies", _replan(reuse.elide_copies), "before other values reuse the space of what the copies read"),
    Pass(
        "keep-inputs", _replan(reuse.keep_inputs), "after copies are removed: an input is kept for the remaining tasks"
    ),
    Pass(
        "split-channels", _replan(reuse.split_channels), "last: parts of a task would hide that it reads a whole tensor"
    ),
    Pass("compress-kernels", _compress, "when tasks have their own output channels: the form depends on the streams"),
    Pass("collect-constants", _collect, "after the tasks are final, before allocation: constants need offsets"),
    Pass("place", _place, "after constants have offsets"),
    Pass("link", _link, "after every address is known"),
)
"""Every pass in order; the generation's own work is in `lower` (packing), `place` (tiling) and `link`."""


RESCALE = Pass("rescale", _rescale, "after epilogues, which scale the kernel; before chains absorb matmuls")
"""The pass that `CompileOptions.rescale` adds after those of `FUSION`."""


RECORD = Pass("replace-unrecorded", _on_record, "last of the edits: whatever is fused after it is not checked again")
"""The pass that `CompileOptions.evidence` adds after those of `CHAINS`."""


def passes(rescale: bool, recorded: bool = False) -> tuple[Pass[Compilation], ...]:
    """Every pass of a compilation in order, with the ones that these options add."""
    edits = len(FUSION) + len(CHAINS)
    return (
        *PASSES[: len(FUSION)],
        *((RESCALE,) if rescale else ()),
        *PASSES[len(FUSION) : edits],
        *((RECORD,) if recorded else ()),
        *PASSES[edits:],
    )


LEVELS: Mapping[str, str] = {
    **dict.fromkeys((*FUSION, "rescale", *CHAINS, "replace-unrecorded"), "net"),
    "link": "program",
}
"""What a pass works on, by its name; a plan when it is not listed."""


def dialect_of(target: CodeGenerator, name: str | None) -> Dialect:
    """The layout habits to follow; the generation's first ones when no name is given.

    Raises:
        InputError: no dialect of that name.
    """
    if name is None:
        return next(iter(target.dialects.values()))
    if name not in target.dialects:
        raise InputError("no such dialect", value=name, limit=", ".join(sorted(target.dialects)))
    return target.dialects[name]


def compile_net(target: CodeGenerator, net: Net, options: CompileOptions) -> Program:
    """Compiles a network of units into one program, and verifies what every pass makes.

    Raises:
        UnsupportedError: a unit breaks a rule of the hardware or of this back end; or a task is not on record, if only
            recorded encodings are allowed.
        InputError: an unknown dialect, or the deadline is over.
    """

    def show(step: Pass[Compilation], state: Compilation) -> None:
        if options.observe is not None:
            options.observe(Stage(step.name, step.reason, state.text))

    only_recorded = options.evidence is AllowedEncodings.RECORDED
    state = Compilation(target, dialect_of(target, options.dialect), net, options.calibration, options.compress)
    program = run_passes(passes(options.rescale, only_recorded), state, verify=verify, observe=show).program
    assert program is not None
    if only_recorded:
        _refuse_unrecorded(target.spec, program)
    _log.info("%s: %d tasks", net.name, len(program.tasks))
    return program


def _refuse_unrecorded(machine: MachineSpec, program: Program) -> None:
    found = _unrecorded(program)
    if found:
        where, what = next(iter(found.items()))
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        where = f"{program.name}: {where}{more}"
        raise UnsupportedError.of(on_record, what, machine=machine, where=where)


def fused(net: Net, machine: MachineSpec) -> Net:
    """The network after the passes of `FUSION`."""
    return edited(net, machine, *(edit for edit, _ in FUSION.values()))


def rescaled(net: Net, machine: MachineSpec, inputs: Mapping[str, np.ndarray]) -> Net:
    """A network after fusion, with rescaled kernels; `inputs` as for `rescaling.rescale`."""
    return edited(net, machine, lambda editor: rescaling.rescale(editor, inputs))


def refusals(machine: MachineSpec, net: Net) -> tuple[Diagnostic, ...]:
    """Every rule that the inputs and units of a network break; nothing is planned or built."""
    whole = fused(net, machine)
    found: list[Diagnostic] = []
    for name, shape in whole.inputs.items():
        query = Query(machine, UnitParams(), (), shape)
        found.extend(violations(TENSOR_RULES, query, f"{net.name}: input {name!r}"))
    for unit in whole.units:
        where = f"{net.name}: unit {unit.name!r}"
        family = family_of(unit.params)
        if family is None:
            found.append(Diagnostic.of(known_unit, unit.params.label, machine=machine, where=where))
            continue
        bottoms = tuple(whole.shapes[name] for name in unit.bottoms)
        query = Query(machine, unit.params, bottoms, whole.shapes[unit.name])
        found.extend(violations((*TENSOR_RULES, *family.rules), query, where))
    return tuple(found)
