"""What a generation must bring so that the back end can compile for it.

The back end plans in terms of views, axes and engine work; a generation turns placed tasks into its own words. Besides
its :class:`~openane.backend.machine.MachineSpec` a code generator differs in three places, each a protocol here: how
kernels are packed for the coefficient lanes, how a task that is too large for L2 is tiled, and how a placement is
linked into a program (headers, register words, stream).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from openane.backend.machine import Dialect, MachineSpec

if TYPE_CHECKING:
    from openane.backend.alloc.constants import ConstantSection
    from openane.backend.ir.placement import Placement
    from openane.backend.ir.plan import ProgramPlan, Strides, TaskPlan, TileShape
    from openane.program import Program

Streams = tuple[bytes, ...]
"""One padded byte string per coefficient lane."""


class KernelPacking(Protocol):
    """Weights as the coefficient lanes read them. Kernels are (Cout, Cin, Kh, Kw), biases (Cout,) or None."""

    def round_capacity(self, input_channels: int, width: int, height: int, *, matrix: bool) -> int:
        """Output channels a lane computes in one round, for an image of this size or a matmul."""
        ...

    def split_channels(self, channels: int, bytes_per_channel: int, output_pixels: int) -> tuple[tuple[int, int], ...]:
        """(first channel, count) of each task, as the weight memory of a lane allows; in the order of tasks."""
        ...

    def sparse_bytes_per_channel(self, input_channels: int, kernel_height: int, kernel_width: int) -> int:
        """Bytes of one output channel in the sparse form when no weight is zero."""
        ...

    def pack_dense(self, kernel: np.ndarray, bias: np.ndarray | None, capacity: int) -> Streams:
        """A dense convolution with stride 1; `capacity` output channels per lane and round."""
        ...

    def pack_grouped(self, kernel: np.ndarray, bias: np.ndarray | None, groups: int, capacity: int) -> Streams:
        """A grouped convolution."""
        ...

    def pack_depthwise(self, kernel: np.ndarray, bias: np.ndarray | None) -> Streams:
        """A depthwise convolution."""
        ...

    def pack_pairs(self, kernel: np.ndarray, bias: np.ndarray | None) -> tuple[Streams, bool]:
        """A depthwise convolution that computes two neighboring outputs at a time; whether zeros are left out."""
        ...

    def sparse_slots(self, input_channels: int, columns: int, rows: int, round_channels: int) -> int:
        """The number of channels that a sparse round is filled up to a multiple of."""
        ...

    def pack_sparse(self, kernel: np.ndarray, bias: np.ndarray | None, capacity: int, slots: int) -> Streams:
        """A dense convolution with stride 2: zeros are left out."""
        ...

    def pack_sparse_grouped(
        self, kernel: np.ndarray, bias: np.ndarray | None, groups: int, capacity: int, slots: int
    ) -> Streams:
        """A grouped convolution with stride 2."""
        ...

    def pack_sparse_depthwise(self, kernel: np.ndarray, bias: np.ndarray | None, slots: int) -> Streams:
        """A depthwise convolution with stride 2."""
        ...


class Tiling(Protocol):
    """How a task whose tensors do not fit into L2 together is cut into tiles. Tiles never change a result."""

    def choose(
        self, task: TaskPlan, staged: Sequence[bool], room_bytes: int, *, explicit_layout: bool, room_at_end: bool
    ) -> TileShape:
        """The tile of a task.

        Args:
            task: with its operands' staging rules.
            staged: for each source and the result: whether it passes through a staging area.
            room_bytes: free L2 for the staging areas.
            explicit_layout: see :class:`~openane.backend.machine.Dialect`.
            room_at_end: whether this room ends where L2 does.

        Raises:
            UnsupportedError: not even the smallest tile fits.
        """
        ...

    def staging_bytes(
        self, task: TaskPlan, staged: Sequence[bool], tile: TileShape, *, explicit_layout: bool = False
    ) -> list[int]:
        """Bytes of the staging areas of each source and of the result; 0 for those without."""
        ...

    def smallest_bytes(self, task: TaskPlan) -> int:
        """Bytes of all staging areas of the smallest tile."""
        ...

    def tile_strides(self, task: TaskPlan, number: int, tile: TileShape) -> Strides:
        """L2 strides of a staged source."""
        ...


class CodeGenerator(Protocol):
    """One generation as the back end sees it."""

    @property
    def spec(self) -> MachineSpec:
        """Its limits and constants."""
        ...

    @property
    def dialects(self) -> Mapping[str, Dialect]:
        """Layout habits by name; the first is the default."""
        ...

    @property
    def packing(self) -> KernelPacking:
        """How kernels are packed."""
        ...

    @property
    def tiling(self) -> Tiling:
        """How tasks are tiled."""
        ...

    def compressed(self, plan: TaskPlan) -> TaskPlan:
        """A task with its kernel in the form that takes the fewest bytes, with the same weights."""
        ...

    def link(self, plan: ProgramPlan, placement: Placement, constants: ConstantSection, dialect: Dialect) -> Program:
        """Encodes every placed task and lays out the program.

        Raises:
            UnsupportedError: too many tasks, or a task has more of something than a field can express.
        """
        ...
