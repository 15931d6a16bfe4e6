"""What one task moves and computes, in terms that every chip generation shares."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

FP16_KERNEL = "fp16"
"""The form of a kernel that is not compressed."""


class Engine(Enum):
    """Which part of the machine a task keeps busy."""

    NEURAL = "NE"
    """The multiply-accumulate engines; also copies and lookup tables."""
    PLANAR = "PE"
    """Elementwise operations and reductions."""


class WorkKind(Enum):
    """What a task does."""

    CONVOLUTION = "convolution"
    MATMUL = "matmul"
    """A convolution whose kernel is 1x1: every matrix product ends as one."""
    TABLE = "table"
    COPY = "copy"
    ELEMENTWISE = "elementwise"
    REDUCTION = "reduction"


@dataclass(frozen=True, slots=True)
class Work:
    """The work of one task or of one operation.

    Attributes:
        name: for people.
        engine: which engine runs it.
        kind: what it does.
        macs: multiply-accumulates that the result needs.
        elements: values that pass the engine one by one (tables, copies, planar operations).
        surface_bytes: the caller's tensors that change hands here, each counted once; 0 on most tasks.
        input_bytes, output_bytes: DRAM traffic with the caller's tensors, row padding and repeated reads included.
        scratch_bytes: DRAM traffic with intermediates, both directions.
        weight_bytes: kernels, biases and tables streamed from DRAM.
        kernel_form: how the weights are stored, FP16_KERNEL, "4-bit palette", ...; empty without weights.
        kernel_bytes: of the kernel streams, biases and tables included; part of `weight_bytes`.
        dense_kernel_bytes: what these streams would take as fp16.
        engines: multiply-accumulate engines at work, 0 on a planar task.
        tasks: how many tasks it takes.
        result_bytes: the results among `surface_bytes`.
    """

    name: str
    engine: Engine
    kind: WorkKind
    macs: int = 0
    elements: int = 0
    surface_bytes: int = 0
    input_bytes: int = 0
    output_bytes: int = 0
    scratch_bytes: int = 0
    weight_bytes: int = 0
    kernel_form: str = ""
    kernel_bytes: int = 0
    dense_kernel_bytes: int = 0
    engines: int = 0
    tasks: int = 1
    result_bytes: int = 0

    @property
    def flops(self) -> int:
        """Two a multiply-accumulate, one an element."""
        return 2 * self.macs + self.elements

    @property
    def tile_bytes(self) -> int:
        """Tensors that cross to or from DRAM."""
        return self.input_bytes + self.output_bytes + self.scratch_bytes

    @property
    def dram_bytes(self) -> int:
        """Everything that crosses to or from DRAM."""
        return self.tile_bytes + self.weight_bytes
