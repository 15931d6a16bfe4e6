"""A compiled program as plain values, every word named: what `openane dis --json` prints."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from openane.formats.assembly.write import BUFFER_NAMES
from openane.program import Program, Register, Task
from openane.program.program import StreamCodec
from openane.targets import attach


def listing(program: Program) -> dict[str, Any]:
    """The program as dictionaries, lists, numbers and texts.

    Args:
        program: of any generation.

    Raises:
        InputError: its target does not exist.
    """
    program = attach(program)
    assert program.codec is not None
    names = {**BUFFER_NAMES, **{surface.buffer: surface.name for surface in program.surfaces}}
    return {
        "target": program.target,
        "network": program.name,
        "dialect": program.dialect,
        "scratch_bytes": program.scratch_bytes,
        "surfaces": [
            {
                "name": surface.name,
                "role": surface.role.value,
                "shape": list(surface.shape),
                "strides_bytes": list(surface.strides_bytes),
                "size_bytes": surface.size_bytes,
                "buffer": surface.buffer,
                "dtype": surface.dtype.value,
            }
            for surface in program.surfaces
        ],
        "tasks": [
            {"index": i, "offset": offset, **_task(program.codec, task, names)}
            for i, (task, offset) in enumerate(zip(program.tasks, program.task_offsets, strict=True))
        ],
        "constants": {"size": len(program.constants), "sha256": sha256(program.constants).hexdigest()},
        "relocations": [{"offset": each.offset, "info": each.info} for each in program.relocations],
    }


def _task(codec: StreamCodec, task: Task, names: dict[int, str]) -> dict[str, Any]:
    registers = codec.registers
    summary = codec.summarize(task)
    return {
        "size_bytes": task.size_bytes,
        "engine": summary.engine,
        "operation": summary.operation,
        "summary": summary.text(names),
        "layers": list(task.origin.layers),
        "header": [
            _word(register, word) for register, word in zip(registers.header.registers, task.header, strict=False)
        ],
        "extra": list(task.extra),
        "bursts": [
            {
                "address": burst.address,
                "registers": [
                    _word(registers.register_at(address), word)
                    for address, word in zip(burst.addresses(), burst.words, strict=True)
                ],
            }
            for burst in task.bursts
        ],
    }


def _word(register: Register, word: int) -> dict[str, Any]:
    fields = {
        each.name: each.show(each.get(word)) if each.values or each.kind.is_float else each.get(word)
        for each in register.fields
        if not each.reserved or each.get(word)
    }
    return {"register": register.path, "address": register.address, "word": word, "fields": fields}
