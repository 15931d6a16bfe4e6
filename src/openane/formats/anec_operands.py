"""The operands of a .anec file by name, in a JSON file next to it: the container itself has no names.

FILE.anec.json lists inputs and outputs in the order of the indices that libane's functions take, with names, buffer
numbers, element types and geometry. It has the digest of its .anec, so that one of another file is refused.
`anec_operands.json` declares its form.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from openane.core.errors import FormatError
from openane.core.json_schema import check_json
from openane.core.reader import Buffer
from openane.core.types import DType
from openane.core.version import __version__
from openane.formats.source import open_source
from openane.program import Program, Surface

FORMAT = "openane anec operands"
SCHEMA = 1
LARGEST_BYTES = 1 << 20
LIBRARIES: Mapping[int, str] = {
    0x1000: "libane until June 2023 or built with ANEC_HEADER_SIZE=0x1000, and omarchy-ane",
    0x800: "libane at the head of its repository (since June 2023)",
}
"""Header size -> the libraries that read it (docs/hardware/formats.md#anec)."""


@dataclass(frozen=True, slots=True)
class AnecOperand:
    """What the container does not hold of a surface."""

    name: str
    dtype: DType


@dataclass(frozen=True, slots=True)
class AnecOperands:
    """The names of a file.

    Attributes:
        network: name of the network.
        by_buffer: buffer number -> name and element type.
    """

    network: str
    by_buffer: Mapping[int, AnecOperand]


def operands_path(anec: Path) -> Path:
    """Where the operands of a .anec file are: FILE.anec.json."""
    return anec.with_name(f"{anec.name}.json")


def operands_json(program: Program, header_bytes: int, anec: Buffer) -> bytes:
    """The operands file of a program.

    Args:
        program: in the order of libane: outputs from buffer 4 on, then inputs.
        header_bytes: of the .anec file.
        anec: its bytes.
    """
    facts = {
        "format": FORMAT,
        "schema": SCHEMA,
        "producer": f"openane {__version__}",
        "network": program.name,
        "anec": {"bytes": len(anec), "sha256": hashlib.sha256(anec).hexdigest()},
        "header_bytes": header_bytes,
        "libraries": LIBRARIES[header_bytes],
        "inputs": operand_rows(program.inputs),
        "outputs": operand_rows(program.outputs),
    }
    return json.dumps(facts, indent=1).encode() + b"\n"


def operand_rows(surfaces: tuple[Surface, ...]) -> list[dict[str, Any]]:
    """Operands of one role in the order of their buffers, as plain values."""
    rows = []
    for index, surface in enumerate(sorted(surfaces, key=lambda each: each.buffer)):
        n, _, c, h, w = surface.shape
        rows.append(
            {
                "index": index,
                "name": surface.name,
                "buffer": surface.buffer,
                "type": surface.dtype.value,
                "shape": [n, c, h, w],
                "plane_bytes": surface.strides_bytes[2],
                "row_bytes": surface.strides_bytes[3],
            }
        )
    return rows


@cache
def operands_schema() -> Mapping[str, Any]:
    """The JSON Schema of operands files."""
    schema: dict[str, Any] = json.loads(Path(__file__).with_name("anec_operands.json").read_bytes())
    return schema


def read_operands(anec: Path, data: Buffer) -> AnecOperands | None:
    """The operands file of a .anec file; None when there is none.

    Args:
        anec: path of the .anec file.
        data: its bytes.

    Raises:
        InputError: the file cannot be read.
        FormatError: it is not an operands file, of a newer schema, or belongs to another .anec.
    """
    path = operands_path(anec)
    if not path.exists():
        return None
    reader = open_source(path)
    if len(reader) > LARGEST_BYTES:
        raise FormatError("the operands file is too large", where=reader.where, limit=f"{LARGEST_BYTES} bytes")
    try:
        facts = json.loads(bytes(reader.data))
    except (ValueError, RecursionError) as error:
        raise FormatError("the operands file is not JSON", where=reader.where, value=error) from error
    if isinstance(facts, dict) and facts.get("format") == FORMAT and facts.get("schema") not in (SCHEMA, None):
        raise FormatError(
            "the operands file has another schema than this version of openane reads",
            where=reader.where,
            value=facts["schema"],
            limit=SCHEMA,
        )
    check_json(facts, operands_schema(), reader.where)
    digest = hashlib.sha256(data).hexdigest()
    if facts["anec"] != {"bytes": len(data), "sha256": digest}:
        raise FormatError(
            f"the operands file does not belong to {anec.name}",
            where=reader.where,
            value=f"{facts['anec']['bytes']} bytes with SHA-256 {facts['anec']['sha256']}",
            limit=f"{len(data)} bytes with SHA-256 {digest}",
            hint="Remove it to read the program without names, or compile the model again.",
        )
    operands = (*facts["outputs"], *facts["inputs"])
    by_buffer = {each["buffer"]: AnecOperand(each["name"], DType(each["type"])) for each in operands}
    if len(by_buffer) != len(operands) or len({each["name"] for each in operands}) != len(operands):
        raise FormatError("two operands have one name or buffer", where=reader.where)
    return AnecOperands(facts["network"], by_buffer)
