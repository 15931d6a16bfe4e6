"""A few lines of engine, enough for the hand-written programs: planar tasks with two fp16 sources from memory."""

from __future__ import annotations

import numpy as np

from openane.core.errors import FaultError
from openane.program.layout import read_surface, write_surface
from openane.program.program import Role, Surface
from openane.runtimes.linux.emulation import Submission
from openane.targets.h13.stream import STREAM

FUNCTIONS = (np.add, np.multiply, np.maximum, np.minimum)


class TinyEngine:
    """Runs what `runtime_programs` makes; counts its runs."""

    def __init__(self) -> None:
        self.runs = 0

    def run(self, submission: Submission) -> None:
        self.runs += 1
        text = bytes(submission.first_task) + bytes(submission.memory[0][len(submission.first_task) :])
        stream = STREAM.read(text, first_bytes=len(submission.first_task), count=submission.task_count)
        for task in stream.tasks:
            registers = task.registers()
            bases = task.header[8]
            width, height = registers[0] & 0x7FFF, registers[0] >> 16
            shape = (1, 1, registers[0xC], height, width)
            values = []
            for index, first in ((bases & 31, 0x1380C), (bases >> 6 & 31, 0x13820)):
                place = self._place(shape, [registers[first + 4 * i] for i in range(4)])
                values.append(read_surface(place, self._memory(submission, index)))
            result = FUNCTIONS[registers[0x8800] >> 2 & 7](*values)
            place = self._place(shape, [registers[0x17808 + 4 * i] for i in range(4)])
            write_surface(place, self._memory(submission, bases >> 12 & 31), result)

    def _memory(self, submission: Submission, index: int) -> memoryview:
        if index not in submission.memory:
            raise FaultError(f"buffer {index} has no memory")
        return submission.memory[index]

    def _place(self, shape: tuple[int, ...], strides: list[int]) -> Surface:
        row, plane, depth, group = strides
        return Surface("", Role.INPUT, shape, (group, depth, plane, row, 2), 0, 4)
