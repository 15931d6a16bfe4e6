"""Recurrent layers over sequences: x is (time, batch, features)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

import numpy as np

from openane.graph.operation import Operation, OperationCase, TensorType
from openane.graph.ops.activation import Relu, Sigmoid, Tanh
from openane.graph.ops.support import (
    Arrays,
    Results,
    Types,
    array,
    operand,
    optional,
    optional_array,
    require,
    require_float,
    require_integer,
    result_dtype,
    sample,
    widen,
)
from openane.graph.ops.unary import Unary

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Direction",
]


class Direction(Enum):
    """The order in which a sequence is read."""

    FORWARD = "forward"
    REVERSE = "reverse"
    BIDIRECTIONAL = "bidirectional"

    @property
    def count(self) -> int:
        """How many times the sequence is read."""
        return 2 if self is Direction.BIDIRECTIONAL else 1


@dataclass(frozen=True)
class _Recurrent(Operation, abstract=True):
    """What the recurrent layers share.

    Inputs: x (time, batch, features), w (directions, gates * hidden, features), r (directions, gates * hidden,
    hidden), bias (directions, 2 * gates * hidden: of w, then of r), lengths (batch,) of integers, and the state
    before the first step (directions, batch, hidden). Results: y (time, directions, batch, hidden) and the state
    after the last step. Beyond an item's length y is 0 and the state stays.

    Attributes:
        hidden: extent of the state.
        direction: order of reading.
        activations: the functions of one direction, then those of the other.
        clip: bound of the arguments of the activations.
    """

    hidden: int
    direction: Direction = Direction.FORWARD
    activations: tuple[Unary, ...] = ()
    clip: float = math.inf

    input_names: ClassVar[tuple[str, ...]] = ("x", "w", "r", "bias?", "lengths?", "initial_h?")
    gates: ClassVar[int]
    states: ClassVar[int] = 1
    default_activations: ClassVar[tuple[Unary, ...]]

    def infer(self, inputs: Types) -> tuple[TensorType, ...]:
        x = operand(inputs, 0, "x")
        require_float(x)
        require(len(x.shape) == 3, "input 'x' must be (time, batch, features)", value=x)
        time, batch, features = x.shape
        directions, rows = self.direction.count, self.gates * self.hidden
        state = (directions, batch, self.hidden)
        expected: dict[int, tuple[int, ...]] = {
            1: (directions, rows, features),
            2: (directions, rows, self.hidden),
            3: (directions, 2 * rows),
            4: (batch,),
            5: state,
            6: state,
            7: (directions, 3 * self.hidden),
        }
        for index, name in enumerate(self.input_names[1:], 1):
            found = operand(inputs, index, name) if not name.endswith("?") else optional(inputs, index)
            if found is not None:
                shape = expected[index]
                require(found.shape == shape, f"input {name!r} has the wrong shape", value=found, limit=list(shape))
                if index == 4:
                    require_integer(found, name)
        count = len(self._functions())
        needed = len(self.default_activations) * directions
        require(count == needed, "the number of activations is wrong", value=count, limit=needed)
        y = TensorType((time, directions, batch, self.hidden), x.dtype)
        return (y, *[TensorType(state, x.dtype)] * self.states)

    def macs(self, inputs: Types, outputs: Sequence[TensorType]) -> int:
        time, batch, _ = operand(inputs, 0, "x").shape
        return time * batch * (operand(inputs, 1, "w").size + operand(inputs, 2, "r").size)

    def _functions(self) -> tuple[Unary, ...]:
        return self.activations or self.default_activations * self.direction.count

    def evaluate(self, inputs: Arrays) -> Results:
        x = array(inputs, 0)
        dtype = result_dtype(x, *(a for i, a in enumerate(inputs) if a is not None and i != 4))
        time, batch, _ = x.shape
        lengths = optional_array(inputs, 4)
        lengths = np.full(batch, time) if lengths is None else lengths.astype(np.int64)
        results = []
        for number in range(self.direction.count):
            backwards = number == 1 or self.direction is Direction.REVERSE
            order = self._order(time, lengths, backwards)
            ordered = np.take_along_axis(widen(x), order[:, :, None], 0)
            y, states = self._read(ordered, inputs, number, lengths)
            results.append((np.take_along_axis(y, order[:, :, None], 0), *states))
        y = np.stack([result[0] for result in results], 1)
        states = [np.stack([result[1 + i] for result in results]) for i in range(self.states)]
        return tuple(a.astype(dtype, copy=False) for a in (y, *states))

    @staticmethod
    def _order(time: int, lengths: np.ndarray, backwards: bool) -> np.ndarray:
        """The step (time, batch) that is read when; reading backwards turns the item's own length around."""
        steps = np.broadcast_to(np.arange(time)[:, None], (time, len(lengths)))
        if not backwards:
            return steps
        return np.where(steps < lengths, lengths - 1 - steps, steps)

    def _read(
        self, x: np.ndarray, inputs: Arrays, number: int, lengths: np.ndarray
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        """One direction: the result of every step and the last states."""
        w, r = widen(array(inputs, 1)[number]), widen(array(inputs, 2)[number])
        bias = optional_array(inputs, 3)
        rows = self.gates * self.hidden
        both = widen(bias[number]).reshape(2, rows) if bias is not None else np.zeros((2, rows), x.dtype)
        states = []
        for i in range(self.states):
            initial = optional_array(inputs, 5 + i)
            zero = np.zeros((x.shape[1], self.hidden), x.dtype)
            states.append(zero if initial is None else widen(initial[number]))
        per_direction = len(self.default_activations)
        functions = self._functions()[number * per_direction : (number + 1) * per_direction]
        peepholes = optional_array(inputs, 7)
        extra = None if peepholes is None else widen(peepholes[number])
        projected = x @ w.T + both[0]
        y = np.zeros((*x.shape[:2], self.hidden), x.dtype)
        for step in range(x.shape[0]):
            after = self._step(projected[step], states, r, both[1], functions, extra)
            active = (step < lengths)[:, None]
            states = [np.where(active, new, old) for new, old in zip(after, states, strict=True)]
            y[step] = np.where(active, states[0], 0)
        return y, states

    def _clip(self, x: np.ndarray) -> np.ndarray:
        return x if math.isinf(self.clip) else np.clip(x, -self.clip, self.clip)

    def _step(
        self,
        x: np.ndarray,
        states: list[np.ndarray],
        r: np.ndarray,
        bias: np.ndarray,
        functions: tuple[Unary, ...],
        peepholes: np.ndarray | None,
    ) -> list[np.ndarray]:
        """The states after one step; `x` is already multiplied by w."""
        raise NotImplementedError

    @classmethod
    def _inputs(cls, directions: int = 1) -> list[np.ndarray | None]:
        rows = cls.gates * 4
        return [
            sample(3, 2, 5),
            sample(directions, rows, 5, seed=1, low=-0.5, high=0.5),
            sample(directions, rows, 4, seed=2, low=-0.5, high=0.5),
            sample(directions, 2 * rows, seed=3, low=-0.5, high=0.5),
            np.array([3, 2], np.int32),
            *(sample(directions, 2, 4, seed=4 + i) for i in range(cls.states)),
        ]

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        x, w, r, bias, lengths, *states = cls._inputs()
        missing = [None] * len(states)
        yield OperationCase(cls(4), (x, w, r, None, None, *missing))
        yield OperationCase(cls(4), (x, w, r, bias, lengths, *states))
        yield OperationCase(cls(4, Direction.REVERSE, clip=0.5), (x, w, r, bias, lengths, *missing))
        yield OperationCase(cls(4, Direction.BIDIRECTIONAL), tuple(cls._inputs(2)))
        yield OperationCase(
            cls(4, activations=(Relu(),) * len(cls.default_activations)), (x, w, r, bias, None, *missing)
        )


@dataclass(frozen=True)
class RNN(_Recurrent):
    """The plain recurrent layer: h = f(x w + h r + biases)."""

    gates: ClassVar[int] = 1
    default_activations: ClassVar[tuple[Unary, ...]] = (Tanh(),)

    def _step(
        self,
        x: np.ndarray,
        states: list[np.ndarray],
        r: np.ndarray,
        bias: np.ndarray,
        functions: tuple[Unary, ...],
        peepholes: np.ndarray | None,
    ) -> list[np.ndarray]:
        return [functions[0].apply(self._clip(x + states[0] @ r.T + bias))]


@dataclass(frozen=True)
class GRU(_Recurrent):
    """The gated recurrent unit; the rows of w, r and bias are the gates z (update), r (reset), h (candidate).

    z = f(..), r = f(..), candidate = g(x w + r * (h r) + biases), h = (1 - z) * candidate + z * h.

    Attributes:
        linear_before_reset: the reset gate acts on (h r + bias), not on h.
    """

    linear_before_reset: bool = False

    gates: ClassVar[int] = 3
    default_activations: ClassVar[tuple[Unary, ...]] = (Sigmoid(), Tanh())

    def _step(
        self,
        x: np.ndarray,
        states: list[np.ndarray],
        r: np.ndarray,
        bias: np.ndarray,
        functions: tuple[Unary, ...],
        peepholes: np.ndarray | None,
    ) -> list[np.ndarray]:
        h, (f, g), n = states[0], functions, self.hidden
        recurrent = h @ r[: 2 * n].T + bias[: 2 * n]
        update, reset = np.split(f.apply(self._clip(x[:, : 2 * n] + recurrent)), 2, 1)
        if self.linear_before_reset:
            inner = reset * (h @ r[2 * n :].T + bias[2 * n :])
        else:
            inner = (reset * h) @ r[2 * n :].T + bias[2 * n :]
        candidate = g.apply(self._clip(x[:, 2 * n :] + inner))
        return [(1 - update) * candidate + update * h]

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        yield from super().cases()
        yield OperationCase(cls(4, linear_before_reset=True), tuple(cls._inputs()))


@dataclass(frozen=True)
class LSTM(_Recurrent):
    """Long short-term memory; the rows of w, r and bias are the gates i (input), o (output), f (forget), c (cell).

    c = f * c + i * g(..), h = o * h(c). Optional peepholes (directions, 3 * hidden) let c into the gates i, o, f.

    Attributes:
        input_forget: the forget gate is 1 - i.
    """

    input_forget: bool = False

    input_names: ClassVar[tuple[str, ...]] = (
        *_Recurrent.input_names,
        "initial_c?",
        "peepholes?",
    )
    gates: ClassVar[int] = 4
    states: ClassVar[int] = 2
    default_activations: ClassVar[tuple[Unary, ...]] = (Sigmoid(), Tanh(), Tanh())

    def _step(
        self,
        x: np.ndarray,
        states: list[np.ndarray],
        r: np.ndarray,
        bias: np.ndarray,
        functions: tuple[Unary, ...],
        peepholes: np.ndarray | None,
    ) -> list[np.ndarray]:
        (h, c), (gate, cell, hidden) = states, functions
        zero = np.zeros(3 * self.hidden, x.dtype)
        peep_i, peep_o, peep_f = np.split(zero if peepholes is None else peepholes, 3)
        i, o, f, candidate = np.split(x + h @ r.T + bias, 4, 1)
        i = gate.apply(self._clip(i + peep_i * c))
        f = 1 - i if self.input_forget else gate.apply(self._clip(f + peep_f * c))
        after = f * c + i * cell.apply(self._clip(candidate))
        o = gate.apply(self._clip(o + peep_o * after))
        return [o * hidden.apply(after), after]

    @classmethod
    def cases(cls) -> Iterator[OperationCase]:
        yield from super().cases()
        yield OperationCase(cls(4, input_forget=True), tuple(cls._inputs()))
        yield OperationCase(cls(4), (*cls._inputs(), sample(1, 12, seed=9)))
