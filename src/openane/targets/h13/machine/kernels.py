"""The coefficient streams of H13: how bias, weights and tables lie in the lanes of the 16 neural engines.

Rules and evidence (encoding.md#kernel-dma; "hash" = the SHA-256 of Apple's constant section):

- Output channels go to the lanes in rounds: g = min(channels left per lane, 2^OCGSize); in each round lane i holds
  the next g channels from i * g on [hash: 36 conv and 21 matmul sections].
- A lane is [table 128 bytes][rounds], a round is [bias: g fp16 words][weights: input channel, row, column, g channels]
  [hash; table before weights by size].
- Depthwise: lane i holds channels i, i + n, ...; each [bias][taps] without padding [hash].
- Groups: in each lane one block per group, padded to 64 bytes [hash].
- Sparse: fp16 words in eights, one mask byte (bit l = fp16 word l is stored) before the stored ones; before
  a round its bytes as 3-byte little-endian number. With stride 2 the window grows to even size and is ordered by
  phase: input channel, row phase, column phase, row, column. The channels of a round fill up to a multiple of 4 slots
  in small-source mode (64 pixels of 4 channels at a time), else of 2 (128 of 2) [hash: 7 dense, 2 depthwise].
- Two outputs at a time (Ox = 2): two biases, the weights of both outputs for one column more, even columns of all rows
  first [hash: one dense, one sparse]. Sparse with a palette: see `_sparse_palette` [hash: 1].
- uint8: one byte a weight, value as it is [measured on an M1: 248]. int8, palettes, channel counts that do not fill
  the last round: see docs/assumptions.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from openane.core.errors import FaultError
from openane.numerics.fp16 import to_fp16
from openane.sim.decoded_task import DecodedKernel, Lane

TABLE_BYTES = 128
BLOCK_BYTES = 64
FP16, UINT8, INT8 = 2, 0, 1

Bytes = npt.NDArray[np.uint8]
Fp16Words = npt.NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class WeightFormat:
    """How one weight is stored.

    Attributes:
        element: 2 fp16, 0 uint8, 1 int8.
        palette_bits: bits of a palette index; 0 without a palette.
        sparse: zeros are left out.
    """

    element: int = FP16
    palette_bits: int = 0
    sparse: bool = False

    def bytes_of(self, count: int) -> int:
        """Bytes of `count` stored weights."""
        if self.palette_bits:
            return -(-count * self.palette_bits // 8)
        return count * (2 if self.element == FP16 else 1)


@dataclass(frozen=True, eq=False)
class KernelStreams:
    """The kernel of one task as H13 stores it; see `openane.sim.decoded_task.KernelSource`.

    Attributes:
        buffer: index of the buffer.
        lanes: enabled streams.
        engines: lanes that channels are dealt to.
        channels: output channels of one group.
        inputs: input channels of one output channel.
        window: (rows, columns) of the kernel.
        groups: kernels that follow one another.
        largest_round: 2^OCGSize.
        depthwise: every output channel has inputs of its own.
        has_weights, has_bias, has_table: what the stream holds.
        phases: rows and columns are ordered by phase (stride 2).
        slots: what the weights of a step are filled up to a multiple of where zeros are left out.
        pairs: every channel has two kernels, of two neighboring outputs (Ox = 2).
        format: of a weight.
        where: for messages.
    """

    buffer: int
    lanes: tuple[Lane, ...]
    engines: int
    channels: int
    inputs: int
    window: tuple[int, int]
    groups: int = 1
    largest_round: int = 1
    depthwise: bool = False
    has_weights: bool = True
    has_bias: bool = False
    has_table: bool = False
    phases: bool = False
    slots: int = 1
    pairs: bool = False
    format: WeightFormat = field(default=WeightFormat())
    where: str = ""

    def with_lanes(self, lanes: tuple[Lane, ...], where: str) -> KernelStreams:
        """The same kernel in other streams, of the task `where`; many times faster than `dataclasses.replace`."""
        moved = object.__new__(KernelStreams)
        vars(moved).update(vars(self), lanes=lanes, where=where)
        return moved

    @property
    def stored_window(self) -> tuple[int, int]:
        """The window with the zeros that make it even."""
        rows, columns = self.window
        if self.pairs:
            return rows, columns + 1
        return (rows + rows % 2, columns + columns % 2) if self.phases else self.window

    def _taps(self) -> npt.NDArray[np.int64]:
        """(stored steps of one input channel, 2): row and column in stream order."""
        rows, columns = self.stored_window
        order = [(y, x) for y in range(rows) for x in range(columns)]
        if self.phases:
            order.sort(key=lambda tap: (tap[0] % 2, tap[1] % 2, tap[0], tap[1]))
        if self.pairs:
            order.sort(key=lambda tap: (tap[1] % 2, tap[0], tap[1]))
        return np.array(order, np.int64).reshape(-1, 2)

    @property
    def steps(self) -> npt.NDArray[np.int64]:
        """(steps, 3): input channel, row, column, in stream order, without the taps outside the window."""
        taps, inside = self._taps(), self._inside
        result = np.empty((self.inputs, int(inside.sum()), 3), np.int64)
        result[:, :, 0] = np.arange(self.inputs)[:, None]
        result[:, :, 1:] = taps[inside]
        return result.reshape(-1, 3)

    @property
    def _inside(self) -> npt.NDArray[np.bool_]:
        """Of the stored steps of one input channel, those that are inside the window."""
        taps = self._taps()
        return (taps[:, 0] < self.window[0]) & (taps[:, 1] < self.window[1])

    @property
    def step_count(self) -> int:
        """Steps of one output channel."""
        return self.inputs * self.window[0] * self.window[1]

    @property
    def least_bytes(self) -> int:
        """Bytes that the lanes hold at least: masks alone when zeros are left out."""
        if not self.has_weights:
            return self.table_bytes
        count = self.groups * self.channels * self.step_count
        return count // 8 if self.format.sparse else self.format.bytes_of(count)

    @property
    def element_bits(self) -> int:
        """Bits of a stored weight before palettes."""
        return 16 if self.format.element == FP16 else 8

    @property
    def sparse(self) -> bool:
        """Whether zeros are left out of the streams."""
        return self.format.sparse

    @property
    def plain(self) -> bool:
        """Whether the lanes hold nothing but fp16 weights, each at an even address."""
        kind = self.format
        halves = kind.element == FP16 and not kind.palette_bits and not kind.sparse
        alone = self.has_weights and not self.has_bias and not self.has_table
        return halves and alone and all(lane.offset % 2 == 0 for lane in self.lanes)

    @property
    def description(self) -> str:
        """Everything that decides how the streams are read."""
        return (
            f"buffer {self.buffer}, {self.channels} channels of {self.inputs} inputs, window {self.window},"
            f" {self.groups} groups, {self.engines} engines, rounds up to {self.largest_round},"
            f" depthwise {self.depthwise}, weights {self.has_weights}, bias {self.has_bias}, table {self.has_table},"
            f" phases {self.phases}, pairs {self.pairs}, slots {self.slots}, {self.format}"
        )

    @property
    def table_bytes(self) -> int:
        """Bytes of tables, one copy counted when lanes share it."""
        return TABLE_BYTES * len({lane.offset for lane in self.lanes}) if self.has_table else 0

    @property
    def weight_bytes(self) -> int:
        """Bytes of everything else."""
        if not self.has_weights:
            return 0
        return sum(lane.size_bytes for lane in self.lanes) - self.table_bytes

    @property
    def rounds(self) -> tuple[int, ...]:
        """Output channels per lane of each round."""
        return _rounds(-(-self.channels // self.engines), self.largest_round)

    @property
    def decoding_bytes(self) -> int:
        """Memory that `read` takes at most: streams, fp16 words with and without the taps outside the window, steps.

        A palette takes most: bits, places and values of the weights of one round.
        """
        if not self.has_weights:
            return self.table_bytes
        rows, columns = self.stored_window
        stored = self.inputs * rows * columns
        slots = -(-(1 if self.depthwise else max(self.rounds)) // self.slots) * self.slots * (1 + self.pairs)
        round_bytes = stored * slots * (32 + 10 * self.format.palette_bits)
        return round_bytes + self.groups * self.channels * (4 * stored + 4) + 64 * stored

    def used_bytes(self) -> Iterator[tuple[Lane, npt.NDArray[np.bool_]]]:
        """For each lane, which of its bytes hold a table, a palette, a bias or a weight.

        Blocks are padded, and the last round has room for channels that are not there: nobody looks at these bytes.
        Where zeros are left out, the stream itself says where it ends, so all of it counts.

        Raises:
            FaultError: a lane is missing, or shorter than its part of the kernel.
        """
        parts, loaded = dict(self._parts()), {lane.engine for lane in self.lanes}
        for engine, blocks in parts.items():
            if blocks and engine not in loaded:
                raise self._missing(engine)
        known: dict[tuple[int, ...], npt.NDArray[np.bool_]] = {}
        for lane in self.lanes:
            key = lane.size_bytes, *(len(block.channels) for block in parts.get(lane.engine, ()))
            if key not in known:  # most lanes are alike
                known[key] = self._used(lane)
            yield lane, known[key]

    def _used(self, lane: Lane) -> npt.NDArray[np.bool_]:
        if self.format.sparse:
            return np.ones(lane.size_bytes, np.bool_)
        stream = _Marks(np.zeros(lane.size_bytes, np.uint8), lane, self)
        if self.has_table:
            stream.take(TABLE_BYTES)
        blocks = self._blocks(lane.engine) if self.has_weights and lane.engine < self.engines else ()
        steps = self.inputs * self.stored_window[0] * self.stored_window[1]
        if blocks:
            stream.palette()
        for _ in range(self.groups if blocks else 0):
            for block in blocks:
                if self.has_bias:
                    stream.mark_fp16_words(block.biases, len(block.channels))
                stream.mark_weights(steps, block.slots, len(block.channels))
            stream.align(BLOCK_BYTES)
        return stream.used

    def read(self, memory: Bytes, origin: int = 0) -> DecodedKernel:
        """Decodes the lanes.

        Args:
            memory: bytes of the buffer, those of the lanes at least.
            origin: address of the first of them in the buffer.

        Raises:
            FaultError: a lane is missing, outside its buffer, shorter than its contents, or lanes hold other tables.
        """
        streams = {lane.engine: _Stream(self._bytes(memory, origin, lane), lane, self) for lane in self.lanes}
        table = self._table(streams) if self.has_table else None
        if not self.has_weights:
            return DecodedKernel(table=table)
        steps = self.inputs * self.stored_window[0] * self.stored_window[1]
        weights = np.zeros((self.groups, self.channels, steps), np.uint16)
        bias = np.zeros((self.groups, self.channels), np.uint16)
        for engine, blocks in self._parts():
            if not blocks:
                continue
            if engine not in streams:
                raise self._missing(engine)
            self._fill(streams[engine], blocks, weights, bias)
        if self.phases or self.pairs:
            keep = np.tile(self._inside, self.inputs)
            weights = weights[:, :, keep]
        return DecodedKernel(weights, bias.reshape(-1) if self.has_bias else None, table)

    def _missing(self, engine: int) -> FaultError:
        return FaultError(
            "an output channel has no kernel: its lane is not loaded",
            where=f"{self.where}: KernelDMASrc.CoeffDMAConfig[{engine}]",
            hint="Enable the lane, or reduce ActiveNE.",
        )

    def _bytes(self, memory: Bytes, origin: int, lane: Lane) -> Bytes:
        end = lane.offset + lane.size_bytes
        if end > origin + memory.size:
            raise FaultError(
                "a kernel stream runs over the end of its buffer",
                where=f"{self.where}: KernelDMASrc.CoeffBaseAddr[{lane.engine}]",
                value=f"{lane.offset:#x} to {end:#x}",
                limit=f"{origin + memory.size:#x} bytes in buffer {self.buffer}",
            )
        return memory[lane.offset - origin : end - origin]

    def _table(self, streams: dict[int, _Stream]) -> bytes:
        tables = {bytes(stream.take(TABLE_BYTES)) for stream in streams.values()}
        if len(tables) > 1:
            raise FaultError("the lanes hold different tables", where=self.where, value=f"{len(tables)} tables")
        if not tables:
            raise FaultError("the task uses a table and loads none", where=f"{self.where}: KernelDMASrc")
        return tables.pop()

    def _parts(self) -> Iterator[tuple[int, tuple[_LaneBlock, ...]]]:
        """Each lane that channels are dealt to, with the blocks of one group; none in a lane without any channel."""
        if self.has_weights:
            yield from ((engine, self._blocks(engine)) for engine in range(self.engines))

    def _blocks(self, engine: int) -> tuple[_LaneBlock, ...]:
        """What a lane holds of one group; empty when it has no channel at all."""
        if self.depthwise:
            return _depthwise_blocks(self.channels, self.engines, 2 if self.pairs else self.slots, engine, self.pairs)
        return _dense_blocks(self.channels, self.engines, self.largest_round, self.slots, engine)

    def _check_pair(self, stored: Fp16Words) -> None:
        """The kernel of the second output is that of the first, one column on."""
        rows, columns = self.stored_window
        taps, images = self._taps(), np.zeros((2, rows, columns), np.uint16)
        images[:, taps[:, 0], taps[:, 1]] = stored[:, :2].T
        if not (images[0, :, -1] == 0).all() or not (images[0, :, :-1] == images[1, :, 1:]).all():
            raise FaultError("two neighboring outputs have different kernels", where=self.where, limit="one kernel")

    def _fill(
        self, stream: _Stream, blocks: Sequence[_LaneBlock], weights: Fp16Words, bias: npt.NDArray[np.uint16]
    ) -> None:
        steps = weights.shape[2]
        stream.palette()
        for group in range(self.groups):
            for block in blocks:
                channels = slice(block.channels.start, block.channels.stop)
                count = len(block.channels)
                if self.has_bias:
                    bias[group, channels] = stream.fp16_words(block.biases)[:count]
                stored = stream.weights(steps * block.slots).reshape(steps, -1)
                if self.pairs:
                    self._check_pair(stored)
                weights[group, channels] = stored[:, :count].T
            stream.align(BLOCK_BYTES)


@dataclass(frozen=True, slots=True)
class _LaneBlock:
    """Bias and weights of some channels in one lane.

    Attributes:
        channels: those that are there.
        biases: fp16 words of bias.
        slots: weights of each step.
    """

    channels: range
    biases: int
    slots: int


@lru_cache(1024)
def _rounds(channels_per_lane: int, largest: int) -> tuple[int, ...]:
    whole, rest = divmod(channels_per_lane, largest)
    return (largest,) * whole + ((rest,) if rest else ())


@lru_cache(1024)
def _dense_blocks(channels: int, engines: int, largest: int, slots: int, engine: int) -> tuple[_LaneBlock, ...]:
    blocks, begin = [], 0
    for size in _rounds(-(-channels // engines), largest):
        first = begin + engine * size
        own = range(first, max(first, min(first + size, channels)))
        blocks.append(_LaneBlock(own, size, -(-size // slots) * slots))
        begin += engines * size
    return tuple(blocks) if any(block.channels for block in blocks) else ()


@lru_cache(1024)
def _depthwise_blocks(channels: int, engines: int, slots: int, engine: int, pairs: bool) -> tuple[_LaneBlock, ...]:
    return tuple(
        _LaneBlock(range(channel, channel + 1), 1 + pairs, slots) for channel in range(engine, channels, engines)
    )


class _Stream:
    """A lane being read."""

    def __init__(self, data: Bytes, lane: Lane, kernel: KernelStreams) -> None:
        self._data, self._lane, self._kernel = data, lane, kernel
        self._position = 0
        self._palette: Fp16Words | None = None

    def take(self, count: int) -> Bytes:
        """The next bytes.

        Raises:
            FaultError: the lane is shorter.
        """
        end = self._position + count
        if end > self._data.size:
            raise FaultError(
                "a kernel stream is shorter than the kernel",
                where=f"{self._kernel.where}: KernelDMASrc.CoeffBfrSize[{self._lane.engine}]",
                value=f"{self._data.size} bytes",
                limit=f"at least {end}",
            )
        part = self._data[self._position : end]
        self._position = end
        return part

    def align(self, unit: int) -> None:
        """Skips padding."""
        self._position = -(-self._position // unit) * unit

    def fp16_words(self, count: int) -> Fp16Words:
        """The next fp16 words."""
        return np.frombuffer(self.take(2 * count).tobytes(), "<u2")

    def palette(self) -> None:
        """Reads the palette, which is before the first round."""
        bits = self._kernel.format.palette_bits
        if bits:
            self._palette = self.fp16_words(1 << bits)
            self.align(BLOCK_BYTES)

    def weights(self, count: int) -> Fp16Words:
        """The next weights as fp16 bits, zeros put back."""
        kind = self._kernel.format
        if kind.sparse:
            return self._sparse_palette(count) if kind.palette_bits else self._sparse(count)
        data = self.take(kind.bytes_of(count))
        if kind.palette_bits:
            assert self._palette is not None
            bits = np.unpackbits(data, bitorder="little")[: count * kind.palette_bits].reshape(count, -1)
            places = bits @ (1 << np.arange(kind.palette_bits))
            return self._palette[places]
        if kind.element == FP16:
            return np.frombuffer(data.tobytes(), "<u2")
        numbers = data.view(np.int8) if kind.element == INT8 else data
        return to_fp16(numbers).view(np.uint16)

    def _sparse(self, count: int) -> Fp16Words:
        from openane.sim.kernels import library  # addresses do without

        head = self.take(3)
        length = int(head[0]) | int(head[1]) << 8 | int(head[2]) << 16
        body = self.take(length)
        result = np.zeros(count, np.uint16)
        used = library().expand(body, result)
        if used != length:
            raise FaultError(
                "a sparse kernel stream contradicts its length",
                where=f"{self._kernel.where}: KernelDMASrc.CoeffBaseAddr[{self._lane.engine}]",
                value=f"{length} bytes, masks ask for {used}",
            )
        return result

    def _sparse_palette(self, count: int) -> Fp16Words:
        """Masks alone: on record a round has one weight, and its index, 0, takes no byte of the length."""
        assert self._palette is not None
        masks = self.take(int.from_bytes(self.take(3).tobytes(), "little"))
        stored = np.unpackbits(masks, bitorder="little")
        if stored.size < count or stored[count:].any() or stored.sum() > 1:
            raise FaultError(
                "a sparse kernel with a palette is not understood",
                where=f"{self._kernel.where}: KernelDMASrc.CoeffBaseAddr[{self._lane.engine}]",
                value=f"{masks.size} masks, {stored.sum()} weights",
                limit=f"masks of {count} values, one weight",
            )
        return stored[:count].astype(np.uint16) * self._palette[0]


class _Marks(_Stream):
    """A lane whose bytes in use are marked; its data are the marks."""

    @property
    def used(self) -> npt.NDArray[np.bool_]:
        """The marks so far."""
        return self._data.view(np.bool_)

    def take(self, count: int) -> Bytes:
        """Marks the next bytes."""
        part = super().take(count)
        part[:] = 1
        return part

    def mark_fp16_words(self, count: int, used: int) -> None:
        """Marks the first of some fp16 words."""
        super().take(2 * count)[: 2 * used] = 1

    def mark_weights(self, steps: int, slots: int, used: int) -> None:
        """Marks the first weights of each step."""
        kind = self._kernel.format
        flags = np.zeros((steps, slots), np.bool_)
        flags[:, :used] = True
        if kind.palette_bits:
            marks = np.packbits(np.repeat(flags, kind.palette_bits), bitorder="little") != 0
        else:
            marks = np.repeat(flags, kind.bytes_of(1))
        super().take(marks.size)[:] = marks
