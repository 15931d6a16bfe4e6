"""The engines once more: one element at a time, no library but numpy's scalars, written from the documents.

Slow and obvious. It takes the decoded work of a task and plain bytes, and gives the bits of every result element.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
from random_tensors import Kernel, Made

from openane.core.types import DType
from openane.numerics.profile import Profile
from openane.program.layout import read_surface, write_surface
from openane.sim.work import Function, MacOperation, MacWork, Operand, PlanarWork, Reduction, Space, Work
from openane.targets.h13.machine import BUFFERS, decode_program

F = np.float32
HUGE = F(65536)


def number(bits: int) -> np.float32:
    """A stored fp16 inside the data path."""
    if bits & 0x7C00 == 0x7C00:
        return -HUGE if bits == 0xFC00 else HUGE
    return F(np.uint16(bits).view(np.float16))


def stored(value: np.float32) -> int:
    """The fp16 of a result."""
    if math.isnan(value):
        return 0x7C00
    with np.errstate(over="ignore"):
        return int(np.float16(value).view(np.uint16))


def stored_away(value: np.float32) -> int:
    """Ties away from zero, above the subnormals."""
    magnitude = abs(float(value))
    if not 2.0**-14 <= magnitude < 65520:
        return stored(value)
    step = 2.0 ** (math.floor(math.log2(magnitude)) - 10)
    rounded = math.floor(magnitude / step + 0.5) * step
    return stored(F(math.copysign(rounded, value)))


def address(operand: Operand, index: tuple[int, ...]) -> int:
    """Byte address of an element, repeated along axes of extent 1."""
    places = [i if n > 1 else 0 for i, n in zip(index, operand.extent, strict=True)]
    channel = 4 if operand.swapped else 2  # the axis whose neighbours lie side by side in memory
    places[channel], place = divmod(places[channel], operand.interleave)
    steps = sum(i * stride for i, stride in zip(places, operand.strides, strict=True))
    return operand.base + steps + place * operand.item_bytes


def fetch(memory: bytes, operand: Operand, index: tuple[int, ...]) -> np.float32:
    at = address(operand, index)
    if operand.dtype is DType.FLOAT16:
        return number(int.from_bytes(memory[at : at + 2], "little"))
    return F(int.from_bytes(memory[at : at + 1], "little", signed=operand.dtype is DType.INT8))


def put(memory: bytearray, operand: Operand, index: tuple[int, ...], bits: int) -> None:
    """Stores the fp16 bits of a result: integers are the nearest ones, ties to even, saturating."""
    at = address(operand, index)
    if operand.dtype is DType.FLOAT16:
        memory[at : at + 2] = bits.to_bytes(2, "little")
        return
    low, high = (-128, 127) if operand.dtype is DType.INT8 else (0, 255)
    memory[at] = min(max(round(float(number(bits))), low), high) & 0xFF


def relu(value: np.float32) -> np.float32:
    """Zero, also for the negative one, unless the value is larger."""
    return value if value > 0 else F(0)


def rounded(value: np.float32) -> np.float32:
    return F(np.float16(value))


def table_value(image: bytes, v: np.float32) -> np.float32:
    """The lookup table, from the table of its format."""
    words = np.frombuffer(image, "<u2")
    n = [number(int(word)) for word in words[:41]]
    step, mode, sign = int(words[41].view(np.int16)), int(words[42]) & 15, int(words[42]) & 0xE0
    if v < 0 and sign & 0x80:
        return F(0)
    u = F(abs(v)) if sign & 0x40 else v
    y = inside(n, step, mode, u) if n[0] < u < n[1] else (n[2] if u <= n[0] else n[3])
    return F(-y) if v < 0 and sign & 0x20 else F(y)


def chord(n: list[np.float32], place: np.float32) -> np.float32:
    i = min(max(int(place), 0), 31)
    low, high = n[4 + i], n[5 + i]
    return rounded(F(low + rounded(F(F(high - low) * F(place - F(i))))))


def inside(n: list[np.float32], step: int, mode: int, v: np.float32) -> np.float32:
    if mode in (0, 1, 2):
        if step == 0x40:
            slope, intercept = (n[39], n[40]) if v > 0 else (n[37], n[38])
            return F(F(slope * v) + intercept)
        place = F(F(float(v) * 2.0**step) + F(16 * mode))
        if place < 0:
            return F(F(n[37] * v) + n[38])
        if place > 32:
            return F(F(n[39] * v) + n[40])
        return chord(n, place)
    if mode == 3:
        return F(v - np.trunc(v))
    if mode == 4:
        return F(np.trunc(v))
    if mode == 10:
        whole = math.floor(v)
        return F(math.ldexp(chord(n, F(F(v - F(whole)) * F(32))), whole))
    m, e = math.frexp(v)
    if mode == 7:
        return F(math.ldexp(chord(n, F((m - 0.5) * 64)), -e))
    if mode == 9:
        return F(chord(n, F((m - 0.5) * 64)) + F(e))
    q = e >> 1
    value = chord(n, F(math.ldexp(m, e - 2 * q) * 16))
    return F(math.ldexp(value, q if mode == 5 else -q))


def mac_end(
    work: MacWork, profile: Profile, total: np.float32, bias: float | None, table: bytes | None, products: int
) -> int:
    """From the sum to the stored bits."""
    with_kernel = work.operation in (MacOperation.CONVOLUTION, MacOperation.TRANSPOSED)
    v = total
    if with_kernel and profile.denormals.value == "flush" and abs(v) < 2.0**-14:
        v = F(0)
    v = F(v + F(-0.0 if bias is None else bias))
    v = F(v + F(work.acc_bias if work.acc_bias else -0.0))
    v = F(v * F(work.post_scale))
    limit = profile.output_limit
    if (with_kernel or work.operation is MacOperation.SUM) and products >= 2 and 0 < limit <= abs(rounded(v)):
        v = F(math.copysign(HUGE, v))
    if work.function is Function.RELU:
        v = relu(v)
    elif work.function is Function.TABLE:
        assert table is not None
        v = table_value(table, v)
    return stored(v)


def mac_task(
    task: Work, memory: bytes, weights: np.ndarray | None, bias: np.ndarray | None, table: bytes | None,
    profile: Profile, order: list[tuple[int, int, int]] | None = None,
) -> dict[tuple[int, ...], int]:  # fmt: skip
    """Bits of each result element of a MAC task.

    Args:
        weights: (kernel groups, output channels, inputs, rows, columns) as numbers.
        order: of the additions; None is input, row, column.
    """
    work = task.engine
    assert isinstance(work, MacWork)
    source = task.sources[0]
    _, _, channels, height, width = task.view
    results = {}
    for index in itertools.product(*map(range, task.result_view)):
        g, d, c, oy, ox = index
        inputs = work.inputs_per_output or channels
        first = c * inputs if work.inputs_per_output else 0
        values, own = [], None
        if weights is None:
            for i in range(inputs):
                values.append(pixel(memory, source, work, (g, d, first + i, oy, ox)))
            total = values[0]
            for value in values[1:]:
                if work.operation is MacOperation.SUM:
                    total = F(total + value)
                elif work.operation is MacOperation.PRODUCT:
                    total = F(total * value)
                else:
                    total = max(total, value)
            results[index] = mac_end(work, profile, total, None, table, inputs)
            continue
        k = g if work.kernel_groups > 1 else 0
        terms = []
        for i, ky, kx in order or itertools.product(range(inputs), range(work.window[0]), range(work.window[1])):
            place = source_pixel(work, oy, ox, ky, kx, height, width)
            value = F(0) if place is None else pixel(memory, source, work, (g, d, first + i, *place))
            terms.append(F(F(weights[k, c, i, ky, kx]) * value))
        total = summed(terms, profile)
        if bias is not None:
            own = float(bias.reshape(weights.shape[:2])[k, c])
        products = inputs * work.window[0] * work.window[1]
        results[index] = mac_end(work, profile, total, own, table, products)
    return results


def summed(terms: list[np.float32], profile: Profile) -> np.float32:
    """The sum of products."""
    total = F(0)
    if profile.accumulate.value == "wide":
        for term in terms:
            total = F(total + term)
        return total
    for first in range(0, len(terms), 4):
        partial = F(0)
        for term in terms[first : first + 4]:
            partial = short_sum(partial, term)
        total = F(total + partial)
    return total


def short_sum(a: np.float32, b: np.float32) -> np.float32:
    """A sum in a significand of 12 bits; what the larger summand has no place for is cut off, from the sum too."""
    large, small = (a, b) if abs(a) > abs(b) else (b, a)
    if abs(large) < 2.0**-114:
        return large
    unit = 2.0 ** (math.frexp(large)[1] - 12)
    total = F(large + F(math.trunc(float(small) / unit) * unit))
    if total == 0:
        return total
    last = 2.0 ** (math.frexp(total)[1] - 12)
    return F(math.trunc(float(total) / last) * last)


def pixel(memory: bytes, source: Operand, work: MacWork, index: tuple[int, ...]) -> np.float32:
    value = fetch(memory, source, index)
    return relu(value) if work.relu_in else value


def source_pixel(work: MacWork, oy: int, ox: int, ky: int, kx: int, height: int, width: int) -> tuple[int, int] | None:
    """The source pixel under a tap; None on padding and between the pixels of a spread source."""
    found = []
    for o, k, axis, extent in ((oy, ky, 0, height), (ox, kx, 1, width)):
        stride, pad = work.stride[axis], work.pad[axis]
        if work.operation is MacOperation.TRANSPOSED:
            place, rest = divmod(o - pad + k, stride)
            if rest:
                return None
        else:
            place = o * stride - pad + k
        if not 0 <= place < extent:
            return None
        found.append(place)
    return found[0], found[1]


def joined(work: PlanarWork, a: np.float32, b: np.float32 | None, factor: np.float32 | None) -> np.float32:
    if work.relu_first:
        a = relu(a)
    if b is not None and work.relu_second:
        b = relu(b)
    t = F(a * F(-work.pre_scale if work.negate_first else work.pre_scale))
    if b is None:
        if work.operation.value == 4:
            t = F(t * t)
    else:
        b = F(-b) if work.negate_second else b
        t = {0: F(t + b), 1: F(t * b), 2: max(t, b), 3: min(t, b), 4: F(F(t + b) * F(t + b))}[work.operation.value]
    if factor is not None:
        t = F(t * factor)
    return F(abs(t)) if work.absolute else t


def settled(work: PlanarWork, t: np.float32) -> np.float32:
    y = F(F(F(F(t * F(work.scale)) + F(work.bias)) * F(work.final_scale)) + F(work.epsilon))
    if work.function.value == 1:
        y = HUGE if y == 0 else F(F(1) / y)
    elif work.function.value == 2:
        y = HUGE if y <= 0 else F(F(1) / np.sqrt(y))
    return relu(y) if work.relu else y


def planar_task(task: Work, memories: list[bytes], profile: Profile) -> dict[tuple[int, ...], int]:
    """Bits of each result element of a planar task."""
    work = task.engine
    assert isinstance(work, PlanarWork)
    results = {}
    for index in itertools.product(*map(range, task.result_view)):
        if work.reduction is Reduction.NONE:
            results[index] = stored(settled(work, element(task, work, memories, index)))
            continue
        values = [element(task, work, memories, place) for place in gathered(task, work, index)]
        kind = work.reduction
        total = F({Reduction.MAXIMUM: -np.inf, Reduction.MINIMUM: np.inf}.get(kind, 0))
        for value in values:
            if kind is Reduction.MAXIMUM:
                total = max(total, value)
            elif kind is Reduction.MINIMUM:
                total = min(total, value)
            else:
                total = F(total + value)
        if kind is Reduction.AVERAGE:
            total = F(total / F(max(len(values), 1)))
        whole = work.window is None
        away = whole and profile.reduction_ties.value == "away"
        results[index] = (stored_away if away else stored)(settled(work, total))
    return results


def gathered(task: Work, work: PlanarWork, index: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Source elements of one result, in order."""
    g, d, c, oy, ox = index
    _, depth, _, height, width = task.view
    if work.window is None:
        return [(g, z, c, y, x) for z in range(depth) for y in range(height) for x in range(width)]
    rows = range(oy * work.stride[0] - work.pad[0], oy * work.stride[0] - work.pad[0] + work.window[0])
    columns = range(ox * work.stride[1] - work.pad[1], ox * work.stride[1] - work.pad[1] + work.window[1])
    return [(g, d, c, y, x) for y in rows for x in columns if 0 <= y < height and 0 <= x < width]


def element(task: Work, work: PlanarWork, memories: list[bytes], index: tuple[int, ...]) -> np.float32:
    a = fetch(memories[0], task.sources[0], index)
    if len(task.sources) == 1:
        return joined(work, a, None, None)
    if work.rows:
        rows = [fetch(memories[1], task.sources[1], (0, 0, index[2], row, 0)) for row in (0, 1)]
        return joined(work, a, rows[0], rows[1])
    return joined(work, a, fetch(memories[1], task.sources[1], index), None)


# Programs ----------------------------------------------------------------------------------------------------------


class Machine:
    """All of memory, and tasks one after the other.

    Args:
        made: a program with its inputs, and the kernel of each task as numbers.
        profile: arithmetic.
    """

    def __init__(self, made: Made, profile: Profile) -> None:
        self.program, self.profile, self.kernels = made.program, profile, made.kernels
        self.works = decode_program(made.program)
        self.l2, self.chain = bytearray(BUFFERS.l2_bytes), bytearray(1 << 16)
        self.buffers = {BUFFERS.scratch: bytearray(made.program.scratch_bytes)}
        for surface in made.program.surfaces:
            self.buffers[surface.buffer] = bytearray(surface.size_bytes)
        for surface in made.program.inputs:
            write_surface(surface, self.buffers[surface.buffer], made.arrays[surface.name])

    def memory(self, operand: Operand) -> bytearray:
        kinds = {Space.L2: self.l2, Space.CHAIN: self.chain}
        return kinds[operand.space] if operand.space in kinds else self.buffers[operand.buffer]

    def run(self) -> dict[str, np.ndarray]:
        """Every output surface."""
        with np.errstate(all="ignore"):
            for number_of_task in range(len(self.works)):
                self.step(number_of_task)
        return {s.name: read_surface(s, self.buffers[s.buffer]) for s in self.program.outputs}

    def step(self, number_of_task: int) -> None:
        """One task: what is kept, the engine, the result."""
        task, kernel = self.works[number_of_task], self.kernels[number_of_task]
        if task.kept is not None:
            size = task.kept.item_bytes
            for index in itertools.product(*map(range, task.kept.extent)):
                at, to = address(task.sources[0], index), address(task.kept, index)
                self.memory(task.kept)[to : to + size] = self.memory(task.sources[0])[at : at + size]
        memories = [bytes(self.memory(source)) for source in task.sources]
        if isinstance(task.engine, PlanarWork):
            results = planar_task(task, memories, self.profile)
        else:
            weights = bias = table = order = None
            if kernel is not None:
                weights, bias, table, order = kernel.weights, kernel.bias, kernel.table, kernel.order
                if kernel.at_run_time is not None:
                    weights = self.weights_at_run_time(task, kernel)
            results = mac_task(task, memories[0], weights, bias, table, self.profile, order)
        for index, bits in results.items():
            put(self.memory(task.result), task.result, index, bits)

    def weights_at_run_time(self, task: Work, kernel: Kernel) -> np.ndarray:
        """(groups, outputs, inputs, 1, 1) out of the scratch buffer."""
        scratch, (groups, _, outputs, _, _) = self.buffers[BUFFERS.scratch], task.result_view
        found = np.zeros((groups, outputs, task.view[2], 1, 1), np.float32)
        for group, output, step in itertools.product(range(groups), range(outputs), range(task.view[2])):
            assert kernel.at_run_time is not None
            at = kernel.at_run_time(group, output, step)
            found[group, output, step] = number(int.from_bytes(scratch[at : at + 2], "little"))
        return found
