"""The time estimate in the low half of header word 1, in microseconds, as Apple's compiler writes it.

It has no effect on results and is only the compiler's opinion: the largest of three terms, truncated. The terms and
their constants are fitted to the decoded output of the macOS 26 compiler and reproduce it on every task on record (see
tests/cost/test_header_estimate.py). Readings of ours, and numbers that merely fit:

- DRAM: bytes moved / 34,130 a microsecond (any divisor from 34,128 to 34,133 fits; Apple's default is 34.1 GB/s).
- narrow sources: a source with rows of at most 8 columns and one row a plane costs 1/216 us a plane.
- planar engine: 32 pixels a cycle; a reduction takes 4 cycles for a block of 128 pixels. 1.428 GHz.
- neural engine: 256 products a cycle and engine; a table 20 elements a cycle in all (18.4 to 22.9 fit). 1.428 GHz.
"""

from __future__ import annotations

from collections.abc import Mapping

LARGEST_US = 0xFFFF
DRAM_BYTES_PER_US = 34_130
NARROW_PLANES_PER_US = 216
CYCLES_PER_US = 1_428
TABLE_ELEMENTS_PER_CYCLE = 20

_SCRATCH_BUFFER = 3
_LANES = range(16)


def time_estimate_us(registers: Mapping[int, int], bases: int) -> int:
    """The estimate of one task.

    Args:
        registers: byte address -> word of everything the task writes.
        bases: header word 8, the buffer index of each source and of the result.

    Returns:
        Whole microseconds, 0 to 65535.

    Raises:
        KeyError: a register of the common, DMA, L2 or engine blocks is not written.
    """
    task = _Task(registers, bases)
    longest = max(task.dram_us(), task.narrow_us(), task.compute_us())
    return min(int(longest), LARGEST_US)


class _Task:
    """The numbers of a task that the terms are made of."""

    def __init__(self, registers: Mapping[int, int], bases: int) -> None:
        self.registers = registers
        self.width, self.height = registers[0x00] & 0x7FFF, registers[0x00] >> 16
        self.output_pixels = (registers[0x14] & 0x7FFF, registers[0x14] >> 16)
        self.depth, self.channels, self.channels_out = registers[0x04], registers[0x0C], registers[0x10]
        self.groups = registers[0x24] & 0x1FFF
        config = registers[0x34]
        self.planar_type = config >> 4 & 7
        self.transposes = bool(config >> 28 & 1)
        self.shape = config >> 16 & 7
        self.reads_first = bool(registers[0x13800] & 1 and bases >> 5 & 1)
        self.reads_second = bool(registers[0x4804] >> 24 & 1)
        to_scratch = (bases >> 12 & 0x1F) == _SCRATCH_BUFFER
        self.writes = bool(registers[0x17800] & 1) and not to_scratch
        on_neural_engine = not self.planar_type
        mac = registers[0xC804]
        self.has_weights = on_neural_engine and not mac & 8
        self.has_table = on_neural_engine and mac >> 16 & 3 == 2

    def _largest_stride(self, first: int) -> int:
        """Bytes of a DRAM tensor: row, plane, depth, group stride from address `first`, the group for each group."""
        row, plane, depth, group = (self.registers[first + 4 * axis] for axis in range(4))
        return max(row, plane, depth, group * self.groups)

    def _result_bytes(self) -> int:
        """What this task writes: of a tensor that several tasks write, its own part."""
        if self.transposes:
            width, height = self.output_pixels
            part = width * height * max(64, -(-2 * self.channels_out // 64) * 64)
        else:
            part = self.channels_out * self.registers[0x1780C] * self.groups
        return min(self._largest_stride(0x17808), part)

    def _weight_bytes(self) -> int:
        if not self.has_weights:
            return 0
        lanes = (lane for lane in _LANES if self.registers[0x1F808 + 4 * lane] & 1)
        return sum(self.registers[0x1F888 + 4 * lane] for lane in lanes)

    def dram_us(self) -> float:
        """Everything that crosses to DRAM except tables and scratch."""
        moved = self._weight_bytes()
        if self.reads_first:
            moved += self._largest_stride(0x1380C)
        if self.reads_second:
            moved += self._largest_stride(0x13820)
        if self.writes:
            moved += self._result_bytes()
        return moved / DRAM_BYTES_PER_US

    def narrow_us(self) -> float:
        """Planes that are a single short row fill the DMA badly."""
        if self.height != 1 or self.width > 8:
            return 0.0
        planes = self.channels * self.depth * self.groups
        return (self.reads_first + self.reads_second) * planes / NARROW_PLANES_PER_US

    def compute_us(self) -> float:
        """The engine's own time."""
        if self.planar_type:
            return self._planar_cycles() / CYCLES_PER_US
        if self.has_weights:
            patch = (7 - self.shape, self.shape)
            width, height = self.output_pixels
            patches = -(-width >> patch[0]) * -(-height >> patch[1])
            return self._products_per_pixel() * patches * 128 / 256 / CYCLES_PER_US
        if self.has_table:
            elements = self.width * self.height * self.channels_out
            return elements / TABLE_ELEMENTS_PER_CYCLE / CYCLES_PER_US
        return 0.0

    def _products_per_pixel(self) -> int:
        """Multiply-accumulates of one engine for one pixel."""
        convolution = self.registers[0x1C]
        kernel = (convolution & 0x1F) * (convolution >> 5 & 0x1F)
        engines = 1 << (self.registers[0x34] >> 19 & 7)
        return self.channels * kernel * -(-self.channels_out // engines)

    def _planar_cycles(self) -> int:
        """Cycles of the planar engine: blocks of the task's tile width, up to 32 columns."""
        reduces = self.planar_type in (5, 6)
        columns = min(32, 1 << (self.registers[0x2C] & 0xF))
        rows = (128 if reduces else 32) // columns
        blocks = -(-self.width // columns) * -(-self.height // rows)
        return blocks * self.depth * self.channels * self.groups * (4 if reduces else 1)
