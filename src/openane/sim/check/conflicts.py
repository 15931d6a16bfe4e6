"""Memory that one task uses at the same time must not overlap.

The engines read, transfer and write at once, in an order that the registers do not tell. So a byte may have two uses
in one task only where each element of the result replaces the very element it is made of. No program on record does
anything else (2,086 tasks: Apple's, and ours).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

from openane.core.errors import FaultError
from openane.sim.check.footprint import Ask, shared, shared_with_range
from openane.sim.decoded_task import (
    DecodedOperand,
    DecodedTask,
    MacOperation,
    MacWork,
    MemorySpace,
    PlanarReduction,
    Staging,
)
from openane.sim.layout import MemoryLayout


def check_conflicts(work: DecodedTask, layout: MemoryLayout, ask: Ask) -> None:
    """Checks the memory ranges of one task; all of them are inside their memories.

    Raises:
        FaultError: two of them share a byte.
    """
    for number, source in enumerate(work.sources):
        _check_result(work, number, source, layout, ask)
    if not work.staging and work.result_staging is None and work.kept is None:
        return  # only tensors that are there during the whole task, which are checked above
    for first, second in combinations(_places(work), 2):
        if first.owner == second.owner or (first.resident and second.resident):
            continue  # a source may be staged where it is kept; the resident ones are checked above
        if first.at.base < second.at.end and second.at.base < first.at.end:
            address = _meet(first.at, second.at, ask)
            if address is not None:
                raise FaultError(
                    f"{first.name} and {second.name} overlap in L2",
                    where=f"{work.where}: {first.at.registers}, {second.at.registers}",
                    value=f"{_range(first.at)} and {_range(second.at)}, both contain {address:#x}",
                )


@dataclass(frozen=True, slots=True)
class _Place:
    """A part of L2 that a task uses.

    Attributes:
        name: for messages.
        owner: "source 1", "source 2", "result": a source may be staged where it is kept.
        at: where.
        resident: whether it is a tensor that is there during the whole task.
    """

    name: str
    owner: str
    at: DecodedOperand | Staging
    resident: bool = False


def _places(work: DecodedTask) -> list[_Place]:
    resident = [o for o in (*work.sources, work.result) if o.space is MemorySpace.L2]
    found = [_Place(operand.role, operand.role, operand, resident=True) for operand in resident]
    passing = [*work.staging, *([work.result_staging] if work.result_staging else [])]
    found += [_Place(f"staged {s.role}", s.role, s) for s in passing if s.end > s.base]
    if work.kept is not None:
        found.append(_Place(f"kept {work.sources[0].role}", work.sources[0].role, work.kept))
    return found


def _check_result(work: DecodedTask, number: int, source: DecodedOperand, layout: MemoryLayout, ask: Ask) -> None:
    result = work.result
    if source.space is MemorySpace.CHAIN or (source.space, source.buffer) != (result.space, result.buffer):
        return
    if source.base >= result.end or result.base >= source.end or _in_place(work, number, source):
        return
    address = shared(result, source, ask)
    if address is not None:
        raise FaultError(
            f"the result overwrites {source.role} before it is read",
            where=f"{work.where}: {result.registers}, {source.registers}",
            value=f"{_range(result)} over {_range(source)} in {layout.describe(result)}, both contain {address:#x}",
            hint="Only an elementwise task may write each result over its source.",
        )


def _in_place(work: DecodedTask, number: int, source: DecodedOperand) -> bool:
    """Whether each element of the result replaces the element of the source that it is made of, and no other."""
    engine, result = work.engine, work.result
    if isinstance(engine, MacWork):
        alone = engine.operation is MacOperation.PASS
    else:
        alone = engine.reduction is PlanarReduction.NONE and not (engine.rows and number == 1)
    return alone and _order(source) == _order(result)


def _order(operand: DecodedOperand) -> tuple[object, ...]:
    strides = [s for s, n in zip(operand.strides, operand.extent, strict=True) if n > 1]
    channels = operand.interleave, operand.swapped and operand.interleave > 1
    return operand.base, operand.extent, strides, operand.item_bytes, channels


def _meet(first: DecodedOperand | Staging, second: DecodedOperand | Staging, ask: Ask) -> int | None:
    if isinstance(first, DecodedOperand) and isinstance(second, DecodedOperand):
        return shared(first, second, ask)
    if isinstance(first, DecodedOperand):
        return shared_with_range(first, second.base, second.end, ask)
    if isinstance(second, DecodedOperand):
        return shared_with_range(second, first.base, first.end, ask)
    return max(first.base, second.base)


def _range(place: DecodedOperand | Staging) -> str:
    return f"{place.base:#x} to {place.end:#x}"
