"""All of memory, and tasks one after the other."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from openane.numerics.profile import Profile
from openane.program import Program
from openane.program.layout import extent_bytes, fit_array, read_surface, write_surface
from openane.sim.decoded_task import DecodedKernel, DecodedOperand, DecodedTask, MacWork, MemorySpace
from openane.sim.layout import BufferMap
from openane.sim.reference.neural import Neural
from openane.sim.reference.operand import address, store
from openane.sim.reference.planar import planar_results


class ReferenceMachine:
    """A program that `openane.sim.machine.Simulator` has checked, executed one element at a time.

    Args:
        program: surfaces, constants, scratch size.
        works: its decoded tasks.
        buffers: meaning of buffer indices.
        profile: arithmetic.
    """

    def __init__(self, program: Program, works: Sequence[DecodedTask], buffers: BufferMap, profile: Profile) -> None:
        self.program, self.works, self.profile = program, tuple(works), profile
        self._constants = buffers.constants
        self._l2, self._chain = bytearray(buffers.l2_bytes), bytearray(_chain_bytes(works))
        scratch = bytearray(program.scratch_bytes)
        self._buffers = {buffers.constants: bytearray(program.constants), buffers.scratch: scratch}
        for surface in program.surfaces:
            size = max(surface.size_bytes, extent_bytes(surface), len(self._buffers.get(surface.buffer, b"")))
            self._buffers[surface.buffer] = bytearray(size)

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs the program once.

        Args:
            inputs: one (N, D, C, H, W) array per input surface, by surface name.

        Returns:
            One array per output surface, by surface name.

        Raises:
            InputError: a wrong shape or type.
            FaultError: a kernel is damaged.
        """
        for surface in self.program.inputs:
            write_surface(surface, self._buffers[surface.buffer], fit_array(surface, inputs[surface.name]))
        with np.errstate(all="ignore"):
            for task in self.works:
                self._step(task)
        return {s.name: read_surface(s, self._buffers[s.buffer]) for s in self.program.outputs}

    def _step(self, task: DecodedTask) -> None:
        """One task: what stays in L2, the engine, the result."""
        if task.kept is not None:
            self._keep(task.sources[0], task.kept)
        memories = [bytes(self._memory(source)) for source in task.sources]
        if isinstance(task.engine, MacWork):
            kernel, at_run_time = self._kernel(task.engine)
            results = Neural(task, kernel, memories[0], at_run_time, self.profile).results()
        else:
            results = planar_results(task, memories, self.profile)
        target = self._memory(task.result)
        for index, word in results:
            store(target, task.result, index, word)

    def _keep(self, source: DecodedOperand, kept: DecodedOperand) -> None:
        size = kept.item_bytes
        for index in itertools.product(*map(range, kept.extent)):
            at, to = address(source, index), address(kept, index)
            self._memory(kept)[to : to + size] = self._memory(source)[at : at + size]

    def _kernel(self, work: MacWork) -> tuple[DecodedKernel, bool]:
        """Weights, bias and table, and whether a task computed them."""
        if work.kernel is None:
            return DecodedKernel(), False
        memory = np.frombuffer(self._buffers[work.kernel.buffer], np.uint8)
        return work.kernel.read(memory), work.kernel.buffer != self._constants

    def _memory(self, operand: DecodedOperand) -> bytearray:
        if operand.space is MemorySpace.DRAM:
            return self._buffers[operand.buffer]
        return self._l2 if operand.space is MemorySpace.L2 else self._chain


def _chain_bytes(works: Sequence[DecodedTask]) -> int:
    operands = [operand for work in works for operand in (*work.sources, work.result)]
    return max((operand.end for operand in operands if operand.space is MemorySpace.CHAIN), default=0)
