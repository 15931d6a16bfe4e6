"""Sidecar files: weights that a MIL text, a net.plist or an ONNX model keeps in other files of its folder.

Readers report each one, so that a cache knows every file that a result depends on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

_READ: ContextVar[dict[Path, None]] = ContextVar("sidecar files that were looked up")


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
    """Reports a file that is about to be looked up.

    Args:
        path: as the model names it, in the model's folder, with symbolic links not followed.
    """
    found = _READ.get(None)
    if found is not None:
        found[path] = None
