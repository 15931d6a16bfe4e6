"""The time estimate in the low half of header word 1, in microseconds, as Apple's compiler writes it.

It has no effect on results and is only the compiler's opinion: the largest of three terms, truncated. The terms and
their constants are fitted to the decoded output of the macOS 26 compiler and reproduce it on every task on record (see
tests/cost/test_header_estimate.py). Readings of ours, and numbers that merely fit:

- DRAM: bytes moved / 34,130 a microsecond (any divisor from 34,128 to 34,133 fits; Apple's default is 34.1 GB/s).
- narrow sources: a source with rows of at most 8 columns and one row per plane costs 1/216 us a plane.
- planar engine: 32 pixels a cycle; a reduction takes 4 cycles for a block of 128 pixels. 1.428 GHz.
- neural engine: 256 products a cycle and engine; a table 20 elements a cycle in all (18.4 to 22.9 fit). 1.428 GHz.
"""

from __future__ import annotations

from collections.abc import Mapping

from openane.targets.h13.read import TaskFields
from openane.targets.h13.registers import REGISTERS
from openane.targets.h13.task_cost import TaskFacts

_BASES_WORD = REGISTERS["Header.Bases"].address // 4
LARGEST_US = 0xFFFF
DRAM_BYTES_PER_US = 34_130
NARROW_PLANES_PER_US = 216
NARROW_COLUMNS = 8
CYCLES_PER_US = 1_428
TABLE_ELEMENTS_PER_CYCLE = 20
PRODUCTS_PER_CYCLE = 256
PATCH_PIXELS_LOG2 = 7
PLANAR_COLUMNS = 32


def time_estimate_us(registers: Mapping[int, int], bases: int) -> int:
    """The estimate of one task.

    Args:
        registers: byte address -> word of everything the task writes; what is missing counts as 0.
        bases: header word 8, the buffer index of each source and of the result.

    Returns:
        Whole microseconds, 0 to 65535.
    """
    header = (0,) * _BASES_WORD + (bases,)
    facts = TaskFacts(TaskFields(registers, header))
    return min(int(max(_dram_us(facts), _narrow_us(facts), _compute_us(facts))), LARGEST_US)


def _dram_us(facts: TaskFacts) -> float:
    """Everything that crosses to DRAM except tables and scratch."""
    moved = facts.first_bytes + facts.shared_bytes + facts.second_bytes
    if facts.has_weights:
        moved += facts.stream_bytes
    if not facts.writes_scratch:
        moved += facts.result_bytes
    return moved / DRAM_BYTES_PER_US


def _narrow_us(facts: TaskFacts) -> float:
    """Planes that are a single short row fill the DMA badly."""
    if facts.height != 1 or facts.width > NARROW_COLUMNS:
        return 0.0
    planes = facts.channels * facts.depth * facts.groups
    return (facts.reads_first + facts.reads_second) * planes / NARROW_PLANES_PER_US


def _compute_us(facts: TaskFacts) -> float:
    """The engine's own time; of a planar task only when its sources are in L2 or its result is swapped.

    Reductions of 183 rows of 1024 and of 3000 rows of 375 from DRAM cost their transfer, one of 64 rows of 256 whose
    result is swapped costs more.
    """
    swapped = facts.get("Common.PECfg", "OutTranspose")
    if facts.planar_type and (facts.reads_first or facts.reads_second) and not swapped:
        return 0.0
    if facts.planar_type:
        return _planar_cycles(facts) / CYCLES_PER_US
    if facts.has_weights:
        return _product_cycles(facts) / CYCLES_PER_US
    if facts.has_table:
        elements = facts.width * facts.height * facts.channels_out * facts.groups
        return elements / TABLE_ELEMENTS_PER_CYCLE / CYCLES_PER_US
    return 0.0


def _product_cycles(facts: TaskFacts) -> float:
    """Patches of 128 pixels, each engine with its own output channels."""
    shape = facts.get("Common.Cfg", "ShMax")
    columns, rows = 1 << PATCH_PIXELS_LOG2 - shape, 1 << shape
    patches = -(-facts.output_width // columns) * -(-facts.output_height // rows)
    channels = -(-facts.channels_out // facts.engines) * facts.groups
    products = facts.kernel_channels * facts.kernel_area * channels
    return products * patches * (1 << PATCH_PIXELS_LOG2) / PRODUCTS_PER_CYCLE


def _planar_cycles(facts: TaskFacts) -> int:
    """Blocks of the task's tile width, up to 32 columns."""
    columns = min(PLANAR_COLUMNS, 1 << facts.get("Common.PatchCfg", "PatchWidth"))
    rows = (4 if facts.reduces else 1) * PLANAR_COLUMNS // columns
    blocks = -(-facts.width // columns) * -(-facts.height // rows)
    return blocks * facts.depth * facts.channels * facts.groups * (4 if facts.reduces else 1)
