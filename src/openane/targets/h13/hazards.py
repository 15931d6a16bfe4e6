"""What is known to hang an M1 (execution.md#hangs): none of our programs may contain it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from openane.core.errors import Diagnostic, UnsupportedError
from openane.program import Program, Task
from openane.targets.h13.registers import REGISTERS

Words = Mapping[int, int]
RULE = "h13.known-hang"


def _field(words: Words, path: str, name: str) -> int:
    register = REGISTERS[path]
    return register[name].get(words.get(register.address, 0))


def _word(words: Words, path: str) -> int:
    return words.get(REGISTERS[path].address, 0)


def _is_ne(words: Words) -> bool:
    return _field(words, "Common.Cfg", "TaskType") == 0


def _dram_source(words: Words) -> bool:
    return _field(words, "L2.SourceCfg", "SourceType") in (1, 2)


#: Register and when its word hangs the engine.
HAZARDS: tuple[tuple[str, str, Callable[[Words], bool]], ...] = (
    *(
        (path, "zero", lambda words, path=path: _word(words, path) == 0)
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
    ("Common.PatchCfg", "not zero on a NE task", lambda words: _is_ne(words) and _word(words, "Common.PatchCfg") != 0),
    (
        "L2.SourceChannelStride",
        "zero",
        lambda words: _word(words, "L2.SourceChannelStride") == 0,
    ),
    (
        "TileDMASrc.Fmt",
        "no format for a DRAM source",
        lambda words: _dram_source(words) and _word(words, "TileDMASrc.Fmt") == 0,
    ),
    (
        "TileDMADst.Fmt",
        "no format for a DRAM result",
        lambda words: _field(words, "L2.ResultCfg", "ResultType") == 2 and _word(words, "TileDMADst.Fmt") == 0,
    ),
    (
        "TileDMASrc.DMAConfig",
        "DMA off though the source is in DRAM",
        lambda words: _dram_source(words) and not _field(words, "TileDMASrc.DMAConfig", "En"),
    ),
    (
        "NE.MACCfg",
        "zero together with KernelCfg on a NE task",
        lambda words: _is_ne(words) and _word(words, "NE.MACCfg") == 0 == _word(words, "NE.KernelCfg"),
    ),
)


def hazards(task: Task) -> Iterator[Diagnostic]:
    """What of a task is known to hang the engine."""
    words = task.registers()
    for path, what, hangs in HAZARDS:
        if hangs(words):
            yield Diagnostic(f"{path} would hang the engine: {what}", rule=RULE, value=f"{_word(words, path):#x}")


def refuse_hazards(program: Program) -> None:
    """Refuses a program with a task that is known to hang the engine.

    Raises:
        UnsupportedError: names the first such task and register.
    """
    for index, task in enumerate(program.tasks):
        for hazard in hazards(task):
            raise UnsupportedError(
                hazard.what,
                where=f"{program.name}: task {index} ({task.origin})"
                if task.origin.layers
                else f"{program.name}: task {index}",
                rule=hazard.rule,
                value=hazard.value,
                hint="Please report this network: the compiler should not have chosen this encoding.",
            )
