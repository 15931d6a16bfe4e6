"""Checks of Keras files before Keras sees them.

HDF5's library was not made for files of strangers: damaged ones make it hang or crash, and sound ones may name arrays
in any other file of the machine. So a process of its own walks through the file first, with an end to its time.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from openane.core.errors import FormatError

EXPANSION_LIMIT = 1000
"""Largest accepted ratio of unpacked to packed size of a member of an archive."""
CONFIGURATION_LIMIT_BYTES = 256 << 20
WALK_SECONDS = 20.0
"""For a small file; a second more for every SECOND_BYTES."""
SECOND_BYTES = 16 << 20
WALK = ("-m", "openane.frontends.keras.walk")
_WEIGHTS = ".h5"


def check_file(path: Path) -> None:
    """Refuses a .keras or .h5 file that cannot be walked through, or that leads out of itself.

    Raises:
        FormatError: damaged, absurd sizes, or arrays in other files.
    """
    if not zipfile.is_zipfile(path):
        _check_hdf5(path, str(path))
        return
    try:
        with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory() as folder:
            for number, member in enumerate(archive.infolist()):
                where = f"{path}: {member.filename}"
                if member.file_size > EXPANSION_LIMIT * max(member.compress_size, 1):
                    raise FormatError("a member expands absurdly", where=where)
                if member.filename.endswith(".json") and member.file_size > CONFIGURATION_LIMIT_BYTES:
                    raise FormatError("the configuration is too large", where=where)
                if member.filename.endswith(_WEIGHTS):
                    copy = Path(folder) / f"{number}{_WEIGHTS}"
                    with archive.open(member) as content, copy.open("wb") as file:
                        shutil.copyfileobj(content, file)
                    _check_hdf5(copy, where)
    except (OSError, ValueError, zipfile.BadZipFile, zipfile.LargeZipFile, RuntimeError, EOFError) as error:
        raise FormatError(f"not a readable archive: {error}", where=str(path)) from error


def _check_hdf5(path: Path, where: str) -> None:
    limit_seconds = WALK_SECONDS + path.stat().st_size / SECOND_BYTES
    command = [sys.executable, *WALK, str(path)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=limit_seconds, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired as error:
        raise FormatError("reading it does not come to an end", where=where, limit=f"{limit_seconds:.0f} s") from error
    found = done.stdout.decode("utf-8", "replace").partition(": ")[2]
    if found or done.returncode:
        raise FormatError(f"not a sound HDF5 file: {found or 'reading it crashes'}", where=where)
