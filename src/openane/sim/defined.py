"""Tasks that the reference machine executes between the others: those of a profile that has no kernels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from openane.numerics.profile import Profile
from openane.sim.decoded_task import DecodedKernel, DecodedOperand, DecodedTask, MacWork, MemorySpace
from openane.sim.reference.neural import Neural
from openane.sim.reference.operand import store
from openane.sim.reference.planar import planar_results
from openane.sim.schedule import RunState


@dataclass(frozen=True, eq=False, slots=True)
class ByDefinition:
    """One task.

    Attributes:
        task: decoded.
        profile: arithmetic.
        constants: bytes of the constant section.
        constant_index: of its buffer.
    """

    task: DecodedTask
    profile: Profile
    constants: npt.NDArray[np.uint8]
    constant_index: int

    def __call__(self, state: RunState) -> None:
        memories = [bytes(self._memory(state, source)) for source in self.task.sources]
        with np.errstate(all="ignore"):
            if isinstance(self.task.engine, MacWork):
                kernel, at_run_time = self._kernel(state, self.task.engine)
                words = list(Neural(self.task, kernel, memories[0], at_run_time, self.profile).results())
            else:
                words = list(planar_results(self.task, memories, self.profile))
        target = self._memory(state, self.task.result).data
        for index, word in words:
            store(target, self.task.result, index, word)

    def _kernel(self, state: RunState, work: MacWork) -> tuple[DecodedKernel, bool]:
        if work.kernel is None:
            return DecodedKernel(), False
        if work.kernel.buffer == self.constant_index:
            return work.kernel.read(self.constants), False
        return work.kernel.read(state.memory.buffer_bytes(work.kernel.buffer)), True

    def _memory(self, state: RunState, operand: DecodedOperand) -> npt.NDArray[np.uint8]:
        if operand.space is MemorySpace.DRAM and operand.buffer == self.constant_index:
            return self.constants
        return state.memory.fp16_words(operand)[: -(-operand.end // 2)].view(np.uint8)
