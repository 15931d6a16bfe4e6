"""Copies what openane needs of an HDF5 file: `python -m openane.frontends.keras.walk FILE COPY`.

It prints what is wrong with the file, or nothing. To be run as a process of its own, see `storage.py`.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

EXPANSION_LIMIT = 1000
"""Largest accepted ratio of an array to what the file holds of it; Keras packs nothing."""
SMALL_BYTES = 4096
"""Arrays up to this may be left out of the file, as those of zeros are."""
ATTRIBUTES = re.compile(r"model_config|keras_version|backend|dtype|(?:layer|weight)_names\d*")
"""What Keras reads of a group or an array, apart from how the model was trained."""


def walk(path: str, copy: str = "") -> str:
    """Reads everything in a file and copies its groups and arrays of numbers.

    Args:
        path: of the file.
        copy: of the file to make; none when empty.

    Returns:
        What is wrong with the file; empty when everything in it can be read.
    """
    import h5py  # type: ignore[import-untyped]

    with h5py.File(path, "r") as file:
        target = h5py.File(copy, "w") if copy else None
        try:
            return _copied(file, target)
        finally:
            if target is not None:
                target.close()


def _copied(file: Any, target: Any) -> str:
    import h5py

    waiting: list[tuple[Any, Any]] = [(file, target)]
    seen = set()
    while waiting:
        group, copied = waiting.pop()
        _copy_attributes(group, copied)
        for name in group:
            if isinstance(group.get(name, getlink=True), h5py.ExternalLink):
                return "it reaches into another file"
            member = group.get(name)
            key = None if member is None else h5py.h5o.get_info(member.id).addr
            if key in seen or member is None:
                continue
            seen.add(key)
            if isinstance(member, h5py.Group):
                waiting.append((member, None if copied is None else copied.create_group(name)))
            elif isinstance(member, h5py.Dataset):
                problem = _problem(member)
                if problem:
                    return problem
                if copied is not None and member.dtype.kind in "biuf":
                    _copy_attributes(member, copied.create_dataset(name, data=member[...]))
    return ""


def _copy_attributes(source: Any, copied: Any) -> None:
    for name, value in dict(source.attrs).items():
        if copied is not None and ATTRIBUTES.fullmatch(name):
            copied.attrs[name] = value


def _problem(dataset: Any) -> str:
    dict(dataset.attrs)
    if dataset.external or dataset.is_virtual:
        return "an array is in another file"
    if dataset.nbytes > max(EXPANSION_LIMIT * dataset.id.get_storage_size(), SMALL_BYTES):
        return "an array says that it is larger than the file"
    for _ in dataset.iter_chunks() if dataset.chunks else ():
        pass
    dataset[...] if dataset.nbytes else None
    return ""


if __name__ == "__main__":
    try:
        found = walk(*sys.argv[1:3])
    except Exception as error:  # whatever the library says of a damaged file
        found = " ".join(str(error).split()) or type(error).__name__
    sys.stdout.buffer.write(f"{Path(sys.argv[1]).name}: {found}".encode("utf-8", "replace") if found else b"")
