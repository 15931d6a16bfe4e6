"""The file that Keras reads in place of the user's: rebuilt from validated parts.

HDF5's library was not made for untrusted input: damaged files make it hang or crash, and sound ones may name arrays in
any other file of the machine. So a process of its own walks through the file first, with an end to its time, and copies
the arrays. The configuration is decoded, validated and written again; assets and training state are left out.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from openane.core.errors import FormatError
from openane.frontends.foreign import first_line
from openane.frontends.keras.configuration import validated_configuration

EXPANSION_LIMIT = 1000
"""Largest accepted ratio of unpacked to packed size of a member of an archive."""
CONFIGURATION_LIMIT_BYTES = 256 << 20
WALK_SECONDS = 20.0
"""For a small file; a second more for every SECOND_BYTES."""
SECOND_BYTES = 16 << 20
WALK = ("-m", "openane.frontends.keras.walk")
CONFIGURATION, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
_ATTRIBUTE = "model_config"


@contextmanager
def rebuilt_file(path: Path) -> Iterator[Path]:
    """A .keras or .h5 file with the validated content of another; it is gone after the block.

    Raises:
        FormatError: damaged, absurd sizes, or arrays in other files.
        UnsupportedError: the configuration asks for code or for objects that are not admitted.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        check_file(path, folder)
        try:
            rebuilt = _rebuilt_archive(path, folder) if zipfile.is_zipfile(path) else _rebuilt_hdf5(path, folder)
        except _DAMAGE as error:
            raise FormatError(f"not a readable archive: {first_line(error)}", where=str(path)) from error
        yield rebuilt


_DAMAGE = (OSError, ValueError, zipfile.BadZipFile, zipfile.LargeZipFile, RuntimeError, EOFError)


def check_file(path: Path, folder: Path | None = None) -> None:
    """Refuses a .keras or .h5 file that cannot be walked through, or that leads out of itself.

    Args:
        path: of the file.
        folder: where copies of the weights go, as WEIGHTS; none are made without it.

    Raises:
        FormatError: damaged, absurd sizes, or arrays in other files.
    """
    copy = None if folder is None else folder / WEIGHTS
    if not zipfile.is_zipfile(path):
        _walk(path, copy, str(path))
        return
    try:
        with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory() as unpacked:
            for member in archive.infolist():
                where = f"{path}: {member.filename}"
                if member.file_size > EXPANSION_LIMIT * max(member.compress_size, 1):
                    raise FormatError("a member expands absurdly", where=where)
                if member.filename.endswith(".json") and member.file_size > CONFIGURATION_LIMIT_BYTES:
                    raise FormatError("the configuration is too large", where=where)
            weights = Path(unpacked) / "weights.h5"
            if WEIGHTS in archive.namelist():
                with archive.open(WEIGHTS) as content, weights.open("wb") as file:
                    shutil.copyfileobj(content, file)
                _walk(weights, copy, f"{path}: {WEIGHTS}")
    except _DAMAGE as error:
        raise FormatError(f"not a readable archive: {first_line(error)}", where=str(path)) from error


def _rebuilt_archive(path: Path, folder: Path) -> Path:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        for name in (CONFIGURATION, WEIGHTS):
            if names.count(name) != 1:
                raise FormatError(f"the archive needs one {name}", where=str(path), value=names.count(name))
        configuration = _decoded(archive.read(CONFIGURATION), f"{path}: {CONFIGURATION}")
    rebuilt = folder / "model.keras"
    with zipfile.ZipFile(rebuilt, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(CONFIGURATION, json.dumps(configuration))
        archive.writestr(METADATA, "{}")
        archive.write(folder / WEIGHTS, WEIGHTS)
    return rebuilt


def _rebuilt_hdf5(path: Path, folder: Path) -> Path:
    import h5py  # type: ignore[import-untyped]

    rebuilt = (folder / WEIGHTS).rename(folder / "model.h5")
    with h5py.File(rebuilt, "r+") as file:
        found = file.attrs.get(_ATTRIBUTE)
        if not isinstance(found, (str, bytes)):
            raise FormatError("the file holds no configuration of a model", where=str(path))
        file.attrs[_ATTRIBUTE] = json.dumps(_decoded(found, f"{path}: {_ATTRIBUTE}"))
    return rebuilt


def _decoded(data: str | bytes, where: str) -> dict[str, Any]:
    try:
        return validated_configuration(json.loads(data), where)
    except RecursionError as error:
        raise FormatError("the configuration is nested too deeply", where=where) from error


def _walk(path: Path, copy: Path | None, where: str) -> None:
    limit_seconds = WALK_SECONDS + path.stat().st_size / SECOND_BYTES
    command = [sys.executable, *WALK, str(path), str(copy or "")]
    try:
        done = subprocess.run(command, capture_output=True, timeout=limit_seconds, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired as error:
        raise FormatError("reading it does not come to an end", where=where, limit=f"{limit_seconds:.0f} s") from error
    found = done.stdout.decode("utf-8", "replace").partition(": ")[2]
    if found or done.returncode:
        raise FormatError(f"not a sound HDF5 file: {found or 'reading it crashes'}", where=where)
