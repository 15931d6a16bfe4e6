"""Header words of H13 task descriptors."""

from __future__ import annotations

from openane.program.fields import Block, Field, Register
from openane.targets.h13.registers.draft import PROVED, SEEN, block, draft, field


def _base(name: str, enable: str, lsb: int, meaning: str) -> tuple[Field, Field]:
    """A buffer index and its enable bit above it."""
    return (
        field(name, lsb, 5, f"buffer index (BAR) of {meaning}", PROVED),
        field(enable, lsb + 5, 1, f"{name} is used", PROVED),
    )


HEADER = block(
    "Header",
    0,
    "the first words of a task descriptor, read by the task manager",
    draft(
        "Task",
        "number and place in the chain",
        field("TID", 0, 16, "task number from 0"),
        field("NID", 16, 8, "network id, patched by drivers at run time"),
        field("LNID", 24, 1, "1 on every task but the first"),
        field("EON", 25, 1, "end of network: the last task"),
    ),
    draft(
        "Next",
        "estimate and size of the next task",
        field("ExeCycles", 0, 16, "the compiler's time estimate in microseconds"),
        field("NextSize", 16, 9, "words of the next task minus 1, 0 on the last"),
    ),
    draft("LogEvents", "event log mask", field("LogEvents", 0, 24, "no effect on results")),
    draft("Exceptions", "exception mask", field("Exceptions", 0, 24, "0 in every program")),
    draft("DebugLogEvents", "debug event log mask", field("DebugLogEvents", 0, 24, "no effect on results")),
    draft("DebugExceptions", "debug exception mask", field("DebugExceptions", 0, 24, "0 in every program")),
    draft(
        "Control",
        "order of execution",
        field("DisallowAbort", 8, 1, "equals KernelCfg.PESignal in every program"),
        field("TDSkip", 9, 1),
        field("KPC", 10, 1),
        field("SPL", 11, 1, "first task of a group of tasks that may overlap"),
        field("TSR", 12, 1, "last task of a group"),
        field("SPC", 13, 1, "source is an intermediate of another group"),
        field("DPC", 14, 1, "result goes to the next group through the L2"),
        field("TSE", 15, 1, "last task of a group"),
        field("NextPriority", 16, 6),
        field("TDE", 24, 1, "one more header word follows (DTID)"),
        field("SrcLoc", 28, 1, "some source is read from DRAM by this task"),
        field("DstLoc", 29, 1, "the result is written to DRAM by this task"),
        field("TQDis", 31, 1),
    ),
    draft(
        "NextPointer",
        "link",
        field("NextPointer", 0, 32, "byte offset of the next task from the first, 0 on the last", PROVED),
    ),
    draft(
        "Bases",
        "buffers of tensors and tasks",
        *_base("RBase0", "RBE0", 0, "source 1"),
        *_base("RBase1", "RBE1", 6, "source 2"),
        *_base("WBase", "WBE", 12, "the result"),
        *_base("TBase", "TBE", 18, "the next task"),
        field("ENE", 24, 3, "number of active engines as log2 plus 1, 0 on planar tasks"),
    ),
    draft(
        "KernelBases",
        "buffers of kernels",
        *_base("KBase0", "KBE0", 0, "the kernel: 1 constants, 3 scratch, or an input"),
        *_base("KBase1", "KBE1", 6, "kernel 1"),
        *_base("KBase2", "KBE2", 12, "kernel 2"),
        *_base("KBase3", "KBE3", 18, "kernel 3"),
    ),
)

#: The optional header word after the ten, present when Control.TDE is set.
EXTRA = Block(
    "Extra",
    40,
    (
        Register(
            "DTID",
            40,
            (field("DTID", 0, 16, "number of the task that wrote the kernel to scratch", SEEN, "programs"),),
            "dependency of a run-time kernel",
            "Extra",
        ),
    ),
    "the optional header word",
)
