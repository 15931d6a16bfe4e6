"""The archive that PyTorch reads in place of the file: rebuilt from validated parts.

Of a .pt2 file openane reads the program `models/model.json`, the tables of weights and constants, and the raw bytes
that these name. Everything else (sample inputs, custom objects, libraries of compiled code, other programs, extra
files) is left out, and no pickle reaches PyTorch.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from openane.core.errors import FormatError, UnsupportedError
from openane.frontends.foreign import first_line
from openane.frontends.schema import boolean, fixed, mapping, record, text
from openane.frontends.torch.program import QUALIFIED_NAME, TENSOR_META, validated_program

JSON_LIMIT_BYTES = 256 << 20
EXPANSION_LIMIT = 1000
"""Largest accepted ratio of unpacked to packed size of a member, and of a tensor to what is stored of it, against
bombs; real weights are not packed."""
SMALL_BYTES = 1 << 16
"""Tensors up to this may be expanded from any number of stored bytes."""
ELEMENT_BYTES = dict(
    zip((*range(1, 14), *range(28, 36)), (1, 1, 2, 4, 8, 2, 4, 8, 4, 8, 16, 1, 2, 2, 1, 1, 1, 1, 1, 4, 8), strict=True)
)
"""Bytes of an element by PyTorch's serialized dtype (torch/_export/serde/schema.py, ScalarType)."""
_ROOT = "program"
_PAYLOADS = {"weights": "weight_", "constants": "tensor_"}
"""Folder of payloads under `data` -> how its raw files are called."""
_LEGACY = "serialized_exported_program.json"
_DAMAGE = (OSError, zipfile.BadZipFile, zipfile.LargeZipFile, RuntimeError, EOFError, zlib.error, NotImplementedError)


def rebuilt_archive(path: Path) -> io.BytesIO:
    """Reads a .pt2 file and returns an archive for `torch.export.load` that holds validated data only.

    Raises:
        FormatError: not a zip archive, absurd sizes, broken tables, or a program with unknown parts.
        UnsupportedError: pickled objects, symbolic sizes, or an operator that is not admitted.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _rebuilt(_Members(archive, str(path)))
    except _DAMAGE as error:
        raise FormatError(f"not a readable archive: {first_line(error)}", where=str(path)) from error
    except RecursionError as error:
        raise FormatError("the program is nested too deeply", where=str(path)) from error


class _Members:
    """The members of one archive by their path below its root folder."""

    def __init__(self, archive: zipfile.ZipFile, where: str) -> None:
        self.where = where
        self._archive = archive
        self._infos: dict[str, zipfile.ZipInfo] = {}
        for info in archive.infolist():
            if info.file_size > EXPANSION_LIMIT * max(info.compress_size, 1):
                raise FormatError("a member expands absurdly", where=self.place(info.filename))
            parts = PurePosixPath(info.filename).parts
            name = "/".join(parts[1:]) if len(parts) > 1 else info.filename
            if name in self._infos:
                raise FormatError("two members have the same name", where=self.place(info.filename))
            self._infos[name] = info

    def __contains__(self, name: str) -> bool:
        return name in self._infos

    def place(self, name: str) -> str:
        return f"{self.where}: {name}"

    def read(self, name: str) -> bytes:
        if name not in self._infos:
            raise FormatError("the archive lacks a member", where=self.place(name))
        return self._archive.read(self._infos[name])

    def table(self, name: str) -> Any:
        """The decoded JSON of a member."""
        if name in self._infos and self._infos[name].file_size > JSON_LIMIT_BYTES:
            raise FormatError("a table is too large", where=self.place(name), limit=f"{JSON_LIMIT_BYTES} bytes")
        try:
            return json.loads(self.read(name))
        except (ValueError, RecursionError) as error:
            raise FormatError("not a JSON table", where=self.place(name)) from error


def _rebuilt(members: _Members) -> io.BytesIO:
    if _LEGACY in members or "models/model.json" not in members:
        raise UnsupportedError(
            "the archive holds no program models/model.json",
            where=members.where,
            hint="Older layouts pickle the weights. Save it again with torch.export.save of PyTorch 2.9 or newer.",
        )
    if "byteorder" in members and members.read("byteorder") != b"little":
        raise UnsupportedError("the weights are not stored in little-endian order", where=members.where)
    for folder, prefix in _PAYLOADS.items():
        _refuse_pickles(members, folder, prefix)
    payloads = [_payloads(members, folder, prefix) for folder, prefix in _PAYLOADS.items()]
    program = validated_program(members.table("models/model.json"), members.place("models/model.json"))
    rebuilt = {
        "archive_format": b"pt2",
        "archive_version": b"0",
        ".data/version": b"3\n",  # of the container, which its reader asks for
        "byteorder": b"little",
        "models/model.json": json.dumps(program).encode(),
        "data/sample_inputs/model.pt": b"",
    }
    for each in payloads:
        rebuilt.update(each)
    return _written(rebuilt)


def _table_name(folder: str) -> str:
    return f"data/{folder}/model_{folder}_config.json"


def _refuse_pickles(members: _Members, folder: str, prefix: str) -> None:
    """Says of a pickled tensor or object what it is; the schema of the table would only say that it is unknown.

    Raises:
        UnsupportedError: there is one.
    """
    if f"data/{folder}/model.pt" in members:
        raise _pickled(members.place(f"data/{folder}/model.pt"), "model.pt")
    name = _table_name(folder)
    decoded = members.table(name) if name in members else {}
    entries = decoded.get("config") if isinstance(decoded, dict) else None
    for tensor, entry in entries.items() if isinstance(entries, dict) else ():
        raw = isinstance(entry, dict) and str(entry.get("path_name", "")).startswith(prefix)
        if not raw or entry.get("use_pickle"):
            raise _pickled(members.place(name), tensor)


def _payloads(members: _Members, folder: str, prefix: str) -> dict[str, bytes]:
    """The validated table of a folder of tensors and the raw files that it names."""
    name = _table_name(folder)
    decoded, where = members.table(name), members.place(name)
    entry_schema = record(
        {
            "path_name": text(rf"{prefix}[0-9]{{1,9}}", "the name of a raw tensor"),
            "is_param": boolean,
            "use_pickle": fixed(False),
            "tensor_meta": TENSOR_META,
        }
    )
    table = record({"config": mapping(QUALIFIED_NAME, entry_schema)})(decoded, where)
    files: dict[str, bytes] = {}
    for tensor, entry in table["config"].items():
        file_name = f"data/{folder}/{entry['path_name']}"
        if file_name not in files:
            files[file_name] = members.read(file_name)
        _check_extent(entry["tensor_meta"], len(files[file_name]), f"{where}: {tensor}")
    return {name: json.dumps(table).encode(), **files}


def _pickled(where: str, name: str) -> UnsupportedError:
    return UnsupportedError(
        "a constant is stored as a pickled object, which openane never loads",
        where=where,
        value=name,
        hint="Export the model again with plain tensors.",
    )


def _check_extent(meta: Mapping[str, Any], stored_bytes: int, where: str) -> None:
    """Refuses a tensor that reaches beyond its bytes or unfolds to absurdly many.

    Raises:
        FormatError: it does.
    """
    sizes, strides = ([each["as_int"] for each in meta[name]] for name in ("sizes", "strides"))
    offset = meta["storage_offset"]["as_int"]
    element_bytes = ELEMENT_BYTES.get(meta["dtype"], 0)
    if not element_bytes or len(sizes) != len(strides) or min([offset, *sizes, *strides]) < 0:
        raise FormatError("a tensor's type, sizes or strides are wrong", where=where, value=f"{sizes}, {strides}")
    if stored_bytes % element_bytes:
        raise FormatError("the bytes are not an integer of elements", where=where, value=stored_bytes)
    count = 1
    for each in sizes:
        count *= each
    last = offset + sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True))
    if count and (last + 1) * element_bytes > stored_bytes:
        raise FormatError("a tensor reaches beyond its bytes", where=where, value=sizes, limit=f"{stored_bytes} bytes")
    if count * element_bytes > max(SMALL_BYTES, EXPANSION_LIMIT * stored_bytes):
        raise FormatError("a tensor expands absurdly", where=where, value=sizes, limit=f"{stored_bytes} bytes stored")


def _written(members: Mapping[str, bytes]) -> io.BytesIO:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            archive.writestr(f"{_ROOT}/{name}", data)
    file.seek(0)
    return file
