"""Steps in groups: what the tasks of a program compute together, in an order in which the groups can run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from openane.analysis.stages import LevelStep, Steps

MOST_STEPS = 64
"""Groups of more steps than this are left as single steps: too coarse to point at a layer."""


@dataclass(frozen=True, slots=True)
class Group:
    """Steps that are compared as one layer.

    Attributes:
        steps: in execution order.
        reads: values from outside, constants left out.
        makes: values that others, or the caller, read.
        layers: the user's layers, without repeats.
    """

    steps: tuple[LevelStep, ...]
    reads: tuple[str, ...]
    makes: tuple[str, ...]
    layers: tuple[str, ...]

    @property
    def name(self) -> str:
        """The layers, or the steps where there are none."""
        return " + ".join(self.layers)

    @property
    def operation(self) -> str:
        """What is computed: "Conv + Relu"."""
        return " + ".join(dict.fromkeys(step.operation for step in self.steps))


def group_steps(
    level: Steps, tasks: Sequence[tuple[str, ...]], apart: frozenset[str] = frozenset(), *, by_node: bool = False
) -> tuple[Group, ...]:
    """Joins steps between which a value passes inside one task.

    Args:
        level: the steps.
        tasks: the user's layers of each task.
        apart: names of steps that no task runs (host steps); they stay alone.
        by_node: `tasks` holds the names of steps instead, which tell the passes of an unrolled loop apart.

    Returns:
        The groups in execution order; every group after those it reads.
    """
    parent = list(range(len(level.steps)))

    def find(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    shared: dict[str, set[int]] = {}
    for number, layers in enumerate(tasks):
        for layer in layers:
            shared.setdefault(layer, set()).add(number)
    numbers = [
        set().union(*(shared.get(label, set()) for label in ((step.name,) if by_node else step.layers)))
        for step in level.steps
    ]
    producer = {name: step.index for step in level.steps for name in step.makes if name}
    for step in level.steps:
        for name in step.reads:
            before = producer.get(name)
            if before is None or {step.name, level.steps[before].name} & apart:
                continue
            if numbers[before] & numbers[step.index]:
                parent[find(step.index)] = find(before)
    members: dict[int, list[int]] = {}
    for step in level.steps:
        members.setdefault(find(step.index), []).append(step.index)
    pieces = [
        each for group in members.values() for each in ([group] if len(group) <= MOST_STEPS else [[i] for i in group])
    ]
    readers: dict[str, set[int]] = {}
    for step in level.steps:
        for name in step.reads:
            readers.setdefault(name, set()).add(step.index)
    return tuple(_group(level, piece, readers) for piece in _ordered(level, pieces, producer))


def _ordered(level: Steps, pieces: list[list[int]], producer: Mapping[str, int]) -> list[list[int]]:
    """The pieces in an order in which they can run; pieces that wait for each other are taken apart."""
    while True:
        owner = {i: number for number, piece in enumerate(pieces) for i in piece}
        waiting = {
            number: {owner[producer[n]] for i in piece for n in level.steps[i].reads if n in producer} - {number}
            for number, piece in enumerate(pieces)
        }
        order: list[list[int]] = []
        done: set[int] = set()
        left = sorted(waiting, key=lambda number: pieces[number][0])
        while left:
            ready = [number for number in left if waiting[number] <= done]
            if not ready:
                break
            order.extend(pieces[number] for number in ready)
            done.update(ready)
            left = [number for number in left if number not in done]
        if not left:
            return order
        apart = [[i] for number in left for i in pieces[number]]
        pieces = [piece for number, piece in enumerate(pieces) if number not in set(left)] + apart


def _group(level: Steps, piece: Sequence[int], readers: Mapping[str, set[int]]) -> Group:
    steps = tuple(level.steps[i] for i in sorted(piece))
    made = dict.fromkeys(name for step in steps for name in step.makes if name)
    inside = {step.index for step in steps}
    outside = {name for name in made if name in level.outputs or readers.get(name, inside) - inside}
    reads = dict.fromkeys(n for step in steps for n in step.reads if n and n not in made and n not in level.constants)
    layers = dict.fromkeys(layer for step in steps for layer in step.layers)
    return Group(steps, tuple(reads), tuple(name for name in made if name in outside), tuple(layers))
