"""Every register field: what is executed shows when it changes, what is not known is refused, the rest is silent."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.mutation import (
    Outcome,
    Place,
    Subject,
    Use,
    executed,
    fixed,
    goldens,
    roomy,
    schedule_only,
    signature,
    uses,
)
from tests.support.random_programs import random_program
from tests.support.random_tensors import Seeded

from openane.program import Task
from openane.targets.h13.machine import decode_program

RANDOM = {
    "elementwise": (1, 4, 6, 18, 88), "rows": (1,), "reduction": (1,), "pooling": (0, 1), "without_weights": (0, 1),
    "convolution": (0, 8, 14, 19), "run_time_kernel": (1,),
}  # fmt: skip
"""Seeds of the random programs next to Apple's, for kernel formats, exchanged operands and the like."""

NEVER_IN_THE_RESULT = {
    "a switch whose other position is a fault, or takes a kernel that is not there": (
        "Header.Bases.RBE0", "Header.Bases.RBE1", "Header.Bases.WBE", "Header.KernelBases.KBE0",
        "KernelDMASrc.MasterConfig.SparseEnable", "KernelDMASrc.MasterConfig.MasterEnable",
        "KernelDMASrc.CoeffDMAConfig[0].En", "TileDMASrc.DMAConfig.En", "TileDMADst.DMAConfig.En",
    ),
    "a lane that no output channel needs": ("KernelDMASrc.CoeffDMAConfig[15].En",),
    "more bytes of a stream than are used": (
        "KernelDMASrc.CoeffBfrSize[0].MemBfrSize", "KernelDMASrc.CoeffBfrSize[15].MemBfrSize",
    ),
    "it must agree with another field": (
        "Common.InDepth.Din", "Common.OutDepth.Dout", "Common.ChCfg.Src2InFmt", "Common.GroupConvCfg.ElemMultMode",
        "Common.GroupConvCfg.UnicastCin", "Common.Cfg.SmallSourceMode", "NE.KernelCfg.SparseFmt",
        "NE.MACCfg.KernelMode",
        "TileDMASrc.Fmt.FmtMode", "TileDMASrc.Fmt.Truncate",
        "TileDMASrc.Src2Fmt.FmtMode", "TileDMASrc.Src2Fmt.Truncate", "TileDMADst.Fmt.FmtMode",
        "TileDMADst.Fmt.Truncate", "Common.ChCfg.InFmt", "Common.ChCfg.OutFmt", "TileDMASrc.Fmt.MemFmt",
        "TileDMASrc.Src2Fmt.MemFmt", "TileDMADst.Fmt.MemFmt",
    ),
    "the result goes elsewhere, and an output is not written whole": (
        "Header.Bases.WBase", "L2.ResultCfg.ResultType", "Common.PECfg.OutTranspose",
        "TileDMADst.GroupStride.GroupStride", "TileDMADst.DepthStride.DepthStride",
        "TileDMADst.PlaneStride.PlaneStride",
    ),
    "an option of the numerics profile says what it means": ("NE.MACCfg.BinaryPoint",),
    "one value is understood": ("Common.ConvCfg.Ox", "Common.ConvCfg.Oy", "TileDMASrc.Src2Fmt.Interleave"),
}  # fmt: skip
"""Fields that show in the trace or as a fault alone, and why."""


@pytest.fixture(scope="module")
def subjects(shared: Path) -> list[tuple[Subject, int, Use]]:
    return list(tasks_to_change(shared))


def tasks_to_change(shared: Path) -> Iterator[tuple[Subject, int, Use]]:
    """Tasks of Apple's and of random programs, the first of each kind."""
    programs = [(program, None) for program in goldens(shared).values()]
    for kind, seeds in RANDOM.items():
        made = [random_program(Seeded(seed), kind) for seed in seeds]
        programs += [(roomy(one.program), one.arrays) for one in made]
    seen = {signature(work) for work in decode_program(programs[0][0])[:1]}
    for program, arrays in programs:
        new = [(i, signature(work)) for i, work in enumerate(decode_program(program)) if signature(work) not in seen]
        if new:
            subject = Subject(program, arrays)
            yield from ((subject, i, subject.uses()[i]) for i, kind in new if kind not in seen)
            seen |= {kind for _, kind in new}


def all_changed(places: list[Place], task: Task, highest: bool) -> Task:
    """One bit of every field changed."""
    header, registers = list(task.header), dict(task.registers())
    for place in places:
        bit = place.field.lsb + (place.field.width - 1 if highest else 0)
        if place.in_header:
            header[place.register.address // 4] ^= 1 << bit
        else:
            registers[place.register.address] = registers.get(place.register.address, 0) ^ 1 << bit
    return replace(task.with_registers(registers), header=tuple(header))


def test_executed_fields_show_when_a_task_uses_them_and_only_then(subjects: list[tuple[Subject, int, Use]]) -> None:
    strongest: dict[str, set[Outcome]] = defaultdict(set)
    fields = executed()
    for subject, index, use in subjects:
        used = [place for place in fields if uses(place, use)]
        for place in used:
            if Outcome.RESULT in strongest[place.name]:
                assert any(not subject.silent(index, changed) for changed in place.changed(use.task)), place.name
                continue
            outcome = subject.strongest(index, use.task, place)
            assert outcome is not Outcome.NOTHING, (place.name, use.work.where, subject.program.name)
            strongest[place.name].add(outcome)
        unused = [place for place in fields if place not in used]
        for highest in (False, True):
            changed = all_changed(unused, use.task, highest)
            assert subject.silent(index, changed), [
                place.name for place in unused if not subject.silent(index, all_changed([place], use.task, highest))
            ]
    never = {name for name in strongest if Outcome.RESULT not in strongest[name]}
    assert strongest.keys() == {place.name for place in fields}
    assert sorted(never) == sorted(name for names in NEVER_IN_THE_RESULT.values() for name in names)


def test_fields_of_the_schedule_are_silent(subjects: list[tuple[Subject, int, Use]]) -> None:
    fields = schedule_only()
    for subject, index, use in subjects:
        for highest in (False, True):
            assert subject.silent(index, all_changed(fields, use.task, highest))


def test_fields_that_are_not_understood_are_refused(subjects: list[tuple[Subject, int, Use]]) -> None:
    """Lowest and highest bit, on a task of the engine that the register belongs to."""
    tasks = {use.neural: (subject, index, use) for subject, index, use in subjects}
    for place in fixed():
        neural = place.name.startswith("NE.") or not place.name.startswith("PE.")
        subject, index, use = tasks[neural]
        for bit in {0, place.field.width - 1}:
            assert subject.outcome(index, place.flipped(use.task, bit)) is Outcome.FAULT, (place.name, bit)
