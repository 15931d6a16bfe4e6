"""Walks through an HDF5 file: `python -m openane.frontends.keras.walk FILE` prints what is wrong with it, or nothing.

To be run as a process of its own, see `openane.frontends.keras.storage`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

EXPANSION_LIMIT = 1000
"""Largest accepted ratio of an array to what the file holds of it; Keras packs nothing."""
SMALL_BYTES = 4096
"""Arrays up to this may be left out of the file, as those of zeros are."""


def walk(path: str) -> str:
    """What is wrong with a file; empty when everything in it can be read."""
    import h5py  # type: ignore[import-untyped]

    with h5py.File(path, "r") as file:
        waiting: list[Any] = [file]
        seen = set()
        while waiting:
            group = waiting.pop()
            dict(group.attrs)
            for name in group:
                if isinstance(group.get(name, getlink=True), h5py.ExternalLink):
                    return "it reaches into another file"
                member = group.get(name)
                key = None if member is None else h5py.h5o.get_info(member.id).addr
                if key in seen or member is None:
                    continue
                seen.add(key)
                if isinstance(member, h5py.Group):
                    waiting.append(member)
                elif isinstance(member, h5py.Dataset):
                    problem = _problem(member)
                    if problem:
                        return problem
    return ""


def _problem(dataset: Any) -> str:
    dict(dataset.attrs)
    if dataset.external or dataset.is_virtual:
        return "an array lies in another file"
    if dataset.nbytes > max(EXPANSION_LIMIT * dataset.id.get_storage_size(), SMALL_BYTES):
        return "an array says that it is larger than the file"
    for _ in dataset.iter_chunks() if dataset.chunks else ():
        pass
    dataset[...] if dataset.nbytes else None
    return ""


if __name__ == "__main__":
    try:
        found = walk(sys.argv[1])
    except Exception as error:  # whatever the library says of a damaged file
        found = " ".join(str(error).split()) or type(error).__name__
    sys.stdout.buffer.write(f"{Path(sys.argv[1]).name}: {found}".encode("utf-8", "replace") if found else b"")
