"""Which bytes hold which tensor when: DRAM buffers and L2 over the tasks of a program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from openane.sim.decoded_task import DecodedOperand, DecodedTask, MemorySpace

Key = tuple[MemorySpace, int]


@dataclass(slots=True)
class Tenant:
    """A tensor in memory.

    Attributes:
        first, last: tasks between which it must stay; first is -1 for what is there before the first task.
        base, end: bytes.
        what: role of the operand that put it there.
    """

    first: int
    last: int
    base: int
    end: int
    what: str


@dataclass(frozen=True, slots=True)
class MemoryMap:
    """All tensors of a program by memory, and which task feeds which.

    Attributes:
        tenants: by space and buffer.
        feeds: (writer, reader) pairs of tasks.
    """

    tenants: Mapping[Key, Sequence[Tenant]]
    feeds: Sequence[tuple[int, int]] = field(default=())


def memory_map(works: Sequence[DecodedTask], inputs: Mapping[int, int]) -> MemoryMap:
    """Follows every read and write.

    Args:
        works: decoded tasks.
        inputs: size in bytes of each input's buffer.
    """
    tenants: dict[Key, list[Tenant]] = {}
    live: dict[Key, list[Tenant]] = {}
    for buffer, size in inputs.items():
        _write(tenants, live, (MemorySpace.DRAM, buffer), Tenant(-1, -1, 0, size, "input"))
    feeds: dict[tuple[int, int], None] = {}
    for work in works:
        for source in work.sources:
            for tenant in _holding(live.get((source.space, source.buffer), []), source.base, source.end):
                tenant.last = work.index
                if tenant.first >= 0:
                    feeds[tenant.first, work.index] = None
        for staging in work.staging:
            passing = Tenant(work.index, work.index, staging.base, staging.end, "transfer")
            tenants.setdefault((MemorySpace.L2, 0), []).append(passing)
        for operand in _stored(work):
            new = Tenant(work.index, work.index, operand.base, operand.end, operand.role)
            _write(tenants, live, (operand.space, operand.buffer), new)
    return MemoryMap(tenants, tuple(feeds))


def _holding(live: Sequence[Tenant], base: int, end: int) -> list[Tenant]:
    """The tensors that together cover some bytes, the latest written first."""
    found = []
    missing = [(base, end)]
    for tenant in reversed(live):
        left = []
        for low, high in missing:
            parts = ((low, min(high, tenant.base)), (max(low, tenant.end), high))
            left += [(a, b) for a, b in parts if a < b]
        if left != missing:
            found.append(tenant)
        missing = left
        if not missing:
            break
    return found


def _stored(work: DecodedTask) -> list[DecodedOperand]:
    return [work.result] if work.kept is None else [work.kept, work.result]


def _write(tenants: dict[Key, list[Tenant]], live: dict[Key, list[Tenant]], key: Key, new: Tenant) -> None:
    """What is covered wholly is gone; of what is covered in part, the rest may still be read."""
    tenants.setdefault(key, []).append(new)
    left = [old for old in live.get(key, ()) if not (new.base <= old.base and old.end <= new.end)]
    live[key] = [*left, new]
