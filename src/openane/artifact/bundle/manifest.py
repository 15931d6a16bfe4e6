"""The manifest of a bundle: JSON that `schema.json` declares."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from openane.core.errors import Diagnostic, FormatError
from openane.core.json_schema import check_json
from openane.core.reader import Buffer
from openane.core.types import DType
from openane.formats.bundle import MANIFEST
from openane.graph import TensorType
from openane.program import Surface

FORMAT = "openane bundle"
SCHEMA = 1
LARGEST_MANIFEST_BYTES = 1 << 28
Json = dict[str, Any]


@cache
def manifest_schema() -> Mapping[str, Any]:
    """The JSON Schema of the manifest."""
    schema: Json = json.loads(Path(__file__).with_name("schema.json").read_bytes())
    return schema


def parse_manifest(data: Buffer, where: str) -> Json:
    """The manifest in some bytes, checked against its schema.

    Raises:
        FormatError: it is not JSON, not a manifest, of a newer schema, or a value is not allowed; says where.
    """
    place = f"{where}: {MANIFEST}"
    if len(data) > LARGEST_MANIFEST_BYTES:
        raise FormatError("the manifest is too large", where=place, limit=f"{LARGEST_MANIFEST_BYTES} bytes")
    try:
        manifest = json.loads(bytes(data))
    except (ValueError, RecursionError) as error:
        raise FormatError("the manifest is not JSON", where=place, value=error) from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise FormatError("not a bundle of openane", where=place, limit=f'"format": "{FORMAT}"')
    schema = manifest.get("schema")
    if isinstance(schema, int) and schema > SCHEMA:
        raise FormatError(
            "the bundle has a newer schema than this version of openane reads",
            where=place,
            value=schema,
            limit=SCHEMA,
            hint="Update openane, or compile the model again with this version.",
        )
    check_json(manifest, manifest_schema(), place)
    return manifest


def digest(data: Buffer) -> str:
    """SHA-256 of a member, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def tensor(name: str, kind: TensorType) -> Json:
    """A tensor of a variant."""
    return {"name": name, "type": kind.dtype.value, "shape": list(kind.shape)}


def tensors(kinds: Mapping[str, TensorType]) -> list[Json]:
    """Tensors in order."""
    return [tensor(name, kind) for name, kind in kinds.items()]


def named_tensors(plain: Iterable[Json], where: str) -> dict[str, TensorType]:
    """Name -> type from the manifest.

    Raises:
        FormatError: a name is used twice.
    """
    found: dict[str, TensorType] = {}
    for each in plain:
        if each["name"] in found:
            raise FormatError("a name is used twice", where=where, value=each["name"])
        found[each["name"]] = TensorType(tuple(each["shape"]), DType(each["type"]))
    return found


def surface(found: Surface) -> Json:
    """A surface of a program."""
    return {
        "name": found.name,
        "role": found.role.value,
        "buffer": found.buffer,
        "type": found.dtype.value,
        "shape": list(found.shape),
        "strides_bytes": list(found.strides_bytes),
        "bytes": found.size_bytes,
    }


def reason(found: Diagnostic) -> Json:
    """Why the engine does not run a node; fields without content are left out."""
    names = ("what", "where", "rule", "limit", "value", "hint")
    return {name: str(getattr(found, name)) for name in names if name == "what" or getattr(found, name)}
