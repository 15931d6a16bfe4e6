"""The files beside a model that are read with it: weights that a text, a plist or an ONNX file keeps outside itself.

Readers tell of each one, so that whoever keeps a result knows all that it depends on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

_READ: ContextVar[dict[Path, None]] = ContextVar("files beside the model that were looked up")


@contextmanager
def collect_sidecar_files() -> Iterator[dict[Path, None]]:
    """Collects in the block's dictionary the files that readers look up, in order, missing ones included."""
    found: dict[Path, None] = {}
    token = _READ.set(found)
    try:
        yield found
    finally:
        _READ.reset(token)


def note_sidecar_file(path: Path) -> None:
    """Tells of a file that is about to be looked up.

    Args:
        path: as the model names it, in the model's folder, with symbolic links not followed.
    """
    found = _READ.get(None)
    if found is not None:
        found[path] = None
