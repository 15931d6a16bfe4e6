"""The H13 task stream: linked descriptors of ten header words and bursts."""

from openane.targets.burst_stream import BurstStream
from openane.targets.h13.evidence import evidence_of
from openane.targets.h13.registers import REGISTERS
from openane.targets.h13.summary import summarize
from openane.targets.h13.verify import verify

#: Tasks stand at multiples of 0x100 in every program (encoding.md#program).
TASK_ALIGNMENT_BYTES = 0x100

STREAM = BurstStream(
    REGISTERS,
    cpu_subtype=4,
    summarizer=summarize,
    alignment_bytes=TASK_ALIGNMENT_BYTES,
    buffer_fields=(
        ("Bases", "RBase0", "RBE0"),
        ("Bases", "RBase1", "RBE1"),
        ("Bases", "WBase", "WBE"),
        *(("KernelBases", f"KBase{i}", f"KBE{i}") for i in range(4)),
    ),
    tile_dma=((0x13800, "RBase0"), (0x13804, "RBase1"), (0x17800, "WBase")),
    verifier=verify,
    writes_files=True,
    evidence=evidence_of,
)
