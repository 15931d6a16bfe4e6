"""What is known to hang an M1 (execution.md#hangs): none of our programs may contain it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from openane.backend.program_rules import no_known_hang
from openane.core.errors import Diagnostic, UnsupportedError
from openane.program import Program, Task
from openane.targets.h13.read import TaskFields
from openane.targets.h13.registers.codes import ResultType
from openane.targets.h13.spec import MACHINE

#: Register and when its word hangs the engine.
HAZARDS: tuple[tuple[str, str, Callable[[TaskFields], bool]], ...] = (
    *(
        (path, "zero", lambda fields, path=path: fields.word(path) == 0)
        for path in (
            "Common.InDepth",
            "Common.OutDepth",
            "Common.ConvCfg",
            "Common.GroupConvCfg",
            "Common.TileCfg",
            "Common.Cout",
            "L2.ResultCfg",
        )
    ),
    ("Common.PatchCfg", "not zero on a NE task", lambda fields: fields.is_ne and fields.word("Common.PatchCfg") != 0),
    (
        "L2.SourceChannelStride",
        "zero",
        lambda fields: fields.word("L2.SourceChannelStride") == 0,
    ),
    (
        "TileDMASrc.Fmt",
        "no format for a DRAM source",
        lambda fields: fields.reads_dram and fields.word("TileDMASrc.Fmt") == 0,
    ),
    (
        "TileDMADst.Fmt",
        "no format for a DRAM result",
        lambda fields: fields("L2.ResultCfg", "ResultType") == ResultType.DRAM and fields.word("TileDMADst.Fmt") == 0,
    ),
    (
        "TileDMASrc.DMAConfig",
        "DMA off though the source is in DRAM",
        lambda fields: fields.reads_dram and not fields("TileDMASrc.DMAConfig", "En"),
    ),
    (
        "NE.MACCfg",
        "zero together with KernelCfg on a NE task",
        lambda fields: fields.is_ne and fields.word("NE.MACCfg") == 0 == fields.word("NE.KernelCfg"),
    ),
)


def hazards(task: Task) -> Iterator[Diagnostic]:
    """What of a task is known to hang the engine."""
    fields = TaskFields.of(task)
    for path, what, hangs in HAZARDS:
        if hangs(fields):
            value, detail = f"{fields.word(path):#x}", f"{path} would hang the engine: {what}"
            yield Diagnostic.of(no_known_hang, value, machine=MACHINE, detail=detail)


def refuse_hazards(program: Program) -> None:
    """Refuses a program with a task that is known to hang the engine.

    Raises:
        UnsupportedError: names the first such task and register.
    """
    for index, task in enumerate(program.tasks):
        for hazard in hazards(task):
            where = f"{program.name}: task {index}"
            raise UnsupportedError(replace(hazard, where=f"{where} ({task.origin})" if task.origin.layers else where))
