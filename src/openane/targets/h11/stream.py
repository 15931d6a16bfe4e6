"""The H11 task stream: linked descriptors of seven header words and bursts, as on H13; no program was available."""

from openane.program.summary import TaskSummary
from openane.program.task import Task
from openane.targets.burst_stream import BurstStream
from openane.targets.h11.registers import REGISTERS


def _summarize(task: Task) -> TaskSummary:
    """Addresses of blocks are not known, so only the amount is reported."""
    return TaskSummary("", f"{sum(len(burst.words) for burst in task.bursts)} register writes")


STREAM = BurstStream(REGISTERS, cpu_subtype=1, summarizer=_summarize, alignment_bytes=0x200)
