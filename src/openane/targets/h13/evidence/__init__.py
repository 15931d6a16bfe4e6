"""What backs an H13 task: which of its fields a program of Apple's compiler shows, and what is assumed.

A task is a computation (the fields of one engine), the forms of its operands (the fields of L2 and DMA, by operand),
and sizes. These are separate parts of the engine with registers of their own, so each is compared separately:

- a computation is on record when a recorded task has exactly these features (`recorded.COMPUTATIONS`);
- an operand when recorded tasks of the same engine have one of this form (`recorded.OPERANDS`);
- a size or schedule field when it is inside the range of recorded tasks of the same engine (`recorded.RANGES`).

Fields that only place or link the task (addresses, strides, buffer and task numbers, cache hints) are not compared:
rules give them, which `bench/parity.py` compares word by word. An assumption (`assumptions`) that a task depends on is
reported first. `tests/targets/h13/test_evidence.py` checks the declarations against every record: they list what the
records contain and nothing else, and no recorded task depends on an assumption.
"""

from openane.targets.h13.evidence.classify import evidence_of

__all__ = ["evidence_of"]
