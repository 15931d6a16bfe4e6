"""Small programs written by hand from the semantics of the registers, independent of the compiler."""

from __future__ import annotations

import numpy as np

from openane.numerics.lookup import to_fp16_words
from openane.program import Burst, Program, Role, Surface, Task

OPERATIONS = {"add": 0x80000, "mul": 0x80004, "max": 0x80008, "min": 0x8000C}
ONE = 0x3C00


def align(value: int, granule: int) -> int:
    return -(-value // granule) * granule


def surface(name: str, role: Role, shape: tuple[int, int, int], buffer: int) -> Surface:
    """A dense fp16 surface of (C, H, W)."""
    channels, height, width = shape
    row = align(2 * width, 64)
    plane = row * height
    total = plane * channels
    return Surface(name, role, (1, 1, *shape), (total, total, plane, row, 2), total, buffer)


def binary_task(
    kind: str,
    shape: tuple[int, int, int],
    sources: tuple[int, int],
    result: int,
    *,
    number: int = 0,
    last: bool = True,
    next_offset: int = 0,
) -> Task:
    """A planar-engine task: result = kind(source 0, source 1); buffers by index."""
    channels, height, width = shape
    row = align(2 * width, 64)
    plane, total = row * height, row * height * channels
    strides = (row, plane, total, total)
    bases = sources[0] | 0x20 | (sources[1] | 0x20) << 6 | (result | 0x20) << 12 | (0 if last else 1 << 23)
    first_word = number | (0x01000000 if number else 0) | (0x02000000 if last else 0)
    next_words = 0 if last else TASK_WORDS - 1 << 16
    header = (first_word, next_words, 0x42A, 0, 0xFFF86A, 0, 0x30009800, next_offset, bases, 0)
    extents = width | height << 16
    pitch = align(2 * width, 16) * channels
    common = (extents, 1, 0x2A, channels, channels, extents, 1, 0x5000A021, 0x2041, 0x10001, 1, 4, 0, 0x33, 0, 0)
    source = (0x33881, 0x33880, 0, *strides, 0, *strides, 0, 0, 0x01002031, 0x2030, 0x100, *(0,) * 11)
    l2 = (0, 0x1500172, 0, 16, pitch, pitch, pitch, 0x8000, 16, pitch, pitch, pitch)
    l2 += (0x50017A, 0x10000, 0, 0, 0, 0)
    bursts = (
        Burst(0x1F800, (0, 0, *(0x80,) * 16)),
        Burst(0x1F8C8, (0x80, 0x80, 0x80, 0x80, 0, 0, 0, 0, 0x40, 0x40, 0x40, 0x40)),
        Burst(0x0, common),
        Burst(0x13800, source),
        Burst(0x4800, l2),
        Burst(0x8800, (OPERATIONS[kind], ONE << 16, ONE << 16, 0x3F800000)),
        Burst(0xC800, (0x80, 0x100000, 0, 0, 0)),
        Burst(0x17800, (0x040000C1, 0, *strides, 0x01302031)),
    )
    return Task(header, bursts)


TASK_WORDS = 126


def binary_program(kind: str = "add", shape: tuple[int, int, int] = (4, 2, 5), *, inputs_first: bool = True) -> Program:
    """One task, out = kind(a, b), with the buffers numbered as new or as old compilers do."""
    a, b, out = (4, 5, 6) if inputs_first else (5, 6, 4)
    surfaces = (
        surface("a", Role.INPUT, shape, a),
        surface("b", Role.INPUT, shape, b),
        surface("out", Role.OUTPUT, shape, out),
    )
    return Program("h13", (binary_task(kind, shape, (a, b), out),), (0,), surfaces, b"", name=kind)


def chained_program(shape: tuple[int, int, int] = (3, 2, 7)) -> Program:
    """Two tasks through the scratch buffer: out = (a + b) * b."""
    surfaces = (
        surface("a", Role.INPUT, shape, 4),
        surface("b", Role.INPUT, shape, 5),
        surface("out", Role.OUTPUT, shape, 6),
    )
    first = binary_task("add", shape, (4, 5), 3, last=False, next_offset=0x200)
    second = binary_task("mul", shape, (3, 5), 6, number=1)
    scratch = surfaces[0].size_bytes
    return Program("h13", (first, second), (0, 0x200), surfaces, bytes(range(64)), scratch, name="chained")


def stored(exact):
    """fp16 as the engine stores it: nearest, ties away from zero; of sums and products of two fp16 in float32."""
    return to_fp16_words(exact).view(np.float16)


def sum_times_second(a, b):
    """What `chained_program` computes of a and b: (a + b) * b, each step stored."""
    return stored(stored(a.astype(np.float32) + b) * b.astype(np.float32))
