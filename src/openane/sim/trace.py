"""The log of effects: one plain record per effect, in order, the same for every run of a program."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from enum import Enum

from openane.sim.decoded_task import DecodedOperand, DecodedTask, MacWork

Value = int | float | str | list[int] | list[float] | None


def trace(works: Sequence[DecodedTask]) -> Iterator[dict[str, Value]]:
    """Records of all tasks: what each reads, loads, computes and writes."""
    for work in works:
        head: dict[str, Value] = {"task": work.index, "layer": work.name}
        if isinstance(work.engine, MacWork) and work.engine.kernel is not None:
            for lane in work.engine.kernel.lanes:
                place: dict[str, Value] = {"buffer": work.engine.kernel.buffer, "base": lane.offset}
                yield head | {"effect": "kernel", "engine": lane.engine} | place | {"bytes": lane.size_bytes}
        for source in work.sources:
            yield head | {"effect": "read"} | _operand(source)
        if work.kept is not None:
            yield head | {"effect": "keep"} | _operand(work.kept)
        for staging in work.staging:
            yield head | {"effect": "stage", "role": staging.role, "base": staging.base, "end": staging.end}
        yield head | {"effect": "compute"} | _engine(work)
        yield head | {"effect": "write"} | _operand(work.result)
        for note in work.notes:
            yield head | {"effect": "note", "text": note}


def lines(works: Sequence[DecodedTask]) -> Iterator[str]:
    """The trace as JSON, one record per line."""
    return (json.dumps(record) for record in trace(works))


def _operand(operand: DecodedOperand) -> dict[str, Value]:
    return {
        "role": operand.role,
        "space": operand.space.value,
        "buffer": operand.buffer,
        "base": operand.base,
        "end": operand.end,
        "extent": list(operand.extent),
        "strides": list(operand.strides),
        "dtype": operand.dtype.value,
        "interleave": operand.interleave,
        "bytes": operand.size_bytes,
    }


def _engine(work: DecodedTask) -> dict[str, Value]:
    """All that the engine was reported, by name."""
    record: dict[str, Value] = {
        "unit": "NE" if isinstance(work.engine, MacWork) else "PE",
        "view": list(work.view),
        "result_view": list(work.result_view),
        "macs": work.macs,
    }
    for name in type(work.engine).__dataclass_fields__:
        value = getattr(work.engine, name)
        if name == "kernel":
            record["kernel"] = None if value is None else value.description
        elif isinstance(value, Enum):
            record[name] = value.name.lower()
        else:
            record[name] = list(value) if isinstance(value, tuple) else value
    return record
