"""Chains and small graphs at the sizes of real layers, compiled in every dialect; the address check must accept all.

Values are not computed while such a network is drawn, so twenty thousand of them take minutes. The network of a number
that divides by `NUMERIC_EVERY` is drawn with values and judged on all levels as well.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

import numpy as np

from differential import arithmetic, movement
from differential.levels import judge
from differential.network import Network, Step, Values
from differential.sketch import RANK_LIMIT, RejectError, Sketch
from differential.strategy import Move
from openane.backend.machine import Dialect
from openane.compiler.driver import Options, build
from openane.core.errors import InternalError, ModelError, OpenaneError
from openane.graph import Operation, TensorType, ops
from openane.targets.h13.spec import DIALECTS

SHAPES: tuple[tuple[int, ...], ...] = (
    *((8, 3), (16, 2), (1, 5), (33, 7), (2, 31), (64, 10), (384, 128), (197, 192), (128, 1000), (77, 77)),
    *((1, 384, 128), (1, 77, 768), (1, 197, 192), (1, 49, 512), (2, 16, 64), (12, 64, 64), (3, 9, 5)),
    *((1, 64, 56, 56), (1, 128, 56, 56), (1, 3, 224, 224), (1, 8, 64, 64), (1, 256, 28, 28), (1, 512, 14, 14)),
    *((1, 2048, 7, 7), (1, 96, 112, 112), (1, 16, 13, 17), (1, 12, 197, 64), (2, 24, 20, 20), (1, 1, 28, 28)),
    *((1, 320, 64, 64), (1, 4, 96, 96), (1, 1000, 1, 1), (4, 7), (1, 80, 300), (1, 32, 8, 8, 8)),
)
#: How often each move is tried, relative to the others: elementwise, table, reduction, data movement, normalization.
MOVES: tuple[Move, ...] = (
    *(arithmetic.function,) * 4,
    *(arithmetic.pair,) * 6,
    *(arithmetic.bounded, arithmetic.quotient, arithmetic.logic, arithmetic.jump, arithmetic.parametric),
    *(arithmetic.reduction, arithmetic.norm, arithmetic.softmax),
    *(movement.transpose, movement.reshape, movement.concat, movement.split, movement.cut, movement.pad),
    *(movement.parts, movement.joined, movement.repeat, movement.shuffle),
)
NUMERIC_EVERY = 50
LARGEST = 1_500_000
"""Elements of a value."""
PRODUCTS = 20_000_000
STEP_LIMIT = 8


@dataclass
class Shapes(Sketch):
    """A sketch whose values are only shapes: every element is the same number, which takes no memory."""

    def magnitude(self, name: str) -> float:
        """Small enough for every operation."""
        return 1.0

    def input(self, values: Values) -> str:
        """A new input of the network."""
        name = f"x{len(self.inputs)}"
        self.inputs[name] = values
        self.values[name] = _shape_alone(TensorType(values.shape, values.dtype))
        self.exact.add(name)
        return name

    def add(self, operation: Operation, *operands: str) -> str:
        """A step; gives the name of its first result.

        Raises:
            RejectError: the operation does not take these operands, or its results are too large.
        """
        if isinstance(operation, ops.MatMul):
            raise RejectError  # a task per matrix: the time of many other networks
        kinds = [self._kind(name) if name else None for name in operands]
        try:
            types = operation.infer(kinds)
        except ModelError as error:
            raise RejectError from error
        if any(not kind.size or kind.size > self.elements or len(kind.shape) > RANK_LIMIT for kind in types):
            raise RejectError
        names = tuple(f"v{len(self.values) + index}" for index in range(len(types)))
        self.steps.append(Step(operation, operands, names))
        self.values |= {name: _shape_alone(kind) for name, kind in zip(names, types, strict=True)}
        self.exact.update(names)
        return names[0]

    def _kind(self, name: str) -> TensorType:
        if name in self.values:
            return TensorType(self.values[name].shape, self._dtype(self.values[name]))
        return TensorType(self.constants[name].shape, self.constants[name].dtype)


def _shape_alone(kind: TensorType) -> np.ndarray:
    number = np.float64(0.5) if kind.dtype.is_float else kind.dtype.numpy.type(1)
    return np.broadcast_to(number, kind.shape)


def make(seed: int, *, values: bool = False) -> Network:
    """The network of a number, of one to eight steps over one to three inputs of one everyday shape.

    Args:
        seed: of the network.
        values: compute every value, so that results stay in the range that can be judged.
    """
    random = Random(seed)
    kind = Sketch if values else Shapes
    sketch = kind(random.randint, LARGEST, PRODUCTS)
    shape = sketch.choose(SHAPES)
    for number in range(sketch.pick(1, 3)):
        sketch.input(Values(shape, "normal", 1.0, number))
    wanted = sketch.pick(1, STEP_LIMIT)
    for _ in range(8 * STEP_LIMIT):
        before = sketch.copy()
        try:
            sketch.choose(MOVES)(sketch)
        except RejectError:
            sketch = before
        if len(sketch.steps) >= wanted:
            break
    if not sketch.steps:
        sketch.add(ops.Relu(), "x0")
    return sketch.network(False, None)


@dataclass
class Count:
    """What became of some networks.

    Attributes:
        cases, programs, tasks: compiled.
        rejected: seed and dialect with the message of the address check.
        failed: seed with any other failure, or with a wrong result.
        judged: networks whose results were compared.
        operations: how many networks have an operation.
    """

    cases: int = 0
    programs: int = 0
    tasks: int = 0
    rejected: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    judged: Counter[str] = field(default_factory=Counter)
    operations: Counter[str] = field(default_factory=Counter)

    def lines(self) -> Iterator[str]:
        """The count for people."""
        yield f"{self.cases:,} networks, {self.programs:,} programs, {self.tasks:,} tasks"
        yield f"rejected by the address check: {len(self.rejected)}"
        yield f"other failures: {len(self.failed)}"
        yield "judged on all levels: " + (", ".join(f"{n} {result}" for result, n in self.judged.items()) or "none")
        yield "operations: " + ", ".join(f"{name} {n:,}" for name, n in sorted(self.operations.items()))
        yield from (f"  {line}" for line in (*self.rejected, *self.failed)[:20])


def compile_case(seed: int, count: Count, dialects: tuple[Dialect, ...] = tuple(DIALECTS.values())) -> None:
    """Compiles the network of a number in every dialect."""
    network = make(seed)
    count.cases += 1
    count.operations.update({type(step.operation).__name__ for step in network.steps})
    for dialect in dialects:
        try:
            artifact = build(network.graph(), Options(dialect=dialect.name))
        except InternalError as error:
            count.rejected.append(f"{seed} {dialect.name}: {error}")
            continue
        except OpenaneError as error:
            count.failed.append(f"{seed} {dialect.name}: {type(error).__name__}: {error}")
            continue
        programs = [step.program for step in artifact.plan.steps if hasattr(step, "program")]
        count.programs += len(programs)
        count.tasks += sum(len(program.tasks) for program in programs)


def judge_case(seed: int, count: Count) -> None:
    """Runs the network of a number and compares it on every level."""
    verdict = judge(make(seed, values=True))
    count.judged[verdict.result] += 1
    if verdict.failed:
        count.failed.append(f"{seed}: {verdict.result}: {verdict.detail}")


def run(first: int, cases: int, *, numeric: bool = True, seconds: float | None = None) -> Count:
    """Compiles networks, and judges every fiftieth.

    Args:
        first: number of the first one.
        cases: how many.
        numeric: whether some are run as well.
        seconds: after which no further one begins; None for no limit.
    """
    count, start = Count(), time.monotonic()
    for seed in range(first, first + cases):
        if seconds is not None and time.monotonic() - start > seconds:
            break
        compile_case(seed, count)
        if numeric and seed % NUMERIC_EVERY == 0:
            judge_case(seed, count)
    return count
