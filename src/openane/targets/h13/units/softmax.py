"""Softmax and its logarithm along any dimension (h13-encoding 9.7).

Five steps: maximum, (x - maximum) * log2(e), 2^x by table, 1 / sum, product. Which engine takes a step and how the values lie in L2
depends on the dimension. Recorded are channels (one pixel or an image), rows of an image, and columns with one row or many;
other shapes are seen as one of these. What does not fit into L2 is cut into bands that are computed one after another.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from openane.net.net import TensorShape, Unit
from openane.net.units import Dimension, Softmax
from openane.targets.h13 import tables
from openane.targets.h13.limits import L2_BYTES
from openane.targets.h13.lowering import Lowering
from openane.targets.h13.plan import (
    PLAIN,
    Axis,
    Evidence,
    Kernel,
    NeMode,
    NeWork,
    Nonlinearity,
    Operand,
    PeMode,
    PeOperation,
    PeWork,
    Place,
    Strides,
    TaskPlan,
    Tuning,
    View,
)
from openane.targets.h13.recipes import LN_2
from openane.targets.h13.staging import BANK_BYTES, odd_row, padded_row, second_base
from openane.targets.h13.surfaces import align
from openane.targets.h13.units.family import Family, Query, rule
from openane.targets.h13.units.rows import (
    GROUPS,
    TURNED,
    as_image,
    as_matrix,
    bands,
    flat,
    image,
    matrix_view,
    planar_row,
    rows_of,
    streamed_row,
)

#: L2 that a band may take; the rest is for what other layers keep.
_BAND_BYTES = L2_BYTES
_LANES = 16

SUBTRACT = PeWork(PeMode.BINARY, subtract=True, scale=tables.LOG2_E)
MULTIPLY = PeWork(PeMode.BINARY, PeOperation.MULTIPLY)
#: (x - max) * log2 e - log2(sum), times ln 2: the last step of the logarithm.
LOG_RESULT = PeWork(PeMode.BINARY, subtract=True, scale=LN_2)
EXP2 = NeWork(NeMode.BYPASS, Nonlinearity.TABLE)
CHANNEL_MAX = NeWork(NeMode.CHANNEL_MAX)
CHANNEL_SUM = NeWork(NeMode.ACCUMULATE, Nonlinearity.TABLE)
MAXIMUM = PeWork(PeMode.REDUCTION, pool=2)
RECIPROCAL_SUM = PeWork(PeMode.REDUCTION, reciprocal=True)


def exp2_kernel(lanes: int) -> Kernel:
    """The table of 2^x in every lane of `lanes` channels."""
    return Kernel((tables.exp2().image(),), table_lanes=min(lanes, _LANES))


def sum_kernel(*, log: bool) -> Kernel:
    """The table behind a sum over channels: 1/x, or log2 x."""
    table = tables.log2() if log else tables.reciprocal()
    return Kernel((table.image(),), table_lanes=1, pole=True)
