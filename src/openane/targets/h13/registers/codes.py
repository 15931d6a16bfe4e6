"""The codes of H13's enumerated fields, each declared once; `Field.codes` refers to them.

Names of members are what assembly text shows, in lower case.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag


class ElementFormat(IntEnum):
    """ChCfg and memory formats; the codes of the 8-bit formats are not settled."""

    UINT8 = 0
    INT8 = 1
    FP16 = 2


class TaskType(IntEnum):
    """Common.Cfg: the engine and the shape of its operation. PE_POOL is assumed, no program shows it."""

    NE = 0
    PE_POOL = 1
    PE_UNARY = 2
    PE_BINARY = 3
    PE_BINARY_ROWS = 4
    PE_REDUCTION = 5
    PE_VARIANCE = 6

    @property
    def takes_two_sources(self) -> bool:
        """Whether the task reads a second source."""
        return self in (TaskType.PE_BINARY, TaskType.PE_BINARY_ROWS, TaskType.PE_VARIANCE)

    @property
    def reduces(self) -> bool:
        """Whether the result is smaller than the sources."""
        return self in (TaskType.PE_POOL, TaskType.PE_REDUCTION, TaskType.PE_VARIANCE)


class SourceType(IntEnum):
    """L2.SourceCfg: where source 1 comes from."""

    RESIDENT = 0
    DRAM_KEPT = 1
    DRAM = 2
    CHAIN = 3

    @property
    def in_dram(self) -> bool:
        """Whether DMA reads the source."""
        return self in (SourceType.DRAM, SourceType.DRAM_KEPT)


class ResultType(IntEnum):
    """L2.ResultCfg: where the result goes."""

    RESIDENT = 0
    DRAM_SWAPPED = 1
    DRAM = 2
    CHAIN = 3

    @property
    def in_dram(self) -> bool:
        """Whether DMA writes the result."""
        return self in (ResultType.DRAM, ResultType.DRAM_SWAPPED)


class PeOperation(IntEnum):
    """PE.Cfg OpMode: operation of two sources."""

    ADD = 0
    MUL = 1
    MAX = 2
    MIN = 3
    SUMSQ = 4


class PePoolMode(IntEnum):
    """PE.Cfg PoolMode: how a reduction combines; average and min are assumed."""

    SUM = 0
    AVERAGE = 1
    MAX = 2
    MIN = 3


class PeCondition(IntEnum):
    """PE.Cfg Condition: abs is proved, comparisons are by analogy with later generations."""

    NONE = 0
    ABS = 1
    EQ = 2
    GT = 3
    GE = 4
    LE = 5
    LT = 6
    NE = 7


class PeNonlinear(IntEnum):
    """PE.Cfg NLMode: applied to the result."""

    NONE = 0
    RECIPROCAL = 1
    RSQRT = 2


class SecondSource(IntEnum):
    """PE.Cfg SecSrc: the second operand."""

    NONE = 0
    SOURCE2 = 2
    MINUS_SOURCE2 = 3


class NeOperation(IntEnum):
    """NE.MACCfg OpMode, together with KernelMode. TRANSPOSED_CONV is assumed, no program shows it."""

    CONV = 0
    MULTIPLY = 2
    MAXIMUM = 3
    BYPASS = 4
    TRANSPOSED_CONV = 5


class NeNonlinear(IntEnum):
    """NE.MACCfg NonlinearMode: the last step."""

    NONE = 0
    RELU = 1
    TABLE = 2


class RepeatedAxes(IntFlag):
    """Common.PECfg: axes on which a source has one element and is repeated."""

    W = 1
    H = 2
    D = 4
    C = 8


class CacheHint(IntEnum):
    """Hints of the DMA; schedule only."""

    NONE = 0
    DEFAULT = 2
    WRITE = 3
    LAST_READ = 4
    NO_REUSE = 12
    KEEP = 14
    KEEP_WRITE = 15
